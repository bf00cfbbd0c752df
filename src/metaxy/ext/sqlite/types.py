"""Types and values of columns: times are microseconds, dates text, lists and structs JSON.

SQLite keeps NaN as NULL and no integers of more than 63 bits, so both are refused; and a query calls a column `true` or
`false` by another name, so there is none of these names.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.errors import MetadataSchemaError
from metaxy.ext.ibis.json_columns import from_json, to_json
from metaxy.ext.ibis.notation import read_type, written_type
from metaxy.ext.sqlite.dialect import SQLITE

# Types of columns, and what each is here. Times are microseconds, dates text, lists and structs JSON.
TYPES: dict[str, nw.dtypes.DType] = {
    "VARCHAR": nw.String(),
    "TINYINT": nw.Int8(),
    "SMALLINT": nw.Int16(),
    "INT32": nw.Int32(),
    "BIGINT": nw.Int64(),
    "UTINYINT": nw.UInt8(),
    "USMALLINT": nw.UInt16(),
    "UINT32": nw.UInt32(),
    "UBIGINT": nw.UInt64(),
    "FLOAT": nw.Float32(),
    "DOUBLE": nw.Float64(),
    "BOOLEAN": nw.Boolean(),
    "DATE": nw.Date(),
    "TIMESTAMP": nw.Datetime("us"),
    "TIMESTAMPTZ": nw.Datetime("us", "UTC"),
    "BLOB": nw.Binary(),
    "JSON": nw.String(),
}
# Types in tables that others created, by what SQLite makes of them.
AFFINITIES: dict[str, nw.dtypes.DType] = {
    "INT": nw.Int64(),
    "CHAR": nw.String(),
    "CLOB": nw.String(),
    "TEXT": nw.String(),
    "BLOB": nw.Binary(),
    "REAL": nw.Float64(),
    "FLOA": nw.Float64(),
    "DOUB": nw.Float64(),
    "BOOL": nw.Boolean(),
    "NUM": nw.Float64(),
    "DEC": nw.Float64(),
}
LARGEST = 2**63 - 1
NAN = "nan"  # what NaN is in a query: as text it is greater than each number, as elsewhere
NESTED = "JSON "  # before the type of a list or struct


def narwhals_type(kind: str) -> nw.dtypes.DType:
    """Return what a type of SQLite is here."""
    plain = kind.strip('"')
    if plain.startswith(NESTED):
        return read_type(plain.removeprefix(NESTED))
    if plain.upper() in TYPES:
        return TYPES[plain.upper()]
    return next((dtype for word, dtype in AFFINITIES.items() if word in plain.upper()), nw.String())


def sql_type(dtype: nw.dtypes.DType) -> str:
    """Write the type of a new column."""
    if dtype.is_nested():
        return SQLITE.quote(f"{NESTED}{written_type(dtype)}")
    if isinstance(dtype, (nw.Enum, nw.Categorical, nw.Unknown)):
        return "VARCHAR"
    wanted = nw.Datetime("us", dtype.time_zone) if isinstance(dtype, nw.Datetime) else dtype
    wanted = nw.Datetime("us", "UTC") if isinstance(wanted, nw.Datetime) and wanted.time_zone else wanted
    for kind, known in TYPES.items():
        if known == wanted:
            return kind
    raise MetadataSchemaError(f"SQLite has no type for columns of {dtype}; cast them to another type")


def read(name: str, dtype: Any, values: Sequence[Any]) -> pl.Series:
    """Turn the values of a column into what it is."""
    if isinstance(dtype, nw.Datetime):
        moments = pl.Series(name, values, pl.Int64).cast(pl.Datetime("us", dtype.time_zone and "UTC"))
        return moments.dt.convert_time_zone(dtype.time_zone) if dtype.time_zone else moments
    if isinstance(dtype, nw.Date):
        return pl.Series(name, values, pl.String).str.to_date("%Y-%m-%d")
    if isinstance(dtype, nw.Boolean):
        return pl.Series(name, values, pl.Int64).cast(pl.Boolean)
    if dtype.is_nested():
        return from_json(pl.Series(name, values, pl.String), dtype)
    wanted = nw.Schema({name: dtype}).to_polars()[name] if not isinstance(dtype, nw.Unknown) else pl.String()
    if dtype.is_float() and NAN in values:  # computed by the query
        values = [float(value) if value == NAN else value for value in values]
    return pl.Series(name, values, wanted)


def written(column: pl.Series) -> Any:
    """Turn a column into values that SQLite takes."""
    if isinstance(column.dtype, pl.Datetime):
        utc = column.dt.convert_time_zone("UTC") if column.dtype.time_zone else column
        return utc.cast(pl.Datetime("us", utc.dtype.time_zone)).dt.epoch("us").to_list()  # type: ignore[attr-defined]
    if column.dtype == pl.Date:
        return column.dt.to_string("%Y-%m-%d").to_list()
    if column.dtype.is_nested():
        return column.to_frame().select(to_json(pl.col(column.name), column.dtype)).to_series().to_list()
    return column.to_list()


def refuse_lost_values(frame: pl.DataFrame) -> None:
    """Refuse numbers that SQLite would change."""
    for column in frame.select(pl.col(pl.UInt64)):
        largest = column.max()
        if isinstance(largest, int) and largest > LARGEST:
            raise MetadataSchemaError(
                f"column {column.name!r} holds {largest}, but integers of SQLite end at {LARGEST}; cast it to text"
            )
    for column in frame.select(pl.col(pl.Float32, pl.Float64)):
        if column.is_nan().any():
            raise MetadataSchemaError(
                f"column {column.name!r} holds NaN, which SQLite would keep as NULL; fill it with a number or with NULL"
            )


def refuse_lost_names(columns: Iterable[str]) -> None:
    """Refuse names that a query of SQLite would forget."""
    for column in columns:
        if column.lower() in ("true", "false"):
            raise MetadataSchemaError(f"column {column!r}: queries of SQLite take this name for a value; rename it")
