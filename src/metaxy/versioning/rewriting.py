"""Conditions of users, written so that every engine selects the rows that Polars selects.

Engines differ in what they make of a value that is not quite of the type of the column beside it: an integer that is
too large, a decimal number beside 32 bits, a time of another zone, NaN. So each value takes the type of its column
before an engine sees it. Chains of AND and OR become trees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, partial
from math import inf, isnan
from typing import Any, Final

import narwhals as nw

from metaxy.versioning.computing import Computing
from metaxy.versioning.expressions import (
    COMPARISONS,
    FAN_OUT,
    Join,
    balanced,
    both,
    built,
    compared_with_value,
    either,
    is_plain,
    operands,
    rows_of_columns,
    steps,
    type_of,
    value_of,
    with_arguments,
)
from metaxy.versioning.patterns import common_pattern, replaceable_pattern
from metaxy.versioning.values import FLOATS, fitted, listed, literal, plain

JOINS: Final[Mapping[str, Join]] = {"__and__": both, "__or__": either}
HORIZONTAL: Final = {"all_horizontal": nw.all_horizontal, "any_horizontal": nw.any_horizontal}
PATTERNS: Final = frozenset({"str.contains", "str.replace", "str.replace_all"})
MIRRORED: Final = {"__lt__": "__gt__", "__le__": "__ge__", "__gt__": "__lt__", "__ge__": "__le__"}
CLOSED: Final = {
    "both": ("__ge__", "__le__"),
    "left": ("__ge__", "__lt__"),
    "right": ("__gt__", "__le__"),
    "none": ("__gt__", "__lt__"),
}
LISTED: Final = {"__or__": "__eq__", "any_horizontal": "__eq__", "__and__": "__ne__", "all_horizontal": "__ne__"}
GREATER: Final = frozenset({"__ne__", "__gt__", "__ge__"})  # what NaN is, compared with any number
# What a comparison asks where the column has no value that is equal: the next smaller one, or its smallest, may be.
BELOW_GIVEN: Final = {"__lt__": "__le__", "__ge__": "__gt__"}
ABOVE_GIVEN: Final = {"__eq__": "__lt__", "__le__": "__lt__", "__ne__": "__ge__", "__gt__": "__ge__"}


@dataclass(frozen=True)
class Rewriting:
    """Rewrites expressions over columns of these types.

    ``orders_nan``: the engine takes NaN for a number that equals itself and is greater than all others.
    """

    types: nw.Schema
    orders_nan: bool = True

    def rewritten(self, given: nw.Expr) -> nw.Expr:
        """Rewrite an expression, step by step."""
        kind, nodes = type(given), steps(given)
        end = max((n for n, step in enumerate(nodes, start=1) if step.name in JOINS), default=0)
        done = self._joined(built(kind, nodes[:end]), nodes[end - 1].name) if end else self._begun(kind, nodes[0])
        for step in nodes[end or 1 :]:
            done = self._with(done, step)
        return done

    def _joined(self, chain: nw.Expr, symbol: str) -> nw.Expr:
        parts = self._with_lists(list(operands(chain, symbol)), LISTED[symbol])
        return balanced(JOINS[symbol], [self.rewritten(part) for part in parts])

    def _begun(self, kind: type[nw.Expr], step: Any) -> nw.Expr:
        if step.name not in HORIZONTAL:
            arguments = self._arguments(step)
            found = self._computing.begun(step, arguments)
            return built(kind, [_with_plain_options(step, arguments)]) if found is None else found
        parts = [_named(part) for part in step.exprs]
        if not step.kwargs["ignore_nulls"]:
            parts = self._with_lists(parts, LISTED[step.name])
        return balanced(partial(HORIZONTAL[step.name], **step.kwargs), [self.rewritten(part) for part in parts])

    def _arguments(self, step: Any) -> list[Any]:
        """Return arguments as expressions and values; text that names a column is one."""
        given = step.exprs if step.str_as_lit else map(_named, step.exprs)
        return [self.rewritten(part) if isinstance(part, nw.Expr) else plain(part) for part in given]

    def _with(self, done: nw.Expr, step: Any) -> nw.Expr:
        """Add a step to what is rewritten already."""
        if step.name == "is_in":
            return self._membership(done, step)
        if step.name in PATTERNS and not step.kwargs["literal"]:
            step = _with_common_pattern(step)
        arguments = self._arguments(step)
        if step.name in COMPARISONS:
            return self._comparison(done, step.name, arguments[0])
        if step.name == "is_between":
            bounds = zip(CLOSED[step.kwargs["closed"]], arguments, strict=True)
            return both(*(self._comparison(done, symbol, bound) for symbol, bound in bounds))
        found = self._computing.applied(done, step, arguments)
        return built(type(done), [*steps(done), _with_plain_options(step, arguments)]) if found is None else found

    @cached_property
    def _computing(self) -> Computing:
        return Computing(self.types)

    # -- comparisons -------------------------------------------------------------------------------------------------

    def _comparison(self, left: nw.Expr, symbol: str, right: Any) -> nw.Expr:
        if is_plain(left) and not is_plain(right):
            left, symbol, right = right, MIRRORED.get(symbol, symbol), left
        if not is_plain(right):
            return self._of_columns(left, symbol, right)
        dtype, value = type_of(left, self.types), value_of(right)
        if isinstance(dtype, nw.Boolean) and isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            left, dtype = left.cast(nw.Int64()), nw.Int64()
        if self.orders_nan or not isinstance(dtype, FLOATS) or not isinstance(value, (int, float)):
            return _compared(left, symbol, value, dtype)
        return _of_nan(left, symbol) if isnan(value) else self._of_float(left, symbol, fitted(value, dtype).value)

    def _of_float(self, left: nw.Expr, symbol: str, number: float) -> nw.Expr:
        """Compare with a number, and say what holds of NaN: an engine may forget that it is there."""
        found = _applied(left, symbol, number)
        return found | left.is_nan() if symbol in GREATER else found & ~left.is_nan()

    def _of_columns(self, left: nw.Expr, symbol: str, right: nw.Expr) -> nw.Expr:
        kinds = [type_of(side, self.types) for side in (left, right)]
        if sum(isinstance(kind, nw.Boolean) for kind in kinds) == 1:  # whose numbers are 0 and 1
            pairs = zip((left, right), kinds, strict=True)
            left, right = (side.cast(nw.Int64()) if isinstance(kind, nw.Boolean) else side for side, kind in pairs)
        found = _applied(left, symbol, right)
        if self.orders_nan or not all(isinstance(kind, FLOATS) for kind in kinds):
            return found
        one, other = left.is_nan(), right.is_nan()
        # Of two answers that are true, false or missing, this compares as the numbers do.
        return (found & ~one & ~other) | (_applied(one, symbol, other) & (one | other))

    # -- lists -------------------------------------------------------------------------------------------------------

    def _with_lists(self, parts: list[nw.Expr], symbol: str) -> list[nw.Expr]:
        """List the values that one column is compared with in many parts, so that they are looked up together."""
        if len(parts) <= FAN_OUT:
            return parts
        compared = [compared_with_value(part, symbol) for part in parts]
        values: dict[str, list[Any]] = {}
        for name, value in filter(None, compared):
            values.setdefault(name, []).append(value)
        lists = {name: given for name, given in values.items() if listed(given, self.types.get(name)) is not None}
        rest = [part for part, pair in zip(parts, compared, strict=True) if pair is None or pair[0] not in lists]
        found = [nw.col(name).is_in(given) for name, given in lists.items()]
        return [*rest, *(found if symbol == "__eq__" else [~condition for condition in found])]

    def _membership(self, left: nw.Expr, step: Any) -> nw.Expr:
        rows = rows_of_columns(left, step.kwargs["other"])
        if rows is not None:
            names = sorted(rows.names, key=lambda name: len({row[name] for row in rows.values}))
            # A struct is there where a member is not.
            return nw.coalesce(self._any_row(names, rows.values), nw.lit(value=False))
        dtype = type_of(left, self.types)
        values = listed(step.kwargs["other"], dtype)
        if values is None:
            return built(type(left), [*steps(left), step])
        if isinstance(dtype, FLOATS) and not self.orders_nan:
            return _float_in(left, values)
        return left.is_in(values) if values else _never(left)

    def _any_row(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> nw.Expr:
        """Compare several columns with rows of values; those of the last column are listed."""
        first, *others = names
        if not others or not rows:
            return self.rewritten(nw.col(first).is_in([row[first] for row in rows]))
        groups: dict[Any, list[Mapping[str, Any]]] = {}
        for row in rows:
            groups.setdefault(row[first], []).append(row)
        found = [
            self.rewritten(nw.col(first) == value) & self._any_row(others, group) for value, group in groups.items()
        ]
        return balanced(either, found)


def _named(argument: Any) -> Any:
    return nw.col(argument) if isinstance(argument, str) else argument


def _with_plain_options(step: Any, arguments: Sequence[Any]) -> Any:
    return with_arguments(step, arguments, {name: plain(value) for name, value in step.kwargs.items()})


def _with_common_pattern(step: Any) -> Any:
    argument = value_of(step.exprs[0]) if is_plain(step.exprs[0]) else None
    if step.name == "str.contains":
        return with_arguments(step, [common_pattern(argument)], step.kwargs)
    pattern = replaceable_pattern(step.kwargs["pattern"], argument)
    return with_arguments(step, [argument], {**step.kwargs, "pattern": pattern})


def _applied(left: nw.Expr, symbol: str, right: Any) -> nw.Expr:
    compared: nw.Expr = getattr(left, symbol)(right)
    return compared


def _never(left: nw.Expr) -> nw.Expr:
    """Write what is false for every value, and missing where there is none."""
    return left != left


def _compared(left: nw.Expr, symbol: str, value: Any, dtype: Any) -> nw.Expr:
    """Compare with a value of the column's type or, where none is equal, with the one that is nearest."""
    nearest = fitted(value, dtype)
    right = literal(nearest.value, dtype)
    if nearest.given < 0:
        return _applied(left, ABOVE_GIVEN.get(symbol, symbol), right)
    if nearest.given == 0 or symbol not in ("__eq__", "__ne__"):
        return _applied(left, BELOW_GIVEN.get(symbol, symbol) if nearest.given else symbol, right)
    return _never(left) if symbol == "__eq__" else left == left


def _of_nan(left: nw.Expr, symbol: str) -> nw.Expr:
    """Compare with NaN, which is equal to itself and greater than all other numbers."""
    nan = left.is_nan()
    answers = {"__eq__": nan, "__ge__": nan, "__gt__": nan & ~nan, "__le__": nan | ~nan}
    return answers.get(symbol, ~nan)


def _float_in(left: nw.Expr, values: list[float]) -> nw.Expr:
    numbers = [value for value in values if not isnan(value)]
    zeros = [0.0, -0.0] if 0.0 in numbers else []  # some engines list values by their bits
    found = left.is_in([*numbers, *zeros]) if numbers else left < -inf
    return found | left.is_nan() if len(numbers) < len(values) else found & ~left.is_nan()
