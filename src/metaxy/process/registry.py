"""Which function computes a feature, as a decorator says beside the function."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from typing_extensions import Unpack

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.store.request import ProcessArguments
from metaxy.workers.function import Function, name_of

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Computed:
    """A function that computes a feature, with options for `MetadataStore.process`.

    ``samples`` lists what a root feature should have: a frame, or a function that returns one.
    """

    fn: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    samples: Any = None

    @classmethod
    def of(cls, fn: Any, options: Mapping[str, Any] | None = None, samples: Any = None) -> "Computed":
        """Tell functions that compute rows from those without parameters, whose samples are stored as they are.

        Raises:
            TypeError: if a function takes no row, and there are samples to call it for.
        """
        if isinstance(fn, cls):
            return fn
        if not _takes_nothing(fn):
            return cls(fn, options or {}, samples)
        if samples is not None:
            raise TypeError(f"function {name_of(fn)} takes no row, so it lists samples itself; leave out samples=")
        return cls(Function(_unchanged, name_of(fn), "frame"), options or {}, fn)

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.fn.name if isinstance(self.fn, Function) else name_of(self.fn)

    def arguments(self) -> dict[str, Any]:
        """Return the options, with the samples as they are now."""
        if self.samples is None:
            return dict(self.options)
        return {**self.options, "samples": self.samples() if callable(self.samples) else self.samples}


# By the graph that was active at the decorator, as that of its feature was.
_COMPUTED: WeakKeyDictionary[FeatureGraph, dict[FeatureKey, Computed]] = WeakKeyDictionary()


def computes(feature: Any, **options: Unpack[ProcessArguments]) -> Callable[[F], F]:
    """Say that a function computes a feature; `mx run` and `metaxy.process.run` find it when its module is loaded.

    Args:
        feature: anything that names a feature.
        options: as for `MetadataStore.process`, such as ``workers``. ``samples`` of a root feature may also be a
            function without arguments that returns them, and is called for each run.

    A function without parameters says what a root feature has: the samples that it returns are stored as they are.

    >>> @computes("speech/length", workers=4)
    ... def length(row: dict) -> dict:
    ...     return {"length": len(row["text"])}
    >>> computed()[FeatureKey("speech/length")].options
    {'workers': 4}
    >>> import polars as pl
    >>> @computes("speech")
    ... def found() -> pl.DataFrame:
    ...     return pl.DataFrame({"id": ["a"], "metaxy_provenance_by_field": [{"audio": "take 1"}]})
    """
    given: dict[str, Any] = dict(options)
    samples = given.pop("samples", None)

    def register(fn: F) -> F:
        of_graph = _COMPUTED.setdefault(FeatureGraph.get_active(), {})
        of_graph[coerce_to_feature_key(feature)] = Computed.of(fn, given, samples)
        return fn

    return register


def computed() -> dict[FeatureKey, Computed]:
    """Return the functions that decorators named for features of the active graph."""
    return dict(_COMPUTED.get(FeatureGraph.get_active(), {}))


def _takes_nothing(fn: Any) -> bool:
    try:
        return callable(fn) and not isinstance(fn, Function) and not inspect.signature(fn).parameters
    except (TypeError, ValueError):  # made of C, without a signature
        return False


def _unchanged(rows: Any) -> Any:
    return rows
