"""Filter strings: the text of a SQL `WHERE` as a Narwhals expression.

Comparing with NULL asks whether the value is missing: `a = NULL` is `a IS NULL`. Every other comparison is neither true
nor false where a column is NULL, so such a row is dropped, under NOT as well. `filter_syntax` has the grammar.
"""

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, model_validator
from typing_extensions import Self

from metaxy.definitions.filter_syntax import (
    And,
    Column,
    Comparison,
    Condition,
    In,
    IsNull,
    Not,
    Or,
    Scalar,
    Value,
    mentioned_columns,
    normalise,
    parse_filter,
)
from metaxy.errors import FilterParseError

if TYPE_CHECKING:
    import narwhals as nw

__all__ = ["FilterParseError", "NarwhalsFilter", "check_filter", "filter_columns", "parse_filter_string"]

_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def check_filter(text: str) -> None:
    """Raise `FilterParseError` if a filter string is wrong; needs no dataframe library.

    >>> check_filter("size > 3 AND NOT broken")
    """
    parse_filter(text)


def filter_columns(text: str) -> tuple[str, ...]:
    """Return the columns that a filter string mentions, each once, in order.

    >>> filter_columns("b = 1 OR a.x = 2 OR b = 3")
    ('b', 'a.x')
    """
    return tuple(dict.fromkeys(mentioned_columns(parse_filter(text))))


def parse_filter_string(text: str) -> "nw.Expr":
    """Parse a filter string to a Narwhals expression.

    Raises:
        FilterParseError: with the position, the reason and what is supported.

    >>> import narwhals as nw
    >>> import polars as pl
    >>> videos = nw.from_native(pl.DataFrame({"path": ["a.mp4", "b.mp4"], "seconds": [3, 90]}))
    >>> videos.filter(parse_filter_string("seconds > 60 OR path = 'x'"))["path"].to_list()
    ['b.mp4']
    """
    return _expression(parse_filter(text))


def _expression(node: Condition) -> "nw.Expr":
    import narwhals as nw  # only when a filter meets data: checking one must stay cheap

    match node:
        case Column(name):
            return nw.col(name)
        case Value(value):
            return nw.lit(value)
        case Comparison(left, symbol, right):
            compared: nw.Expr = _COMPARE[symbol](_expression(left), _expression(right))
            return compared
        case IsNull(column):
            return _expression(column).is_null()
        case In(column, values):
            return _is_listed(_expression(column), [item.value for item in values])
        case Not(condition):
            return ~_expression(condition)
        case And(conditions):
            return nw.all_horizontal(*map(_expression, conditions), ignore_nulls=False)
        case Or(conditions):
            return nw.any_horizontal(*map(_expression, conditions), ignore_nulls=False)


def _is_listed(column: "nw.Expr", values: list[Scalar]) -> "nw.Expr":
    import narwhals as nw  # see above

    if not values:  # never; engines disagree about NULL in an empty list
        return column.is_null() & ~column.is_null()
    if all(isinstance(value, str) for value in values):
        return column.is_in(values)
    # Polars' `is_in` refuses to look for 1 among decimals, and for 1.5 among integers.
    return nw.any_horizontal(*(column == value for value in values), ignore_nulls=False)


class NarwhalsFilter(BaseModel):
    """A parsed filter string: ``source`` is what the user wrote, ``expression`` the same in normal spelling.

    >>> NarwhalsFilter.model_validate("a==1").model_dump()
    {'expression': 'a = 1', 'source': 'a==1'}
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    expression: str
    source: str

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, data: Any) -> Any:
        given = {"source": data} if isinstance(data, str) else data
        source = given.get("source", given.get("expression")) if isinstance(given, dict) else None
        if not isinstance(source, str):
            return data
        return {**given, "source": source, "expression": normalise(parse_filter(source))}

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Validate a filter string or a dump; a string that cannot be parsed is a plain FilterParseError."""
        if isinstance(obj, str):
            check_filter(obj)  # inside pydantic the error would be wrapped
        return super().model_validate(obj, **options)

    def to_expr(self) -> "nw.Expr":
        """Return the filter as a Narwhals expression."""
        return parse_filter_string(self.source)
