"""Values that a database would keep as others, and that are refused instead."""

from typing import Any

import polars as pl

from metaxy.errors import MetadataSchemaError
from metaxy.versioning.polars_casts import members_of


def refuse_finer_times(rows: pl.DataFrame, database: str, *others: type[pl.DataType]) -> None:
    """Refuse times with nanoseconds, where a database has microseconds; ``others`` are types that it has besides.

    >>> refuse_finer_times(pl.DataFrame({"at": pl.Series([1000], dtype=pl.Datetime("ns"))}), "SQLite")
    """
    for column in rows:
        if column.dtype == pl.Datetime("ns") or column.dtype in others:
            finer = column.filter(column.to_physical() % 1000 != 0)
            if len(finer):
                shown = finer.head(1).dt.to_string("iso").item()
                raise MetadataSchemaError(
                    f"column {column.name!r} holds {shown}, but times of {database} end at microseconds; round it"
                )


def refuse_nul(rows: pl.DataFrame, database: str) -> None:
    """Refuse texts with NUL characters, also in lists, structs and maps."""
    for name, dtype in rows.schema.items():
        if rows.select(_has_nul(pl.col(name), dtype).any()).item():
            raise MetadataSchemaError(
                f"column {name!r} contains a NUL character, which texts of {database} cannot have; remove it"
            )


def _has_nul(value: pl.Expr, dtype: Any) -> pl.Expr:
    """Say for each value of a column whether there is a NUL in it."""
    if isinstance(dtype, pl.Struct) and dtype.fields:
        return pl.any_horizontal(_has_nul(member, inner) for _, member, inner in members_of(value, dtype))
    if isinstance(dtype, (pl.List, pl.Array)):
        items = value.arr.to_list() if isinstance(dtype, pl.Array) else value
        return items.list.eval(_has_nul(pl.element(), dtype.inner)).list.any()
    if isinstance(dtype, pl.Map):
        entry = pl.Struct({"key": dtype.key, "value": dtype.value})
        return _has_nul(value.map.entries(), pl.List(entry))
    if dtype.base_type() not in (pl.String, pl.Enum, pl.Categorical):
        return value.is_null() & False
    return value.cast(pl.String).str.contains("\0", literal=True)
