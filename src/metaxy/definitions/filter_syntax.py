"""The language of filter strings: text to tree, and the tree back to text in one spelling.

    filter    := both ( OR both )*              both     := negation ( AND negation )*
    negation  := NOT negation | predicate
    predicate := operand ( cmp operand | IS [NOT] operand | [NOT] IN '(' [value (, value)*] ')' )? | '(' filter ')'
    cmp       := = | == | != | <> | < | <= | > | >=
    operand   := column | value | '(' operand ')'
    column    := name ( '.' name )*             name     := word | "any text"; a dotted path is one column, "a.b"
    value     := 'text' | [-] number | TRUE | FALSE | NULL

Keywords may be written in any case; names keep theirs.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from metaxy.errors import FilterParseError

MAX_DEPTH: Final = 50
SUPPORTED: Final = "= == != <> < <= > >= AND OR NOT IN (…) IS NULL, and parentheses"
KEYWORDS: Final = frozenset({"AND", "OR", "NOT", "IN", "IS", "NULL", "TRUE", "FALSE"})
# Every spelling of a comparison, and the one that the tree uses.
COMPARISONS: Final = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
HINTS: Final = {
    **dict.fromkeys(("LIKE", "ILIKE", "SIMILAR"), "compare with =, or list the values with IN"),
    **dict.fromkeys(("+", "-", "*", "/", "%", "||"), "compute the column before filtering"),
    "BETWEEN": "write x >= 1 AND x <= 5",
    "FROM": "write a = b, or a IS NULL",
    "SELECT": "list the values themselves",
    "WHEN": "combine conditions with AND and OR",
    "::": "cast the column before filtering",
    "`": 'put unusual column names in "double quotes"',
    ";": "a filter is a single condition",
}
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<word>[^\W\d]\w*)
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<text>'(?:[^']|'')*')
    | (?P<symbol><=|>=|<>|!=|==|::|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)
_BARE_NAME: Final = re.compile(r"[^\W\d]\w*")

# --- the tree -------------------------------------------------------------------------------------------------------

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Column:
    """A column; on its own, a boolean column that must be true."""

    name: str


@dataclass(frozen=True)
class Value:
    """A constant; None is NULL."""

    value: Scalar


@dataclass(frozen=True)
class Comparison:
    """Two operands and one of ``= != < <= > >=``."""

    left: "Operand"
    operator: str
    right: "Operand"


@dataclass(frozen=True)
class IsNull:
    """A column without a value."""

    column: Column


@dataclass(frozen=True)
class In:
    """A column whose value is one of the listed ones."""

    column: Column
    values: tuple[Value, ...]


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


Operand: TypeAlias = Column | Value
Condition: TypeAlias = Column | Value | Comparison | IsNull | In | Not | And | Or


def mentioned_columns(node: Condition) -> Iterator[str]:
    """Yield the name of each column of a tree, from left to right, as often as it occurs."""
    match node:
        case Column(name):
            yield name
        case Comparison(left, _, right):
            yield from mentioned_columns(left)
            yield from mentioned_columns(right)
        case IsNull(column) | In(column):
            yield column.name
        case Not(condition):
            yield from mentioned_columns(condition)
        case And(conditions) | Or(conditions):
            for condition in conditions:
                yield from mentioned_columns(condition)


# --- text to tree ---------------------------------------------------------------------------------------------------


class _Token(NamedTuple):
    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The token as a keyword or symbol; quoted names, texts and numbers are neither."""
        return self.text.upper() if self.kind in ("word", "symbol") else ""


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup and match.lastgroup != "space":
            yield _Token(match.lastgroup, match.group(), match.start())
    yield _Token("end", "", len(text))


class _Parser:
    """One method per line of the grammar: each starts at the current token and stops behind what it read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.position = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.position]

    def step(self) -> _Token:
        self.position += 1
        return self.tokens[self.position - 1]

    def take(self, *keywords: str) -> bool:
        """Step over the keywords or symbols if exactly they follow."""
        ahead = self.tokens[self.position : self.position + len(keywords)]
        found = tuple(token.keyword for token in ahead) == keywords
        self.position += len(keywords) * found
        return found

    def expect(self, keyword: str) -> None:
        if not self.take(keyword):
            raise self.unexpected(self.token, repr(keyword))

    @contextmanager
    def deeper(self) -> Iterator[None]:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(self.token, f"more than {MAX_DEPTH} levels of parentheses and NOT; simplify the filter")
        yield
        self.depth -= 1

    def error(self, token: _Token, problem: str) -> FilterParseError:
        first = max(0, token.start - 60)
        shown = "".join(char if char.isprintable() else " " for char in self.text[first : token.start + 60])
        caret = " " * (token.start - first) + "^" * min(max(1, len(token.text)), 60)
        where = f"filter, position {token.start + 1}"
        return FilterParseError(f"{where}: {problem}. Supported: {SUPPORTED}\n  {shown}\n  {caret}")

    def unexpected(self, token: _Token, expected: str) -> FilterParseError:
        if token.kind == "end":
            return self.error(token, f"the filter ends where {expected} should follow")
        if token.keyword in ("'", '"'):
            return self.error(token, f"this quote is empty or never closed; add the closing {token.text}")
        if token.keyword in HINTS:
            return self.error(token, f"{token.keyword} is not supported; {HINTS[token.keyword]}")
        return self.error(token, f"expected {expected}, found {token.text[:40]!r}")

    def whole(self) -> Condition:
        start = self.token
        if start.kind == "end":
            raise self.error(start, "the filter is empty; leave it out")
        condition = self.truth(self.either(), start)
        if self.token.kind != "end":
            raise self.unexpected(self.token, "AND, OR or the end of the filter")
        if not any(True for _ in mentioned_columns(condition)):
            raise self.error(start, "the filter mentions no column; leave it out or compare a column")
        return condition

    def truth(self, found: Condition, start: _Token) -> Condition:
        """Refuse a value such as 1 where something true or false is needed."""
        if isinstance(found, Value) and not isinstance(found.value, bool):
            raise self.error(start, "a value alone is no condition; compare it with a column")
        return found

    def either(self) -> Condition:
        return self.chain("OR", Or, self.both)

    def both(self) -> Condition:
        return self.chain("AND", And, self.negation)

    def chain(self, word: str, kind: type[And] | type[Or], read: Callable[[], Condition]) -> Condition:
        start = self.token
        first = read()
        if self.token.keyword != word:
            return first  # perhaps an operand in parentheses
        parts = [self.truth(first, start)]
        while self.take(word):
            start = self.token
            parts.append(self.truth(read(), start))
        # Kept flat: a script may well write a thousand alternatives.
        return kind(tuple(leaf for part in parts for leaf in (part.conditions if isinstance(part, kind) else (part,))))

    def negation(self) -> Condition:
        if not self.take("NOT"):
            return self.predicate()
        start = self.token
        with self.deeper():
            return Not(self.truth(self.negation(), start))

    def predicate(self) -> Condition:
        start = self.token
        left = self.group() if self.take("(") else self.operand()
        return self.comparison(left, start) if isinstance(left, Column | Value) else left

    def group(self) -> Condition:
        with self.deeper():
            inner = self.either()
            self.expect(")")
        return inner

    def comparison(self, left: Operand, start: _Token) -> Condition:
        """Read what follows the first operand; it may also be nothing, as in `NOT broken`."""
        if self.take("IS", "NOT"):
            return Not(self.compare(left, "=", start))
        if self.take("IS"):
            return self.compare(left, "=", start)
        if self.take("NOT"):
            self.expect("IN")
            return Not(self.listed(left, start))
        if self.take("IN"):
            return self.listed(left, start)
        if self.token.keyword in COMPARISONS:
            return self.compare(left, COMPARISONS[self.step().keyword], start)
        return left

    def compare(self, left: Operand, symbol: str, start: _Token) -> Condition:
        token = self.token
        right = self.operand()
        column, other = (left, right) if isinstance(left, Column) else (right, left)
        if not isinstance(column, Column):
            raise self.error(start, "a comparison without a column is always true or always false; leave it out")
        if other != Value(None):
            return Comparison(left, symbol, right)
        if symbol not in ("=", "!="):
            raise self.error(token, f"NULL has no order; write {normalise(IsNull(column))} or IS NOT NULL")
        return IsNull(column) if symbol == "=" else Not(IsNull(column))

    def listed(self, left: Operand, start: _Token) -> In:
        if not isinstance(left, Column):
            raise self.error(start, "IN needs a column on its left")
        self.expect("(")
        values: list[Value] = []
        while not self.take(")"):
            if values and not self.take(","):
                raise self.unexpected(self.token, "',' or ')'")
            values.append(self.item(left, values))
        return In(left, tuple(values))

    def item(self, column: Column, before: list[Value]) -> Value:
        token = self.token
        found = self.operand()
        if not isinstance(found, Value):
            raise self.unexpected(token, "a value such as 'text' or 1")
        if found.value is None:
            raise self.error(token, f"NULL cannot be listed; write OR {normalise(IsNull(column))}")
        if before and _is_what(found) != _is_what(before[0]):
            raise self.error(token, "the list mixes text, numbers or booleans; use one type")
        return found

    def operand(self) -> Operand:
        if self.take("("):
            with self.deeper():
                inner = self.operand()
                self.expect(")")
            return inner
        if self.take("-"):
            if self.token.kind != "number":
                raise self.unexpected(self.token, "a number")
            return self.number(-1)
        if self.token.kind == "number":
            return self.number(1)
        if self.token.kind == "text":
            return Value(self.step().text[1:-1].replace("''", "'"))
        if self.token.keyword in ("TRUE", "FALSE", "NULL"):
            return Value({"TRUE": True, "FALSE": False, "NULL": None}[self.step().keyword])
        return self.column()

    def number(self, sign: int) -> Value:
        token = self.step()
        if not token.text.isdecimal():
            decimal = sign * float(token.text)
            if math.isinf(decimal):
                raise self.error(token, "the number is too large")
            return Value(decimal)
        # Python refuses to read thousands of digits, so they are counted first.
        integer = sign * int(token.text) if len(token.text.lstrip("0")) <= 20 else 2**64
        if not -(2**63) <= integer < 2**64:
            raise self.error(token, "the number does not fit into 64 bits")
        return Value(integer)

    def column(self) -> Column:
        start = self.token
        if start.keyword in KEYWORDS:
            raise self.unexpected(start, "a column or a value")
        names = [self.name()]
        while self.take("."):
            names.append(self.name())
        if self.token.keyword == "(":
            raise self.error(start, "functions are not supported; compute the column before filtering")
        if self.token.kind == "text":
            raise self.error(start, f"{start.text[:40]} '…' is not supported; write only the 'text'")
        return Column(".".join(names))

    def name(self) -> str:
        if self.token.kind not in ("word", "quoted"):
            raise self.unexpected(self.token, "a column or a value")
        token = self.step()
        return token.text if token.kind == "word" else token.text[1:-1].replace('""', '"')


def _is_what(value: Value) -> str:
    return {str: "text", bool: "boolean"}.get(type(value.value), "number")


def parse_filter(text: str) -> Condition:
    """Parse a filter string to its tree.

    Raises:
        FilterParseError: with the position, the reason and what is supported.

    >>> parse_filter("size > 3")
    Comparison(left=Column(name='size'), operator='>', right=Value(value=3))
    """
    return _Parser(text).whole()


# --- tree to text ---------------------------------------------------------------------------------------------------


def normalise(node: Condition) -> str:
    """Return the tree as text, always in the same spelling; parsing it gives the same tree.

    >>> normalise(parse_filter("not(a==1)and b in(1,2)"))
    'NOT a = 1 AND b IN (1, 2)'
    """
    match node:
        case Column(name):
            return _quote_name(name)
        case Value(value):
            return _quote_value(value)
        case Comparison(left, symbol, right):
            return f"{normalise(left)} {symbol} {normalise(right)}"
        case IsNull(column) | Not(IsNull(column)):
            return f"{normalise(column)} IS {'NOT ' * isinstance(node, Not)}NULL"
        case In(column, values) | Not(In(column, values)):
            return f"{normalise(column)} {'NOT ' * isinstance(node, Not)}IN ({', '.join(map(normalise, values))})"
        case Not(condition):
            return f"NOT {_group(condition)}"
        case And(conditions):
            return " AND ".join(map(_group, conditions))
        case Or(conditions):
            return " OR ".join(map(normalise, conditions))


def _group(node: Condition) -> str:
    return f"({normalise(node)})" if isinstance(node, And | Or) else normalise(node)


def _quote_name(name: str) -> str:
    bare = all(_BARE_NAME.fullmatch(part) and part.upper() not in KEYWORDS for part in name.split("."))
    return name if bare else '"' + name.replace('"', '""') + '"'


def _quote_value(value: Scalar) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else str(value).upper() if isinstance(value, bool) else repr(value)
