"""The graph of a project: as a view, as a picture, what is around a feature, and what changed between two versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metaxy.dag import describe
from metaxy.dag.diff import TO_COMPUTE, merge, only_changes
from metaxy.dag.folding import Fold as Fold
from metaxy.dag.render.config import ColorScheme as ColorScheme
from metaxy.dag.render.config import Direction as Direction
from metaxy.dag.render.config import RenderConfig as RenderConfig
from metaxy.dag.render.formats import FIELD_FORMATS, render
from metaxy.dag.render.renderer import shown_part
from metaxy.dag.render.terminal import draw, grow
from metaxy.dag.view import GraphData as GraphData
from metaxy.dag.view import GraphNode, NodeStatus, Work
from metaxy.dag.walk import around
from metaxy.errors import RequestError
from metaxy.project.git import Repository
from metaxy.project.revisions import GitRevision as GitRevision
from metaxy.project.revisions import load_revision
from metaxy.service.project import Project
from metaxy.store.consequences import Consequences
from metaxy.store.snapshots import CURRENT as CURRENT
from metaxy.store.snapshots import LATEST as LATEST
from metaxy.store.snapshots import find_version, recorded_view


def graph(project: Project, snapshot: str | None = None, store: str | None = None) -> GraphData:
    """Return the graph in memory, or one that was pushed: ``snapshot`` is (the start of) its hash, or `latest`."""
    if snapshot is not None:
        return _recorded(project, snapshot, store, project.scope)
    view = GraphData.from_feature_graph(project.graph)
    if not view.nodes:
        project.refuse_no_config()
    return view


def _recorded(project: Project, literal: str, store: str | None, name: str | None) -> GraphData:
    opened = project.store(store)
    return recorded_view(opened, find_version(opened, literal, name), name)


def missing_features(view: GraphData) -> list[str]:
    """Return the features that others depend on, but that the graph does not have."""
    return [str(node.key) for node in view.get_nodes_by_status(NodeStatus.MISSING)]


def description(project: Project, view: GraphData, snapshot: str | None = None) -> dict[str, Any]:
    """Return a graph in numbers, as plain data, as `graph` returned it for the same ``snapshot``."""
    name = project.scope
    version = project.graph.get_project_version(name) if name and snapshot is None else None
    return describe.describe_view(view, name, version)


# -- what is around a feature ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lineage:
    """What a feature or a field depends on, and what depends on it: the neighbours of each name."""

    name: str
    dependencies: Mapping[str, Sequence[str]]
    dependents: Mapping[str, Sequence[str]]

    def data(self) -> dict[str, Any]:
        """Return all names that can be reached, nearest first."""
        ways = {"dependencies": self.dependencies, "dependents": self.dependents}
        return {"name": self.name, **{way: _reached(self.name, those) for way, those in ways.items()}}

    def lines(self) -> list[str]:
        """Return both directions as trees of text."""
        found = []
        for title, neighbours in (("depends on", self.dependencies), ("is needed by", self.dependents)):
            nothing = "" if neighbours.get(self.name) else " nothing"
            found += draw(grow(self.name, neighbours)._replace(text=f"{self.name} {title}{nothing}"))
        return found


def lineage(project: Project, name: str) -> Lineage:
    """Return what a feature, or a field such as `video/crop.frames`, depends on, and what depends on it."""
    feature, _, field = name.partition(".")
    ways = describe.lineage(graph(project), feature, field or None)
    return Lineage(name, ways["dependencies"], ways["dependents"])


def _reached(start: str, neighbours: Mapping[str, Sequence[str]]) -> list[str]:
    return list(around([start], lambda name: neighbours.get(name, ()), None))[1:]


# -- pictures ----------------------------------------------------------------------------------------------------------


def is_empty(view: GraphData, config: RenderConfig) -> bool:
    """Return whether a picture would show no features."""
    return not shown_part(view, config).nodes


def picture(view: GraphData, name: str, config: RenderConfig, *, fields: bool = False, color: bool = False) -> str:
    """Return a graph or a comparison as text in a format, such as `mermaid` or `html`, of features or of ``fields``.

    Raises:
        RequestError: if fields cannot be drawn in that format, or not of groups.
    """
    if fields and config.fold:
        message, flags = "--fold shows groups of features, whose fields are not shown", ["--type", "--fold"]
        raise RequestError("CONFLICTING_FLAGS", message, kind="request", conflicting_flags=flags)
    if not fields:
        return render(view, name, config, color=color)
    if name not in FIELD_FORMATS:
        message = f"--type fields is drawn as {' or '.join(FIELD_FORMATS)} only"
        flags = ["--type", "--format"]
        raise RequestError("CONFLICTING_FLAGS", message, kind="request", conflicting_flags=flags)
    return FIELD_FORMATS[name](graph_data=view, config=config).render()


# -- comparisons -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """Two versions of a project, and both as one view with a status for each feature; ``changes`` are what differs."""

    old: GraphData
    new: GraphData
    view: GraphData
    changes: GraphData

    @property
    def is_described_differently(self) -> bool:
        """Whether anything differs, be it only words."""
        return bool(self.changes.nodes)

    @property
    def needs_computing(self) -> bool:
        """Whether there is something to compute."""
        return any(node.status in TO_COMPUTE for node in self.changes.nodes.values())

    def data(self) -> list[dict[str, Any]]:
        """Return what differs as plain data, feature by feature: status, in words, and what there is to compute.

        ``fields`` are those that differ; ``work`` has counts of samples, or ``unknown`` says why not; None if nobody
        counted.
        """
        return [_difference(node) for node in self.changes.nodes.values()]


def _difference(node: GraphNode) -> dict[str, Any]:
    fields = [
        {"key": str(field.key), "status": field.status.value, "changes": list(field.changes)}
        for field in node.fields
        if field.status not in (NodeStatus.NORMAL, NodeStatus.UNCHANGED)
    ]
    words = [*node.changes, *(f"{field['key']}: {text}" for field in fields for text in field["changes"])]
    versions = {"version": node.version, "old_version": node.old_version}
    work = node.work.model_dump() if node.work else None
    return {
        "key": str(node.key),
        "status": node.status.value,
        **versions,
        "changes": words,
        "fields": fields,
        "work": work,
    }


def named_version(text: str) -> str | GitRevision:
    """Return the version of a project that a text names: `git:main` is a revision of git, all else as `compare` has it.

    >>> named_version("git:HEAD~1").name, named_version("latest")
    ('HEAD~1', 'latest')
    """
    kind, found, name = text.partition(":")
    return GitRevision(name) if found and kind == "git" else text


def compare(
    project: Project, old: str | GitRevision = LATEST, new: str | GitRevision = CURRENT, store: str | None = None
) -> Comparison:
    """Compare two versions of one project.

    Each is `latest`, `current` for the graph in memory, (the start of) a hash, or what a revision of git has.

    Raises:
        RequestError: if it is not said which project, or a revision cannot be loaded.
    """
    if project.scope is None:
        project.refuse_no_config()
        message = "a comparison is about one project"
        raise RequestError("PROJECT_NOT_SET", message, hint="give --project NAME", kind="request")
    before, after = (_side(project, literal, store, project.scope) for literal in (old, new))
    view = merge(before, after)
    return Comparison(before, after, view, only_changes(view))


def with_work(project: Project, found: Comparison, store: str | None = None) -> Comparison:
    """Count what the graph in memory, as the newer version of a comparison, will compute in a store.

    Features whose parents change as well are counted on what these should have. Nothing is written.
    """
    changed = {
        node.key
        for node in found.changes.nodes.values()
        if node.status in TO_COMPUTE and node.status is not NodeStatus.REMOVED
    }
    if not changed:
        return found
    with project.store(store) as opened, project.graph.use():
        works = {str(key): work for key, work in Consequences(opened, opened.session.scope("r"), changed).count()}
    return replace(found, view=_working(found.view, works), changes=_working(found.changes, works))


def _working(view: GraphData, works: Mapping[str, Work]) -> GraphData:
    nodes = {key: node.model_copy(update={"work": works.get(key)}) for key, node in view.nodes.items()}
    return view.model_copy(update={"nodes": nodes})


def _side(project: Project, version: str | GitRevision, store: str | None, name: str) -> GraphData:
    if isinstance(version, GitRevision):
        found = load_revision(project.config, version, project.named)
        return found.view(project.named) if found.is_configured else GraphData.of([])
    if version == CURRENT:
        return GraphData.from_feature_graph(project.graph, name)
    return _recorded(project, version, store, name)


def uncommitted(project: Project) -> list[str]:
    """Return the files of code and configuration in the repository of a project that are not as they were committed."""
    file = project.config.config_file
    return Repository.around(file.parent if file else Path.cwd()).uncommitted()
