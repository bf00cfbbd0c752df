"""Recorded graphs as views: which snapshot a word means, and what was recorded in it."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metaxy.columns import METAXY_DEFINITION_VERSION, METAXY_FEATURE_VERSION, METAXY_PROJECT_VERSION
from metaxy.dag.diff import GraphDiff, merge, merged_struct
from metaxy.dag.focus import GraphWalker
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.view import GraphData, GraphNode
from metaxy.definitions.selection import FeatureSelection
from metaxy.errors import SnapshotError, did_you_mean
from metaxy.store.system.storage import SystemTableStorage
from metaxy.store.system.tables import COL_FEATURE_KEY

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore

LATEST = "latest"
CURRENT = "current"


def find_version(store: "MetadataStore", literal: str, project: str | None = None) -> str:
    """Return the project version that is meant by ``latest``, by a version, or by the start of one.

    Raises:
        SnapshotError: if nothing was pushed, or nothing or several things are meant.
    """
    with store.open("r"):
        known = SystemTableStorage(store).read_graph_snapshots(project)[METAXY_PROJECT_VERSION]
    names: list[str] = list(dict.fromkeys(known.to_list()))
    of_project = f" of project {project!r}" if project else ""
    if not names:
        raise SnapshotError(f"{store!r} has no snapshot{of_project}: nothing was pushed yet; run `mx push`")
    if literal == LATEST or literal in names:
        return names[0] if literal == LATEST else literal
    found = [name for name in names if name.startswith(literal)]
    if len(found) == 1:
        return found[0]
    problem = f"has {len(found)} snapshots that start with" if found else "has no snapshot"
    hint = did_you_mean(literal, names) or f" The last ones are: {', '.join(found[:5] or names[:5])}"
    raise SnapshotError(f"{store!r} {problem} {literal!r}{of_project}.{hint}")


def recorded_graph(store: "MetadataStore", project_version: str, project: str | None = None) -> FeatureGraph:
    """Return the graph that was recorded as one version of a project; no user code is imported.

    Parents in other projects are there as they were recorded last.

    Raises:
        SnapshotError: if there is no such snapshot.
    """
    with store.open("r"):
        storage = SystemTableStorage(store)
        graph = storage.load_graph_from_snapshot(project_version, project)
        _complete(graph, storage)
    return graph


def recorded_view(store: "MetadataStore", project_version: str, project: str | None = None) -> GraphData:
    """Return what was recorded of one version of a project.

    Where the version that follows from the recorded definitions is not the recorded one, because a parent in another
    project is another one now, versions of fields are not known.

    Raises:
        SnapshotError: if there is no such snapshot.
    """
    with store.open("r"):
        graph = recorded_graph(store, project_version, project)
        rows = SystemTableStorage(store).read_features(project_version=project_version, project=project)
    recorded = dict(zip(rows[COL_FEATURE_KEY], rows[METAXY_FEATURE_VERSION], strict=True))
    view = GraphData.from_feature_graph(graph).only(recorded)
    nodes = [_as_recorded(node, recorded[key]) for key, node in view.nodes.items()]
    return GraphData.of(nodes, project_version=project_version)


def _complete(graph: FeatureGraph, storage: SystemTableStorage) -> None:
    """Add the features of other projects that a graph needs, as far as they were recorded."""
    missing = _missing(graph)
    known = {d.key: d for d in storage.resolve_selection(FeatureSelection(all=True))} if missing else {}
    while found := [known[key] for key in missing if key in known]:
        for definition in found:
            graph.add_feature_definition(definition)
        missing = _missing(graph)


def _missing(graph: FeatureGraph) -> list[Any]:
    definitions = graph.feature_definitions_by_key
    needed = (dep.feature for definition in definitions.values() for dep in definition.spec.deps)
    return [key for key in dict.fromkeys(needed) if key not in definitions]


def _as_recorded(node: GraphNode, version: str) -> GraphNode:
    if node.version == version:
        return node
    fields = tuple(field.model_copy(update={"version": None}) for field in node.fields)
    return node.model_copy(update={"version": version, "fields": fields})


class SnapshotResolver:
    """Finds out which project version a word means."""

    def resolve_snapshot(
        self,
        literal: str,
        store: "MetadataStore | None" = None,
        graph: FeatureGraph | None = None,
        project: str | None = None,
    ) -> str:
        """Return the version that ``latest``, ``current`` or a version itself means.

        Args:
            literal: ``latest``: what was pushed last; ``current``: the graph; anything else is returned as it is.
            store: Where snapshots are.
            graph: The graph in memory.
            project: Only snapshots of this project.

        Raises:
            SnapshotError: if what the word needs is not there (a ValueError).
        """
        if literal == LATEST:
            if store is None:
                raise SnapshotError("'latest' means what was pushed last: pass the store")
            return find_version(store, LATEST, project)
        if literal == CURRENT:
            if graph is None or not graph.feature_definitions_by_key:
                raise SnapshotError("'current' means the graph in memory, and it has no features")
            return graph.get_project_version(project) if project else graph.project_version
        return literal


class GraphDiffer:
    """Compares recorded features, as plain data; `metaxy.dag.diff.merge` does the same with views."""

    def load_snapshot_data(
        self, store: "MetadataStore", project_version: str, project: str | None = None
    ) -> dict[str, dict[str, Any]]:
        """Return the features of a snapshot: versions of feature, fields and definition, and the spec.

        Raises:
            SnapshotError: if there is no such snapshot (a ValueError).
        """
        view = recorded_view(store, project_version, project)
        with store.open("r"):
            rows = SystemTableStorage(store).read_features(project_version=project_version, project=project)
        return {
            row[COL_FEATURE_KEY]: _entry(row, view.nodes[row[COL_FEATURE_KEY]]) for row in rows.iter_rows(named=True)
        }

    def diff(
        self,
        old: Mapping[str, Mapping[str, Any]],
        new: Mapping[str, Mapping[str, Any]],
        from_project_version: str = "unknown",
        to_project_version: str = "unknown",
    ) -> GraphDiff:
        """Return what changed between two sets of recorded features."""
        return GraphDiff.from_view(
            _merge(old, new), from_project_version=from_project_version, to_project_version=to_project_version
        )

    def create_merged_graph_data(
        self,
        old: Mapping[str, Mapping[str, Any]],
        new: Mapping[str, Mapping[str, Any]],
        diff: GraphDiff | None = None,  # noqa: ARG002 - taken for compatibility; it follows from the other two
    ) -> dict[str, Any]:
        """Return both sets as one graph with a status for each feature, as plain data."""
        return merged_struct(_merge(old, new))

    def filter_merged_graph(
        self, merged: Mapping[str, Any], focus_feature: str, up: int | None = None, down: int | None = None
    ) -> dict[str, Any]:
        """Return the part of a merged graph around a feature.

        Raises:
            UnknownFeatureError: if it has no such feature (also a ValueError).
        """
        view = GraphData.from_merged_diff(merged)
        return merged_struct(GraphWalker(view).extract_subgraph(focus_feature, up, down))


def _merge(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> GraphData:
    return merge(GraphData.from_snapshot(old), GraphData.from_snapshot(new))


def _entry(row: Mapping[str, Any], node: GraphNode) -> dict[str, Any]:
    kept = (METAXY_FEATURE_VERSION, METAXY_DEFINITION_VERSION, "project")
    return {
        **{name: row[name] for name in kept},
        "fields": {str(field.key): field.version for field in node.fields if field.version},
        "feature_spec": json.loads(row["feature_spec"]),
    }
