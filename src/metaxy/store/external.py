"""External features: placeholders that are replaced by the definitions their project pushed to the store."""

from collections.abc import Mapping
from functools import reduce
from operator import or_

from metaxy.dag.graph import FeatureGraph
from metaxy.dag.versions import feature_version
from metaxy.definitions.definition import FeatureDefinition, OnVersionMismatch
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.selection import FeatureSelection
from metaxy.errors import (
    ExternalFeatureVersionMismatchError,
    ExternalFeatureVersionMismatchWarning,
    MetaxyMissingFeatureDependency,
    UnresolvedExternalFeatureWarning,
    warn_user,
)
from metaxy.store.parts import StoreParts
from metaxy.store.session import Scope
from metaxy.store.system.storage import SystemTableStorage

Versions = Mapping[str, str]


def sync_external_features(
    store: StoreParts,
    *,
    selection: FeatureSelection | None = None,
    on_version_mismatch: OnVersionMismatch | None = None,
) -> list[FeatureDefinition]:
    """Replace the external features of the active graph by what was pushed to a store, and return what was loaded.

    The features that they depend on are loaded too, and those that ``extra_features`` of the configuration selects.

    Args:
        store: where the other projects pushed; it is opened if need be.
        selection: more features to load.
        on_version_mismatch: what to do where a feature has another version than its placeholder: ``warn`` or ``error``,
            instead of what the placeholder says; ``locked`` in the configuration makes all of them errors.

    Raises:
        ExternalFeatureVersionMismatchError: if that is asked for; the features are loaded all the same.
    """
    scope = Scope.current(store.hash_algorithm)
    graph = scope.graph
    externals = {key: d for key, d in graph.feature_definitions_by_key.items() if d.is_external}
    asked = _to_load(scope, externals, selection)
    if asked.is_empty:
        return []
    expected = {key: _field_versions(graph, key, scope.hash.length) for key in externals}
    with store.open("r"):
        loaded = _load(SystemTableStorage(store), graph, asked)
    found = {d.key for d in loaded}
    differences: dict[OnVersionMismatch, list[str]] = {"warn": [], "error": []}
    for key, placeholder in externals.items():
        actual = _field_versions(graph, key, scope.hash.length) if key in found else None
        before = expected[key]
        if actual and before and actual != before:
            mode = "error" if scope.settings.locked else on_version_mismatch or placeholder.on_version_mismatch
            differences[mode].append(_difference(key, before, actual, scope.hash.length))
    _report(store, sorted(str(key) for key in externals if key not in found), differences)
    return loaded


def _to_load(
    scope: Scope, externals: Mapping[FeatureKey, FeatureDefinition], selection: FeatureSelection | None
) -> FeatureSelection:
    """Say what to load: external features, and what was selected; keys that are defined here are left out."""
    more = [selection or FeatureSelection.none(), *scope.settings.extra_features]
    wanted = reduce(or_, more, FeatureSelection(keys=tuple(externals)))
    if wanted.all:
        return wanted
    known = scope.graph.feature_definitions_by_key
    keys = tuple(key for key in wanted.keys or () if key in externals or key not in known)
    return FeatureSelection(keys=keys, projects=wanted.projects or ())


def _load(system: SystemTableStorage, graph: FeatureGraph, asked: FeatureSelection) -> list[FeatureDefinition]:
    """Load the selected features into the graph, then what they depend on, until nothing is missing or found."""
    loaded: dict[FeatureKey, FeatureDefinition] = {}
    tried: set[FeatureKey] = set()
    while not asked.is_empty:
        tried.update(asked.keys or ())
        known = graph.feature_definitions_by_key
        found = [d for d in system.resolve_selection(asked) if d.key not in known or known[d.key].is_external]
        for definition in found:
            graph.add_feature_definition(definition, on_conflict="ignore")
            loaded[definition.key] = definition
        parents = {dep.feature for definition in found for dep in definition.spec.deps}
        asked = FeatureSelection(keys=tuple(sorted(parents - tried - graph.feature_definitions_by_key.keys())))
    return list(loaded.values())


def _field_versions(graph: FeatureGraph, key: FeatureKey, length: int) -> Versions | None:
    """Return the version of each field, None where a feature that they depend on is unknown."""
    try:
        return graph.get_feature_version_by_field(key, length)
    except MetaxyMissingFeatureDependency:
        return None


def _difference(key: FeatureKey, expected: Versions, actual: Versions, length: int) -> str:
    fields = (
        f"{name}: {expected.get(name, '<missing>')} → {actual.get(name, '<missing>')}"
        for name in sorted({*expected, *actual})
        if expected.get(name) != actual.get(name)
    )
    versions = (feature_version(expected, length), feature_version(actual, length))
    return f"{key}: expected {versions[0]}, found {versions[1]} ({', '.join(fields)})"


def _report(store: StoreParts, missing: list[str], differences: Mapping[OnVersionMismatch, list[str]]) -> None:
    """Warn about placeholders that remain and versions that differ, and raise where that is an error."""
    if missing:
        message = f"{store!r} has no definition of external features {', '.join(missing)}; push their project to it"
        warn_user(message, UnresolvedExternalFeatureWarning)
    texts = {
        mode: f"external features with another version in {store!r}: {len(found)}. {'; '.join(found)}. "
        "Update the placeholders or the lock file, or push the version that you expect"
        for mode, found in differences.items()
        if found
    }
    if "warn" in texts:
        warn_user(texts["warn"], ExternalFeatureVersionMismatchWarning)
    if "error" in texts:
        raise ExternalFeatureVersionMismatchError(texts["error"])
