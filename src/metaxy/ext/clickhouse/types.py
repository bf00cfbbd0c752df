"""Types of ClickHouse's columns, and rows as they go in and come out as Arrow."""

import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any

import ibis
import narwhals as nw
import polars as pl
from ibis.backends.sql.datatypes import ClickHouseType

from metaxy.errors import MetadataSchemaError
from metaxy.ext.clickhouse.dialect import CLICKHOUSE
from metaxy.ext.ibis.compiling import NativeStruct, narwhals_types
from metaxy.ext.ibis.json_columns import from_json, to_json
from metaxy.ext.ibis.notation import read_type, written_type
from metaxy.versioning.codec import map_polars
from metaxy.versioning.column_types import Types

MOMENT = "DateTime64(6, 'UTC')"
PLAIN = (
    *(nw.Int8, nw.Int16, nw.Int32, nw.Int64, nw.UInt8, nw.UInt16, nw.UInt32, nw.UInt64, nw.Float32, nw.Float64),
    *(nw.String, nw.Boolean),
)
NAMES = {nw.Boolean: "Bool", nw.Date: "Date32", nw.Enum: "String", nw.Categorical: "String"}
# What ClickHouse has no type for that may be NULL; what such a column holds is remembered in its comment.
AS_TEXT = (nw.Map, nw.List, nw.Array, nw.Struct, nw.Binary, nw.Time)
HOLDS = "metaxy: "
TIME = "%H:%M:%S%.f"  # of times of the day as text, which is in the same order
TEXTS = ("String", "Nullable(String)", "LowCardinality(String)", "LowCardinality(Nullable(String))")
NEVER_NULL = ("String", "FixedString", "Int", "UInt", "Float", "Decimal", "Bool", "Date", "Enum", "UUID", "IPv")
DATES = (date(1900, 1, 1), date(2299, 12, 31))
_LOW_CARDINALITY = re.compile(r"LowCardinality\(([^()]*(?:\([^()]*\))?)\)")


def sql_type(dtype: nw.dtypes.DType) -> str | None:
    """Write the type of a new column, None if there is none.

    >>> sql_type(nw.Int64()), sql_type(nw.List(nw.Int64()))
    ('Nullable(Int64)', 'Nullable(String)')
    """
    if isinstance(dtype, nw.Datetime):
        return f"Nullable({MOMENT})"
    if isinstance(dtype, nw.Decimal):
        return f"Nullable(Decimal({dtype.precision}, {dtype.scale}))"
    if isinstance(dtype, AS_TEXT):
        return "Nullable(String)"
    name = NAMES.get(type(dtype)) or (type(dtype).__name__ if isinstance(dtype, PLAIN) else None)
    return name and f"Nullable({name})"


def note(dtype: nw.dtypes.DType) -> str | None:
    """Return what the comment of a column says, None if its type says it all."""
    naive = isinstance(dtype, nw.Datetime) and dtype.time_zone is None
    return f"{HOLDS}{written_type(dtype)}" if naive or isinstance(dtype, AS_TEXT) else None


def narwhals_type(kind: str, comment: str) -> nw.dtypes.DType:
    """Return what a column is here; types that nothing here knows are text."""
    try:
        if comment.startswith(HOLDS):
            found = read_type(comment.removeprefix(HOLDS))
            if found.is_nested():
                return found
        else:
            dtype = ClickHouseType.from_string(_LOW_CARDINALITY.sub(r"\1", kind))
            found = narwhals_types(ibis.schema({"c": dtype}))["c"]
    except Exception:
        return nw.String()
    read: nw.dtypes.DType = _as_read(found)
    return read


def _as_read(dtype: Any) -> Any:
    """Return a type with the times that are read, which are in microseconds, at any depth."""
    if isinstance(dtype, nw.Datetime):
        return nw.Datetime("us", dtype.time_zone)
    if isinstance(dtype, nw.Struct):
        return type(dtype)({member.name: _as_read(member.dtype) for member in dtype.fields})
    if isinstance(dtype, nw.List):
        return nw.List(_as_read(dtype.inner))
    return nw.Map(dtype.key, _as_read(dtype.value)) if isinstance(dtype, nw.Map) else dtype


def text_of_time(value: time) -> str:
    """Return a time of the day as columns keep it.

    >>> text_of_time(time(1, 2, 3)), text_of_time(time(1, 2, 3, 4))
    ('01:02:03', '01:02:03.000004')
    """
    text: str = pl.Series([value]).dt.to_string(TIME)[0]
    return text


def outgoing(value: str, dtype: nw.dtypes.DType, *, nullable_tuples: bool) -> str:
    """Write a value as it is fetched: what is seen as text may be JSON, an enumeration, an address.

    ``nullable_tuples``: the server knows tuples that are NULL, which joins make of what they do not find.
    """
    if isinstance(dtype, (nw.String, nw.Unknown)):
        return f"CAST({value} AS Nullable(String))"
    if isinstance(dtype, NativeStruct):
        kind = _fetched_type(dtype)
        if not nullable_tuples:
            return f"CAST({value} AS {kind})"
        return f"if(isNull({value}), NULL, CAST(assumeNotNull({value}) AS {kind}))"
    return f"CAST({value} AS Nullable({MOMENT}))" if isinstance(dtype, nw.Datetime) else value


def _fetched_type(dtype: Any) -> str:
    """Write the type as which a part of a tuple is fetched."""
    if isinstance(dtype, NativeStruct):
        members = (f"{CLICKHOUSE.quote(m.name)} {_fetched_type(m.dtype)}" for m in dtype.fields)
        return f"Tuple({', '.join(members)})"
    if isinstance(dtype, nw.List):
        return f"Array({_fetched_type(dtype.inner)})"
    if isinstance(dtype, nw.Map):
        key = _fetched_type(dtype.key).removeprefix("Nullable(").removesuffix(")")
        return f"Map({key}, {_fetched_type(dtype.value)})"
    return sql_type(dtype) or "Nullable(String)"


def fetched(table: Any, types: Types) -> Any:
    """Give the columns of an Arrow table the types that they have here."""
    import pyarrow as pa

    columns = {name: _fetched(table[name], dtype) for name, dtype in types.items()}
    return pa.table(columns)


def _fetched(column: Any, dtype: nw.dtypes.DType) -> Any:
    import pyarrow as pa

    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if text and dtype.is_nested():
        return from_json(pl.Series("c", column), dtype).to_arrow()
    if text and isinstance(dtype, nw.Time):
        return pl.Series("c", column).str.to_time(TIME).to_arrow()
    if isinstance(dtype, (nw.Unknown, nw.Object, nw.Enum, nw.Categorical)):
        return column
    wanted = nw.Schema({"c": dtype}).to_arrow().field("c").type
    if pa.types.is_fixed_size_binary(column.type) and pa.types.is_integer(wanted):  # computed with 128 bits
        numbers = [value and int.from_bytes(value, "little", signed=True) for value in column.to_pylist()]
        return pa.array(numbers, wanted)
    return column if column.type == wanted else column.cast(wanted)


def is_text(kind: str) -> bool:
    """Return whether a column of a type holds text, which may be JSON.

    >>> is_text("Nullable(String)"), is_text("Map(String, String)")
    (True, False)
    """
    return "String" in kind and not kind.startswith(("Array(", "Tuple(", "Map(", "Nested("))


def refuse_nulls(frame: pl.DataFrame, kinds: Mapping[str, str]) -> None:
    """Refuse NULL for columns of a table that cannot hold it, before the table gains others."""
    for column in frame:
        kind = kinds.get(column.name)
        if kind and kind.startswith(NEVER_NULL) and column.null_count():
            raise MetadataSchemaError(
                f"column {column.name!r} holds NULL, which its type {kind} cannot; fill it, or make the column Nullable"
            )


def refuse_dates_beyond(frame: pl.DataFrame) -> None:
    """Refuse dates that ClickHouse would take for its first or last one as soon as they are compared."""
    for name in frame.select(pl.col(pl.Date)).columns:
        beyond = frame[name].filter(~frame[name].is_between(*DATES))
        if beyond.len():
            raise MetadataSchemaError(
                f"column {name!r} holds {beyond[0]}, and dates of ClickHouse lie between {DATES[0]} and "
                f"{DATES[1]}; write it as a timestamp or as text"
            )


def incoming(frame: pl.DataFrame, kinds: Mapping[str, str]) -> pl.DataFrame:
    """Turn columns into what the columns of a table take."""
    return frame.with_columns(_incoming(name, dtype, kinds.get(name, "")) for name, dtype in frame.schema.items())


def _incoming(name: str, dtype: pl.DataType, kind: str) -> pl.Expr:
    value = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        utc = value.dt.convert_time_zone("UTC") if dtype.time_zone else value.dt.replace_time_zone("UTC")
        return utc.cast(pl.Datetime("us", "UTC"))
    if dtype == pl.Time:
        return value.dt.to_string(TIME)
    if dtype.is_float():  # ClickHouse joins and groups by bits, so that each number must have its own
        one_zero = pl.when(value == 0).then(0.0).otherwise(value)
        return pl.when(value.is_nan()).then(float("nan")).otherwise(one_zero).cast(dtype).alias(name)
    if dtype.is_nested() and is_text(kind):
        return to_json(value, dtype).alias(name)
    if kind.startswith("Map(") and isinstance(dtype, (pl.Map, pl.Struct)):
        return _as_map(value, dtype, keeps_nulls="Nullable(" in kind).alias(name)
    return value


def _as_map(value: pl.Expr, given: pl.Map | pl.Struct, *, keeps_nulls: bool) -> pl.Expr:
    """Turn a map, or a struct of texts, into what a column of maps takes: it cannot be NULL, and may hold none."""
    dtype = given if isinstance(given, pl.Map) else pl.Map(pl.String, pl.String)
    if isinstance(given, pl.Struct):
        value = map_polars({f.name: value.struct.field(f.name) for f in given.fields}, dtype)
    entries = value.cast(pl.List(pl.Struct({"key": dtype.key, "value": dtype.value})))
    kept = entries if keeps_nulls else entries.list.filter(pl.element().struct.field("value").is_not_null())
    return kept.cast(dtype)
