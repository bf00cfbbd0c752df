"""The tree of a filter string, and the tree as text, always in the same spelling."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Final, NamedTuple, TypeAlias

# Words that are no column names unless they are quoted.
KEYWORDS: Final = frozenset({"AND", "OR", "NOT", "IN", "IS", "NULL", "TRUE", "FALSE"})
_BARE_NAME: Final = re.compile(r"[^\W\d]\w*")
_MOMENT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?(?:(Z)|([+-])(\d\d):?(\d\d))?)?", re.ASCII
)

Scalar: TypeAlias = str | int | float | bool | date | datetime | None


class Function(NamedTuple):
    """What a function takes: ``operands``, then ``texts`` that are written out; whether it is a condition."""

    operands: int
    texts: int = 0
    is_condition: bool = False


FUNCTIONS: Final[Mapping[str, Function]] = {
    "abs": Function(1),
    "coalesce": Function(-1),  # two or more
    "contains": Function(1, 1, is_condition=True),
    "day": Function(1),
    "ends_with": Function(1, 1, is_condition=True),
    "length": Function(1),
    "lower": Function(1),
    "month": Function(1),
    "starts_with": Function(1, 1, is_condition=True),
    "upper": Function(1),
    "year": Function(1),
}


@dataclass(frozen=True)
class Column:
    """A column; on its own, a boolean column that must be true."""

    name: str


@dataclass(frozen=True)
class Value:
    """A constant; None is NULL."""

    value: Scalar


@dataclass(frozen=True)
class Call:
    """One of `FUNCTIONS`; at least one argument mentions a column."""

    name: str
    arguments: "tuple[Operand, ...]"


@dataclass(frozen=True)
class Comparison:
    """Two operands and one of ``= != < <= > >=``; at least one is no constant."""

    left: "Operand"
    operator: str
    right: "Operand"


@dataclass(frozen=True)
class Distinct:
    """Two operands that differ, where NULL is a value like any other."""

    left: "Operand"
    right: "Operand"


@dataclass(frozen=True)
class IsNull:
    """A column or call without a value."""

    operand: "Column | Call"


@dataclass(frozen=True)
class In:
    """A column or call whose value is one of the listed ones."""

    operand: "Column | Call"
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Like:
    r"""Text that fits a pattern: ``%`` is any text, ``_`` any character, ``\`` takes the next one as it is."""

    operand: "Column | Call"
    pattern: str
    ignore_case: bool = False


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    condition: "Condition"


@dataclass(frozen=True)
class And:
    """All of the conditions."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True)
class Or:
    """At least one of the conditions."""

    conditions: "tuple[Condition, ...]"


Operand: TypeAlias = Column | Value | Call
Condition: TypeAlias = Column | Value | Call | Comparison | Distinct | IsNull | In | Like | Not | And | Or


def mentioned_columns(node: Condition) -> Iterator[str]:
    """Yield the name of each column of a tree, from left to right, as often as it occurs."""
    match node:
        case Column(name):
            yield name
        case Call(_, arguments):
            for argument in arguments:
                yield from mentioned_columns(argument)
        case Comparison(left, _, right) | Distinct(left, right):
            yield from mentioned_columns(left)
            yield from mentioned_columns(right)
        case IsNull(operand) | In(operand) | Like(operand):
            yield from mentioned_columns(operand)
        case Not(condition):
            yield from mentioned_columns(condition)
        case And(conditions) | Or(conditions):
            for condition in conditions:
                yield from mentioned_columns(condition)


def moment(text: str) -> date | datetime | None:
    """Return the day or time that a text in ISO form names, None for any other text.

    >>> moment("2024-01-31"), moment("2024-01-31T08:30:00Z"), moment("2024-13-01"), moment("soon")
    (datetime.date(2024, 1, 31), datetime.datetime(2024, 1, 31, 8, 30, tzinfo=datetime.timezone.utc), None, None)
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, utc, sign, hours, minutes = match.groups()
    try:
        if hour is None:
            return date(int(year), int(month), int(day))
        micros = int((fraction or "0").ljust(6, "0"))
        found = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micros)
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
        return found.replace(tzinfo=timezone(offset)).astimezone(timezone.utc) if utc or sign else found
    except (ValueError, OverflowError):  # there is no such day or time
        return None


# --- tree to text ---------------------------------------------------------------------------------------------------


def normalise(node: Condition) -> str:
    """Return the tree as text, always in the same spelling; parsing it gives the same tree.

    >>> normalise(And((Not(Comparison(Column("a"), "=", Value(1))), In(Column("b"), (Value("x"),)))))
    "NOT a = 1 AND b IN ('x')"
    """
    match node:
        case Not(condition):
            return _negated(condition)
        case And(conditions):
            return " AND ".join(map(_group, conditions))
        case Or(conditions):
            return " OR ".join(map(normalise, conditions))
        case _:
            return _predicate(node, "")


def _negated(condition: Condition) -> str:
    if isinstance(condition, (IsNull, In, Like, Distinct)):
        return _predicate(condition, "NOT ")
    return f"NOT {_group(condition)}"


def _predicate(node: Condition, negation: str) -> str:
    match node:
        case Comparison(left, symbol, right):
            return f"{_operand(left)} {symbol} {_operand(right)}"
        case Distinct(left, right):
            return f"{_operand(left)} IS {negation}DISTINCT FROM {_operand(right)}"
        case IsNull(operand):
            return f"{_operand(operand)} IS {negation}NULL"
        case In(operand, values):
            return f"{_operand(operand)} {negation}IN ({', '.join(map(_operand, values))})"
        case Like(operand, pattern, ignore_case):
            return f"{_operand(operand)} {negation}{'I' * ignore_case}LIKE {_quote_value(pattern)}"
        case Column() | Value() | Call():
            return _operand(node)
    raise AssertionError(node)


def _operand(node: Operand) -> str:
    match node:
        case Column(name):
            return _quote_name(name)
        case Value(value):
            return _quote_value(value)
        case Call(name, arguments):
            return f"{name}({', '.join(map(_operand, arguments))})"


def _group(node: Condition) -> str:
    return f"({normalise(node)})" if isinstance(node, And | Or) else normalise(node)


def _quote_name(name: str) -> str:
    bare = all(_BARE_NAME.fullmatch(part) and part.upper() not in KEYWORDS for part in name.split("."))
    return name if bare else '"' + name.replace('"', '""') + '"'


def _quote_value(value: Scalar) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, date):
        kind = "TIMESTAMP" if isinstance(value, datetime) else "DATE"
        return f"{kind} '{value.isoformat()}'"
    return "NULL" if value is None else str(value).upper() if isinstance(value, bool) else repr(value)
