"""Filter strings: the text of a SQL `WHERE` as a Narwhals expression.

Comparing with NULL asks whether the value is missing: `a = NULL` is `a IS NULL`. Every other comparison is neither true
nor false where a column is NULL, so such a row is dropped, under NOT as well. `filter_syntax` has the grammar.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, model_validator
from typing_extensions import Self

from metaxy.definitions import filter_tree as tree
from metaxy.definitions.filter_syntax import COMPARE, parse_filter
from metaxy.definitions.letters import in_all_cases
from metaxy.errors import FilterParseError

if TYPE_CHECKING:
    import narwhals as nw

__all__ = ["FilterParseError", "NarwhalsFilter", "check_filter", "filter_columns", "parse_filter_string"]

_SWAPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_LIKE_PART: Final = re.compile(r"\\(.)|([%_])|(.)", re.DOTALL)
_SPECIAL: Final = frozenset(r"\.^$*+?()[]{}|")


def check_filter(text: str, columns: Iterable[str] | None = None) -> None:
    """Raise `FilterParseError` if a filter string is wrong; needs no dataframe library.

    >>> check_filter("size > 3 AND NOT broken")
    """
    parse_filter(text, columns)


def filter_columns(text: str) -> tuple[str, ...]:
    """Return the columns that a filter string mentions, each once, in order.

    >>> filter_columns("b = 1 OR a.x = 2 OR b = 3")
    ('b', 'a.x')
    """
    return tuple(dict.fromkeys(tree.mentioned_columns(parse_filter(text))))


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
    return _parsed(text)


@lru_cache(maxsize=64)  # each update asks for those of its dependencies, which may list thousands of values
def _parsed(text: str) -> "nw.Expr":
    condition = parse_filter(text)
    return (
        _expression(condition) if any(True for _ in tree.mentioned_columns(condition)) else _always(_truth(condition))
    )


def _truth(node: tree.Condition) -> bool:
    """Evaluate a condition that mentions no column."""
    match node:
        case tree.Value(value):
            return bool(value)
        case tree.Not(condition):
            return not _truth(condition)
        case tree.And(conditions):
            return all(map(_truth, conditions))
        case tree.Or(conditions):
            return any(map(_truth, conditions))
    raise AssertionError(node)


def _always(answer: bool) -> "nw.Expr":
    """Give each row the same answer; engines take a bare constant for one row."""
    import narwhals as nw  # only when a filter meets data: checking one must stay cheap

    missing = nw.nth(0).is_null()
    return missing | ~missing if answer else missing & ~missing


def _expression(node: tree.Condition) -> "nw.Expr":
    import narwhals as nw  # see above

    match node:
        case tree.Not(condition):
            return ~_expression(condition)
        case tree.And(conditions):
            return nw.all_horizontal(*map(_expression, conditions), ignore_nulls=False)
        case tree.Or(conditions):
            return nw.any_horizontal(*map(_expression, conditions), ignore_nulls=False)
        case tree.Column() | tree.Value() | tree.Call():
            return _operand(node)
    return _predicate(node)


def _predicate(node: tree.Comparison | tree.Distinct | tree.IsNull | tree.In | tree.Like) -> "nw.Expr":
    match node:
        case tree.Comparison(left, symbol, right):
            return _comparison(left, symbol, right)
        case tree.Distinct(left, right):
            return _is_distinct(_operand(left), _operand(right))
        case tree.IsNull(operand):
            return _operand(operand).is_null()
        case tree.In(operand, values):
            return _is_listed(operand, values)
        case tree.Like(operand, pattern, ignore_case):
            return _is_like(_operand(operand), pattern, ignore_case)


def _operand(node: tree.Operand) -> "nw.Expr":
    import narwhals as nw  # see above

    match node:
        case tree.Column(name):
            return nw.col(name)
        case tree.Value(value):
            return nw.lit(value)
        case tree.Call(name, arguments):
            return _call(name, arguments)


def _call(name: str, arguments: tuple[tree.Operand, ...]) -> "nw.Expr":
    import narwhals as nw  # see above

    first, *rest = map(_operand, arguments)
    text = next((argument.value for argument in arguments[1:] if isinstance(argument, tree.Value)), None)
    calls: dict[str, Callable[[], nw.Expr]] = {
        "abs": first.abs,
        "coalesce": lambda: nw.coalesce(first, *rest),
        "contains": lambda: first.str.contains(str(text), literal=True),
        "day": lambda: first.dt.day(),
        "ends_with": lambda: first.str.ends_with(str(text)),
        "length": lambda: first.str.len_chars(),
        "lower": lambda: first.str.to_lowercase(),
        "month": lambda: first.dt.month(),
        "starts_with": lambda: first.str.starts_with(str(text)),
        "upper": lambda: first.str.to_uppercase(),
        "year": lambda: first.dt.year(),
    }
    return calls[name]()


def _comparison(left: tree.Operand, symbol: str, right: tree.Operand) -> "nw.Expr":
    if isinstance(right, tree.Column) and isinstance(left, tree.Value):
        left, symbol, right = right, _SWAPPED.get(symbol, symbol), left
    if isinstance(left, tree.Column) and isinstance(right, tree.Value):
        when = tree.moment(right.value) if isinstance(right.value, str) else right.value
        if isinstance(when, date):
            return _compared_in_time(left.name, symbol, when, right)
    compared: nw.Expr = COMPARE[symbol](_operand(left), _operand(right))
    return compared


def _compared_in_time(name: str, symbol: str, when: date, given: tree.Value) -> "nw.Expr":
    """Compare a column with a day or time as the type of the column asks for."""
    compare, time = COMPARE[symbol], _time(when)

    def answers(days: "nw.Expr", naive: "nw.Expr", aware: "nw.Expr", others: "nw.Expr") -> "list[nw.Expr]":
        import narwhals as nw  # see above

        day = compare(_as_times(days), nw.lit(_naive(time))) if isinstance(when, datetime) else compare(days, when)
        times = compare(naive, nw.lit(_naive(time))), compare(aware, nw.lit(time))
        return [day, *times, compare(others, nw.lit(given.value))]

    return _by_type_of_time(name, answers)


def _listed_in_time(name: str, given: "list[tuple[date, Any]]") -> "nw.Expr":
    """Look a column up among days and times, each with what was written for it, as the type of the column asks for."""
    dates = [when for when, _ in given if not isinstance(when, datetime)]
    times = [_naive(when) for when, _ in given if isinstance(when, datetime)]
    moments = [_time(when) for when, _ in given]

    def answers(days: "nw.Expr", naive: "nw.Expr", aware: "nw.Expr", others: "nw.Expr") -> "list[nw.Expr]":
        found = [days.is_in(dates)] if dates else []
        found += [_as_times(days).is_in(times)] if times else []
        texts = [text for _, text in given]
        return [*found, naive.is_in(list(map(_naive, moments))), aware.is_in(moments), others.is_in(texts)]

    return _by_type_of_time(name, answers)


def _by_type_of_time(name: str, answers: "Callable[..., list[nw.Expr]]") -> "nw.Expr":
    """Answer with what is said of the column as days, as times without or with a zone, or as anything else.

    Polars does not read text as time. Expressions do not know types, but selectors do: each picks the column if it has
    the right type, else nothing.
    """
    import narwhals as nw  # see above
    import narwhals.selectors as ncs

    chosen = ncs.matches(f"^{re.escape(name)}$")
    zones = (chosen & ncs.datetime(time_zone=[zone]) for zone in (None, "*"))
    found = answers(chosen & ncs.by_dtype(nw.Date), *zones, chosen - ncs.by_dtype(nw.Date, nw.Datetime))
    # Names the column itself, so that one that does not exist is an error, and changes nothing; it comes first, as
    # Narwhals takes the name of the whole from there, and a selector that picks nothing has none.
    exists = ~nw.col(name).is_null() | nw.lit(None, nw.Boolean)
    return nw.all_horizontal(exists, nw.any_horizontal(*found, ignore_nulls=False), ignore_nulls=False)


def _as_times(days: "nw.Expr") -> "nw.Expr":
    import narwhals as nw  # see above

    return days.cast(nw.Datetime("us"))


def _time(when: date) -> datetime:
    """Return a day or time in UTC."""
    time = when if isinstance(when, datetime) else datetime(when.year, when.month, when.day)
    return time.astimezone(timezone.utc) if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _naive(when: datetime) -> datetime:
    return _time(when).replace(tzinfo=None)


def _is_distinct(left: "nw.Expr", right: "nw.Expr") -> "nw.Expr":
    import narwhals as nw  # see above

    one_is_null = left.is_null() != right.is_null()
    differs = nw.coalesce(left != right, nw.lit(value=False))
    return nw.any_horizontal(one_is_null, differs, ignore_nulls=False)


def _is_listed(operand: tree.Column | tree.Call, values: tuple[tree.Value, ...]) -> "nw.Expr":
    import narwhals as nw  # see above

    column = _operand(operand)
    texts = [value.value for value in values]
    if not values:  # never; engines disagree about NULL in an empty list
        return column.is_null() & ~column.is_null()
    if all(isinstance(text, str) and tree.moment(text) is None for text in texts):
        return column.is_in(texts)
    moments = [(moment, text) for text in texts if isinstance(text, str) and (moment := tree.moment(text)) is not None]
    if isinstance(operand, tree.Column) and len(moments) == len(texts):
        return _listed_in_time(operand.name, moments)
    # Polars' `is_in` refuses to look for 1 among decimals, for 1.5 among integers, and for text among days.
    return nw.any_horizontal(*(_comparison(operand, "=", value) for value in values), ignore_nulls=False)


def _is_like(text: "nw.Expr", pattern: str, ignore_case: bool) -> "nw.Expr":
    """Match a pattern; the simple ones without a regular expression, which engines find sooner."""
    parts = [(escaped or plain, wild) for escaped, wild, plain in _LIKE_PART.findall(pattern)]
    literal = "".join(plain for plain, wild in parts if not wild)
    wilds = "".join(wild or "x" for _, wild in parts)
    middle = wilds.strip("%")
    if not ignore_case and set(middle) <= {"x"}:
        starts, ends = wilds.startswith("%"), wilds.endswith("%")
        if not (starts or ends):
            return text == literal
        if not middle:
            return ~text.is_null() | (text == "")
        if starts and ends:
            return text.str.contains(literal, literal=True)
        return text.str.ends_with(literal) if starts else text.str.starts_with(literal)
    wildcards = {"%": ".*", "_": "."}
    regex = "".join(wildcards.get(wild) or _escaped(plain, ignore_case) for plain, wild in parts)
    return text.str.contains(f"(?s)^{regex}$")


def _escaped(character: str, ignore_case: bool) -> str:
    """Write a character of a pattern; engines disagree about which letters differ by case only."""
    if character in _SPECIAL:
        return f"\\{character}"
    letters = in_all_cases(character) if ignore_case else character
    return f"[{letters}]" if len(letters) > 1 else letters


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
        return {**given, "source": source, "expression": tree.normalise(parse_filter(source))}

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Validate a filter string or a dump; a string that cannot be parsed is a plain FilterParseError."""
        if isinstance(obj, str):
            check_filter(obj)  # inside pydantic the error would be wrapped
        return super().model_validate(obj, **options)

    def to_expr(self) -> "nw.Expr":
        """Return the filter as a Narwhals expression."""
        return parse_filter_string(self.source)
