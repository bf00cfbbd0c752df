"""Narwhals expressions taken apart and put together again: the one place that knows how Narwhals keeps them.

An expression is a row of steps: a column or a value, and then what is done to it. What a step takes besides, such as
the right side of a comparison, are its arguments: expressions and plain values. Nothing of this is public.
"""

import operator
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, Final, NamedTuple

import narwhals as nw
import polars as pl

FAN_OUT: Final = 8  # conditions that are joined one to the other, before they are joined in groups
COMPARISONS: Final = frozenset({"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"})
# The steps of which conditions are made, mostly.
CONDITIONS: Final = COMPARISONS | {
    *("col", "lit", "is_in", "is_null", "__and__", "__or__", "__invert__", "all_horizontal", "any_horizontal"),
}
Join = Callable[..., nw.Expr]


def steps(expression: nw.Expr) -> Sequence[Any]:
    """Return the steps of an expression."""
    return expression._nodes


def all_steps(expression: nw.Expr) -> Iterator[Any]:
    """Yield the steps of an expression, and of those that are inside of it."""
    waiting = [expression]
    while waiting:
        for step in steps(waiting.pop()):
            yield step
            waiting += [argument for argument in step.exprs if isinstance(argument, nw.Expr)]


def built(kind: type[nw.Expr], steps: Sequence[Any]) -> nw.Expr:
    """Return an expression of these steps."""
    return kind(*steps)


def with_arguments(step: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Return a step with other arguments and options."""
    how = {"str_as_lit": step.str_as_lit, "allow_multi_output": step.allow_multi_output}
    return type(step)(step.kind, step.name, exprs=arguments, **how, **options)


def mapped(expression: nw.Expr, change: Callable[[Any], Any]) -> nw.Expr:
    """Return an expression with each of its steps, and of those inside of it, as a function changes it."""
    return built(type(expression), [change(_with_mapped(step, change)) for step in steps(expression)])


def _with_mapped(step: Any, change: Callable[[Any], Any]) -> Any:
    arguments = [mapped(argument, change) if isinstance(argument, nw.Expr) else argument for argument in step.exprs]
    return with_arguments(step, arguments, step.kwargs) if arguments else step


def renamed(expression: nw.Expr, names: Mapping[str, str]) -> nw.Expr:
    """Return an expression of columns that have other names.

    >>> columns_of(renamed((nw.col("a") == 1) & nw.col("b").is_null(), {"a": "c"}))
    ['c', 'b']
    """

    def rename(step: Any) -> Any:
        if step.name != "col":
            return step
        return with_arguments(
            step, step.exprs, {**step.kwargs, "names": [names.get(n, n) for n in step.kwargs["names"]]}
        )

    return mapped(expression, rename)


def column_of(expression: nw.Expr) -> str | None:
    """Return the name of a column that stands alone, None for anything else.

    >>> column_of(nw.col("a")), column_of(nw.col("a") + 1), column_of(nw.col("a", "b"))
    ('a', None, None)
    """
    first, *more = steps(expression)
    names: Sequence[str] = first.kwargs["names"] if first.name == "col" and not more else ()
    return names[0] if len(names) == 1 else None


def columns_of(expression: nw.Expr) -> list[str] | None:
    """Return the columns that a condition names, None if it is made of more than comparisons and what joins them.

    >>> columns_of((nw.col("a") == 1) | nw.col("b").is_null()), columns_of(nw.nth(0) == 1), columns_of(nw.coalesce("a"))
    (['a', 'b'], None, None)
    """
    names: dict[str, None] = {}
    for step in all_steps(expression):
        named = any(isinstance(argument, str) for argument in step.exprs) and not step.str_as_lit
        if step.name not in CONDITIONS or named:
            return None
        names |= dict.fromkeys(step.kwargs.get("names", ()))
    return list(names)


def is_plain(argument: Any) -> bool:
    """Return whether an argument is a value without a type of its own, such as 1 or `nw.lit(1)`."""
    if not isinstance(argument, nw.Expr):
        return True
    first, *more = steps(argument)
    return first.name == "lit" and not more and first.kwargs["dtype"] is None


def value_of(argument: Any) -> Any:
    """Return a plain value."""
    return steps(argument)[0].kwargs["value"] if isinstance(argument, nw.Expr) else argument


def compared_with_value(condition: nw.Expr, symbol: str) -> tuple[str, Any] | None:
    """Return the column and the value that a condition compares, None if it does more.

    >>> compared_with_value(nw.col("a") == 1, "__eq__"), compared_with_value(nw.col("a") != 1, "__eq__")
    (('a', 1), None)
    """
    column, *comparison = steps(condition)
    if len(comparison) != 1 or comparison[0].name != symbol or not is_plain(comparison[0].exprs[0]):
        return None
    name, value = column_of(built(type(condition), [column])), value_of(comparison[0].exprs[0])
    return (name, value) if name is not None and value is not None else None


class Rows(NamedTuple):
    """Rows of values, by the names of columns."""

    names: Sequence[str]
    values: Sequence[Mapping[str, Any]]


def rows_of_columns(left: nw.Expr, values: Any) -> Rows | None:
    """Return the rows that columns are looked up in together, None if it is something else that is looked up.

    >>> rows_of_columns(nw.struct("a", "b"), [{"a": 1, "b": "x"}])
    Rows(names=['a', 'b'], values=[{'a': 1, 'b': 'x'}])
    """
    first, *more = steps(left)
    if first.name != "struct" or more:
        return None
    names = [column_of(argument) for argument in first.exprs]
    rows = list(values)
    whole = all(
        isinstance(row, Mapping)
        and row.keys() == set(names)
        and all(isinstance(value, Hashable) and value is not None for value in row.values())
        for row in rows
    )
    return Rows([name for name in names if name is not None], rows) if whole and None not in names else None


def type_of(expression: nw.Expr, types: nw.Schema) -> Any:
    """Return the type of an expression over columns of these types, as Polars has it; None if nobody can tell."""
    name = column_of(expression)
    if name is not None:
        return types.get(name)
    names = {name for step in all_steps(expression) for name in step.kwargs.get("names", ())}
    known = {name: dtype for name, dtype in types.items() if name in names}  # others may be of types it does not have
    try:
        rows = nw.from_native(pl.LazyFrame(schema=nw.Schema(known or types).to_polars()))
        found = rows.select(expression).collect_schema().dtypes()
    except Exception:  # a column that is not there, or of a type that Polars does not have
        return None
    return found[0] if len(found) == 1 else None


def operands(expression: nw.Expr, symbol: str) -> Iterator[nw.Expr]:
    """Yield what a chain of one operator joins, from left to right, however it is nested.

    >>> a, b, c = nw.col("a"), nw.col("b"), nw.col("c")
    >>> [column_of(operand) for operand in operands(a | (b | c), "__or__")]
    ['a', 'b', 'c']
    """
    waiting = [expression]
    while waiting:
        current = waiting.pop()
        nodes = steps(current)
        start = len(nodes)
        while start > 1 and nodes[start - 1].name == symbol:
            start -= 1
        if start == len(nodes):
            yield current
        else:
            joined = [built(type(current), nodes[:start]), *(node.exprs[0] for node in nodes[start:])]
            waiting += [part if isinstance(part, nw.Expr) else nw.lit(part) for part in reversed(joined)]


def balanced(join: Join, conditions: Sequence[nw.Expr]) -> nw.Expr:
    """Join conditions in groups of groups: a chain costs engines one level of a query for each of its links."""
    level = list(conditions)
    while len(level) > FAN_OUT:
        level = [join(*level[start : start + FAN_OUT]) for start in range(0, len(level), FAN_OUT)]
    return join(*level)


def both(*conditions: nw.Expr) -> nw.Expr:
    """Join conditions that all must hold."""
    return reduce(operator.and_, conditions)


def either(*conditions: nw.Expr) -> nw.Expr:
    """Join conditions of which one must hold."""
    return reduce(operator.or_, conditions)
