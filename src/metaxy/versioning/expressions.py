"""Narwhals expressions taken apart and put together again: the one place that knows how Narwhals keeps them.

An expression is a row of steps: a column or a value, and then what is done to it. What a step takes besides, such as
the right side of a comparison, are its arguments: expressions and plain values. Nothing of this is public.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, Final

import narwhals as nw
import polars as pl

FAN_OUT: Final = 8  # conditions that are joined one to the other, before they are joined in groups
Join = Callable[..., nw.Expr]


def steps(expression: nw.Expr) -> Sequence[Any]:
    """Return the steps of an expression."""
    return expression._nodes


def built(kind: type[nw.Expr], steps: Sequence[Any]) -> nw.Expr:
    """Return an expression of these steps."""
    return kind(*steps)


def with_arguments(step: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Return a step with other arguments and options."""
    how = {"str_as_lit": step.str_as_lit, "allow_multi_output": step.allow_multi_output}
    return type(step)(step.kind, step.name, exprs=arguments, **how, **options)


def column_of(expression: nw.Expr) -> str | None:
    """Return the name of a column that stands alone, None for anything else.

    >>> column_of(nw.col("a")), column_of(nw.col("a") + 1), column_of(nw.col("a", "b"))
    ('a', None, None)
    """
    first, *more = steps(expression)
    names: Sequence[str] = first.kwargs["names"] if first.name == "col" and not more else ()
    return names[0] if len(names) == 1 else None


def is_plain(argument: Any) -> bool:
    """Return whether an argument is a value without a type of its own, such as 1 or `nw.lit(1)`."""
    if not isinstance(argument, nw.Expr):
        return True
    first, *more = steps(argument)
    return first.name == "lit" and not more and first.kwargs["dtype"] is None


def value_of(argument: Any) -> Any:
    """Return a plain value."""
    return steps(argument)[0].kwargs["value"] if isinstance(argument, nw.Expr) else argument


def type_of(expression: nw.Expr, types: nw.Schema) -> Any:
    """Return the type of an expression over columns of these types, as Polars has it; None if nobody can tell."""
    name = column_of(expression)
    if name is not None:
        return types.get(name)
    try:
        rows = nw.from_native(pl.LazyFrame(schema=types.to_polars()))
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
