"""Walks over a graph that is given as a function from a node to the nodes it depends on.

Nothing here recurses, so chains of any depth are fine.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Node = TypeVar("Node")
Neighbours = Callable[[Node], Iterable[Node]]


def dependencies_first(starts: Iterable[Node], dependencies: Neighbours[Node]) -> list[Node]:
    """Return the starts and everything they depend on, each node after its dependencies.

    The order is that of a depth-first walk: it is decided by the order of the starts and of the dependencies.

    >>> parents = {"crop": ["video"], "face": ["crop", "video"]}
    >>> dependencies_first(["face"], lambda node: parents.get(node, []))
    ['video', 'crop', 'face']
    """
    order: list[Node] = []
    seen: set[Node] = set()
    for start in starts:
        if start in seen:
            continue
        seen.add(start)
        path: list[tuple[Node, Iterator[Node]]] = [(start, iter(dependencies(start)))]
        while path:
            node, waiting = path[-1]
            following = next((parent for parent in waiting if parent not in seen), None)
            if following is None:
                order.append(node)
                path.pop()
            else:
                seen.add(following)
                path.append((following, iter(dependencies(following))))
    return order


def around(starts: Iterable[Node], neighbours: Neighbours[Node], levels: int | None) -> dict[Node, None]:
    """Return the starts and what is at most so many steps away from them, nearest first; all for None or less than 0.

    >>> parents = {"crop": ["video"], "face": ["crop"]}
    >>> list(around(["face"], lambda node: parents.get(node, []), 1))
    ['face', 'crop']
    """
    found = dict.fromkeys(starts)
    layer = list(found)
    while layer and levels != 0:
        layer = [node for node in dict.fromkeys(n for each in layer for n in neighbours(each)) if node not in found]
        found |= dict.fromkeys(layer)
        levels = None if levels is None or levels < 0 else levels - 1
    return found


def find_cycle(start: Node, dependencies: Neighbours[Node]) -> list[Node] | None:
    """Return a way from a node back to itself, None if there is none.

    >>> find_cycle("a", {"a": "b", "b": "ca", "c": ""}.__getitem__)
    ['a', 'b', 'a']
    """
    came_from: dict[Node, Node] = {}
    waiting = [start]
    while waiting:
        node = waiting.pop()
        for parent in dependencies(node):
            if parent == start:
                return _way(node, came_from, start)
            if parent not in came_from:
                came_from[parent] = node
                waiting.append(parent)
    return None


def _way(end: Node, came_from: dict[Node, Node], start: Node) -> list[Node]:
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return [*reversed(way), start]
