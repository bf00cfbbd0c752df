"""Functions of metaxy 0.1 that only its users need."""

from collections.abc import Iterable, Mapping
from typing import Any

from metaxy.columns import DROPPABLE_SYSTEM_COLUMNS
from metaxy.dag.describe import tree
from metaxy.dag.focus import GraphWalker
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.render.config import Direction, RenderConfig
from metaxy.dag.render.fields import FieldsMermaidRenderer
from metaxy.dag.view import GraphData
from metaxy.definitions.keys import CoercibleToFeatureKey, coerce_to_feature_key


def get_feature_dependencies(
    graph: FeatureGraph,
    feature_key: CoercibleToFeatureKey,
    recursive: bool = False,
    max_depth: int | None = None,
) -> dict[str, Any]:
    """Return what a feature depends on.

    With ``recursive`` also as a tree. A feature that the tree has shown already is ``repeated`` and not opened again,
    so that its size stays that of the graph.

    Args:
        recursive: Add ``dependency_tree`` and ``all_dependencies``.
        max_depth: Open the tree only so deep; what is below is ``truncated``.

    Raises:
        UnknownFeatureError: if the graph has no such feature (also a ValueError).
    """
    walker = GraphWalker(GraphData.from_feature_graph(graph))
    key = walker.known(coerce_to_feature_key(feature_key))
    found: dict[str, Any] = {"direct_dependencies": walker.parents[key]}
    if recursive:
        above = sorted(str(node.key) for node in walker.bfs_from(key)[1:])
        found |= {
            "dependency_tree": tree(walker, key, walker.parents, "dependencies", max_depth),
            "all_dependencies": above,
        }
    return found


def get_feature_dependents(
    graph: FeatureGraph,
    feature_key: CoercibleToFeatureKey,
    recursive: bool = False,
    max_depth: int | None = None,
) -> dict[str, Any]:
    """Return what depends on a feature, nothing for one that the graph does not have.

    Args:
        recursive: Add ``dependent_tree`` and ``all_dependents``, as `get_feature_dependencies` does.
        max_depth: Open the tree only so deep.
    """
    walker = GraphWalker(GraphData.from_feature_graph(graph))
    key = str(coerce_to_feature_key(feature_key))
    found: dict[str, Any] = {"direct_dependents": sorted(walker.children.get(key, []))}
    if recursive:
        below = walker.extract_subgraph(key, up=0).nodes.keys() - {key} if key in walker.children else set()
        children = walker.children if key in walker.children else {key: []}
        found |= {
            "dependent_tree": tree(walker, key, children, "dependents", max_depth),
            "all_dependents": sorted(below),
        }
    return found


def render_field_deps_mermaid(
    graph_snapshot: Mapping[str, Mapping[str, Any]],
    features: Iterable[object] | None = None,
    direction: Direction = "TB",
) -> str:
    """Return the flowchart of the fields of recorded features.

    Args:
        graph_snapshot: Recorded features by key, as `GraphData.from_snapshot` takes them.
        features: Only these.
        direction: Whether the flowchart grows to the bottom or to the right.
    """
    view = GraphData.from_snapshot(graph_snapshot)
    view = view if features is None else view.only(map(str, features))
    config = RenderConfig(direction=direction, show_field_versions=False)
    return FieldsMermaidRenderer(graph_data=view, config=config).render()


def format_feature_key(key: object) -> str:
    """Return the key of a feature as text."""
    return str(key)


def format_field_key(key: object) -> str:
    """Return the key of a field as text."""
    return str(key)


def truncate_hash(value: str, length: int) -> str:
    """Return the first ``length`` characters of a hash."""
    return value[:length]


def ensure_hash_compatibility(left: str, right: str) -> bool:
    """Return whether two hashes are equal or one is the truncated form of the other."""
    return left.startswith(right) or right.startswith(left)


def is_droppable_system_column(name: str) -> bool:
    """Return whether a system column can be dropped without losing provenance."""
    return name in DROPPABLE_SYSTEM_COLUMNS
