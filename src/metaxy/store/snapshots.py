"""Recorded graphs as views: which snapshot a word means, and what was recorded in it."""

from typing import Any

from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_PROJECT_VERSION
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.view import GraphData
from metaxy.definitions.selection import FeatureSelection
from metaxy.errors import SnapshotError
from metaxy.store.parts import StoreParts
from metaxy.store.system.storage import SystemTableStorage
from metaxy.store.system.tables import COL_FEATURE_KEY
from metaxy.wording import did_you_mean

LATEST = "latest"
CURRENT = "current"


def find_version(store: StoreParts, literal: str, project: str | None = None) -> str:
    """Return the project version that is meant by ``latest``, by a version, or by the start of one.

    Raises:
        SnapshotError: if nothing was pushed, or nothing or several things are meant.
    """
    with store.open("r"):
        known = SystemTableStorage(store).read_graph_snapshots(project)[METAXY_PROJECT_VERSION]
    names: list[str] = list(dict.fromkeys(known.to_list()))
    of_project = f" of project {project!r}" if project else ""
    if not names:
        raise SnapshotError(f"{store!r} has no snapshot{of_project}: nothing was pushed yet; run `mx push`")
    if literal == LATEST or literal in names:
        return names[0] if literal == LATEST else literal
    found = [name for name in names if name.startswith(literal)]
    if len(found) == 1:
        return found[0]
    problem = f"has {len(found)} snapshots that start with" if found else "has no snapshot"
    hint = did_you_mean(literal, names) or f" The last ones are: {', '.join(found[:5] or names[:5])}"
    raise SnapshotError(f"{store!r} {problem} {literal!r}{of_project}.{hint}")


def recorded_graph(store: StoreParts, project_version: str, project: str | None = None) -> FeatureGraph:
    """Return the graph that was recorded as one version of a project; no user code is imported.

    Parents in other projects are there as they were recorded last.

    Raises:
        SnapshotError: if there is no such snapshot.
    """
    with store.open("r"):
        storage = SystemTableStorage(store)
        graph = storage.load_graph_from_snapshot(project_version, project)
        _complete(graph, storage)
    return graph


def recorded_view(store: StoreParts, project_version: str, project: str | None = None) -> GraphData:
    """Return what was recorded of one version of a project.

    Raises:
        SnapshotError: if there is no such snapshot.
    """
    with store.open("r"):
        graph = recorded_graph(store, project_version, project)
        rows = SystemTableStorage(store).read_features(project_version=project_version, project=project)
    recorded = dict(zip(rows[COL_FEATURE_KEY], rows[METAXY_FEATURE_VERSION], strict=True))
    return GraphData.from_feature_graph(graph).as_recorded(recorded, project_version=project_version)


def _complete(graph: FeatureGraph, storage: SystemTableStorage) -> None:
    """Add the features of other projects that a graph needs, as far as they were recorded."""
    missing = _missing(graph)
    known = {d.key: d for d in storage.resolve_selection(FeatureSelection(all=True))} if missing else {}
    while found := [known[key] for key in missing if key in known]:
        for definition in found:
            graph.add_feature_definition(definition)
        missing = _missing(graph)


def _missing(graph: FeatureGraph) -> list[Any]:
    definitions = graph.feature_definitions_by_key
    needed = (dep.feature for definition in definitions.values() for dep in definition.spec.deps)
    return [key for key in dict.fromkeys(needed) if key not in definitions]
