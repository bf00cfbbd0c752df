"""Views with groups of features as one box each: those whose keys begin with the same part, or those of a project."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from metaxy.dag.diff import SYMBOLS
from metaxy.dag.stats import State
from metaxy.dag.view import GraphData, GraphNode, Group, NodeStatus, Relation
from metaxy.definitions.keys import FeatureKey

Fold: TypeAlias = Literal["key", "project"]
STATES: Final[Mapping[State, str]] = {
    "error": "not counted",
    "missing": "without rows",
    "needs_update": "to update",
    "up_to_date": "up to date",
    "root_feature": "",
}  # the worst first; nothing is said of roots


def fold(view: GraphData, by: Fold, apart: object = None) -> GraphData:
    """Return a view with one node for each group of at least two features; ``apart`` is a feature that stays as it is.

    Features that only others know of stay as they are, too.

    >>> keys = ["video/raw", "video/crop", "faces"]
    >>> view = GraphData.of([GraphNode(key=key, dependencies=["video/crop"] * (key == "faces")) for key in keys])
    >>> [f"{edge.from_key} -> {edge.to_key}" for edge in fold(view, "key").edges]
    ['video/* -> faces']
    """
    names = {key: _group(node, by) for key, node in view.nodes.items()}
    alone = {key for key, node in view.nodes.items() if node.status is NodeStatus.MISSING or key == str(apart)}
    sizes = Counter(name for key, name in names.items() if key not in alone)
    homes = {
        key: FeatureKey(key) if key in alone or sizes[name] < 2 else FeatureKey.model_construct(root=(name,))
        for key, name in names.items()
    }
    members: dict[FeatureKey, list[GraphNode]] = {}
    for key, node in view.nodes.items():
        members.setdefault(homes[key], []).append(node)
    return GraphData.of(
        (_folded(home, those, homes) for home, those in members.items()),
        project_version=view.project_version,
        old_project_version=view.old_project_version,
    )


def _group(node: GraphNode, by: Fold) -> str:
    """Return the name of the group of a feature, which no feature can have."""
    return f"{node.key.parts[0]}/*" if by == "key" else f"project {' '.join((node.project or 'unknown').split())}"


def _folded(home: FeatureKey, members: Sequence[GraphNode], homes: dict[str, FeatureKey]) -> GraphNode:
    """Return what stands for some features: one of them, or a group."""
    relations: dict[FeatureKey, set[Relation]] = {}
    for node in members:
        for dep in node.dependencies:
            relations.setdefault(homes.get(str(dep), dep), set()).add(node.relation(dep))
    relations.pop(home, None)
    usual = {str(key): next(iter(those)) for key, those in relations.items() if len(those) == 1}
    linked = {
        "dependencies": tuple(relations),
        "relations": {key: relation for key, relation in usual.items() if relation.text},
    }
    if members[0].key == home:
        return members[0].model_copy(update=linked)
    states = {node.stats.state for node in members if node.stats}
    worst = next((state for state in STATES if state in states), None)
    group = Group(members=tuple(str(node.key) for node in members), notes=tuple(_notes(members)), state=worst)
    return GraphNode(key=home, status=_status(members), group=group, **linked)


def _status(members: Iterable[GraphNode]) -> NodeStatus:
    """Return the status that all have; else whether anything of theirs changes, and if nothing does, what else."""
    found = {node.status for node in members}
    if len(found) == 1:
        return found.pop()
    changing = found & {NodeStatus.ADDED, NodeStatus.REMOVED, NodeStatus.CHANGED}
    rest = (NodeStatus.AFFECTED, NodeStatus.DESCRIBED, NodeStatus.NORMAL)
    return NodeStatus.CHANGED if changing else next(status for status in rest if status in found)


def _notes(members: Sequence[GraphNode]) -> Iterator[str]:
    """Yield how many members differ, and how many need what, in words."""
    statuses = Counter(node.status for node in members)
    if differing := [f"{statuses[status]} {status.value}" for status in SYMBOLS if statuses[status]]:
        yield ", ".join(differing)
    states = Counter(node.stats.state for node in members if node.stats)
    if counted := [f"{states[state]} {words}" for state, words in STATES.items() if words and states[state]]:
        yield ", ".join(counted)
