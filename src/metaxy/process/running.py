"""Computing what changed of many features, parents before children."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from metaxy.dag.graph import FeatureGraph, current_graph
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import MetaxyError
from metaxy.notebook import bullets, card, marked, table
from metaxy.process.registry import Computed, computed
from metaxy.store.request import ErrorHandling
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.wording import first_line
from metaxy.workers.report import ProcessReport

Counts: TypeAlias = "tuple[int | None, int | None]"
"""How many samples are new and stale."""


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

    def _repr_html_(self) -> str:
        """Show a line per feature in a notebook, and why some could not be computed."""
        heads = ("feature", "function", "samples", "done", "failed", "seconds")
        lines = [
            (
                each.feature,
                each.function,
                *(f"{n:,}" for n in (each.total, each.done, each.failed)),
                f"{each.seconds:.1f}",
            )
            for each in self.reports
        ]
        left = [f"{key}: {count:,} samples, and no function" for key, count in self.without_function.items() if count]
        left += [f"{key}: {name} found no samples" for key, name in self.without_samples.items()]
        wrong = (marked(f"! {key}: {reason}", "bad") for key, reason in self.failures.items())
        verdict = marked("✓ in sync", "good") if self.in_sync else marked("⚠ something is left", "due")
        return card("Run", table(lines, heads), bullets([*wrong, *left]), note=verdict)


@dataclass(frozen=True)
class Plan:
    """What a run would do with a feature: how many new and stale samples it computes, None where nothing can tell.

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
                    without[str(key)] = sum(count or 0 for count in _counts(store, graph, key, {}))
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
    limit: int | None = None,
    errors: ErrorHandling | None = None,
) -> list[Plan]:
    """Say what `run` would do, in order; nothing is computed.

    Args:
        limit: at most so many samples of each feature are counted, as `run` computes no more.
        errors: whether samples that failed before are among them, as for `run`.
    """
    graph, by_key = current_graph(), _functions(functions)
    given = {name: value for name, value in (("limit", limit), ("errors", errors)) if value is not None}
    found = []
    with store:
        for key in _ordered(graph, by_key, features, up, down):
            function = by_key.get(key)
            arguments = {**function.arguments(), **given} if function else {}
            counts = _limited(_counts(store, graph, key, arguments), arguments)
            found.append(Plan(str(key), function.name if function else None, *counts))
    return found


def _limited(counts: Counts, arguments: Mapping[str, Any]) -> Counts:
    """Leave out what is behind the limit: stale samples come last, unless the function asks for them first."""
    new, stale = counts
    limit: int | None = arguments.get("limit")
    if limit is None or new is None or stale is None:
        return counts
    if arguments.get("first") == "stale":
        return min(new, max(0, limit - stale)), min(stale, limit)
    return min(new, limit), min(stale, max(0, limit - new))


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


def _counts(store: MetadataStore, graph: FeatureGraph, key: FeatureKey, arguments: Mapping[str, Any]) -> Counts:
    """Return how many samples are new and stale, None where nothing can tell."""
    samples, errors = arguments.get("samples"), arguments.get("errors", "retry")
    if samples is None:
        if not graph.get_feature_definition(key).spec.deps:
            return None, None
        status = get_feature_metadata_status(key, store).status
        if errors == "retry" or not status.needs_update:
            return status.missing_count, status.stale_count
    counts = store.resolve_update(key, samples=samples, payload="ignore", errors=errors).counts
    return counts["new"], counts["stale"]
