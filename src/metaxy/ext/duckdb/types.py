"""Types of Arrow that DuckDB lacks, as the nearest that it has: times of the day and durations in microseconds.

Polars has times of the day in nanoseconds, which Narwhals does not know in DuckDB, and which DuckDB does not compare.
"""

from typing import TYPE_CHECKING

from metaxy.errors import MetadataSchemaError
from metaxy.ext.duckdb.dialect import DUCKDB
from metaxy.versioning.frames import with_arrow_leaves

if TYPE_CHECKING:
    import pyarrow as pa


def shielded(schema: "pa.Schema") -> str:
    """Return a select list of Arrow data on which DuckDB puts no filters of columns that Arrow compares otherwise.

    DuckDB lets Arrow filter while it scans, also by what it learns from the other side of a join. Arrow finds no number
    less than NaN, so that rows would be lost; and lists of moments with a time zone become Python objects, for which a
    package is needed that nobody has. A filter does not get past an expression.
    """
    import pyarrow as pa

    def compares_otherwise(dtype: "pa.DataType") -> bool:
        return pa.types.is_floating(dtype) or (pa.types.is_timestamp(dtype) and dtype.tz is not None)

    names = [DUCKDB.quote(column.name) for column in schema if compares_otherwise(column.type)]
    shown = ", ".join(f"CASE WHEN {name} IS NULL THEN NULL ELSE {name} END AS {name}" for name in names)
    return f"* REPLACE ({shown})" if shown else "*"


def with_known_types(table: "pa.Table") -> "pa.Table":
    """Cast columns of such types, also inside of lists and structs. Columns in: any. Columns out: the same ones.

    Raises:
        MetadataSchemaError: naming the column, if one holds a part of a microsecond.
    """
    import pyarrow as pa

    if "duration" in str(table.schema):
        _refuse_long_durations(table)
    if not any(kind in str(table.schema) for kind in ("time64[ns]", "duration[ns]", "halffloat")):
        return table
    nearest = {pa.time64("ns"): pa.time64("us"), pa.duration("ns"): pa.duration("us"), pa.float16(): pa.float32()}
    for index, column in enumerate(table.schema):
        dtype = with_arrow_leaves(column.type, lambda part: nearest.get(part, part))
        if dtype == column.type:
            continue
        try:
            table = table.set_column(index, column.name, table.column(index).cast(dtype))
        except pa.ArrowInvalid as error:
            raise MetadataSchemaError(
                f"column {column.name!r} holds parts of a microsecond, and DuckDB keeps microseconds of {column.type}; "
                "round them, or cast the column to text"
            ) from error
    return table


def _refuse_long_durations(table: "pa.Table") -> None:
    """Refuse what DuckDB keeps, but gives as nanoseconds in 64 bits, where longer ones become others."""
    import pyarrow as pa

    for name, column in zip(table.column_names, table.columns, strict=True):
        wanted = with_arrow_leaves(column.type, lambda part: pa.duration("ns") if pa.types.is_duration(part) else part)
        try:
            column.cast(wanted)
        except pa.ArrowInvalid as error:
            raise MetadataSchemaError(
                f"column {name!r} holds a duration of more than 292 years, which DuckDB does not give back; "
                "cast the column to an integer"
            ) from error
