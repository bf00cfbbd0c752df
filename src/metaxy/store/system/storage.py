"""The system tables of a store: graphs that were pushed, and events."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any, Generic

import narwhals as nw
import polars as pl
from typing_extensions import TypeVar

from metaxy.columns import METAXY_PROJECT_VERSION
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.snapshot import PushResult
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import CoercibleToFeatureKey, coerce_to_feature_key
from metaxy.definitions.selection import FeatureSelection
from metaxy.errors import SnapshotError
from metaxy.store.parts import StoreParts
from metaxy.store.system.history import IDENTITY, newest, of_version, snapshots, versions_of
from metaxy.store.system.push import prepare_push
from metaxy.store.system.records import Event, decoded
from metaxy.store.system.rows import append_rows, scan_rows
from metaxy.store.system.tables import (
    COL_FEATURE_KEY,
    COL_PROJECT,
    EVENTS_KEY,
    FEATURE_VERSIONS,
    FEATURE_VERSIONS_SCHEMA,
)
from metaxy.wording import did_you_mean

COLUMNS = tuple(FEATURE_VERSIONS_SCHEMA)


Store = TypeVar("Store", bound=StoreParts, default=Any)


class SystemTableStorage(Generic[Store]):
    """Records feature graphs in a store, and reads what was recorded; the store must be open.

    Args:
        store: where the system tables are; fallback stores are not asked.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    # -- writing -------------------------------------------------------------------------------------------------------

    def push_graph_snapshot(
        self, *, project: str | None = None, tags: Mapping[str, str] | None = None, dry_run: bool = False
    ) -> PushResult:
        """Record the features of a project as they are in the active graph.

        If the project was pushed last with the same definitions, only this is added: features whose version changed
        through a parent in another project; and new tags, which add to those that are there.

        Args:
            project: the project to record; that of the graph's features by default.
            tags: texts to remember with the snapshot, such as a git commit; ``metaxy`` is reserved.

        Raises:
            SnapshotError: if there is nothing to push, or a tag is reserved or no text.
        """
        prepared = prepare_push(
            self.store.storage, self.store.clock, self.store.session.scope("r" if dry_run else "w"), project, tags
        )
        if not dry_run:
            prepared.record(self.store)
        return prepared.result

    def write_event(self, event: Event) -> None:
        """Record an event."""
        self.store.session.scope("w")
        row = event.row(self.store.clock.now().replace(tzinfo=None))
        append_rows(self.store, EVENTS_KEY, pl.DataFrame([row]))

    # -- reading -------------------------------------------------------------------------------------------------------

    def read_graph_snapshots(self, project: str | None = None) -> pl.DataFrame:
        """Return the history of pushes, newest first; going back to an older graph is an entry of its own.

        Frames: → ``metaxy_project_version``, ``recorded_at`` (when the entry began, UTC), ``feature_count``,
        ``project``, ``tags`` (JSON).
        """
        return snapshots(self._rows(), project)

    def read_feature_versions(self, feature: CoercibleToFeatureKey, project: str | None = None) -> pl.DataFrame:
        """Return the versions that a feature had, newest first.

        Frames: → ``metaxy_feature_version``, ``recorded_at`` (when it was recorded last, UTC),
        ``metaxy_project_version``, ``project``.
        """
        return versions_of(self._rows(), str(coerce_to_feature_key(feature)), project)

    def read_definitions(self, feature: CoercibleToFeatureKey, project: str | None = None) -> pl.DataFrame:
        """Return what was recorded last of each version that a feature had, newest first; all columns of the table."""
        return versions_of(self._rows(), str(coerce_to_feature_key(feature)), project, COLUMNS)

    def read_features(
        self, *, current: bool = True, project_version: str | None = None, project: str | None = None
    ) -> pl.DataFrame:
        """Return the recorded features of one project version, one row each, sorted by project and key.

        Args:
            current: take the version that the project has in the active graph, if none is given.
            project: only this project; the current one where the version is taken from the active graph.
        """
        if project_version is None:
            if not current:
                raise ValueError("current=False needs project_version; read_graph_snapshots() lists those recorded")
            scope = self.store.session.scope("r")
            project = project or scope.settings.project or scope.graph.project
            project_version = scope.graph.get_project_version(project, scope.hash.length)
        return newest(of_version(self._rows(), project_version, project), IDENTITY, COLUMNS)

    def load_graph_from_snapshot(self, project_version: str, project: str | None = None) -> FeatureGraph:
        """Build a graph from what was recorded; no user code is imported.

        Raises:
            SnapshotError: if there is no such snapshot (a ValueError).
        """
        rows = self.read_features(project_version=project_version, project=project)
        if rows.is_empty():
            known = self.read_graph_snapshots(project)[METAXY_PROJECT_VERSION].unique(maintain_order=True).to_list()
            hint = f"The last ones are: {', '.join(known[:5])}" if known else "Nothing was pushed yet"
            what = f"snapshot {project_version!r}" + (f" of project {project!r}" if project else "")
            raise SnapshotError(f"{self.store!r} has no {what}.{did_you_mean(project_version, known)} {hint}")
        graph = FeatureGraph()
        for definition in decoded(rows, repr(self.store)):
            graph.add_feature_definition(definition)
        return graph

    def read_latest_features(self, selection: FeatureSelection) -> pl.DataFrame:
        """Return the row that was recorded last for each selected feature, of whatever snapshot, sorted by key."""
        rows = self._rows()
        if selection.is_empty:
            return FEATURE_VERSIONS.empty()
        if not selection.all:
            rows = rows.filter(_selected(selection))
        return newest(rows, (COL_FEATURE_KEY,), COLUMNS)

    def resolve_selection(self, selection: FeatureSelection) -> list[FeatureDefinition]:
        """Return the definitions that were recorded last for each selected feature; those not recorded are left out."""
        return list(decoded(self.read_latest_features(selection), repr(self.store)))

    def _rows(self) -> nw.LazyFrame[Any]:
        self.store.session.scope("r")
        return scan_rows(self.store.storage, FEATURE_VERSIONS)


def _selected(selection: FeatureSelection) -> nw.Expr:
    """Say which rows a selection means: those of its projects, and those of its keys."""
    keys = [str(key) for key in selection.keys or ()]
    wanted = ((COL_PROJECT, list(selection.projects or ())), (COL_FEATURE_KEY, keys))
    return reduce(or_, (nw.col(column).is_in(names) for column, names in wanted if names))
