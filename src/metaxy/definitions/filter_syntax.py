"""The language of filter strings: text to tree. `filter_tree` has the tree, and writes it as text.

    filter    := both ( OR both )*              both     := negation ( AND negation )*
    negation  := NOT negation | predicate
    predicate := '(' filter ')' | operand ( cmp operand | IS [NOT] operand | IS [NOT] DISTINCT FROM operand
                 | [NOT] IN '(' [value (, value)*] ')' | [NOT] BETWEEN operand AND operand | [NOT] [I]LIKE 'pattern' )?
    cmp       := = | == | != | <> | < | <= | > | >=
    operand   := column | value | function '(' operand (, operand)* ')' | '(' operand ')'
    column    := name ( '.' name )*             name     := word | "any text"; a dotted path is one column, "a.b"
    value     := 'text' | [-] number | TRUE | FALSE | NULL | DATE 'day' | TIMESTAMP 'time'

Keywords may be written in any case; names keep theirs.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from metaxy.definitions import filter_tree as tree
from metaxy.errors import FilterParseError
from metaxy.wording import did_you_mean

MAX_DEPTH: Final = 50
SUPPORTED: Final = (
    "= != < <= > >=, AND OR NOT, IN (…), BETWEEN, LIKE, ILIKE, IS [NOT] NULL, IS [NOT] DISTINCT FROM, DATE '…', "
    f"TIMESTAMP '…', parentheses, and the functions {', '.join(tree.FUNCTIONS)}"
)
# Every spelling of a comparison, and the one that the tree uses.
COMPARISONS: Final = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TEMPORAL: Final = ("DATE", "TIMESTAMP")
HINTS: Final = {
    **dict.fromkeys(("+", "-", "*", "/", "%", "||"), "compute the column before filtering"),
    "SIMILAR": "use LIKE",
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


class _Token(NamedTuple):
    """A word of a filter; as a keyword or symbol, too, which quoted names, texts and numbers are not."""

    kind: str
    text: str
    start: int
    keyword: str = ""


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind and kind != "space":
            word = match.group()
            yield _Token(kind, word, match.start(), word.upper() if kind in ("word", "symbol") else "")
    yield _Token("end", "", len(text))


class _Parser:
    """One method per line of the grammar: each starts at the current token and stops behind what it read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.position = 0
        self.depth = 0
        self.columns: list[tuple[str, _Token]] = []

    @property
    def token(self) -> _Token:
        return self.tokens[self.position]

    def step(self) -> _Token:
        self.position += 1
        return self.tokens[self.position - 1]

    def take(self, *keywords: str) -> bool:
        """Step over the keywords or symbols if exactly they follow."""
        if self.token.keyword != keywords[0]:
            return False  # as nearly always
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

    def whole(self) -> tree.Condition:
        start = self.token
        if start.kind == "end":
            raise self.error(start, "the filter is empty; leave it out")
        condition = self.truth(self.either(), start)
        if self.token.kind != "end":
            raise self.unexpected(self.token, "AND, OR or the end of the filter")
        return condition

    def truth(self, found: tree.Condition, start: _Token) -> tree.Condition:
        """Refuse a value such as 1 where something true or false is needed."""
        if isinstance(found, tree.Value) and not isinstance(found.value, bool):
            raise self.error(start, "a value alone is no condition; compare it with a column")
        if isinstance(found, tree.Call) and not (tree.FUNCTIONS[found.name].is_condition or found.name == "coalesce"):
            raise self.error(start, f"{found.name}(…) alone is no condition; compare it with a value")
        return found

    def either(self) -> tree.Condition:
        return self.chain("OR", tree.Or, self.both)

    def both(self) -> tree.Condition:
        return self.chain("AND", tree.And, self.negation)

    def chain(
        self, word: str, kind: type[tree.And] | type[tree.Or], read: Callable[[], tree.Condition]
    ) -> tree.Condition:
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

    def negation(self) -> tree.Condition:
        if not self.take("NOT"):
            return self.predicate()
        start = self.token
        with self.deeper():
            return tree.Not(self.truth(self.negation(), start))

    def predicate(self) -> tree.Condition:
        start = self.token
        left = self.group() if self.take("(") else self.operand()
        return self.comparison(left, start) if isinstance(left, (tree.Column, tree.Value, tree.Call)) else left

    def group(self) -> tree.Condition:
        with self.deeper():
            inner = self.either()
            self.expect(")")
        return inner

    def comparison(self, left: tree.Operand, start: _Token) -> tree.Condition:
        """Read what follows the first operand; it may also be nothing, as in `NOT broken`."""
        if self.take("IS"):
            return self.identity(left)
        negated = self.take("NOT")
        found: tree.Condition | None = None
        if self.take("IN"):
            found = self.listed(left, start)
        elif self.take("BETWEEN"):
            found = self.between(left)
        elif self.token.keyword in ("LIKE", "ILIKE"):
            found = self.like(left, start)
        elif negated:
            raise self.unexpected(self.token, "IN, BETWEEN, LIKE or ILIKE")
        elif self.token.keyword in COMPARISONS:
            found = self.compare(left, COMPARISONS[self.step().keyword])
        if found is None:
            return left
        return tree.Not(found) if negated else found

    def identity(self, left: tree.Operand) -> tree.Condition:
        negated = self.take("NOT")
        found = self.distinct(left) if self.take("DISTINCT", "FROM") else self.compare(left, "=")
        return tree.Not(found) if negated else found

    def distinct(self, left: tree.Operand) -> tree.Condition:
        right = self.operand()
        if isinstance(left, tree.Value) and isinstance(right, tree.Value):
            return tree.Value(left != right)
        for some, other in ((left, right), (right, left)):
            if other == tree.Value(None) and not isinstance(some, tree.Value):
                return tree.Not(tree.IsNull(some))
        return tree.Distinct(left, right)

    def compare(self, left: tree.Operand, symbol: str) -> tree.Condition:
        token = self.token
        return self.compared(left, symbol, self.operand(), token)

    def compared(self, left: tree.Operand, symbol: str, right: tree.Operand, token: _Token) -> tree.Condition:
        """Compare two operands; a comparison with NULL asks whether there is a value, and one of values is done."""
        if tree.Value(None) in (left, right) and symbol not in ("=", "!="):
            raise self.error(token, "NULL has no order; write IS NULL or IS NOT NULL")
        if isinstance(left, tree.Value) and isinstance(right, tree.Value):
            return self.constant(left, symbol, right, token)
        for some, other in ((left, right), (right, left)):
            if other == tree.Value(None) and not isinstance(some, tree.Value):
                return tree.IsNull(some) if symbol == "=" else tree.Not(tree.IsNull(some))
        return tree.Comparison(left, symbol, right)

    def constant(self, left: tree.Value, symbol: str, right: tree.Value, token: _Token) -> tree.Value:
        if tree.Value(None) not in (left, right) and _is_what(left) != _is_what(right):
            raise self.error(token, f"this compares {_is_what(left)} with {_is_what(right)}; use one type")
        try:
            return tree.Value(bool(COMPARE[symbol](left.value, right.value)))
        except TypeError:  # a day with a time, or times with and without a zone
            raise self.error(token, "these two cannot be compared; write both in the same way") from None

    def between(self, left: tree.Operand) -> tree.Condition:
        first, low = self.token, self.operand()
        self.expect("AND")
        second, high = self.token, self.operand()
        return tree.And((self.compared(left, ">=", low, first), self.compared(left, "<=", high, second)))

    def like(self, left: tree.Operand, start: _Token) -> tree.Condition:
        ignore_case = self.step().keyword == "ILIKE"
        if isinstance(left, tree.Value):
            raise self.error(start, "LIKE needs a column on its left")
        return tree.Like(left, self.text_value("a pattern such as 'cam-%'"), ignore_case)

    def text_value(self, what: str) -> str:
        if self.token.kind != "text":
            raise self.unexpected(self.token, what)
        return self.step().text[1:-1].replace("''", "'")

    def listed(self, left: tree.Operand, start: _Token) -> tree.Condition:
        if isinstance(left, tree.Value):
            raise self.error(start, "IN needs a column on its left")
        self.expect("(")
        values: list[tree.Value] = []
        while not self.take(")"):
            if values and not self.take(","):
                raise self.unexpected(self.token, "',' or ')'")
            values.append(self.item(left, values))
        return tree.In(left, tuple(values))

    def item(self, column: tree.Column | tree.Call, before: list[tree.Value]) -> tree.Value:
        token = self.token
        found = self.operand()
        if not isinstance(found, tree.Value):
            raise self.unexpected(token, "a value such as 'text' or 1")
        if found.value is None:
            raise self.error(token, f"NULL cannot be listed; write OR {tree.normalise(tree.IsNull(column))}")
        if before and _is_what(found) != _is_what(before[0]):
            raise self.error(token, "the list mixes text, numbers or booleans; use one type")
        return found

    def operand(self) -> tree.Operand:
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
            return tree.Value(self.text_value("text"))
        if self.token.keyword in ("TRUE", "FALSE", "NULL"):
            return tree.Value({"TRUE": True, "FALSE": False, "NULL": None}[self.step().keyword])
        if self.token.kind == "word" and self.tokens[self.position + 1].keyword == "(":
            return self.call() if self.token.keyword not in tree.KEYWORDS else self.column()
        if self.token.keyword in TEMPORAL and self.tokens[self.position + 1].kind == "text":
            return self.temporal()
        return self.column()

    def call(self) -> tree.Call:
        start = self.step()
        name = start.text.lower()
        if name not in tree.FUNCTIONS:
            raise self.error(start, f"function {start.text[:40]} is not supported.{did_you_mean(name, tree.FUNCTIONS)}")
        self.expect("(")
        with self.deeper():
            arguments = self.arguments(name)
        if not any(True for argument in arguments for _ in tree.mentioned_columns(argument)):
            raise self.error(start, f"{name}(…) needs a column; write the value itself")
        return tree.Call(name, tuple(arguments))

    def arguments(self, name: str) -> list[tree.Operand]:
        wanted = tree.FUNCTIONS[name]
        arguments = [self.operand()]
        while self.take(","):
            if len(arguments) >= wanted.operands > 0:
                arguments.append(tree.Value(self.text_value("a text such as 'x'")))
            else:
                arguments.append(self.operand())
            if len(arguments) > wanted.operands + wanted.texts > 0:
                break
        count = wanted.operands + wanted.texts if wanted.operands > 0 else max(2, len(arguments))
        if len(arguments) != count or self.token.keyword != ")":
            shown = f"{count} argument{'s' * (count > 1)}" if wanted.operands > 0 else "2 or more arguments"
            raise self.error(self.token, f"{name} takes {shown}")
        self.expect(")")
        return arguments

    def temporal(self) -> tree.Value:
        kind = self.step().keyword
        token = self.token
        found = tree.moment(self.text_value("a day or time"))
        is_time = isinstance(found, datetime)
        if found is None or (kind == "DATE" and is_time):
            example = "'2024-01-31'" if kind == "DATE" else "'2024-01-31 08:30:00' or '2024-01-31T08:30:00Z'"
            raise self.error(token, f"this is no {kind.lower()}; write it as {example}")
        return tree.Value(found if kind == "DATE" or is_time else datetime(found.year, found.month, found.day))

    def number(self, sign: int) -> tree.Value:
        token = self.step()
        if not token.text.isdecimal():
            decimal = sign * float(token.text)
            if math.isinf(decimal):
                raise self.error(token, "the number is too large")
            return tree.Value(decimal)
        # Python refuses to read thousands of digits, so they are counted first.
        integer = sign * int(token.text) if len(token.text.lstrip("0")) <= 20 else 2**64
        if not -(2**63) <= integer < 2**64:
            raise self.error(token, "the number does not fit into 64 bits")
        return tree.Value(integer)

    def column(self) -> tree.Column:
        start = self.token
        if start.keyword in tree.KEYWORDS:
            raise self.unexpected(start, "a column or a value")
        names = [self.name()]
        while self.take("."):
            names.append(self.name())
        if self.token.kind == "text":
            raise self.error(start, f"{start.text[:40]} '…' is not supported; write only the 'text'")
        self.columns.append((".".join(names), start))
        return tree.Column(".".join(names))

    def name(self) -> str:
        if self.token.kind not in ("word", "quoted"):
            raise self.unexpected(self.token, "a column or a value")
        token = self.step()
        return token.text if token.kind == "word" else token.text[1:-1].replace('""', '"')


def _is_what(value: tree.Value) -> str:
    if isinstance(value.value, date):
        return "time"
    return {str: "text", bool: "boolean"}.get(type(value.value), "number")


def parse_filter(text: str, columns: Iterable[str] | None = None) -> tree.Condition:
    """Parse a filter string to its tree.

    Raises:
        FilterParseError: with the position, the reason and what is supported.

    >>> parse_filter("size > 3")
    Comparison(left=Column(name='size'), operator='>', right=Value(value=3))
    """
    parser = _Parser(text)
    condition = parser.whole()
    known = None if columns is None else list(columns)
    for name, token in parser.columns if known is not None else ():
        if name not in (known or ()):
            shown = f"It has: {', '.join(known or ())}"
            raise parser.error(token, f"there is no column {name!r}.{did_you_mean(name, known or ())} {shown}")
    return condition
