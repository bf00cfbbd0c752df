"""The payload of samples whose versions are equal: which columns can be compared exactly, and how engines do that.

Values are compared as a write would store them. Lists, structs, JSON and columns whose kinds differ are left out, so
that nothing is called other that a write would not mend.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import narwhals as nw
import polars as pl

from metaxy.versioning.column_types import Types
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.key_types import type_family
from metaxy.versioning.recipe import Column, Current, Pair
from metaxy.versioning.values import FLOATS

EXACT: Final = frozenset({"text", "integer", "boolean", "date", "time", "binary"})
FLOAT: Final = "float"
NANOSECONDS: Final = "nanoseconds"  # which a table of microseconds does not keep
TIMES: Final = (nw.Datetime, nw.Duration)


def pairs_of(
    expected: Sequence[Column], types: Types, current: Current, stored: Types, leave_out: Collection[str]
) -> tuple[Pair, ...]:
    """Pair the columns that both sides have, and that can be compared; IDs are equal anyway."""
    there = {column.name: column for column in current.columns}
    skipped = {*current.latest.ids, *leave_out}
    pairs = []
    for column in expected:
        if column.name not in there or column.name in skipped:
            continue
        if kind := kind_of(types[column.name], stored[there[column.name].stored]):
            pairs.append(Pair(column.short, there[column.name].short, column.name, kind))
    return tuple(pairs)


def kind_of(given: nw.dtypes.DType, stored: nw.dtypes.DType) -> str | None:
    """Say how values of a type are compared with what a column of another type keeps of them; None: not at all.

    >>> kind_of(nw.Int8(), nw.Int64()), kind_of(nw.Int64(), nw.String()), kind_of(nw.Float64(), nw.Float32())
    ('integer', None, None)
    """
    family = type_family(given)
    if family != type_family(stored):
        return None
    if isinstance(given, FLOATS) and isinstance(stored, FLOATS):
        return FLOAT if FLOATS.index(type(given)) <= FLOATS.index(type(stored)) else None
    if isinstance(given, TIMES) and isinstance(stored, TIMES):
        if given.time_unit == stored.time_unit or (given.time_unit == "ms" and stored.time_unit == "us"):
            return family
        if given.time_unit != "ns" or stored.time_unit != "us":
            return None
        return NANOSECONDS if family == "timestamp" else family
    return family if family in EXACT or (family == "decimal" and given == stored) else None


def differs_sql(pair: Pair, sides: tuple[str, str], dialect: Dialect) -> str:
    """Write whether a column of a sample differs from what is stored; ``sides`` are the names of their tables."""
    value, other = f"{sides[0]}.{pair.expected}", f"{sides[1]}.{pair.stored}"
    if pair.kind == "text":
        value, other = (dialect.byte_order.format(dialect.text.format(v, dialect.text_type)) for v in (value, other))
    if pair.kind == NANOSECONDS:
        value = dialect.in_microseconds.format(value)
    return (dialect.floats_differ if pair.kind == FLOAT else "{0} IS DISTINCT FROM {1}").format(value, other)


def differs_polars(pair: Pair, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """Write the same for rows that have both columns."""
    given, stored = schema[pair.expected], schema[pair.stored]
    dtype = pl.String() if pair.kind == "text" else stored
    value, other = pl.col(pair.expected), pl.col(pair.stored)
    fitting = value if given == dtype else value.cast(dtype, strict=False)
    differs = fitting.ne_missing(other if stored == dtype else other.cast(dtype))
    return differs if given == dtype else differs | (fitting.is_null() & value.is_not_null())
