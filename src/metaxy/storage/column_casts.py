"""Rows in the types that a format has, where it has fewer than Polars: each value stays what it is, or is refused."""

from collections.abc import Mapping
from functools import partial

import polars as pl

from metaxy.errors import MetadataSchemaError
from metaxy.storage.files import one_line
from metaxy.storage.nested_types import with_leaves
from metaxy.versioning.polars_casts import recast

Types = Mapping[type[pl.DataType], pl.DataType]


def storable(rows: pl.LazyFrame, types: Types, where: str, format_name: str) -> pl.LazyFrame:
    """Give columns the types that a format of files has for them; only where there are others, all rows are looked at.

    Args:
        types: those that the format has for flat types which it lacks.

    Raises:
        MetadataSchemaError: if a value does not fit, naming the column and both types.

    >>> storable(pl.LazyFrame({"n": [1]}), {pl.Int64: pl.Int32()}, "video", "Iceberg").collect_schema()["n"]
    Int32
    """
    schema = rows.collect_schema()
    wanted = {name: with_leaves(dtype, partial(_stored_type, types)) for name, dtype in schema.items()}
    changed = {name: dtype for name, dtype in wanted.items() if dtype != schema[name]}
    if not changed:
        return rows
    frame = rows.collect()
    casts = [_cast(frame[name], wanted, where, format_name) for name, wanted in changed.items()]
    return frame.with_columns(casts).lazy()


def _stored_type(types: Types, dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", "UTC" if dtype.time_zone else None)
    return types.get(type(dtype), dtype)


def _cast(column: pl.Series, wanted: pl.DataType, where: str, format_name: str) -> pl.Series:
    problem = f"{where}: column {column.name!r} is {column.dtype}, which {format_name} would store as {wanted}"
    try:
        cast = cast_column(column, wanted)
        same = cast_column(cast, column.dtype).equals(column)
    except pl.exceptions.PolarsError as error:
        raise MetadataSchemaError(f"{problem}: {one_line(error)}; cast the column before writing it") from error
    if not same:
        raise MetadataSchemaError(f"{problem}: some values would change; cast the column before writing it")
    return cast


def cast_column(column: pl.Series, wanted: pl.DataType) -> pl.Series:
    """Cast a column at any depth, whatever its name is."""
    return column.to_frame("c").select(recast(pl.col("c"), column.dtype, wanted).alias(column.name)).to_series()
