"""The end of a preview: what a store has of its own goes, the rows that it sees of other stores stay where they are."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import narwhals as nw
import polars as pl

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError, RequestError
from metaxy.storage.port import Append
from metaxy.store.layers import layers_of
from metaxy.store.parts import StoreParts
from metaxy.store.reading import find_or_none
from metaxy.store.session import Scope
from metaxy.store.system.tables import METAXY_SYSTEM_KEY_PREFIX, SYSTEM_TABLES
from metaxy.store.unknown_tables import pushed_keys

PROBE: Final = FeatureKey([METAXY_SYSTEM_KEY_PREFIX, "probe"])


def preview_tables(store: StoreParts, scope: Scope) -> Iterator[FeatureKey]:
    """Yield the tables that a preview has itself: of features of the graph, of those that it recorded, then its own.

    Tables of others are left alone, also where they are in the same database.

    Raises:
        RequestError: if the store is no preview, or would remove what is not its own.
    """
    if not store.overlays:
        message = f'{store!r} is no preview: it does not lie over other stores by fallback="rows"'
        raise RequestError("NOT_A_PREVIEW", message, hint="`mx metadata drop` removes tables of any store")
    wanted = list(dict.fromkeys([*scope.graph.feature_definitions_by_key, *pushed_keys(store)]))
    taken = {_place(below, key): below for below in _all_below(store) for key in (*wanted, *SYSTEM_TABLES)}
    for key in (*[key for key in wanted if _is_own(store, key)], *filter(store.storage.has_table, SYSTEM_TABLES)):
        if below := taken.get(_place(store, key)):
            raise _one_place(store, below)
        yield key


def remove(store: StoreParts, tables: Sequence[FeatureKey]) -> None:
    """Drop tables of a preview, once it is sure that no store below it has these, whatever addresses they go by.

    Raises:
        RequestError: if one has.
    """
    if tables:
        _refuse_one_place(store)
    for key in tables:
        store.storage.drop(key)


def _refuse_one_place(store: StoreParts) -> None:
    """Make a table here and look for it below: links, names of hosts and letter case hide that places are one."""
    rows = nw.from_native(pl.DataFrame({"probe": ["preview"]}))
    frame = store.engine.for_writing(rows, store.hash_algorithm).take(rows)
    try:
        store.storage.append([Append(PROBE, frame, create=not store.storage.has_table(PROBE))])
        for layer in layers_of(store, PROBE, below=True):
            raise _one_place(store, layer.store)
    finally:
        store.storage.drop(PROBE)


def _one_place(store: StoreParts, below: StoreParts) -> RequestError:
    message = f"{store!r} and {below!r}, on which it lies, are one place: nothing was removed"
    return RequestError("NOT_A_PREVIEW", message)


def _all_below(store: StoreParts) -> Iterator[StoreParts]:
    for below in store.fallback_stores:
        yield below
        yield from _all_below(below)


def _is_own(store: StoreParts, key: FeatureKey) -> bool:
    found = find_or_none(store, key, allow_fallback=False)
    try:
        return found is not None and bool(found.checked())
    except MetadataSchemaError:  # a table of someone else
        return False


def _place(store: StoreParts, key: FeatureKey) -> tuple[Any, ...]:
    return (store.display(), *sorted(store.storage.describe(key).items()))
