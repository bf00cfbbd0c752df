"""Which features are up to date, and what each of them needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import AmbiguousProjectError
from metaxy.service.failures import Failure
from metaxy.service.project import Project, Track, conditions
from metaxy.store.snapshots import find_version, recorded_graph
from metaxy.store.status import (
    ICONS,
    FeatureMetadataStatusWithIncrement,
    FullFeatureMetadataRepresentation,
    StatusOptions,
    feature_statuses,
    no_input,
)
from metaxy.store.store import MetadataStore

__all__ = ["ICONS", "FullFeatureMetadataRepresentation", "Status", "StatusRequest", "no_input", "status"]


@dataclass(frozen=True, kw_only=True)
class StatusRequest:
    """What to look at.

    Args:
        filters: Only rows of the features that fulfil these conditions.
        global_filters: Only rows, also of their parents, that fulfil these.
        stale_if: Rows that fulfil one of these are stale, whatever their version.
        snapshot: Take the features as they were pushed with this version of the project; `latest` for the last.
        allow_unknown: Leave out features that the graph does not have, instead of failing.
        samples: Show some samples of each feature.
        progress: Say which part of the expected samples was computed at least once.
        use_fallback: Look into fallback stores as well.
    """

    filters: Sequence[str] = ()
    global_filters: Sequence[str] = ()
    stale_if: Sequence[str] = ()
    snapshot: str | None = None
    allow_unknown: bool = False
    samples: bool = False
    progress: bool = False
    use_fallback: bool = True

    def options(self) -> StatusOptions:
        """Return the same with conditions that are parsed."""
        return StatusOptions(
            use_fallback=self.use_fallback,
            global_filters=conditions(self.global_filters),
            target_filters=conditions(self.filters),
            staleness_predicates=conditions(self.stale_if),
            compute_progress=self.progress,
        )


@dataclass(frozen=True)
class Status:
    """The status of features; ``unknown`` ones were left out, each with the one that may be meant.

    A feature that could not be looked at is there with an error, and why in ``failures``.
    """

    project_version: str | None
    features: Sequence[FullFeatureMetadataRepresentation]
    unknown: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)

    @property
    def needs_update(self) -> bool:
        """Whether any feature does."""
        return any(each.needs_update for each in self.features)


def status(
    project: Project,
    features: Sequence[str] | None = None,
    *,
    store: str | None = None,
    request: StatusRequest = StatusRequest(),
    track: Track = iter,
) -> Status:
    """Count what features have in a store and what they need, several at a time.

    Raises:
        MetaxyError: if a store cannot be reached, which is no matter of one feature.
    """
    options = request.options()
    with project.store(store) as opened:
        seen = _as_recorded(project, opened, request.snapshot) if request.snapshot else project
        with seen.graph.use():
            keys = seen.keys(features, strict=not request.allow_unknown)
            results = zip(track(keys), feature_statuses(opened, keys, options), strict=True)
            found = [_represent(key, result, request.samples) for key, result in results]
            failures = {each.feature_key: failure for each, failure in found if failure}
            return Status(_version(seen), [each for each, _ in found], seen.unknown(features), failures)


def _as_recorded(project: Project, store: MetadataStore, snapshot: str) -> Project:
    """Return the project with the features of a snapshot."""
    version = find_version(store, snapshot, project.scope)
    return project.with_graph(recorded_graph(store, version, project.scope))


def _version(project: Project) -> str | None:
    """Return the version of the project that is meant, None where there are several."""
    try:
        return project.graph.get_project_version(project.name) if project.name else project.graph.project_version
    except AmbiguousProjectError:
        return None


def _represent(
    key: FeatureKey, result: FeatureMetadataStatusWithIncrement | Exception, samples: bool
) -> tuple[FullFeatureMetadataRepresentation, Failure | None]:
    """Return a status as plain data, or the error that kept from it."""
    try:
        if isinstance(result, Exception):
            raise result
        return result.to_representation(verbose=samples), None
    except Exception as error:
        failure = Failure.of(error)
        if failure.kind == "unreachable":
            raise
        return FullFeatureMetadataRepresentation.of_error(key, error, failure.message), failure
