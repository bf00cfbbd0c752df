"""Columns of any name, values of any kind, long lists, patterns and durations in Narwhals expressions over DuckDB.

Narwhals hands them to DuckDB in a form that DuckDB reads as something else: a name with a dot as that of a table, NaN
as NULL, a decimal number in the text of a query as one of another type, a list as an array that is searched row by row,
a pattern as a chain of LIKE that takes exponential time. Until one of the two does better, Narwhals' DuckDB modules get
functions that write what is meant.
"""

import importlib
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import duckdb
import narwhals as nw
import polars as pl

from metaxy.ext.duckdb.dialect import DUCKDB
from metaxy.versioning.frames import with_durations

NAMING = ("utils", "dataframe", "expr", "namespace")  # modules of `narwhals._duckdb` that name columns
MISREAD = frozenset('."')
NUL = "\0"
# No constant that is known before the query runs: DuckLake puts those into queries of its own, which end at a NUL.
CHR_0 = "chr(CAST(random() < 0 AS INTEGER))"
ANYTHING = "(?s:.*)"
LONG = 100  # values in a list, from which on a query for them is faster
MARKS = ",|\t\x1f\x1e"  # one that none of the values has keeps them apart


def column(*names: Any) -> duckdb.Expression:
    """Return a column as an expression; two names are a table and its column."""
    if len(names) == 1 and MISREAD & set(names[0]):
        return duckdb.SQLExpression(DUCKDB.quote(names[0]))
    return duckdb.ColumnExpression(*names)


def constant(value: Any) -> duckdb.Expression:
    """Return a value as an expression that is the same value in the text of a query."""
    if isinstance(value, float):
        return duckdb.SQLExpression(f"CAST('{float(value)!r}' AS DOUBLE)")
    if isinstance(value, str) and NUL in value:
        return duckdb.SQLExpression(f"({f' || {CHR_0} || '.join(map(DUCKDB.literal, value.split(NUL)))})")
    if isinstance(value, timedelta):  # DuckDB would keep days apart, and compare them as such
        return duckdb.SQLExpression(f"to_microseconds({value // timedelta(microseconds=1)})")
    return duckdb.ConstantExpression(value)


def is_in(expr: Any, other: Iterable[Any]) -> Any:
    """Look a value up in a list that DuckDB makes a hash table of; NULL is not looked up, and not found."""
    values = [value for value in other if value is not None]
    if not values:
        return expr._with_elementwise(lambda value: value != value)
    rows = _rows_of(values) if len(values) > LONG else None
    if rows is not None:
        return expr._with_elementwise(lambda value: duckdb.SQLExpression(f"({value} IN ({rows}))"))
    listed = [constant(value) for value in values]
    return expr._with_elementwise(lambda value: value.isin(*listed))


def _rows_of(values: Sequence[Any]) -> str | None:
    """Write texts or integers as a query for them, None for others.

    They are one text for DuckDB, which would otherwise look at each whenever it looks at the query, and DuckLake would
    compare each with the statistics of each file.
    """
    kinds = set(map(type, values))
    texts = list(map(str, values)) if kinds in ({str}, {int}) else []
    whole = "".join(texts)
    mark = next((mark for mark in MARKS if mark not in whole), None)
    if not texts or mark is None or NUL in whole:
        return None
    kind = "VARCHAR" if kinds == {str} else "BIGINT" if -(2**63) <= min(values) <= max(values) < 2**63 else "HUGEINT"
    split = f"string_split({DUCKDB.literal(mark.join(texts))}, {DUCKDB.literal(mark)})"
    return f"SELECT unnest(CAST({split} AS {kind}[]))"


@cache
def correct_narwhals() -> None:
    """Let Narwhals read and write what is in DuckDB as it is, in this process."""
    modules: dict[str, Any] = {name: importlib.import_module(f"narwhals._duckdb.{name}") for name in NAMING}
    for module in modules.values():
        if getattr(module, "col", None) is duckdb.ColumnExpression:
            setattr(module, "col", column)  # noqa: B010 - modules have no such attribute for type checkers
    namespace, expr, frame = modules["namespace"], modules["expr"].DuckDBExpr, modules["dataframe"].DuckDBLazyFrame
    if getattr(namespace, "lit", None) is duckdb.ConstantExpression:
        namespace.lit = constant
    if hasattr(namespace, "function"):
        namespace.function = _without_like(namespace.function)
    expr.is_in = is_in
    frame.collect = _with_durations(frame.collect)


def _without_like(call: Callable[..., duckdb.Expression]) -> Callable[..., duckdb.Expression]:
    """Look for patterns by another function: of that one DuckDB would make a LIKE that takes exponential time."""

    def function(name: str, *arguments: duckdb.Expression) -> duckdb.Expression:
        if name != "regexp_matches":
            return call(name, *arguments)
        text, pattern = arguments
        whole = call("concat", constant(f"{ANYTHING}(?:"), pattern, constant(f"){ANYTHING}"))
        return call("regexp_full_match", text, whole)

    return function


def _with_durations(collect: Callable[..., Any]) -> Callable[..., Any]:
    """Collect frames with durations where DuckDB has intervals, which Arrow and Polars do not know as such."""

    def collected(frame: Any, backend: Any, **options: Any) -> Any:
        if backend is nw.Implementation.PANDAS or not any("INTERVAL" in str(kind) for kind in frame.native.types):
            return collect(frame, backend, **options)
        table = with_durations(frame.native.to_arrow_table())
        rows: Any = pl.from_arrow(table) if backend is nw.Implementation.POLARS else table
        return nw.from_native(rows, eager_only=True)._compliant_frame

    return collected
