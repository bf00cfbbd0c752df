"""Comparisons of graphs as metaxy 0.1 has them: lists of features and fields, and plain data."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict
from typing_extensions import Self

from metaxy.dag.diff import BOTH, SYMBOLS, only_changes
from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.formats import render
from metaxy.dag.view import FieldNode, GraphData, GraphNode, NodeStatus
from metaxy.definitions.keys import FeatureKey, FieldKey
from metaxy.errors import MetaxyEmptyCodeVersionError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class FieldChange(_Frozen):
    """A field whose version differs, or that exists on one side only."""

    field_key: FieldKey
    old_version: str | None = None
    new_version: str | None = None
    status: NodeStatus = NodeStatus.CHANGED
    changes: tuple[str, ...] = ()

    @property
    def is_added(self) -> bool:
        """Whether only the new side has it."""
        return self.status is NodeStatus.ADDED

    @property
    def is_removed(self) -> bool:
        """Whether only the old side has it."""
        return self.status is NodeStatus.REMOVED

    @property
    def is_changed(self) -> bool:
        """Whether both sides have it, with different versions."""
        return self.status in (NodeStatus.CHANGED, NodeStatus.AFFECTED)

    def to_struct(self) -> dict[str, Any]:
        """Return the change as plain data."""
        kind = {"is_added": self.is_added, "is_removed": self.is_removed, "is_changed": self.is_changed}
        return {**self.model_dump(mode="json"), **kind}


class AddedNode(_Frozen):
    """A feature that only the new graph has."""

    feature_key: FeatureKey
    version: str | None = None
    fields: tuple[FieldNode, ...] = ()
    dependencies: tuple[FeatureKey, ...] = ()


class RemovedNode(AddedNode):
    """A feature that only the old graph has."""


class NodeChange(_Frozen):
    """A feature that both graphs have, with what changed: in words, and in its fields."""

    feature_key: FeatureKey
    old_version: str | None = None
    new_version: str | None = None
    added_fields: tuple[FieldChange, ...] = ()
    removed_fields: tuple[FieldChange, ...] = ()
    changed_fields: tuple[FieldChange, ...] = ()
    changes: tuple[str, ...] = ()


class GraphDiff(_Frozen):
    """What changed between two graphs, as lists; `metaxy.dag.diff.merge` is the same as one view."""

    from_project_version: str = "unknown"
    to_project_version: str = "unknown"
    added_nodes: tuple[AddedNode, ...] = ()
    removed_nodes: tuple[RemovedNode, ...] = ()
    changed_nodes: tuple[NodeChange, ...] = ()
    affected_nodes: tuple[NodeChange, ...] = ()
    described_nodes: tuple[NodeChange, ...] = ()

    @classmethod
    def from_view(cls, view: GraphData, **versions: str) -> Self:
        """List what a comparison found."""
        added, removed, changed, affected, described = (view.get_nodes_by_status(status) for status in SYMBOLS)
        return cls(
            added_nodes=tuple(AddedNode(version=node.version, **_shape(node)) for node in added),
            removed_nodes=tuple(RemovedNode(version=node.old_version, **_shape(node)) for node in removed),
            changed_nodes=tuple(map(_node_change, changed)),
            affected_nodes=tuple(map(_node_change, affected)),
            described_nodes=tuple(map(_node_change, described)),
            **versions,
        )

    def to_view(self) -> GraphData:
        """Return what differs as a view; what is the same is not known."""
        nodes = [_listed_node(node, NodeStatus.ADDED) for node in self.added_nodes]
        nodes += [_listed_node(node, NodeStatus.REMOVED) for node in self.removed_nodes]
        both = zip(BOTH, (self.changed_nodes, self.affected_nodes, self.described_nodes), strict=True)
        nodes += [_changed_node(change, status) for status, changes in both for change in changes]
        return GraphData.of(
            nodes, project_version=self.to_project_version, old_project_version=self.from_project_version
        )

    @property
    def has_changes(self) -> bool:
        """Whether anything differs."""
        both = (*self.changed_nodes, *self.affected_nodes, *self.described_nodes)
        return bool(self.added_nodes or self.removed_nodes or both)

    def to_struct(self) -> dict[str, Any]:
        """Return the lists as plain data.

        Raises:
            MetaxyEmptyCodeVersionError: if a field of an added or removed feature has no code version.
        """
        for node in (*self.added_nodes, *self.removed_nodes):
            for field in node.fields:
                if not field.code_version:
                    raise MetaxyEmptyCodeVersionError(
                        f"field '{field.key}' of '{node.feature_key}' has no code version"
                    )
        return self.model_dump(mode="json")

    @classmethod
    def from_struct(cls, struct: Mapping[str, Any]) -> Self:
        """Return what `to_struct` wrote."""
        return cls.model_validate(struct)


def _shape(node: GraphNode) -> dict[str, Any]:
    return {"feature_key": node.key, "fields": node.fields, "dependencies": node.dependencies}


def _listed_node(listed: AddedNode, status: NodeStatus) -> GraphNode:
    side = "old_version" if status is NodeStatus.REMOVED else "version"
    rest = {"fields": listed.fields, "dependencies": listed.dependencies, side: listed.version}
    return GraphNode(key=listed.feature_key, status=status, **rest)


def _changed_node(change: NodeChange, status: NodeStatus) -> GraphNode:
    fields = tuple(
        FieldNode(key=f.field_key, version=f.new_version, old_version=f.old_version, status=f.status, changes=f.changes)
        for f in (*change.added_fields, *change.removed_fields, *change.changed_fields)
    )
    return GraphNode(
        key=change.feature_key,
        version=change.new_version,
        old_version=change.old_version,
        fields=fields,
        status=status,
        changes=change.changes,
    )


def _field_changes(node: GraphNode) -> Iterator[FieldChange]:
    """Yield what a comparison says of the fields of a feature that are not the same."""
    for field in node.fields:
        if field.status in SYMBOLS:
            yield FieldChange(
                field_key=field.key,
                old_version=field.old_version,
                new_version=field.version,
                status=field.status,
                changes=field.changes,
            )


def _node_change(node: GraphNode) -> NodeChange:
    changes = list(_field_changes(node))
    return NodeChange(
        feature_key=node.key,
        old_version=node.old_version,
        new_version=node.version,
        added_fields=tuple(change for change in changes if change.is_added),
        removed_fields=tuple(change for change in changes if change.is_removed),
        changed_fields=tuple(change for change in changes if change.is_changed),
        changes=node.changes,
    )


def from_merged_diff(merged: Mapping[str, Any]) -> GraphData:
    """View a comparison that was written as plain data by `metaxy.dag.diff.merged_struct`."""
    return GraphData.of(
        [_merged_node(key, entry) for key, entry in merged["nodes"].items()],
        project_version=merged.get("project_version"),
        old_project_version=merged.get("old_project_version"),
    )


def _merged_node(key: str, entry: Mapping[str, Any]) -> GraphNode:
    changes = {change["field_key"]: change for change in entry["field_changes"]}
    names = dict.fromkeys([*entry["fields"], *changes])
    return GraphNode(
        key=FeatureKey(key),
        version=entry["new_version"],
        old_version=entry["old_version"],
        fields=tuple(_merged_field(name, entry, changes.get(name)) for name in names),
        dependencies=tuple(FeatureKey(dep) for dep in entry["dependencies"]),
        relations=entry.get("relations", {}),
        changes=tuple(entry.get("changes", ())),
        status=NodeStatus(entry["status"]),
        project=entry.get("project"),
    )


def _merged_field(name: str, entry: Mapping[str, Any], change: Mapping[str, Any] | None) -> FieldNode:
    if change is None:
        version = entry["fields"][name]
        return FieldNode(key=FieldKey(name), version=version, old_version=version, status=NodeStatus.UNCHANGED)
    return FieldNode(
        key=FieldKey(name),
        version=change["new_version"],
        old_version=change["old_version"],
        status=NodeStatus(change["status"]),
        changes=tuple(change.get("changes", ())),
    )


class DiffFormatter:
    """Writes comparisons that are given as lists or as plain data.

    Args:
        console: Taken for compatibility, and not used: the text is returned.
    """

    def __init__(self, console: object = None) -> None:
        self.console = console

    def format(
        self,
        diff: GraphDiff | None = None,
        merged_data: Mapping[str, Any] | None = None,
        format: str = "terminal",  # noqa: A002 - the name that callers use
        verbose: bool = False,
        diff_only: bool = False,
        show_all_fields: bool = True,
    ) -> str:
        """Return a comparison as text.

        Args:
            merged_data: The comparison as `metaxy.dag.diff.merged_struct` writes it.
            format: One of `FORMATS`.
            verbose: Show code versions and whole hashes.
        """
        if merged_data is not None:
            view = from_merged_diff(merged_data)
        elif diff is not None:
            view = diff.to_view()
        else:
            raise ValueError("nothing to format: pass diff or merged_data")
        if diff_only or not show_all_fields:
            shorter = only_changes(view)
            view = shorter if diff_only else _with(view, shorter)
        config = RenderConfig.verbose() if verbose else RenderConfig()
        return render(view, format, replace(config, hash_length=0) if format in ("json", "yaml") else config)


def _with(view: GraphData, other: GraphData) -> GraphData:
    """Return a view with those features of another that it has, too."""
    return view.model_copy(update={"nodes": {**view.nodes, **other.nodes}})
