"""Parts of a view: the order of its features, what is around one of them, what belongs to a project."""

from collections.abc import Iterable
from functools import cached_property

from metaxy.dag.view import GraphData, GraphNode
from metaxy.dag.walk import around, dependencies_first
from metaxy.errors import UnknownFeatureError


class GraphWalker:
    """Walks over a view; every walk is linear and has one order.

    >>> view = GraphData.of([GraphNode(key="crop", dependencies=["video"]), GraphNode(key="video")])
    >>> [str(node.key) for node in GraphWalker(view).topological_sort()]
    ['video', 'crop']
    """

    def __init__(self, graph_data: GraphData) -> None:
        self.graph_data = graph_data

    @cached_property
    def parents(self) -> dict[str, list[str]]:
        """The features that each feature depends on, as far as they are in the view."""
        nodes = self.graph_data.nodes
        return {key: [str(dep) for dep in node.dependencies if str(dep) in nodes] for key, node in nodes.items()}

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """The features that depend on each feature, in the order of the view."""
        found: dict[str, list[str]] = {key: [] for key in self.graph_data.nodes}
        for key, parents in self.parents.items():
            for parent in parents:
                found[parent].append(key)
        return found

    def topological_sort(self, nodes_to_include: Iterable[object] | None = None) -> list[GraphNode]:
        """Return features so that each comes after those it depends on, otherwise by the alphabet."""
        nodes = self.graph_data.nodes
        wanted = nodes.keys() if nodes_to_include is None else set(map(str, nodes_to_include))
        order = dependencies_first(sorted(nodes, key=_alphabet), lambda key: sorted(self.parents[key], key=_alphabet))
        return [nodes[key] for key in order if key in wanted]

    def depths(self) -> dict[str, int]:
        """Return how many features stand on the longest way from a root to each feature, counting both ends."""
        waiting = {key: len(parents) for key, parents in self.parents.items()}
        depth = {key: 1 for key, count in waiting.items() if not count}
        ready = list(depth)
        for key in ready:
            for child in self.children[key]:
                depth[child] = max(depth.get(child, 1), depth[key] + 1)
                waiting[child] -= 1
                if not waiting[child]:
                    ready.append(child)
        return depth

    def bfs_from(self, start_key: object, max_depth: int | None = None) -> list[GraphNode]:
        """Return a feature and what it depends on, nearest first."""
        return [self.graph_data.nodes[key] for key in around([str(start_key)], self.parents.__getitem__, max_depth)]

    def extract_subgraph(self, focus_key: object, up: int | None = None, down: int | None = None) -> GraphData:
        """Return the part of the view around a feature.

        Args:
            up: How many levels of dependencies to keep; all by default, none for 0.
            down: How many levels of dependents to keep.

        Raises:
            UnknownFeatureError: if the view has no such feature (also a ValueError).
        """
        focus = self.known(focus_key)
        above = around([focus], self.parents.__getitem__, up)
        below = around([focus], self.children.__getitem__, down)
        return self.graph_data.only([*above, *below])

    def get_root_nodes(self) -> list[GraphNode]:
        """Return the features that depend on nothing in the view."""
        return [node for node in self.graph_data.nodes.values() if not self.parents[str(node.key)]]

    def known(self, key: object) -> str:
        """Return a key as text.

        Raises:
            UnknownFeatureError: if the view has no such feature.
        """
        if str(key) not in self.graph_data.nodes:
            raise UnknownFeatureError.from_key(str(key), sorted(self.graph_data.nodes))
        return str(key)


def with_parents(view: GraphData, project: str) -> GraphData:
    """Return the features of a project and those they directly depend on."""
    own = [key for key, node in view.nodes.items() if node.project == project]
    return view.only([*own, *(str(dep) for key in own for dep in view.nodes[key].dependencies)])


def _alphabet(key: str) -> tuple[str, str]:
    return key.lower(), key
