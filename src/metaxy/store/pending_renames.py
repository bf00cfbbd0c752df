"""Renames that the graph tells of, but the rows do not know yet: seen before anything is computed again."""

from collections.abc import Iterable

from metaxy import columns as c
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.renaming import Former
from metaxy.dag.walk import dependencies_first
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import RenameError, RenameWarning, warn_user
from metaxy.store.parts import StoreParts
from metaxy.store.renaming import Renaming, find_seen, former_tables, has_version, rename, taken_over
from metaxy.store.session import Scope
from metaxy.store.system.renames import recorded_renames
from metaxy.wording import command


def pending(store: StoreParts, scope: Scope, key: FeatureKey) -> Former:
    """Return the features, among one and those that it depends on, whose rows here are still right under old keys.

    What this store has rows of the current version of, or had when its rows were taken over, is not looked at again.
    """
    if not scope.graph.has_renames or key not in scope.graph.feature_definitions_by_key:
        return {}
    renamed = _renamed_above(scope.graph, key)
    lacking = [each for each in dict.fromkeys([*renamed, key]) if renamed and not _is_there(store, scope, each)]
    former = {new: old for new, old in former_tables(store, scope).items() if new in renamed} if lacking else {}
    if not former:
        return {}
    try:
        renaming = Renaming.of(store, scope, former)
    except RenameError as error:
        if not all(taken_over(store, new, old) for new, old in former.items()):
            warn_user(str(error), RenameWarning)
        return {}
    return former if any(map(renaming.waits, lacking)) else {}


def pending_among(store: StoreParts, definitions: Iterable[FeatureDefinition]) -> Former:
    """Return the features whose rows here are still right under old keys, among some and those they depend on."""
    scope = store.session.scope("r")
    return {new: old for each in definitions for new, old in pending(store, scope, each.key).items()}


def _renamed_above(graph: FeatureGraph, key: FeatureKey) -> list[FeatureKey]:
    known = graph.feature_definitions_by_key
    above = dependencies_first(
        [key], lambda node: (dep.feature for dep in known[node].spec.deps if dep.feature in known)
    )
    return [each for each in above if known[each].spec.renamed_from]


def _is_there(store: StoreParts, scope: Scope, key: FeatureKey) -> bool:
    """Return whether this store has rows of the current version, or took them over, and remember it if so."""
    seen = (key, scope.version(key))
    if seen in store.seen_versions:
        return True
    if not _has_rows(store, *seen) and not recorded_renames(store, dict([seen])):
        return False
    store.seen_versions.add(seen)
    return True


def _has_rows(store: StoreParts, key: FeatureKey, version: str) -> bool:
    found = find_seen(store, key)
    return found is not None and c.METAXY_FEATURE_VERSION in found.scan.schema and has_version(found, version)


def settle(store: StoreParts, scope: Scope, key: FeatureKey) -> None:
    """Take rows over before something is computed or written; a store that is open for reading refuses to go on.

    Raises:
        RenameError: if the store is not open for writing.
    """
    former = pending(store, scope, key)
    if not former:
        return
    if store.session.mode != "w":
        waiting = f"{_named(former)}, {_still_there(store)}, and would be computed again"
        raise RenameError(f"feature {key}: {waiting}; {_advice(store)}")
    rebased = sum(each.rebased for each in rename(store, scope, former, only_once=True))
    warn_user(
        f"feature {key}: {_named(former)}, so {rebased} samples were taken over in {store!r}; the old tables stay "
        f"until {command('metadata', 'tables', 'drop', store=store.name)}",
        RenameWarning,
    )


def warn_of_pending(store: StoreParts, scope: Scope, key: FeatureKey) -> Former:
    """Say that rows are not seen yet, as they are under an old key; return which features that is so for.

    The words are the same for all that depends on a renamed feature, so that they are shown once.
    """
    former = pending(store, scope, key)
    for new, old in former.items():
        waiting = f"feature {_named({new: old})}, {_still_there(store)}, so what depends on it looks empty, too"
        warn_user(f"{waiting}; {_advice(store)}", RenameWarning)
    return former


def warn_of_old_table(store: StoreParts, scope: Scope, key: FeatureKey) -> None:
    """Say that rows which were removed for good come back, as the table under an old key still has them."""
    if scope.graph.has_renames and (old := former_tables(store, scope).get(key)):
        drop = command("metadata", "tables", "drop", str(old), store=store.name)
        warn_user(
            f"feature {key}: rows were removed that its old table {old} in {store!r} may still have, and gives back "
            f"when the rename is repeated; {drop} first, or remove them there, too",
            RenameWarning,
        )


def _still_there(store: StoreParts) -> str:
    return f"but its rows in {store!r} are still under the old key"


def _advice(store: StoreParts) -> str:
    return f"run {command('metadata', 'rename', store=store.name)}, or store.rename_features()"


def _named(former: Former) -> str:
    return ", ".join(f"{new} was renamed from {old}" for new, old in former.items())
