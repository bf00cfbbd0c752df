"""Tables of features that the graph does not have: which there are, and what is in them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import narwhals as nw

from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_UPDATED_AT
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import MetadataSchemaError, MetadataStoreError
from metaxy.storage.port import Listable, Scan
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, find, readable
from metaxy.store.session import Scope
from metaxy.store.system.rows import scan_rows
from metaxy.store.system.tables import COL_FEATURE_KEY, FEATURE_VERSIONS, METAXY_SYSTEM_KEY_PREFIX
from metaxy.versioning.frames import collect_to_polars


@dataclass(frozen=True)
class UnknownTable:
    """The table of a feature that the graph does not have: how many rows of all versions it holds, and since when."""

    key: FeatureKey
    rows: int
    feature_versions: int
    last_write: datetime | None


def unknown_tables(store: StoreParts, scope: Scope) -> list[UnknownTable]:
    """Count the rows of each table that is one of a feature, but of none of the graph's; tables of others are left out.

    Raises:
        MetadataStoreError: if the store does not know which tables it has.
    """
    found = []
    for table in _unknown(store, scope):
        with readable(f"feature {table.key}"):
            found.append(UnknownTable(table.key, **count_rows(table.scan)))
    return found


def _unknown(store: StoreParts, scope: Scope) -> Iterator[StoredTable]:
    if not isinstance(store.storage, Listable):
        raise MetadataStoreError(f"{store!r} cannot list its tables: its storage has no `tables` method")
    known = {_place(store, key) for key in scope.graph.feature_definitions_by_key}
    pushed = {_place(store, key): key for key in pushed_keys(store)}
    for key in store.storage.tables():
        if (place := _place(store, key)) not in known and not is_of_system(key):
            try:
                yield find(store, pushed.get(place, key), allow_fallback=False).checked()
            except MetadataSchemaError:  # a table of someone else
                continue


def without_table(store: StoreParts, keys: Iterable[FeatureKey]) -> set[FeatureKey]:
    """Return which of some features have no table in a store; none of them if it does not know which tables it has."""
    if not isinstance(store.storage, Listable):
        return set()
    there = {_place(store, key) for key in store.storage.tables()}
    return {key for key in keys if _place(store, key) not in there}


def is_of_system(key: FeatureKey) -> bool:
    """Return whether a key that a storage lists is one of ours, whose hyphens it may not tell."""
    return FeatureKey(key.parts[:1]).table_name == FeatureKey(METAXY_SYSTEM_KEY_PREFIX).table_name


def _place(store: StoreParts, key: FeatureKey) -> frozenset[tuple[str, str]]:
    """Return where a table lies: names in databases do not tell hyphens from underscores, those of folders do."""
    return frozenset(store.storage.describe(key).items())


def pushed_keys(store: StoreParts) -> list[FeatureKey]:
    """Return all keys that were ever pushed: these know which underscores are hyphens."""
    rows = collect_to_polars(scan_rows(store.storage, FEATURE_VERSIONS).select(COL_FEATURE_KEY).unique())
    return list(map(coerce_to_feature_key, rows[COL_FEATURE_KEY].drop_nulls()))


def count_rows(scan: Scan, conditions: Sequence[nw.Expr] = (), **more: nw.Expr) -> dict[str, Any]:
    """Count the ``rows`` and ``feature_versions`` of a table, and whatever ``more`` is asked, beside its last write."""
    frame = scan.frame.filter(*conditions) if conditions else scan.frame
    counts = collect_to_polars(
        frame.select(
            rows=nw.len(),
            feature_versions=nw.col(METAXY_FEATURE_VERSION).n_unique(),
            last_write=nw.col(METAXY_UPDATED_AT).max(),
            **more,
        )
    ).row(0, named=True)
    return {**counts, "feature_versions": counts["feature_versions"] or 0}  # some databases count nothing as NULL
