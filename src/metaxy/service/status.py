"""The status of features: which are up to date, and what each of them needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import AmbiguousProjectError
from metaxy.service.failures import Failure
from metaxy.service.project import Project, Track
from metaxy.store.request import as_filters
from metaxy.store.snapshots import find_version, recorded_graph
from metaxy.store.status import (
    ICONS,
    FeatureMetadataStatusWithIncrement,
    FullFeatureMetadataRepresentation,
    StatusOptions,
    feature_statuses,
    no_input,
)
from metaxy.store.status_page import status_page
from metaxy.store.store import MetadataStore

__all__ = ["ICONS", "FullFeatureMetadataRepresentation", "Status", "StatusOptions", "no_input", "status"]


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

    def _repr_html_(self) -> str:
        title = f"Project {self.project_version}" if self.project_version else "Features"
        return status_page(title, [each.model_dump() for each in self.features])


def status(
    project: Project,
    features: Sequence[str] | None = None,
    *,
    store: str | None = None,
    options: StatusOptions = StatusOptions(),  # noqa: B008 - frozen
    snapshot: str | None = None,
    allow_unknown: bool = False,
    samples: bool = False,
    track: Track = iter,
) -> Status:
    """Count what features have in a store and what they need, several at a time, and show some ``samples`` if asked.

    The features may be those of a ``snapshot``, by (the start of) its hash or `latest`. Unknown ones may be left out.

    Raises:
        MetaxyError: if a store cannot be reached, which is no matter of one feature.
    """
    options = replace(  # a condition that cannot be parsed is no matter of one feature either
        options,
        global_filters=as_filters(options.global_filters),
        target_filters=as_filters(options.target_filters),
        staleness_predicates=as_filters(options.staleness_predicates),
    )
    with project.store(store) as opened:
        seen = _as_recorded(project, opened, snapshot) if snapshot else project
        with seen.graph.use():
            keys = seen.keys(features, strict=not allow_unknown)
            results = zip(track(keys), feature_statuses(opened, keys, options), strict=True)
            found = [_represent(key, result, samples) for key, result in results]
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
