"""Computing what changed of many features, parents before children."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metaxy.dag.graph import FeatureGraph, current_graph
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import MetaxyError
from metaxy.process.registry import Computed, computed
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.wording import first_line
from metaxy.workers.report import ProcessReport


@dataclass(frozen=True)
class RunReport:
    """What became of a run over features.

    Attributes:
        reports: What `MetadataStore.process` did, in order.
        without_function: Features that nothing computes, each with how many samples it needs: 0 if none, or if it is a
            root, of which nobody else knows what it should have.
        failures: Features that could not be processed at all, each with why.
        without_samples: Roots of which nothing was found, each with the function that looked.
    """

    reports: tuple[ProcessReport, ...] = ()
    without_function: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    without_samples: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_sync(self) -> bool:
        """Whether nothing is left to compute."""
        done = all(report.in_sync for report in self.reports)
        return done and not self.failures and not any(self.without_function.values())


@dataclass(frozen=True)
class Plan:
    """What a run would do with a feature: how many samples are new and stale now, None where nothing can tell.

    Children of features that are computed first will have more.
    """

    feature: str
    function: str | None
    new: int | None
    stale: int | None


def run(
    store: MetadataStore,
    functions: Mapping[Any, Any] | None = None,
    *,
    features: Iterable[Any] | None = None,
    up: int = 0,
    down: int = 0,
    **options: Any,
) -> RunReport:
    """Compute what is new and stale of features, parents before children.

    A feature that fails does not stop the others: the report says so. The store may be closed.

    Args:
        store: where they are.
        functions: what computes each feature: functions as `computes` takes them, or `Computed` with options; those
            that `computes` named by default.
        features: which features; those that have a function by default.
        up: of how many levels of their parents as well.
        down: of how many levels of their children as well.
        options: for `MetadataStore.process` of each feature; they go before those of decorators.

    Raises:
        KeyboardInterrupt: after Ctrl-C, when what was begun is written.
    """
    graph, by_key = current_graph(), _functions(functions)
    reports, failures, without, nothing = [], {}, {}, {}
    for key in _ordered(graph, by_key, features, up, down):
        function = by_key.get(key)
        try:
            if function is None:
                with store:
                    without[str(key)] = sum(count or 0 for count in _counts(store, graph, key, None))
                continue
            arguments = {**function.arguments(), **options}
            if _are_none(arguments.get("samples")):
                nothing[str(key)] = function.name
            reports.append(store.process(key, function.fn, **arguments))
        except Exception as error:  # whatever samples and functions of users raise
            kind = "" if isinstance(error, MetaxyError) else f"feature {key}: {type(error).__name__}: "
            failures[str(key)] = kind + first_line(error)
    return RunReport(tuple(reports), without, failures, nothing)


def plan(
    store: MetadataStore,
    functions: Mapping[Any, Any] | None = None,
    *,
    features: Iterable[Any] | None = None,
    up: int = 0,
    down: int = 0,
) -> list[Plan]:
    """Say what `run` would do, in order; nothing is computed."""
    graph, by_key = current_graph(), _functions(functions)
    found = []
    with store:
        for key in _ordered(graph, by_key, features, up, down):
            function = by_key.get(key)
            samples = function.arguments().get("samples") if function else None
            new, stale = _counts(store, graph, key, samples)
            found.append(Plan(str(key), function.name if function else None, new, stale))
    return found


def _are_none(samples: Any) -> bool:
    """Whether an eager frame of samples has no rows."""
    return hasattr(samples, "__len__") and not len(samples)


def _functions(given: Mapping[Any, Any] | None) -> dict[FeatureKey, Computed]:
    if given is None:
        return computed()
    return {coerce_to_feature_key(feature): Computed.of(fn) for feature, fn in given.items()}


def _ordered(
    graph: FeatureGraph, functions: Iterable[FeatureKey], features: Iterable[Any] | None, up: int, down: int
) -> Sequence[FeatureKey]:
    return graph.get_features_around(functions if features is None else features, up, down)


def _counts(store: MetadataStore, graph: FeatureGraph, key: FeatureKey, samples: Any) -> tuple[int | None, int | None]:
    """Return how many samples are new and stale, None where nothing can tell."""
    if samples is not None:
        counts = store.resolve_update(key, samples=samples, payload="ignore").counts
        return counts["new"], counts["stale"]
    if not graph.get_feature_definition(key).spec.deps:
        return None, None
    status = get_feature_metadata_status(key, store).status
    return status.missing_count, status.stale_count
