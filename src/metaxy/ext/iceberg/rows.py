"""Rows as Iceberg can keep them, and those that stay after a delete."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_FEATURE_VERSION
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


def stored_type(dtype: pl.DataType) -> pl.DataType:
    """Return the type that Iceberg has for a flat type of Polars.

    >>> stored_type(pl.UInt8())
    Int32
    """
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", "UTC" if dtype.time_zone else None)
    return TYPES.get(type(dtype), dtype)


def fitted(frame: pl.LazyFrame, table: pl.Schema) -> pl.LazyFrame | None:
    """Give rows the columns of a table, None if the table must change for them."""
    schema = frame.collect_schema()
    if any(table.get(name) != dtype for name, dtype in schema.items()):
        return None
    missing = (pl.lit(None, dtype).alias(name) for name, dtype in table.items() if name not in schema)
    return frame.with_columns(missing).select(table.names())
