"""Locking: the definitions of other projects' features that this project depends on, as they were pushed.

With the lock file in version control, versions can be computed without a store, and a change in another project shows
as a change of the file.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import NamedTuple

from metaxy import context
from metaxy.dag.graph import FeatureGraph, current_graph
from metaxy.dag.snapshot import SerializedFeature, serialize
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.selection import FeatureSelection
from metaxy.errors import (
    FeatureNotFoundError,
    InvalidConfigError,
    LockFileMissingWarning,
    MetaxyInvariantViolationError,
    warn_user,
)
from metaxy.project.locked import LockedData, LockedFeature, LockedFeatureInfo, LockFile
from metaxy.store.store import MetadataStore
from metaxy.store.system.records import decoded
from metaxy.store.system.storage import SystemTableStorage


class FeatureChange(NamedTuple):
    """A feature that came or went."""

    project: str
    key: str
    version: str


class FeatureUpdate(NamedTuple):
    """A feature that changed; ``metadata_only``: nothing that its version depends on."""

    project: str
    key: str
    old_version: str
    new_version: str
    metadata_only: bool


@dataclass(frozen=True)
class LockFileResult:
    """How a lock file differs from the one that was there before."""

    added: list[FeatureChange]
    updated: list[FeatureUpdate]
    removed: list[FeatureChange]
    unchanged_count: int

    @property
    def count(self) -> int:
        """How many features the file has."""
        return len(self.added) + len(self.updated) + self.unchanged_count

    @property
    def changed(self) -> bool:
        """Whether anything is different."""
        return bool(self.added or self.updated or self.removed)


def generate_lock_file(
    store: MetadataStore,
    output_path: str | Path,
    *,
    exclude_project: str | None = None,
    selection: FeatureSelection | None = None,
    dry_run: bool = False,
) -> LockFileResult:
    """Write the features of other projects that those of the active graph need to a lock file.

    The active graph stays as it is. The file is only written where it changes.

    Args:
        store: Where the other projects pushed; it is opened if need be.
        exclude_project: The project that the file is for, whose features are not locked.

    Raises:
        FeatureNotFoundError: if the store does not have all of them.
        MetaxyInvariantViolationError: if a feature has another version here than when it was pushed.
    """
    path = Path(output_path)
    with store.open("r"):
        locked = _lock(store, exclude_project, selection or FeatureSelection.none())
    before = _read_old(path)
    result = _compare(before.features, locked.features)
    if not dry_run and (result.changed or not path.exists()):
        _write(path, locked.to_toml())
    return result


def _lock(store: MetadataStore, exclude_project: str | None, selection: FeatureSelection) -> LockFile:
    own = [d for d in current_graph().feature_definitions_by_key.values() if not d.is_external]
    graph = FeatureGraph()
    for definition in own:
        graph.add_feature_definition(definition)
    parents = {dep.feature for definition in own for dep in definition.spec.deps}
    wanted = reduce(or_, [selection, FeatureSelection(keys=tuple(parents))])
    versions: dict[FeatureKey, str] = {}
    for definition, version in _closure(store, graph, wanted, exclude_project):
        graph.add_feature_definition(definition, on_conflict="ignore")
        versions[definition.key] = version
    needed = {*parents, *(selection.keys or ()), *_parents_of(graph, versions)}
    if missing := sorted(needed - graph.feature_definitions_by_key.keys()):
        names = ", ".join(map(str, missing))
        message = f"features not found in metadata store {store!r}: {names}; push the projects that define them to it"
        raise FeatureNotFoundError(message, keys=missing)
    length = context.settings().hash_truncation_length
    features = {str(key): _locked(graph, key, versions[key], length) for key in sorted(versions)}
    return LockFile(features=features)


def _closure(
    store: MetadataStore, graph: FeatureGraph, wanted: FeatureSelection, exclude_project: str | None
) -> Iterator[tuple[FeatureDefinition, str]]:
    """Yield the selected definitions of other projects, with their versions, then those that they depend on."""
    system = SystemTableStorage(store)
    tried: set[FeatureKey] = set()
    while not wanted.is_empty:
        tried.update(wanted.keys or ())
        rows = system.read_latest_features(wanted)
        versions = dict(zip(rows["feature_key"], rows["metaxy_feature_version"], strict=True))
        found = [d for d in decoded(rows, repr(store)) if d.project != exclude_project]
        new = [d for d in found if d.key not in graph.feature_definitions_by_key]
        yield from ((definition, versions[str(definition.key)]) for definition in new)
        parents = {dep.feature for definition in new for dep in definition.spec.deps}
        wanted = FeatureSelection(keys=tuple(sorted(parents - tried - graph.feature_definitions_by_key.keys())))


def _parents_of(graph: FeatureGraph, keys: Iterable[FeatureKey]) -> set[FeatureKey]:
    return {dep.feature for key in keys for dep in graph.get_feature_definition(key).spec.deps}


def _locked(graph: FeatureGraph, key: FeatureKey, pushed: str, length: int) -> LockedFeature:
    """Return the entry of a feature, if it has the version here that it had when it was pushed."""
    here = graph.get_feature_version(key, len(pushed))
    if here != pushed:
        project = graph.get_feature_definition(key).project
        raise MetaxyInvariantViolationError(
            f"feature {key} was pushed with version {pushed}, but has {here} with the features that it depends on as "
            f"they were pushed last; push project {project!r} again"
        )
    plain = serialize(graph.get_feature_definition(key), graph.get_feature_version(key, length), length)
    return _entry(plain, graph.get_feature_version_by_field(key, length))


def _entry(plain: SerializedFeature, fields: Mapping[str, str]) -> LockedFeature:
    definition = FeatureDefinition.from_stored_data(
        plain["feature_spec"], plain["feature_schema"], plain["feature_class_path"], plain["project"]
    )
    info = LockedFeatureInfo(
        version=plain["metaxy_feature_version"],
        version_by_field=dict(fields),
        definition_version=plain["metaxy_definition_version"],
    )
    return LockedFeature(info=info, data=LockedData(**definition.model_dump(mode="json")))


def _read_old(path: Path) -> LockFile:
    try:
        return LockFile.read(path) if path.exists() else LockFile()
    except InvalidConfigError as error:
        warn_user(f"{error}; all its features count as new", LockFileMissingWarning)
        return LockFile()


def _compare(old: Mapping[str, LockedFeature], new: Mapping[str, LockedFeature]) -> LockFileResult:
    both = [key for key in new if key in old]
    updated = [key for key in both if old[key].info != new[key].info or old[key].data.project != new[key].data.project]
    return LockFileResult(
        added=[_change(key, new[key]) for key in new if key not in old],
        updated=[_update(key, old[key], new[key]) for key in updated],
        removed=[_change(key, old[key]) for key in old if key not in new],
        unchanged_count=len(both) - len(updated),
    )


def _change(key: str, feature: LockedFeature) -> FeatureChange:
    return FeatureChange(feature.data.project, key, feature.info.version)


def _update(key: str, old: LockedFeature, new: LockedFeature) -> FeatureUpdate:
    versions = (old.info.version, new.info.version)
    return FeatureUpdate(new.data.project, key, *versions, metadata_only=versions[0] == versions[1])


def _write(path: Path, text: str) -> None:
    """Let the file appear complete or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise InvalidConfigError(f"cannot write the lock file: {error.strerror}", config_file=path) from error
