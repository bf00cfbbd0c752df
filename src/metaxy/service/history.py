"""Pushes and their history, and the lock file that is made from them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Final

from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_PROJECT_VERSION
from metaxy.dag.changes import differences, field_differences
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.view import view_feature
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.selection import FeatureSelection
from metaxy.errors import RequestError, SnapshotError
from metaxy.project.lock import FeatureChange as FeatureChange
from metaxy.project.lock import FeatureUpdate as FeatureUpdate
from metaxy.project.lock import LockFileResult as LockFileResult
from metaxy.project.lock import generate_lock_file
from metaxy.service.project import Project, feature_key
from metaxy.store.pending_renames import pending_among
from metaxy.store.system.push import checked_tags
from metaxy.store.system.records import decoded
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
class VersionChange(FeatureVersion):
    """A version that a feature had, and in words what its definition then changed of the one before.

    ``changes`` is empty for the first one, and None where a definition cannot be read. What its parents changed is not
    among it: where nothing else did, it says so.
    """

    is_current: bool
    changes: Sequence[str] | None


UPSTREAM: Final = "through what it is computed from"


def version_changes(project: Project, feature: str, store: str | None = None) -> list[VersionChange]:
    """Return the versions that a feature had, newest first, with what changed in code and definition."""
    key = feature_key(feature)
    with project.store(store) as opened:
        found = SystemTableStorage(opened).read_definitions(key, project.scope)
        definitions = [next(decoded(found[n], repr(opened)), None) for n in range(found.height)]
    known = key in project.graph.feature_definitions_by_key
    current = project.graph.get_feature_version(key) if known else None
    before = [*definitions, None][1:]
    return [
        VersionChange(
            row[METAXY_FEATURE_VERSION],
            row["recorded_at"],
            row[METAXY_PROJECT_VERSION],
            row["project"],
            is_current=row[METAXY_FEATURE_VERSION] == current,
            changes=_changes(old, new, is_first=place == found.height - 1),
        )
        for place, (row, new, old) in enumerate(zip(found.iter_rows(named=True), definitions, before, strict=True))
    ]


def _changes(old: FeatureDefinition | None, new: FeatureDefinition | None, *, is_first: bool) -> list[str] | None:
    if is_first:
        return []
    if old is None or new is None:
        return None
    before, after = (view_feature(FeatureGraph(), each) for each in (old, new))
    fields = {str(field.key): field for field in before.fields}
    left = {str(field.key): field for field in after.fields}
    found = [f"field {name} is new" for name in left if name not in fields]
    found += [f"field {name} is gone" for name in fields if name not in left]
    shared = [(name, field, left[name]) for name, field in fields.items() if name in left]
    found += [f"{name}: {text}" for name, was, now in shared for text in field_differences(was, now)]
    found += [each.text for each in differences(before, after, lambda _: None)]
    return found or [UPSTREAM]


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
