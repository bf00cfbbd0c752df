"""Pushes and their history, and the lock file that is made from them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from pathlib import Path

from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_PROJECT_VERSION
from metaxy.definitions.selection import FeatureSelection
from metaxy.errors import RequestError, SnapshotError
from metaxy.project.lock import FeatureChange as FeatureChange
from metaxy.project.lock import FeatureUpdate as FeatureUpdate
from metaxy.project.lock import LockFileResult as LockFileResult
from metaxy.project.lock import generate_lock_file
from metaxy.service.project import Project, feature_key
from metaxy.store.pending_renames import pending_among
from metaxy.store.system.push import checked_tags
from metaxy.store.system.storage import SystemTableStorage


@dataclass(frozen=True)
class Snapshot:
    """A version of a project that was pushed, with its tags; times are UTC."""

    project_version: str
    recorded_at: datetime
    feature_count: int
    project: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class FeatureVersion:
    """A version that a feature had, when it was recorded last, and with which version of its project."""

    feature_version: str
    recorded_at: datetime
    project_version: str
    project: str


def history(project: Project, store: str | None = None) -> list[Snapshot]:
    """Return what was pushed to a store, newest first."""
    with project.store(store) as opened:
        found = SystemTableStorage(opened).read_graph_snapshots(project.scope)
    return [
        Snapshot(row[METAXY_PROJECT_VERSION], row["recorded_at"], row["feature_count"], row["project"], tags)
        for row in found.iter_rows(named=True)
        for tags in [json.loads(row["tags"])]
    ]


def feature_history(project: Project, feature: str, store: str | None = None) -> list[FeatureVersion]:
    """Return the versions that a feature had, newest first; the graph in memory need not have it."""
    with project.store(store) as opened:
        found = SystemTableStorage(opened).read_feature_versions(feature_key(feature), project.scope)
    return [
        FeatureVersion(row[METAXY_FEATURE_VERSION], row["recorded_at"], row[METAXY_PROJECT_VERSION], row["project"])
        for row in found.iter_rows(named=True)
    ]


@dataclass(frozen=True)
class Push:
    """What a push recorded, or would record; the versions are those of the features in memory.

    ``pending_renames`` are features whose rows in this store are still under the keys that they had before.
    """

    project: str
    project_version: str
    already_pushed: bool
    updated_features: Sequence[str]
    dry_run: bool
    feature_versions: Mapping[str, str]
    pending_renames: Mapping[str, str]
    store: str


def push(
    project: Project, store: str | None = None, *, tags: Mapping[str, str] | None = None, dry_run: bool = False
) -> Push:
    """Record the features of the configured project in a store.

    Raises:
        RequestError: if there is no configured project, or the tags are wrong.
    """
    name = project.own_name("push")
    given = dict(tags) if tags else None
    try:
        checked_tags(given)
    except SnapshotError as error:
        raise RequestError("USAGE_ERROR", str(error), kind="request") from None
    graph = project.graph
    with project.store(store).open("r" if dry_run else "w") as opened:
        place = opened.name or ""
        done = SystemTableStorage(opened).push_graph_snapshot(project=name, tags=given, dry_run=dry_run)
        with graph.use():
            waiting = pending_among(opened, graph.features_of(name)) if graph.has_renames else {}
    versions = {str(d.key): graph.get_feature_version(d.key) for d in graph.features_of(name)}
    renames = {str(new): str(old) for new, old in waiting.items()}
    found = done.project_version, done.already_pushed, done.updated_features
    return Push(name, *found, dry_run, versions, renames, place)


@dataclass(frozen=True)
class Lock:
    """A lock file, the store that it was made from, and how it differs from what was there."""

    path: Path
    store: str
    result: LockFileResult
    is_current: bool


def lock(project: Project, store: str | None = None, *, output: Path | None = None, check: bool = False) -> Lock:
    """Write the definitions of the features of other projects that the configured one depends on to the lock file.

    They are taken from ``store``, where the other projects push; with ``check`` nothing is written.

    Raises:
        RequestError: if there is no configured project, or it is not said where to write.
    """
    name = project.own_name("lock")
    path = output or project.config.lock_file
    if path is None:
        message = "say where to write the lock file, by --output"
        raise RequestError("MISSING_REQUIRED_FLAG", message, kind="request")
    project.unlocked_graph()
    opened = project.store(store)
    existed = path.exists()
    selection = reduce(or_, project.config.extra_features, FeatureSelection.none())
    result = generate_lock_file(opened, path, exclude_project=name, selection=selection, dry_run=check)
    return Lock(path, repr(opened), result, existed and not result.changed)
