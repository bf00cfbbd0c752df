"""Conditions on rows as data: decided in plain Python, and written as a filter string or a Narwhals expression."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias
from uuid import UUID

import narwhals as nw

OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Is:
    """A column compared with a value; unknown where the column is NULL."""

    column: str
    symbol: str
    value: Any


@dataclass(frozen=True)
class In:
    """A column looked up in a list of values; unknown where the column is NULL."""

    column: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Missing:
    """A column that is NULL."""

    column: str


@dataclass(frozen=True)
class Not:
    condition: "Condition"


@dataclass(frozen=True)
class Every:
    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True)
class Some:
    conditions: "tuple[Condition, ...]"


Condition: TypeAlias = Is | In | Missing | Not | Every | Some


def ranked(value: Any) -> Any:
    """Return what a value is compared by: NaN equals NaN and is the greatest number, and UUIDs are text."""
    if isinstance(value, float):
        return (value != value, 0.0 if value != value else value)
    return str(value) if isinstance(value, UUID) else value


def holds(condition: Condition, row: Mapping[str, Any]) -> bool | None:
    """Decide a condition as SQL does; None stands for unknown."""
    match condition:
        case Is(column, symbol, value):
            return None if row[column] is None else bool(OPERATORS[symbol](ranked(row[column]), ranked(value)))
        case In(column, values):
            return None if row[column] is None else ranked(row[column]) in set(map(ranked, values))
        case Missing(column):
            return row[column] is None
        case Not(inner):
            known = holds(inner, row)
            return None if known is None else not known
        case Every(inners):
            answers = [holds(inner, row) for inner in inners]
            return False if False in answers else None if None in answers else True
        case Some(inners):
            answers = [holds(inner, row) for inner in inners]
            return True if True in answers else None if None in answers else False


def columns_of(condition: Condition) -> set[str]:
    match condition:
        case Is(column, _, _) | In(column, _) | Missing(column):
            return {column}
        case Not(inner):
            return columns_of(inner)
        case Every(inners) | Some(inners):
            return {column for inner in inners for column in columns_of(inner)}


def as_expr(condition: Condition) -> nw.Expr:
    """Write a condition as a Narwhals expression."""
    match condition:
        case Is(column, symbol, value):
            compared: nw.Expr = OPERATORS[symbol](nw.col(column), value)
            return compared
        case In(column, values):
            return nw.col(column).is_in(list(values))
        case Missing(column):
            return nw.col(column).is_null()
        case Not(inner):
            return ~as_expr(inner)
        case Every(inners):
            return nw.all_horizontal(*map(as_expr, inners), ignore_nulls=False)
        case Some(inners):
            return nw.any_horizontal(*map(as_expr, inners), ignore_nulls=False)


def as_text(condition: Condition) -> str:
    """Write a condition as a filter string."""
    match condition:
        case Is(column, symbol, value):
            return f"{_name(column)} {symbol} {_value(value)}"
        case In(column, values):
            return f"{_name(column)} IN ({', '.join(map(_value, values))})"
        case Missing(column):
            return f"{_name(column)} IS NULL"
        case Not(inner):
            return f"NOT ({as_text(inner)})"
        case Every(inners):
            return " AND ".join(f"({as_text(inner)})" for inner in inners)
        case Some(inners):
            return " OR ".join(f"({as_text(inner)})" for inner in inners)


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _value(value: Any) -> str:
    if isinstance(value, (str, date, UUID)):
        return "'" + str(value).replace("'", "''") + "'"
    return str(value).upper()  # TRUE, FALSE and numbers
