"""What Ibis is taught: to take our SQL as it is, and to read structs that a database keeps as JSON."""

from functools import cache
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch
import narwhals as nw
import sqlglot.expressions as sge


def taught(compiler: Any) -> Any:
    """Return a compiler like this one that does not parse our queries: they may hold what sqlglot does not know."""
    return _taught(type(compiler))()


@cache
def _taught(kind: type) -> type:
    def visit_query(self: Any, op: Any, *, query: str, schema: Any, source: Any) -> Any:  # noqa: ARG001
        return sge.Subquery(this=sge.Var(this=query))

    return type(f"Taught{kind.__name__}", (kind,), {"__slots__": (), "visit_SQLQueryResult": visit_query})


def ibis_schema(types: Any) -> sch.Schema:
    """Convert Narwhals types to those of Ibis; what Narwhals does not know is text."""
    return sch.Schema({name: ibis_type(dtype) for name, dtype in types.items()})


def ibis_type(dtype: Any) -> dt.DataType:
    """Convert a Narwhals type.

    >>> str(ibis_type(nw.List(nw.Int64())))
    'array<int64>'
    """
    if isinstance(dtype, (nw.Unknown, nw.Object, nw.Enum, nw.Categorical)):
        return dt.string
    known: Any = sch.Schema.from_polars(nw.Schema({"c": dtype}).to_polars())
    found: dt.DataType = known["c"]
    return found


def narwhals_types(schema: sch.Schema) -> nw.Schema:
    """Convert Ibis types to those of Narwhals; what Narwhals does not know is text."""
    known = {name: dtype if _is_known(dtype) else dt.string for name, dtype in schema.items()}
    return nw.Schema.from_polars(sch.Schema(known).to_polars())


def _is_known(dtype: dt.DataType) -> bool:
    inner = [
        *(getattr(dtype, name) for name in ("value_type", "key_type") if hasattr(dtype, name)),
        *(dtype.types if isinstance(dtype, dt.Struct) else ()),
    ]
    plain = dtype.is_numeric() or dtype.is_string() or dtype.is_temporal() or dtype.is_binary() or dtype.is_boolean()
    return all(map(_is_known, inner)) if inner else plain
