"""Comparison of two graphs: one view of both, with a status for each feature and field, and in words.

A feature is ``changed`` if its own definition gives it other versions or other samples, ``affected`` if something
upstream does: both mean that there is something to compute. It is ``described`` if only words, columns or its project
differ, so that all its rows are still right. Fields are ``changed`` or ``affected`` in their versions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from metaxy.dag.changes import Concern, Difference, IdsOf, differences, field_differences, wiring
from metaxy.dag.focus import GraphWalker
from metaxy.dag.view import FieldNode, GraphData, GraphNode, NodeStatus
from metaxy.definitions.keys import FeatureKey

# In this order everywhere, with the sign that people see.
SYMBOLS: Final = {
    NodeStatus.ADDED: "+",
    NodeStatus.REMOVED: "-",
    NodeStatus.CHANGED: "~",
    NodeStatus.AFFECTED: "↻",
    NodeStatus.DESCRIBED: "✎",
}
BOTH: Final = (NodeStatus.CHANGED, NodeStatus.AFFECTED, NodeStatus.DESCRIBED)  # of features that both graphs have
SAME: Final = (NodeStatus.UNCHANGED, NodeStatus.DESCRIBED)  # in versions
TO_COMPUTE: Final = frozenset(SYMBOLS) - {NodeStatus.DESCRIBED}


def merge(old: GraphData, new: GraphData) -> GraphData:
    """Return one view of two graphs; what exists in both is shown as it is in the new one.

    >>> old = GraphData.of([GraphNode(key="a", version="1", definition_version="x")])
    >>> new = GraphData.of([GraphNode(key="a", version="2", definition_version="x"), GraphNode(key="b")])
    >>> view = merge(old, new)
    >>> [node.status.value for node in view.nodes.values()], summary(view)
    (['affected', 'added'], '+1 ↻1')
    """
    before, after = ({k: n for k, n in view.nodes.items() if n.status is not NodeStatus.MISSING} for view in (old, new))
    keys = sorted({*before, *after}, key=lambda key: (key.lower(), key))
    found = {
        key: differences(before[key], after[key], _ids_in(after)) for key in keys if key in before and key in after
    }
    view = GraphData.of(
        [_merged(before.get(key), after.get(key), found.get(key, [])) for key in keys],
        project_version=new.project_version,
        old_project_version=old.project_version,
    )
    resampled = {key for key, those in found.items() if any(each.concern is Concern.SAMPLES for each in those)}
    nodes = _with_renames(_with_consequences(view, resampled))
    return view.model_copy(update={"nodes": {key: nodes[key] for key in keys}})


def _ids_in(nodes: Mapping[str, GraphNode]) -> IdsOf:
    def ids_of(key: FeatureKey) -> tuple[str, ...] | None:
        node = nodes.get(str(key))
        return node.spec.id_columns if node and node.spec else None

    return ids_of


def _with_consequences(view: GraphData, resampled: set[str]) -> dict[str, GraphNode]:
    """Say through which parents features are affected, also those whose parents only have other samples."""
    walker, nodes = GraphWalker(view), dict[str, GraphNode]()
    for node in walker.topological_sort():
        key, parents = str(node.key), walker.parents[str(node.key)]
        through = [parent for parent in parents if parent in resampled]
        is_affected = node.status is NodeStatus.AFFECTED
        if through and node.status in SAME:
            is_affected = True
            resampled.add(key)
        nodes[key] = _affected(node, [*through, *_causes(node, nodes, parents)]) if is_affected else node
    return nodes


def _with_renames(nodes: Mapping[str, GraphNode]) -> dict[str, GraphNode]:
    """Say of features that were added which of those that were removed they were, if their code says so."""
    named: dict[str, str] = {}
    for key, node in nodes.items():
        for former in node.spec.renamed_from if node.spec and node.status is NodeStatus.ADDED else ():
            if str(former) in nodes and nodes[str(former)].status is NodeStatus.REMOVED:
                named |= {key: f"renamed from {former}", str(former): f"renamed to {key}"}
    return {
        key: node.model_copy(update={"changes": (named[key], *node.changes)}) if key in named else node
        for key, node in nodes.items()
    }


def _causes(node: GraphNode, nodes: Mapping[str, GraphNode], parents: Sequence[str]) -> list[str]:
    """Return the parents whose fields give a feature another version; a field that is gone may have been needed."""
    needed = {parent for field in node.fields if field.status is NodeStatus.AFFECTED for parent in field.parents or ()}
    differ = [parent for parent in parents if nodes[parent].status in TO_COMPUTE]
    fields = {parent: [str(f.key) for f in nodes[parent].fields if f.status in TO_COMPUTE] for parent in differ}
    return [parent for parent in differ if any((parent, key) in needed for key in fields[parent])] or differ


def _affected(node: GraphNode, causes: Sequence[str]) -> GraphNode:
    what = ", ".join(dict.fromkeys(causes)) or "features of other projects"
    changes = (f"through {what}", *node.changes)
    return node.model_copy(update={"status": NodeStatus.AFFECTED, "changes": changes})


def _merged(old: GraphNode | None, new: GraphNode | None, found: Sequence[Difference]) -> GraphNode:
    if old is None or new is None:
        return _one_sided(old, NodeStatus.REMOVED) if new is None else _one_sided(new, NodeStatus.ADDED)
    rewired = wiring(old) != wiring(new)
    before = {field.key: field for field in old.fields}
    after = {field.key for field in new.fields}
    fields = [_merged_field(before.get(field.key), field, rewired=rewired) for field in new.fields]
    fields += [_gone(field) for field in old.fields if field.key not in after]
    status = _node_status(old, new, fields, found)
    texts = tuple(each.text for each in found)
    if status is NodeStatus.DESCRIBED and not texts:
        texts = ("order of fields or columns",)
    return new.model_copy(
        update={"old_version": old.version, "status": status, "fields": tuple(fields), "changes": texts}
    )


def _one_sided(node: GraphNode | None, status: NodeStatus) -> GraphNode:
    assert node is not None  # noqa: S101 - one of the two sides exists
    if status is NodeStatus.REMOVED:
        fields = tuple(_gone(field) for field in node.fields)
        return node.model_copy(
            update={"old_version": node.version, "version": None, "status": status, "fields": fields}
        )
    fields = tuple(field.model_copy(update={"status": status}) for field in node.fields)
    return node.model_copy(update={"status": status, "fields": fields})


def _gone(field: FieldNode) -> FieldNode:
    return field.model_copy(update={"old_version": field.version, "version": None, "status": NodeStatus.REMOVED})


def _node_status(
    old: GraphNode, new: GraphNode, fields: Sequence[FieldNode], found: Sequence[Difference]
) -> NodeStatus:
    own = (NodeStatus.ADDED, NodeStatus.REMOVED, NodeStatus.CHANGED)
    if any(each.concern is Concern.SAMPLES for each in found) or any(field.status in own for field in fields):
        return NodeStatus.CHANGED
    if old.version != new.version:
        return NodeStatus.AFFECTED
    return NodeStatus.DESCRIBED if found or old.definition_version != new.definition_version else NodeStatus.UNCHANGED


def _merged_field(old: FieldNode | None, new: FieldNode, *, rewired: bool) -> FieldNode:
    if old is None:
        return new.model_copy(update={"status": NodeStatus.ADDED})
    status, changes = _field_status(old, new, rewired=rewired), tuple(field_differences(old, new))
    return new.model_copy(update={"old_version": old.version, "status": status, "changes": changes})


def _field_status(old: FieldNode, new: FieldNode, *, rewired: bool) -> NodeStatus:
    has_other_parents = None not in (old.parents, new.parents) and set(old.parents or ()) != set(new.parents or ())
    if old.code_version != new.code_version or (rewired and has_other_parents):
        return NodeStatus.CHANGED
    # Field versions of old recordings may be unknown.
    return (
        NodeStatus.UNCHANGED
        if old.version == new.version or None in (old.version, new.version)
        else NodeStatus.AFFECTED
    )


def summary(view: GraphData) -> str:
    """Return how many features were added, removed, changed, affected and described, such as ``+1 -1 ~1 ↻2 ✎1``.

    Where it was counted, also how many samples there are to compute.
    """
    counts = [(symbol, len(view.get_nodes_by_status(status))) for status, symbol in SYMBOLS.items()]
    features = " ".join(f"{symbol}{count}" for symbol, count in counts if count) or "no changes"
    works = [node.work for node in view.nodes.values() if node.work]
    more = " and more" if any(work.unknown for work in works) else ""
    samples = f"{sum(work.new + work.stale for work in works)}{more}"
    return f"{features}, samples to compute: {samples}" if works else features


def only_changes(view: GraphData) -> GraphData:
    """Return a comparison without what is the same: unchanged features, and unchanged fields of the others."""
    kept = view.only(key for key, node in view.nodes.items() if node.status in SYMBOLS)
    nodes = [
        node.model_copy(update={"fields": tuple(field for field in node.fields if field.status in SYMBOLS)})
        for node in kept.nodes.values()
    ]
    return GraphData.of(nodes, project_version=view.project_version, old_project_version=view.old_project_version)


# --- as plain data --------------------------------------------------------------------------------------------------


def merged_struct(view: GraphData) -> dict[str, Any]:
    """Return a comparison as plain data: nodes by key, edges, versions and counts."""
    return {
        "nodes": {key: _merged_entry(node) for key, node in view.nodes.items()},
        "edges": [edge.as_plain() for edge in view.edges],
        "old_project_version": view.old_project_version,
        "project_version": view.project_version,
        "summary": {status.value: len(view.get_nodes_by_status(status)) for status in SYMBOLS},
    }


def _merged_entry(node: GraphNode) -> dict[str, Any]:
    return {
        "status": node.status.value,
        "project": node.project,
        "old_version": node.old_version,
        "new_version": node.version,
        "fields": {str(field.key): field.version or field.old_version for field in node.fields},
        "field_changes": [_field_change(field) for field in node.fields if field.status in SYMBOLS],
        "dependencies": [str(dep) for dep in node.dependencies],
        "relations": {parent: relation.model_dump() for parent, relation in node.relations.items()},
        "changes": list(node.changes),
        **({"work": node.work.model_dump()} if node.work else {}),
    }


def _field_change(field: FieldNode) -> dict[str, Any]:
    return {
        "field_key": str(field.key),
        "status": field.status.value,
        "old_version": field.old_version,
        "new_version": field.version,
        "is_added": field.status is NodeStatus.ADDED,
        "is_removed": field.status is NodeStatus.REMOVED,
        "is_changed": field.status in (NodeStatus.CHANGED, NodeStatus.AFFECTED),
        "changes": list(field.changes),
    }
