"""Types of IDs: which of them may meet in a join, and in which type Polars compares them."""

from collections.abc import Iterable, Mapping
from typing import Final

import narwhals as nw
import polars as pl

from metaxy.errors import MetadataSchemaError

UNITS: Final = ("ms", "us", "ns")
Keys = tuple[list[pl.Expr], list[pl.Expr]]


def type_family(dtype: nw.dtypes.DType) -> str:
    """Name the family of types that may stand on two sides of a join.

    >>> type_family(nw.Int32()), type_family(nw.String()), type_family(nw.Decimal(20, 0))
    ('integer', 'text', 'integer')
    """
    if dtype.is_integer():
        return "integer"
    if dtype.is_float():
        return "float"
    if isinstance(dtype, (nw.String, nw.Categorical, nw.Enum)):
        return "text"
    if isinstance(dtype, nw.Datetime):
        return "timestamp" if dtype.time_zone is None else "timestamp with time zone"
    if isinstance(dtype, nw.Decimal):
        return "decimal" if dtype.scale else "integer"  # as which databases keep large ones
    return "duration" if isinstance(dtype, nw.Duration) else str(dtype).lower()


def check_same_type(feature: str, column: str, left: nw.dtypes.DType, right: nw.dtypes.DType) -> None:
    """Refuse to compare IDs of different types: a database would convert one of them silently."""
    if isinstance(left, nw.Unknown) or isinstance(right, nw.Unknown):
        return
    if type_family(left) != type_family(right):
        raise MetadataSchemaError(
            f"{feature}: ID column {column!r} is {left} on one side and {right} on the other; cast one of them"
        )


def refuse_nested_ids(where: str, ids: Iterable[str], schema: Mapping[str, nw.dtypes.DType]) -> None:
    """Refuse IDs that hold several values: engines neither order them alike nor compare them alike."""
    for name in ids:
        if name in schema and schema[name].is_nested():
            raise MetadataSchemaError(
                f"{where}: ID column {name!r} is {schema[name]}, but an ID is one value; give each part a column of "
                "its own, or write them as text"
            )


def meeting_type(left: pl.DataType, right: pl.DataType) -> pl.DataType:
    """Return a type of the same family in which all values of both types are different ones, as in each of them.

    >>> meeting_type(pl.Datetime("us", "Europe/Berlin"), pl.Datetime("ms", "UTC"))
    Datetime(time_unit='us', time_zone='UTC')
    """
    types = (left, right)
    if left == right:
        return left
    if any(isinstance(dtype, (pl.Categorical, pl.Enum)) for dtype in types):
        return pl.String()
    if isinstance(left, pl.Datetime) and isinstance(right, pl.Datetime):
        unit = max(left.time_unit, right.time_unit, key=UNITS.index)
        return pl.Datetime(unit, "UTC" if left.time_zone else None)
    if isinstance(left, pl.Duration) and isinstance(right, pl.Duration):
        return pl.Duration(max(left.time_unit, right.time_unit, key=UNITS.index))
    if any(isinstance(dtype, pl.Decimal) for dtype in types):
        scale = max(getattr(dtype, "scale", 0) for dtype in types)
        return pl.Decimal(38, scale) if scale else pl.Int128()
    return left  # Polars widens numbers by itself


def alike(left: pl.Schema, right: pl.Schema, pairs: Iterable[tuple[str, str]]) -> Keys:
    """Write the keys of both sides of a join in one type; a value that only one side can have becomes NULL."""
    keys: Keys = ([], [])
    for pair in pairs:
        dtype = meeting_type(left[pair[0]], right[pair[1]])
        for exprs, schema, name in zip(keys, (left, right), pair, strict=True):
            exprs.append(pl.col(name) if schema[name] == dtype else pl.col(name).cast(dtype, strict=False))
    return keys
