"""Additions to Ibis's compilers: SQL of ours is taken as it is, and structs that a database keeps as JSON are read."""

import re
from collections.abc import Mapping
from functools import cache
from itertools import accumulate
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.schema as sch
import narwhals as nw
import sqlglot as sg
import sqlglot.expressions as sge

from metaxy.ext.ibis.listing import visit_listed

BRACKETS = re.compile(r"""'[^']*'|"[^"]*"|[()]""")  # those in texts and names do not count


class NativeStruct(nw.Struct):
    """A struct that is one in the database too, where others are JSON; equal to one of the same members."""

    def __eq__(self, other: object) -> bool:
        return nw.Struct(self.fields) == other

    def __hash__(self) -> int:
        return hash(nw.Struct(self.fields))


def with_metaxy_rules(compiler: Any) -> Any:
    """Return a compiler like this one that knows lists, and that takes queries of ours as they are, without parsing."""
    kind: Any = type(compiler)
    return _taught(kind)()


@cache
def _taught(kind: Any) -> type:
    def visit_query(self: Any, op: Any, *, query: str, schema: Any, source: Any) -> Any:  # noqa: ARG001
        raw = sge.Subquery(this=sge.Var(this=query), alias=sge.TableAlias(this=sg.to_identifier("mx_query")))
        return sg.select(sge.Star()).from_(raw).subquery(copy=False)

    def visit_divide(self: Any, op: Any, *, left: Any, right: Any) -> Any:
        # SQLGlot casts integers when it writes the query, and forgets to where a column occurs elsewhere too.
        whole = op.left.dtype.is_integer() and op.right.dtype.is_integer()
        return sge.Div(
            this=self.cast(left, dt.float64) if whole else sge.paren(left), expression=sge.paren(right), typed=True
        )

    def visit_floor_divide(self: Any, op: Any, *, left: Any, right: Any) -> Any:  # noqa: ARG001 - integers, as filters have it
        # Ibis would divide numbers of 53 bits.
        cut = self.whole_quotient(left, right) if hasattr(self, "whole_quotient") else _whole_quotient(left, right)
        rest = sge.NEQ(this=sge.paren(sge.paren(left) % sge.paren(right)), expression=sge.convert(0))
        below = sge.NEQ(this=sge.paren(left < 0), expression=sge.paren(right < 0))
        return cut - self.if_(sg.and_(rest, below), 1, 0)

    def visit_floor(self: Any, op: Any, *, arg: Any) -> Any:
        return self.f.floor(arg) if op.arg.dtype.is_floating() else kind.visit_Floor(self, op, arg=arg)

    def visit_ceil(self: Any, op: Any, *, arg: Any) -> Any:
        return self.f.ceil(arg) if op.arg.dtype.is_floating() else kind.visit_Ceil(self, op, arg=arg)

    # Ibis gives each new class the methods that the first two name, and would put them before those of ours.
    more = {"SIMPLE_OPS": {}, "UNSUPPORTED_OPS": (), "visit_SQLQueryResult": visit_query, "visit_Listed": visit_listed}
    more |= {"visit_Divide": visit_divide, "visit_FloorDivide": visit_floor_divide}
    more |= {"visit_Floor": visit_floor, "visit_Ceil": visit_ceil}
    return type(f"Taught{kind.__name__}", (kind,), {"__slots__": (), **more})


def _whole_quotient(left: Any, right: Any) -> Any:
    return sge.paren(sge.Div(this=sge.paren(left), expression=sge.paren(right), typed=True))


def nesting(query: str) -> int:
    """Say how deep the brackets of a query nest.

    >>> nesting("SELECT max(a) FROM (SELECT ')' AS a FROM (SELECT 1))")
    2
    """
    depths = accumulate({"(": 1, ")": -1}.get(sign, 0) for sign in BRACKETS.findall(query))
    return max(depths, default=0)


def ibis_schema(types: Mapping[str, Any]) -> sch.Schema:
    """Convert Narwhals types to those of Ibis; what Narwhals does not know is text."""
    return sch.Schema({name: ibis_type(dtype) for name, dtype in types.items()})


def ibis_type(dtype: Any) -> dt.DataType:
    """Convert a Narwhals type.

    >>> str(ibis_type(nw.List(nw.Int64())))
    'array<int64>'
    """
    if isinstance(dtype, (nw.Unknown, nw.Object, nw.Enum, nw.Categorical)):
        return dt.string
    if isinstance(dtype, nw.Map):
        return dt.Map(ibis_type(dtype.key), ibis_type(dtype.value))
    if isinstance(dtype, (nw.List, nw.Array)):
        return dt.Array(ibis_type(dtype.inner))
    if isinstance(dtype, nw.Struct):
        members = {field.name: ibis_type(field.dtype) for field in dtype.fields}
        return dt.Struct(members, nullable=not isinstance(dtype, NativeStruct))  # by which compilers tell them apart
    known: Any = sch.Schema.from_polars(nw.Schema({"c": dtype}).to_polars())
    found: dt.DataType = known["c"]
    return found


def narwhals_types(schema: sch.Schema) -> nw.Schema:
    """Convert Ibis types to those of Narwhals; what Narwhals does not know is text."""
    table: Any = ibis.table(schema, name="t")
    types: nw.Schema = nw.from_native(table).collect_schema()
    return nw.Schema({name: _as_stored(dtype, schema[name]) for name, dtype in types.items()})


def _as_stored(dtype: Any, stored: Any) -> Any:
    """Tell structs that are stored as such from JSON, and take for text what is unknown, at any depth."""
    if isinstance(dtype, nw.Struct) and stored.is_struct():
        members = {member.name: _as_stored(member.dtype, stored[member.name]) for member in dtype.fields}
        return nw.Struct(members) if stored.nullable else NativeStruct(members)
    if isinstance(dtype, nw.List) and stored.is_array():
        return nw.List(_as_stored(dtype.inner, stored.value_type))
    if isinstance(dtype, nw.Map) and stored.is_map():
        return nw.Map(dtype.key, _as_stored(dtype.value, stored.value_type))
    return nw.String() if dtype == nw.Unknown() else dtype
