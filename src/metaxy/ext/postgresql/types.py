"""Types of columns; lists of simple values are arrays, all else that is nested is JSON."""

from typing import Any

import narwhals as nw

from metaxy.errors import MetadataSchemaError
from metaxy.ext.ibis.notation import read_type

JSON_TYPES = ("json", "jsonb")
# Types as PostgreSQL names them, and what each is here; all others are text.
TYPES: dict[str, nw.dtypes.DType] = {
    "smallint": nw.Int16(),
    "integer": nw.Int32(),
    "bigint": nw.Int64(),
    "real": nw.Float32(),
    "double precision": nw.Float64(),
    "boolean": nw.Boolean(),
    "date": nw.Date(),
    "bytea": nw.Binary(),
    "time without time zone": nw.Time(),
    "timestamp with time zone": nw.Datetime("us", "UTC"),
    "timestamp without time zone": nw.Datetime("us"),
    "numeric": nw.Decimal(38, 9),
}
SQL_TYPES: dict[type, str] = {
    nw.String: "varchar",
    nw.Int8: "smallint",
    nw.UInt8: "smallint",
    nw.Int16: "smallint",
    nw.UInt16: "integer",
    nw.Int32: "integer",
    nw.UInt32: "bigint",
    nw.Int64: "bigint",
    nw.UInt64: "numeric(20,0)",
    nw.Float32: "real",
    nw.Float64: "double precision",
    nw.Boolean: "boolean",
    nw.Date: "date",
    nw.Time: "time",
    nw.Binary: "bytea",
    nw.Struct: "jsonb",
    nw.Map: "jsonb",
    nw.Enum: "varchar",
    nw.Categorical: "varchar",
}
# What a column of JSON holds is remembered in its comment.
HOLDS = "metaxy: "


def narwhals_type(kind: str, comment: str = "") -> nw.dtypes.DType:
    """Return what a type of PostgreSQL is here."""
    if comment.startswith(HOLDS):
        return read_type(comment.removeprefix(HOLDS))
    if kind.endswith("[]"):
        return nw.List(narwhals_type(kind[:-2]))
    plain, _, rest = kind.partition("(")
    sizes, _, after = rest.partition(")")
    if plain == "numeric" and sizes:
        precision, _, scale = sizes.partition(",")
        return nw.Decimal(int(precision), int(scale or 0))
    return TYPES.get(plain + after, nw.String())


def sql_type(dtype: nw.dtypes.DType) -> str:
    """Write the type of a new column."""
    if isinstance(dtype, nw.Decimal):
        return f"numeric({dtype.precision},{dtype.scale})"
    if isinstance(dtype, nw.Datetime):
        return "timestamptz" if dtype.time_zone else "timestamp"
    if isinstance(dtype, (nw.List, nw.Array)):
        inner: Any = dtype.inner
        return f"{sql_type(inner)}[]" if _is_element(inner) else "jsonb"
    kind = SQL_TYPES.get(type(dtype))
    if kind is None:
        raise MetadataSchemaError(f"PostgreSQL has no type for columns of {dtype}; cast them to another type")
    return kind


def _is_element(dtype: Any) -> bool:
    """Return whether lists of a type are arrays; lists of anything else are JSON."""
    return type(dtype) in SQL_TYPES and not isinstance(dtype, (nw.Struct, nw.Map, nw.Binary, nw.Time))


def is_text(dtype: nw.dtypes.DType) -> bool:
    """Return whether values of a type are written as text."""
    return isinstance(dtype, (nw.String, nw.Enum, nw.Categorical, nw.Unknown))
