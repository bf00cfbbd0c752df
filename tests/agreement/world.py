"""The values that the rows of a case are made of, and what the parts of one case share."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta, timezone
from math import inf, nan
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from tests.agreement.conditions import Condition, Every, In, Is, Missing, Not, Some, ranked

# Texts that sort, compare or escape differently where an engine is careless.
TEXTS = [
    *("a", "A", "b", "", " ", "a ", "B", "|", "\\", "a|b", "a\\|b", "'", '"', "\n", "\t", "%", "$1", "10", "9", "SS"),
    *("é", "e\u0301", "É", "ß", "İ", "i", "\u0131", "\uffff", "😀", "\U0001d518", "ﬁ", "日本", "\u200b", "\ufeffa"),
]
DAYS = (date(1970, 1, 1), date(1969, 12, 31), date(2024, 2, 29), date(1900, 1, 1), date(2299, 12, 31))
CATEGORIES = ("b", "B", "", "é", "a")  # in no order of texts
# Members of structs, by names that must be quoted.
MEMBERS = ("content-type", "a.b", "x y", '"', "'", "`", "日本", "$ref", "@id", "\n", "%s", "select")
NESTED: dict[str, SearchStrategy[Any]] = {
    "list": st.lists(st.none() | st.sampled_from(TEXTS), max_size=3),
    "struct": st.fixed_dictionaries(dict.fromkeys(MEMBERS, st.none() | st.sampled_from(TEXTS))),
}
# Values that do not say which type they are of; of kinds that are not named here it is only NULL.
NOTHING: dict[str, tuple[Any, ...]] = {"list": (None, [], [None]), "struct": (None, dict.fromkeys(MEMBERS))}
VALUES: dict[str, SearchStrategy[Any]] = {
    "text": st.sampled_from(TEXTS)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
    "int": st.sampled_from((0, 1, -1, 2, 10, 9, 2**53 + 1, 2**53, 2**63 - 1, -(2**63))),
    "small": st.integers(-5, 5),
    "float": st.sampled_from((0.0, -0.0, nan, inf, -inf, 1.5, 0.1, -1e300, 5e-324)),
    "bool": st.booleans(),
    "date": st.sampled_from(DAYS),
    "time": st.sampled_from((0, 1, -1, 999_999, 1_000_000, 1_700_000_000_000_001)).map(
        lambda n: datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=n)
    ),
    "naive": st.sampled_from((0, 1, -1, 999_999, 1_720_000_000_123_456)).map(
        lambda n: datetime(1970, 1, 1) + timedelta(microseconds=n)
    ),
    "category": st.sampled_from(CATEGORIES),
    "uuid": st.integers(1, 4).map(lambda n: str(UUID(int=n << 64))),
    **NESTED,
}
FLAT = tuple(kind for kind in VALUES if kind not in NESTED)  # kinds that IDs may be of
# Values that nothing else has, to look for in long lists.
OTHERS: dict[str, Callable[[int], Any]] = {
    "text": lambda n: f"other {n}",
    "int": lambda n: n + 100,
    "small": lambda n: n + 100,
    "float": lambda n: n + 100.5,
    "date": lambda n: date(2100, 1, 1) + timedelta(n),
    "time": lambda n: datetime(2100, 1, 1, tzinfo=timezone.utc) + timedelta(n),
    "naive": lambda n: datetime(2100, 1, 1) + timedelta(n),
    "category": lambda n: f"other {n}",
    "uuid": lambda n: UUID(int=n + 100),
}
# Names of user columns: also those that statements and plans use themselves, keywords, and what must be quoted.
WORDLESS = ("nan", "inf", "-inf")  # numbers that filter strings have no words for
NAMES = [
    *(
        "path",
        "size",
        "p",
        "k0",
        "v0",
        "c0",
        "o0",
        "d0_0",
        "r0",
        "rc",
        "t",
        "one",
        "here",
        "low",
        "stale",
        "status",
        "p0",
        "d0",
    ),
    *("rowid", "mx_n", "mx_row", "mx_keep", "mx_low", "mx_p", "mx_d", "order", "select", "sp ace", "ünï", "it's"),
]


class World:
    """What the parts of one case share: kinds of columns, few values of each, and names not used yet."""

    def __init__(self, draw: DrawFn) -> None:
        self.draw = draw
        self.kinds: dict[str, str] = {}
        self.values: dict[str, list[Any]] = {}
        self.filters: dict[str, Condition] = {}
        start = draw(st.integers(0, len(NAMES) - 1))
        self.names = iter([*NAMES[start:], *NAMES[:start]])
        self.versions = self.some("text", 2, 4)
        self.joins = [self.column(name, ("text", *FLAT)) for name in self.pick(("a", "ab"))]
        tuples = st.tuples(*(st.sampled_from(self.values[name]) for name in self.joins))
        drawn = draw(st.lists(tuples, min_size=2, max_size=5, unique=True))
        self.samples = [dict(zip(self.joins, values, strict=True)) for values in drawn]

    def chance(self, percent: int) -> bool:
        """Draw whether something unusual happens; shrinks to no."""
        return self.draw(st.integers(0, 99)) >= 100 - percent

    def pick(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def subset(self, options: Sequence[Any], at_least: int = 0) -> list[Any]:
        if not options:
            return []
        chosen = st.lists(st.integers(0, len(options) - 1), min_size=at_least, max_size=len(options), unique=True)
        return [options[n] for n in self.draw(chosen)]

    def some(self, kind: str, at_least: int, at_most: int) -> list[Any]:
        return self.draw(st.lists(VALUES[kind], min_size=min(at_least, 2), max_size=at_most, unique_by=identity))

    def column(self, name: str, kinds: Sequence[str], like: str | None = None) -> str:
        """Make a column known, with values of its own or those of another column."""
        self.kinds[name] = self.kinds[like] if like else self.pick(kinds)
        self.values[name] = self.values[like] if like else self.some(self.kinds[name], 2, 4)
        return name

    def user_column(self) -> str:
        return self.column(next(self.names), tuple(VALUES))

    def condition(self, columns: Sequence[str], depth: int = 2, *, as_text: bool = False) -> Condition:
        """Draw a condition on columns; one that is to be a filter string has only values that it has words for."""
        form = self.pick(("is", "is", "is", "in", "missing", "not", "every", "some")) if depth else "is"
        if form == "not":
            return Not(self.condition(columns, depth - 1, as_text=as_text))
        if form in ("every", "some"):
            inner = tuple(self.condition(columns, depth - 1, as_text=as_text) for _ in range(2))
            return Every(inner) if form == "every" else Some(inner)
        column = self.pick(columns)
        values = [value for value in self.operands(column) if not (as_text and str(value) in WORDLESS)]
        if form == "missing" or not values:
            return Missing(column)
        if form == "in":
            others = OTHERS.get(self.kinds[column]) if self.chance(40) else None
            return In(column, (*self.subset(values, 1), *(map(others, range(1_000)) if others else ())))
        symbols = ("=", "!=") if self.kinds[column] == "bool" else ("=", "!=", "<", "<=", ">", ">=")
        return Is(column, self.pick(symbols), self.pick(values))

    def operands(self, column: str) -> list[Any]:
        """Return what a column can be compared with: its values, the other zero, and UUIDs as objects too."""
        values, kind = self.values[column], self.kinds[column]
        if kind in NESTED:
            return []
        if kind == "float":
            return [*values, *(-value for value in values if value == 0)]
        return [*values, *map(UUID, values)] if kind == "uuid" else values

    def conditions(self, columns: Sequence[str], percent: int, *, as_text: bool = False) -> tuple[Condition, ...]:
        return (self.condition(columns, as_text=as_text),) if columns and self.chance(percent) else ()


def identity(value: Any) -> Any:
    """Return what is equal for equal values: both zeros are one."""
    return repr(value) if isinstance(value, (list, dict)) else ranked(value)
