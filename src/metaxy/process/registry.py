"""Which function computes a feature, as a decorator says beside the function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from typing_extensions import Unpack

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.store.request import ProcessArguments

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Computed:
    """A function that computes a feature, with options for `MetadataStore.process`.

    ``samples`` lists what a root feature should have: a frame, or a function that returns one.
    """

    fn: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    samples: Any = None

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

    >>> @computes("speech/length", workers=4)
    ... def length(row: dict) -> dict:
    ...     return {"length": len(row["text"])}
    >>> computed()[FeatureKey("speech/length")].options
    {'workers': 4}
    """
    given: dict[str, Any] = dict(options)
    samples = given.pop("samples", None)

    def register(fn: F) -> F:
        of_graph = _COMPUTED.setdefault(FeatureGraph.get_active(), {})
        of_graph[coerce_to_feature_key(feature)] = Computed(fn, given, samples)
        return fn

    return register


def computed() -> dict[FeatureKey, Computed]:
    """Return the functions that decorators named for features of the active graph."""
    return dict(_COMPUTED.get(FeatureGraph.get_active(), {}))
