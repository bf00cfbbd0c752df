"""Reading and writing rows of system tables: no versions, no samples, no fallback stores."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import narwhals as nw

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import SystemDataNotFoundError, TableNotFoundError
from metaxy.storage.port import Append, Scan, Storage
from metaxy.store.layers import layers_of
from metaxy.store.parts import StoreParts
from metaxy.store.system.tables import SYSTEM_TABLES, SystemTable
from metaxy.store.writing import Fence, WriteOptions, append, existing_table
from metaxy.versioning.conditions import checked_conditions
from metaxy.versioning.frames import collect_to_polars


def read_system_rows(
    store: StoreParts, key: FeatureKey, filters: Sequence[nw.Expr], columns: Sequence[str] | None
) -> nw.LazyFrame[Any]:
    """Return the rows of a system table that fulfil all filters, lazily.

    Raises:
        SystemDataNotFoundError: if this store does not have the table yet.
    """
    try:
        scan = store.storage.scan(key)
    except TableNotFoundError as error:
        hint = f"; it is written by {SYSTEM_TABLES[key].written_by}" if key in SYSTEM_TABLES else ""
        raise SystemDataNotFoundError(f"{store!r} has no system table {key} yet{hint}") from error
    capabilities = store.storage.capabilities
    conditions = checked_conditions(f"system table {key}", filters, scan.schema, orders_nan=capabilities.orders_nan)
    rows = scan.frame.filter(*conditions) if conditions else scan.frame
    return rows if columns is None else rows.select(*columns)


def scan_rows(storage: Storage, table: SystemTable) -> nw.LazyFrame[Any]:
    """Return all rows of a system table, lazily; none if it does not exist yet."""
    try:
        return storage.scan(table.key).frame
    except TableNotFoundError:
        return nw.from_native(table.empty().lazy())


def scans_seen(store: StoreParts, key: FeatureKey) -> Iterator[Scan]:
    """Yield a system table of a store, and those of stores whose rows it sees under its own."""
    if store.overlays:
        yield from (layer.scan for layer in layers_of(store, key))
        return
    with suppress(TableNotFoundError):
        yield store.storage.scan(key)


def append_rows(store: StoreParts, key: FeatureKey, frame: Any, fence: Fence | None = None) -> None:
    """Add rows to a system table, as they are; it is created if the store may do so."""
    rows = collect_to_polars(frame)
    if key in SYSTEM_TABLES:
        rows = SYSTEM_TABLES[key].fit(rows)
    existing = existing_table(store, key)
    new_columns = tuple(name for name in rows.columns if existing and name not in existing.schema)
    given = nw.from_native(rows)
    taken = store.engine.for_writing(given, store.hash_algorithm).take(given)
    append(store, [Append(key, taken, existing is None, new_columns, base=existing)], WriteOptions(fence=fence))
