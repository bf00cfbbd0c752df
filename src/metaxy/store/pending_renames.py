"""Renames that the graph tells of, but the rows do not know yet: seen before anything is computed again."""

from metaxy import columns as c
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.renaming import Former
from metaxy.dag.walk import dependencies_first
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import RenameError, RenameWarning, warn_user
from metaxy.store.parts import StoreParts
from metaxy.store.renaming import Renaming, find_here, former_tables, has_version, rename
from metaxy.store.session import Scope

COMMAND = "run `mx metadata rename`, or store.rename_features()"


def pending(store: StoreParts, scope: Scope, key: FeatureKey) -> Former:
    """Return the features, among one and those that it depends on, whose rows here are still right under old keys.

    What this store has rows of the current version of is not looked at again.
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
        warn_user(str(error), RenameWarning)
        return {}
    return former if any(map(renaming.waits, lacking)) else {}


def _renamed_above(graph: FeatureGraph, key: FeatureKey) -> list[FeatureKey]:
    known = graph.feature_definitions_by_key
    above = dependencies_first(
        [key], lambda node: (dep.feature for dep in known[node].spec.deps if dep.feature in known)
    )
    return [each for each in above if known[each].spec.renamed_from]


def _is_there(store: StoreParts, scope: Scope, key: FeatureKey) -> bool:
    """Return whether this store has rows of the current version, and remember it if so."""
    seen = (key, scope.version(key))
    if seen in store.seen_versions:
        return True
    found = find_here(store, key)
    if found is None or c.METAXY_FEATURE_VERSION not in found.scan.schema or not has_version(found, seen[1]):
        return False
    store.seen_versions.add(seen)
    return True


def settle(store: StoreParts, scope: Scope, key: FeatureKey) -> None:
    """Take rows over before something is computed or written; a store that is open for reading refuses to go on.

    Raises:
        RenameError: if the store is not open for writing.
    """
    former = pending(store, scope, key)
    if not former:
        return
    if store.session.mode != "w":
        raise RenameError(f"feature {key}: {_waiting(store, former)}, and would be computed again; {COMMAND}")
    rebased = sum(each.rebased for each in rename(store, scope, former))
    warn_user(
        f"feature {key}: {_named(former)}, so {rebased} samples were taken over in {store!r}; the old tables stay "
        "until `mx metadata tables drop`",
        RenameWarning,
    )


def warn_of_pending(store: StoreParts, scope: Scope, key: FeatureKey) -> Former:
    """Say that rows are not seen yet, as they are under an old key; return which features that is so for."""
    if former := pending(store, scope, key):
        warn_user(f"feature {key}: {_waiting(store, former)}; {COMMAND}", RenameWarning)
    return former


def _waiting(store: StoreParts, former: Former) -> str:
    return f"{_named(former)}, but its rows in {store!r} are still under the old key"


def _named(former: Former) -> str:
    return ", ".join(f"{new} was renamed from {old}" for new, old in former.items())
