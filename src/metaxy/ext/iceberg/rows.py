"""Rows as Iceberg can keep them, those that stay after a delete, and commits that have all rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl
from pyiceberg.catalog import Catalog
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.update import AddSnapshotUpdate, TableRequirement, TableUpdate

from metaxy.columns import METAXY_FEATURE_VERSION
from metaxy.errors import StoreConnectionError
from metaxy.versioning.frames import to_polars_lazy

GONE = "__metaxy_gone"
# Iceberg has neither categories nor small or unsigned integers.
TYPES: Mapping[type[pl.DataType], pl.DataType] = {
    **dict.fromkeys((pl.Categorical, pl.Enum), pl.String()),
    **dict.fromkeys((pl.Int8, pl.Int16, pl.UInt8, pl.UInt16), pl.Int32()),
    **dict.fromkeys((pl.UInt32, pl.UInt64), pl.Int64()),
    pl.Float16: pl.Float32(),
}


@dataclass(frozen=True)
class Rest:
    """What a delete leaves of the parts of a table that it touches.

    ``versions`` are the feature versions to write anew, None for the whole table; ``rows`` are those that stay in them.
    """

    versions: tuple[str, ...] | None
    rows: pl.LazyFrame


def rest_after(rows: nw.LazyFrame[Any], condition: nw.Expr) -> Rest | None:
    """Say how to delete rows by rewriting the feature versions that they are in, None if there are no such rows.

    A row goes only where the condition is true, not where it is NULL.
    """
    flagged = to_polars_lazy(rows.with_columns(condition.alias(GONE))).with_columns(pl.col(GONE).fill_null(value=False))
    gone, keep = flagged.filter(pl.col(GONE)), flagged.filter(~pl.col(GONE)).drop(GONE)
    if METAXY_FEATURE_VERSION not in rows.collect_schema():
        return Rest(None, keep) if gone.head(1).collect().height else None
    version = pl.col(METAXY_FEATURE_VERSION)
    versions = gone.select(version).unique().collect().to_series()
    if versions.is_empty():
        return None
    if versions.null_count():
        return Rest(None, keep)
    return Rest(tuple(versions), keep.filter(version.is_in(versions.to_list())))


def fitted(frame: pl.LazyFrame, table: pl.Schema) -> pl.LazyFrame | None:
    """Give rows the columns of a table, None if the table must change for them."""
    schema = frame.collect_schema()
    if any(table.get(name) != dtype for name, dtype in schema.items()):
        return None
    missing = (pl.lit(None, dtype).alias(name) for name, dtype in table.items() if name not in schema)
    return frame.with_columns(missing).select(table.names())


def sink_whole(rows: pl.LazyFrame, table: Table, height: int, **options: Any) -> None:
    """Write rows to a table in one commit, with what `polars.LazyFrame.sink_iceberg` takes.

    When a source of rows fails, Polars may commit those that it has written before it says so.

    Raises:
        StoreConnectionError: if some of the rows were not written, so that nothing is committed.
    """
    catalog: Any = WholeCommits(table.catalog, height)
    whole = Table(table.name(), table.metadata, table.metadata_location, table.io, catalog, table.config)
    rows.sink_iceberg(whole, **options)


class WholeCommits:
    """A catalog that makes no commit unless it adds a number of rows."""

    def __init__(self, catalog: Catalog, height: int) -> None:
        self._catalog = catalog
        self._height = height

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit, if all rows are there."""
        summaries = [update.snapshot.summary for update in updates if isinstance(update, AddSnapshotUpdate)]
        added = sum(int(summary["added-records"] or 0) for summary in summaries if summary)
        if added != self._height:
            raise StoreConnectionError(
                f"only {added} of {self._height} rows could be written to {'.'.join(table.name())}; nothing is stored"
            )
        return self._catalog.commit_table(table, requirements, updates)
