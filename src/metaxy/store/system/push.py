"""Pushing: the features of a project are recorded, as they are now."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version

import polars as pl

from metaxy.dag.snapshot import PushResult, SerializedFeature
from metaxy.errors import SnapshotError
from metaxy.storage.port import Storage
from metaxy.store.parts import StoreParts
from metaxy.store.session import Clock, Scope
from metaxy.store.system.history import STATE, LastPush, last_push, recorded_state
from metaxy.store.system.records import FeatureVersionsModel
from metaxy.store.system.rows import append_rows, scan_rows
from metaxy.store.system.tables import FEATURE_VERSIONS, FEATURE_VERSIONS_SCHEMA
from metaxy.wording import did_you_mean

RESERVED_TAG = "metaxy"


@dataclass(frozen=True)
class Push:
    """What a push records, and what it tells the user."""

    result: PushResult
    features: Mapping[str, SerializedFeature]
    recorded_at: datetime
    tags: Mapping[str, str]

    def record(self, store: StoreParts) -> None:
        """Write one row per feature."""
        rows = [
            FeatureVersionsModel.from_snapshot(
                key, feature, self.result.project_version, self.recorded_at, self.tags
            ).model_dump()
            for key, feature in self.features.items()
        ]
        if rows:
            append_rows(store, FEATURE_VERSIONS.key, pl.DataFrame(rows, schema=FEATURE_VERSIONS_SCHEMA))


def prepare_push(
    storage: Storage, clock: Clock, scope: Scope, project: str | None, tags: Mapping[str, str] | None
) -> Push:
    """Find out what a push has to record: the features of a project, or what changed since they were recorded.

    An unchanged graph with new tags is recorded by one row: that of its first feature, with old and new tags.

    Raises:
        SnapshotError: if there is nothing to push, or a tag is reserved or no text.
    """
    given = checked_tags(tags)
    project = project_to_push(scope, project)
    features = scope.graph.to_snapshot(project=project, length=scope.hash.length)
    project_version = scope.graph.get_project_version(project, scope.hash.length)
    rows = scan_rows(storage, FEATURE_VERSIONS)
    last = last_push(rows, project)
    now = _recording_time(clock.now(), last)
    if last is None or last.project_version != project_version:
        made_by = {RESERVED_TAG: json.dumps({"version": version("metaxy")})}
        return Push(PushResult(project_version, False, []), features, now, {**given, **made_by})
    stored = recorded_state(rows, project, project_version)
    updated = [key for key, feature in features.items() if stored.get(key) != tuple(map(feature.get, STATE))]
    known = json.loads(last.tags)
    merged = {**known, **given}
    recorded = updated or ([min(features)] if merged != known else [])
    changed = {key: features[key] for key in recorded}
    return Push(PushResult(project_version, True, updated), changed, now, merged)


def project_to_push(scope: Scope, project: str | None) -> str:
    """Return the project whose features are pushed: the given one, the only one of the graph, or the configured one.

    Raises:
        SnapshotError: if that is not clear, or the project has no features.
    """
    own = sorted({d.project for d in scope.graph.feature_definitions_by_key.values() if not d.is_external})
    found = project or (own[0] if len(own) == 1 else scope.settings.project)
    if not own:
        raise SnapshotError("the graph has no features of its own to push; import them first, for example by mx.init()")
    if found is None:
        raise SnapshotError(
            f"the graph has features of several projects: {', '.join(own)}; pass project=, or set it in metaxy.toml"
        )
    if found not in own:
        raise SnapshotError(
            f"the graph has no features of project {found!r}.{did_you_mean(found, own)} It has features of: "
            + ", ".join(own)
        )
    return found


def checked_tags(tags: Mapping[str, str] | None) -> dict[str, str]:
    """Return the tags of a push.

    Raises:
        SnapshotError: if a tag is reserved, or no text.

    >>> checked_tags({"git_commit": "4b825dc"})
    {'git_commit': '4b825dc'}
    """
    for name, value in (tags or {}).items():
        if name == RESERVED_TAG:
            raise SnapshotError(f"tag {name!r} is reserved: it says which version of Metaxy pushed; use another name")
        if not isinstance(value, str):
            raise SnapshotError(f"tag {name!r}: its value must be text, not {type(value).__name__}; convert it")
    return dict(tags or {})


def _recording_time(now: datetime, last: LastPush | None) -> datetime:
    """Return the time of this push; it is after the last one even where the clocks of two machines differ."""
    naive = now.replace(tzinfo=None)
    return naive if last is None else max(naive, last.recorded_at + timedelta(microseconds=1))
