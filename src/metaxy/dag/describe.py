"""What a graph is like, in numbers, and what a feature depends on or is needed by. Every answer takes linear time."""

from collections.abc import Iterable
from typing import Any

from metaxy.dag.focus import GraphWalker
from metaxy.dag.view import GraphData, NodeStatus, VersionedGraph
from metaxy.definitions.keys import CoercibleToFeatureKey, coerce_to_feature_key


def describe_graph(graph: VersionedGraph, project: str | None = None) -> dict[str, Any]:
    """Return counts, depth, roots, leaves and version of a graph.

    The depth is the number of features on the longest chain; a leaf has no dependents among the features described.

    Args:
        graph: The graph.
        project: Describe only features of this project, and say how many there are.
    """
    return describe_view(GraphData.from_feature_graph(graph), project, _version(graph, project))


def _version(graph: VersionedGraph, project: str | None) -> str | None:
    return None if project is None else graph.get_project_version(project)


def describe_view(view: GraphData, project: str | None = None, project_version: str | None = None) -> dict[str, Any]:
    """Return what `describe_graph` returns, for a view."""
    known = [node for node in view.nodes.values() if node.status is not NodeStatus.MISSING]
    wanted = [node for node in known if project is None or node.project == project]
    walker = GraphWalker(view.only(str(node.key) for node in wanted))
    described = {
        "metaxy_project_version": project_version or view.project_version,
        "total_features": len(known),
        "graph_depth": max(walker.depths().values(), default=0),
        "root_features": sorted(str(node.key) for node in wanted if node.is_root),
        "leaf_features": sorted(key for key, children in walker.children.items() if not children),
        "projects": _counts(str(node.project) for node in wanted),
    }
    return described if project is None else {**described, "filtered_features": len(wanted), "filter_project": project}


def _counts(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def get_feature_dependencies(
    graph: VersionedGraph,
    feature_key: CoercibleToFeatureKey,
    recursive: bool = False,
    max_depth: int | None = None,
) -> dict[str, Any]:
    """Return what a feature depends on.

    With ``recursive`` also as a tree. A feature that the tree has shown already is ``repeated`` and not opened again,
    so that its size stays that of the graph.

    Args:
        graph: The graph.
        feature_key: The feature.
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
    graph: VersionedGraph,
    feature_key: CoercibleToFeatureKey,
    recursive: bool = False,
    max_depth: int | None = None,
) -> dict[str, Any]:
    """Return what depends on a feature, nothing for one that the graph does not have.

    Args:
        graph: The graph.
        feature_key: The feature.
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


def tree(
    walker: GraphWalker, root: str, neighbours: dict[str, list[str]], label: str, max_depth: int | None = None
) -> dict[str, Any]:
    """Return a feature and its neighbours, theirs, and so on, as nested plain data; each is opened once."""
    top = _leaf(walker, root, label)
    opened = {root}
    waiting = [(root, top, 0)]
    for key, entry, depth in waiting:  # grows while it is walked
        for other in neighbours[key]:
            if other in opened:
                entry[label].append({"key": other, "repeated": True})
            elif max_depth is not None and depth + 1 > max_depth:
                entry[label].append({"truncated": True, "key": other})
            else:
                opened.add(other)
                entry[label].append(child := _leaf(walker, other, label))
                waiting.append((other, child, depth + 1))
    return top


def _leaf(walker: GraphWalker, key: str, label: str) -> dict[str, Any]:
    node = walker.graph_data.get_node(key)
    return {"key": key, "project": node.project if node else None, label: []}
