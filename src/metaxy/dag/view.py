"""The graph as people look at it: plain frozen data that every picture, description and comparison is made from.

A view is made from a graph in memory, from a snapshot, or from two views that are compared (`metaxy.dag.diff`). It has
everything that a renderer shows, so that renderers need neither graph nor settings.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SkipValidation
from typing_extensions import Self

from metaxy._lazy import resolve
from metaxy._old_names import with_old_names
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.plan import FeaturePlan
from metaxy.dag.stats import FeatureStats, State
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.keys import FeatureKey, FieldKey
from metaxy.definitions.lineage import LineageRelationshipType
from metaxy.definitions.spec import FeatureSpec
from metaxy.definitions.strictness import stored
from metaxy.errors import AmbiguousProjectError, MetaxyEmptyCodeVersionError, MetaxyMissingFeatureDependency


class NodeStatus(str, Enum):
    """What a comparison says of a feature or a field; ``normal`` where nothing is compared.

    ``changed``: its own definition gives it other versions or other samples.
    ``affected``: something upstream does.
    ``described``: its definition is another one, but has the same versions and samples: only words and columns differ.
    ``missing``: another feature depends on it, but it is not in the graph.
    """

    NORMAL = "normal"
    UNCHANGED = "unchanged"
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    AFFECTED = "affected"
    DESCRIBED = "described"
    MISSING = "missing"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Relation(_Frozen):
    """How rows of a parent belong to rows of a feature: one to one (``1:1``), many to one, or one to many.

    >>> Relation(lineage="N:1", optional=True).text
    'N:1, optional'
    """

    lineage: str = LineageRelationshipType.IDENTITY.value
    optional: bool = False

    @classmethod
    def of(cls, dep: FeatureDep) -> Self:
        """Return the relation that a dependency declares."""
        return cls(lineage=dep.lineage.relationship.type.value, optional=dep.optional)

    @property
    def is_one_to_one(self) -> bool:
        """Whether a row belongs to one row."""
        return self.lineage == LineageRelationshipType.IDENTITY.value

    @property
    def text(self) -> str:
        """What is not usual about it; empty for a required parent whose rows belong to one row each."""
        notes = ("" if self.is_one_to_one else self.lineage, "optional" if self.optional else "")
        return ", ".join(filter(None, notes))


class Work(_Frozen):
    """How many samples of a feature a change will compute, by kind; or why that is ``unknown``.

    >>> Work(new=3, stale=0, orphaned=1).text, Work(unknown="video has no rows yet").text
    ('3 new, 0 stale, 1 orphaned', 'samples unknown: video has no rows yet')
    """

    new: int = 0
    stale: int = 0
    orphaned: int = 0
    unknown: str | None = None

    @property
    def text(self) -> str:
        """The same in words."""
        counts = f"{self.new} new, {self.stale} stale, {self.orphaned} orphaned"
        return f"samples unknown: {self.unknown}" if self.unknown else counts


class Group(_Frozen):
    """Features that a picture shows as one: what differs and what they need in words, and the worst state of them.

    >>> Group(members=("a/b", "a/c"), notes=("1 changed",)).lines
    ['2 features', '1 changed']
    """

    members: tuple[str, ...]
    notes: tuple[str, ...] = ()
    state: State | None = None

    @property
    def lines(self) -> list[str]:
        """What a picture says of it, in short lines."""
        return [f"{len(self.members)} features", *self.notes]


class FieldNode(_Frozen):
    """A field; ``parents`` are the fields that it is computed from, as feature and field; None if not known."""

    key: FieldKey
    version: str | None = None
    old_version: str | None = None
    code_version: str | None = None
    status: NodeStatus = NodeStatus.NORMAL
    parents: tuple[tuple[str, str], ...] | None = None
    changes: tuple[str, ...] = ()


class GraphNode(_Frozen):
    """A feature with its fields. Versions are None where they are not known.

    ``relations`` has the dependencies that are optional, or whose rows do not belong to one row each. ``changes`` says
    in words what a comparison found, ``work`` what there is to compute, if that was counted. Spec and columns (a JSON
    schema) are there for comparisons, ``stats`` for pictures if they were counted, ``group`` where the node stands for
    some features; none of these five is part of plain data.
    """

    key: FeatureKey
    version: str | None = None
    old_version: str | None = None
    code_version: str | None = None
    definition_version: str | None = None
    fields: tuple[FieldNode, ...] = ()
    dependencies: tuple[FeatureKey, ...] = ()
    relations: dict[str, Relation] = {}
    status: NodeStatus = NodeStatus.NORMAL
    changes: tuple[str, ...] = ()
    project: str | None = None
    metadata: dict[str, Any] = {}
    work: Work | None = Field(default=None, exclude=True)
    spec: SkipValidation[FeatureSpec | None] = Field(default=None, exclude=True, repr=False)
    columns: SkipValidation[dict[str, Any] | None] = Field(default=None, exclude=True, repr=False)
    stats: FeatureStats | None = Field(default=None, exclude=True)
    group: Group | None = Field(default=None, exclude=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GraphNode) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]  # metadata is a dict

    def relation(self, parent: object) -> Relation:
        """Return how the rows of a parent belong to the rows of the feature."""
        return self.relations.get(str(parent), Relation())

    @property
    def is_root(self) -> bool:
        """Whether it depends on nothing."""
        return not self.dependencies and self.status is not NodeStatus.MISSING


class EdgeData(_Frozen):
    """A dependency: from the feature that is needed to the one that needs it."""

    from_key: FeatureKey
    to_key: FeatureKey
    relation: Relation = Relation()

    def as_plain(self) -> dict[str, Any]:
        """Return the edge as plain data."""
        return {"from": str(self.from_key), "to": str(self.to_key), **self.relation.model_dump()}


@with_old_names
class GraphData(_Frozen):
    """A graph: features by key, and the dependencies between those that are in it.

    >>> view = GraphData.of([GraphNode(key="video"), GraphNode(key="crop", dependencies=["video"])])
    >>> [f"{edge.from_key} -> {edge.to_key}" for edge in view.edges]
    ['video -> crop']
    """

    nodes: dict[str, GraphNode]
    edges: tuple[EdgeData, ...] = ()
    project_version: str | None = None
    old_project_version: str | None = None

    @classmethod
    def of(cls, nodes: Iterable[GraphNode], **versions: str | None) -> Self:
        """Build a view of features, with the edges between them."""
        by_key = {str(node.key): node for node in nodes}
        return cls(nodes=by_key, edges=tuple(_edges(by_key)), **versions)

    # -- from graphs and snapshots -------------------------------------------------------------------------------------

    @classmethod
    def from_feature_graph(cls, graph: FeatureGraph, project: str | None = None) -> Self:
        """View a graph; dependencies that it does not have are there as ``missing``.

        Args:
            project: Only features that are defined in this project, without what they need from others.
        """
        nodes = {node.key: node for node in _nodes(graph)}
        if project is not None:
            definitions = graph.feature_definitions_by_key
            own = {key for key, d in definitions.items() if d.project == project and not d.is_external}
            return cls.of(
                (nodes[key] for key in nodes if key in own), project_version=graph.get_project_version(project)
            )
        ghosts = {dep for node in nodes.values() for dep in node.dependencies} - nodes.keys()
        missing = (GraphNode(key=key, status=NodeStatus.MISSING) for key in sorted(ghosts))
        return cls.of([*missing, *nodes.values()], project_version=_project_version(graph))

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Mapping[str, Any]], project_version: str | None = None) -> Self:
        """View recorded features.

        Args:
            snapshot: By key, what `FeatureGraph.to_snapshot` returns, with the field versions under ``fields`` where
                they are known.
        """
        specs = {
            FeatureKey(key): FeatureSpec.model_validate(entry["feature_spec"], context=stored(key))
            for key, entry in snapshot.items()
        }
        nodes = []
        for key, spec in specs.items():
            entry = snapshot[str(key)]
            complete = all(dep.feature in specs for dep in spec.deps)
            plan = FeaturePlan.build(spec, specs) if complete else None
            nodes.append(
                _node(
                    spec,
                    plan,
                    entry.get("fields") or {},
                    version=entry["metaxy_feature_version"],
                    definition_version=entry.get("metaxy_definition_version"),
                    project=entry.get("project"),
                    columns=entry.get("feature_schema"),
                )
            )
        return cls.of(nodes, project_version=project_version)

    # -- plain data ----------------------------------------------------------------------------------------------------

    def to_struct(self) -> dict[str, Any]:
        """Return the view as plain data.

        Raises:
            MetaxyEmptyCodeVersionError: if a field has no code version.
        """
        for node in self.nodes.values():
            for field in node.fields:
                if not field.code_version:
                    raise MetaxyEmptyCodeVersionError(f"field '{field.key}' of '{node.key}' has no code version")
        return self.as_plain()

    def as_plain(self) -> dict[str, Any]:
        """Return the view as plain data, whatever it lacks."""
        return {
            "nodes": [node.model_dump(mode="json") for node in self.nodes.values()],
            "edges": [edge.as_plain() for edge in self.edges],
            "metaxy_project_version": self.project_version,
            "old_project_version": self.old_project_version,
        }

    @classmethod
    def from_struct(cls, struct: Mapping[str, Any]) -> Self:
        """Return the view that `to_struct` wrote."""
        nodes = [GraphNode.model_validate(node) for node in struct["nodes"]]
        return cls(
            nodes={str(node.key): node for node in nodes},
            edges=tuple(map(_edge, struct["edges"])),
            project_version=struct.get("metaxy_project_version"),
            old_project_version=struct.get("old_project_version"),
        )

    # -- questions -----------------------------------------------------------------------------------------------------

    def get_node(self, key: object) -> GraphNode | None:
        """Return a feature by its key, None if it is not there."""
        return self.nodes.get(str(key))

    def get_nodes_by_status(self, status: NodeStatus) -> list[GraphNode]:
        """Return the features of one status."""
        return [node for node in self.nodes.values() if node.status is status]

    @property
    def is_diff(self) -> bool:
        """Whether the view compares two graphs."""
        plain = (NodeStatus.NORMAL, NodeStatus.MISSING)
        return self.old_project_version is not None or any(node.status not in plain for node in self.nodes.values())

    @property
    def has_stats(self) -> bool:
        """Whether something was counted for a feature."""
        return any(node.stats for node in self.nodes.values())

    def with_stats(self, stats: Mapping[str, FeatureStats]) -> "GraphData":
        """Return the view with what was counted for its features, by key."""
        nodes = {key: node.model_copy(update={"stats": stats.get(key)}) for key, node in self.nodes.items()}
        return self.model_copy(update={"nodes": nodes})

    def _repr_html_(self) -> str:
        page: str = resolve("metaxy.dag.render.notebook:view_page")(self)
        return page

    def only(self, keys: Iterable[str]) -> "GraphData":
        """Return the part of the view that has these features, in the order that they have here."""
        wanted = set(keys)
        return GraphData.of(
            [node for key, node in self.nodes.items() if key in wanted],
            project_version=self.project_version,
            old_project_version=self.old_project_version,
        )

    def as_recorded(self, versions: Mapping[str, str], *, project_version: str | None) -> "GraphData":
        """Return the features that were recorded, with the versions that they had then.

        Where that is not the one that follows from the definitions, because a parent in another project is another one
        now or other settings were in force, versions of fields are not known.
        """
        nodes = [_as_recorded(node, versions[key]) for key, node in self.nodes.items() if key in versions]
        return GraphData.of(nodes, project_version=project_version)


def _as_recorded(node: GraphNode, version: str) -> GraphNode:
    if node.version == version:
        return node
    fields = tuple(field.model_copy(update={"version": None}) for field in node.fields)
    return node.model_copy(update={"version": version, "fields": fields})


def _edges(nodes: Mapping[str, GraphNode]) -> Iterator[EdgeData]:
    for node in nodes.values():
        for dep in node.dependencies:
            if str(dep) in nodes:
                yield EdgeData(from_key=dep, to_key=node.key, relation=node.relation(dep))


def _edge(plain: Mapping[str, Any]) -> EdgeData:
    relation = {name: plain[name] for name in Relation.model_fields if name in plain}
    return EdgeData(from_key=plain["from"], to_key=plain["to"], relation=Relation(**relation))


def _project_version(graph: FeatureGraph) -> str | None:
    try:
        return graph.project_version
    except AmbiguousProjectError:
        return None


def _nodes(graph: FeatureGraph) -> Iterator[GraphNode]:
    """View each feature; those that lack a parent, directly or not, have no versions."""
    definitions = graph.feature_definitions_by_key
    known: set[FeatureKey] = set()
    for key in graph.topological_sort_features():
        definition = definitions[key]
        deps = [dep.feature for dep in definition.spec.deps]
        needs_none = len(definition.known_field_versions) == len(definition.spec.fields)
        versions: dict[str, str] = {}
        if needs_none or known.issuperset(deps):
            known.add(key)
            versions = graph.get_feature_version_by_field(key)
        plan = graph.get_feature_plan(key) if all(dep in definitions for dep in deps) else None
        yield _defined(graph, definition, plan, versions)


def view_feature(graph: FeatureGraph, definition: FeatureDefinition) -> GraphNode:
    """View a definition; it has no versions if its graph has another one instead, or lacks something it depends on."""
    there = graph.feature_definitions_by_key.get(definition.key)
    versions: dict[str, str] = {}
    if there is not None and there.feature_definition_version == definition.feature_definition_version:
        with suppress(MetaxyMissingFeatureDependency):
            versions = graph.get_feature_version_by_field(definition.key)
    specs = {key: graph.feature_definitions_by_key[key].spec for key in _parents_in(graph, definition)}
    plan = FeaturePlan.build(definition.spec, specs) if len(specs) == len(definition.spec.deps) else None
    return _defined(graph, definition, plan, versions)


def _parents_in(graph: FeatureGraph, definition: FeatureDefinition) -> list[FeatureKey]:
    return [dep.feature for dep in definition.spec.deps if dep.feature in graph.feature_definitions_by_key]


def _defined(
    graph: FeatureGraph, definition: FeatureDefinition, plan: FeaturePlan | None, versions: Mapping[str, str]
) -> GraphNode:
    return _node(
        definition.spec,
        plan,
        versions,
        version=graph.get_feature_version(definition.key) if versions else None,
        definition_version=definition.feature_definition_version,
        project=definition.project,
        columns=definition.feature_schema,
    )


def _node(spec: FeatureSpec, plan: FeaturePlan | None, versions: Mapping[str, str], **rest: Any) -> GraphNode:
    return GraphNode(
        key=spec.key,
        code_version=spec.code_version,
        fields=tuple(_field(field, plan, versions.get(str(field.key))) for field in spec.fields),
        dependencies=tuple(dep.feature for dep in spec.deps),
        relations={str(dep.feature): relation for dep in spec.deps if (relation := Relation.of(dep)).text},
        metadata=dict(spec.metadata),
        spec=spec,
        **rest,
    )


def _field(field: FieldSpec, plan: FeaturePlan | None, version: str | None) -> FieldNode:
    parents = tuple((str(p.feature), str(p.field)) for p in plan.parent_fields[field.key]) if plan else None
    return FieldNode(key=field.key, version=version, code_version=field.code_version, parents=parents)
