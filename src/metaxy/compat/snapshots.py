"""Recorded graphs as metaxy 0.1 finds and compares them."""

import json
from collections.abc import Mapping
from typing import Any

from metaxy.columns import METAXY_DEFINITION_VERSION, METAXY_FEATURE_VERSION
from metaxy.compat.diffs import GraphDiff, from_merged_diff
from metaxy.dag.diff import merge, merged_struct
from metaxy.dag.focus import GraphWalker
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.view import GraphData, GraphNode
from metaxy.errors import SnapshotError
from metaxy.store.snapshots import CURRENT, LATEST, find_version, recorded_view
from metaxy.store.store import MetadataStore
from metaxy.store.system.storage import SystemTableStorage
from metaxy.store.system.tables import COL_FEATURE_KEY


class SnapshotResolver:
    """Finds out which project version a word means."""

    def resolve_snapshot(
        self,
        literal: str,
        store: MetadataStore | None = None,
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
        self, store: MetadataStore, project_version: str, project: str | None = None
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
        view = from_merged_diff(merged)
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
