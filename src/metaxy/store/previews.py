"""The end of a preview: what a store has of its own goes, the rows that it sees of other stores stay where they are."""

from collections.abc import Iterator
from typing import Any

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError, RequestError
from metaxy.store.parts import StoreParts
from metaxy.store.reading import find_or_none
from metaxy.store.session import Scope
from metaxy.store.system.tables import SYSTEM_TABLES
from metaxy.store.unknown_tables import pushed_keys


def preview_tables(store: StoreParts, scope: Scope) -> Iterator[FeatureKey]:
    """Yield the tables that a preview has itself: of features of the graph, of those that it recorded, then its own.

    Tables of others are left alone, also where they are in the same database.

    Raises:
        RequestError: if the store is no preview, or would remove what is not its own.
    """
    if not store.overlays:
        message = f'{store!r} is no preview: it does not lie over other stores by fallback="rows"'
        raise RequestError("NOT_A_PREVIEW", message, hint="`mx metadata drop` removes tables of any store")
    wanted = dict.fromkeys([*scope.graph.feature_definitions_by_key, *pushed_keys(store)])
    features = [key for key in wanted if _is_own(store, key)]
    yield from features
    yield from (key for key in SYSTEM_TABLES if store.storage.has_table(key))


def _is_own(store: StoreParts, key: FeatureKey) -> bool:
    found = find_or_none(store, key, allow_fallback=False)
    if found is None:
        return False
    for below in store.fallback_stores:
        if _place(below, key) == _place(store, key):
            message = f"{store!r} and {below!r}, on which it lies, are one place: nothing was removed"
            raise RequestError("NOT_A_PREVIEW", message)
    try:
        found.checked()
    except MetadataSchemaError:  # a table of someone else
        return False
    return True


def _place(store: StoreParts, key: FeatureKey) -> tuple[Any, ...]:
    return (store.display(), *sorted(store.storage.describe(key).items()))
