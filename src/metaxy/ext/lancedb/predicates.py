"""Conditions of Polars as conditions that Lance can check while it reads.

What Lance cannot check exactly as Polars does is left out, which lets more rows through: whoever asks filters them
again. An expression is recognised by building it anew from its inputs, so nothing depends on how Polars prints it.
"""

import re
from collections.abc import Mapping

import polars as pl

from metaxy.definitions.filter_syntax import COMPARE

SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # others mean something to the SQL of Lance
LONGEST_LIST = 10_000
DEEPEST = 50
INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)
MOMENTS = (pl.Datetime("us"), pl.Datetime("us", "UTC"))
Types = Mapping[str, pl.DataType]


def predicate_sql(condition: pl.Expr, schema: Types, depth: int = 0) -> str | None:
    """Write a condition that holds at least where the given one does, None if there is none.

    >>> predicate_sql((pl.col("id") == "a") & (pl.col("n").sqrt() > 2), {"id": pl.String(), "n": pl.Int64()})
    "`id` = 'a'"
    """
    inputs = condition.meta.pop()[::-1]
    if len(inputs) == 1:
        return _null_test(condition, inputs[0], schema)
    if len(inputs) != 2 or depth > DEEPEST:
        return None
    left, right = inputs
    if condition.meta.eq(left.fill_null(pl.lit(False))):  # NULL and false both mean no
        return predicate_sql(left, schema, depth + 1)
    both, either = (condition.meta.eq(joined) for joined in (left & right, left | right))
    if not (both or either):
        return _comparison(condition, left, right, schema)
    parts = [part for side in inputs if (part := predicate_sql(side, schema, depth + 1))]
    if either:
        return f"(({parts[0]}) OR ({parts[1]}))" if len(parts) == 2 else None
    return " AND ".join(parts) or None


def _null_test(condition: pl.Expr, inner: pl.Expr, schema: Types) -> str | None:
    name = _column(inner, schema)
    if name and condition.meta.eq(inner.is_null()):
        return f"`{name}` IS NULL"
    return f"`{name}` IS NOT NULL" if name and condition.meta.eq(inner.is_not_null()) else None


def _comparison(condition: pl.Expr, left: pl.Expr, right: pl.Expr, schema: Types) -> str | None:
    name = _column(left, schema)
    if name is None or not right.meta.is_literal(allow_aliasing=True):
        return None
    values = pl.select(right).to_series()
    if condition.meta.eq(left.is_in(right)):
        return _membership(name, values, schema[name])
    written = _literals(values, schema[name])
    signs = [sign for sign, compare in COMPARE.items() if condition.meta.eq(compare(left, right))]
    return f"`{name}` {signs[0]} {written[0]}" if signs and written else None


def _membership(name: str, lists: pl.Series, dtype: pl.DataType) -> str | None:
    values = lists.explode() if isinstance(lists.dtype, (pl.List, pl.Array)) else lists
    written = _literals(values.drop_nulls().unique(), dtype) if len(values) <= LONGEST_LIST else []
    return f"`{name}` IN ({', '.join(written)})" if written else None


def _column(expr: pl.Expr, schema: Types) -> str | None:
    if not expr.meta.is_column():
        return None
    name = expr.meta.output_name()
    return name if name in schema and SIMPLE_NAME.fullmatch(name) else None


def _literals(values: pl.Series, dtype: pl.DataType) -> list[str]:
    """Write values of the column's own kind; none if they are of another, which libraries compare in their own ways."""
    if values.null_count():
        return []
    if dtype == pl.String and values.dtype == pl.String:
        return ["'" + text.replace("'", "''") + "'" for text in values]
    if dtype in INTEGERS and values.dtype.is_integer() and not values.cast(dtype, strict=False).null_count():
        numbers = values.to_list()  # Lance reads a sign and the number behind it, which must be of 64 bits
        return [str(number) for number in numbers] if all(abs(number) < 2**63 for number in numbers) else []
    if dtype in MOMENTS and values.dtype == dtype:
        return [f"timestamp '{moment}'" for moment in values.dt.strftime("%Y-%m-%d %H:%M:%S%.6f")]
    return []
