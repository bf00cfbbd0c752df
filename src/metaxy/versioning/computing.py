"""What filters compute, in the words that all engines understand alike.

Engines agree about comparisons, and about little of what stands beside them: small integers wrap around, widen or are
an error, a number divided by zero is infinite, NULL or an error, and a cast rounds, cuts or fails. So numbers are
computed with 64 bits, what divides by zero and what a cast has no room for is written out, and the rest is refused.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import narwhals as nw

from metaxy.versioning.casting import as_text, cast
from metaxy.versioning.expressions import all_steps, built, is_plain, mapped, steps, type_of, value_of, with_arguments
from metaxy.versioning.portable import UnportableError
from metaxy.versioning.values import FLOATS

Numbers = Callable[[Any, Any], nw.Expr]
LAST_DIGITS: Final = "whose last digits differ, and of numbers that it has no value for"
COMPUTED: Final = "store it as a column"
# Functions that stores compute in ways of their own: what differs, and what to write instead.
REFUSED: Final[Mapping[str, tuple[str, str]]] = {
    "__pow__": ("powers, which are integers, floats or errors", "multiply, as in x * x"),
    "__rpow__": ("powers, which are integers, floats or errors", COMPUTED),
    "_is_close_float_promote": ("is_close(), of which stores lack parts", "compare with two bounds"),
    "clip": ("clip(), which stores make NULL and NaN something else by", "compare with the bounds"),
    "clip_lower": ("clip(), which stores make NULL and NaN something else by", "compare with the bound"),
    "clip_upper": ("clip(), which stores make NULL and NaN something else by", "compare with the bound"),
    "cos": (f"cos(), {LAST_DIGITS}", COMPUTED),
    "exp": (f"exp(), {LAST_DIGITS}", COMPUTED),
    "log": (f"log(), {LAST_DIGITS}", COMPUTED),
    "mean_horizontal": ("mean_horizontal(), which is an error on some stores where all is NULL", "add, and divide"),
    "replace_strict": ("replace_strict(), which some stores lack", "use when(), then() and otherwise()"),
    "round": ("round(), by which some stores round halves up, and others to the even", "use floor() or ceil()"),
    "sin": (f"sin(), {LAST_DIGITS}", COMPUTED),
    "sqrt": ("sqrt(), which some stores have no value of negative numbers for", "compare with the square"),
}
OPERATORS: Final[Mapping[str, Numbers]] = {
    f"__{name}__": getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "floordiv", "mod")
}
TURNED: Final = {f"__r{name}__": f"__{name}__" for name in ("sub", "truediv", "floordiv", "mod")}
DIVIDING: Final = frozenset({"__truediv__", "__floordiv__", "__mod__"})
EXTREMES: Final = {"max_horizontal": nw.max_horizontal, "min_horizontal": nw.min_horizontal}
HORIZONTAL: Final = frozenset({*EXTREMES, "concat_str", "sum_horizontal"})
WIDE: Final = (nw.Int64, nw.UInt64)


@dataclass(frozen=True)
class Computing:
    """Writes what is computed from columns of these types."""

    types: nw.Schema

    def begun(self, step: Any, arguments: Sequence[Any]) -> nw.Expr | None:
        """Write a function of several columns; None if engines agree about it.

        Raises:
            UnportableError: if there is no common form.
        """
        _refuse(step.name)
        if step.name not in HORIZONTAL:
            return None
        parts = [part if isinstance(part, nw.Expr) else nw.lit(part) for part in arguments]
        kinds = [self._type(part) for part in parts]
        if step.name == "concat_str":
            return _concatenated([as_text(*pair) for pair in zip(parts, kinds, strict=True)], **step.kwargs)
        if not all(map(_is_number, kinds)):
            return None
        if step.name == "sum_horizontal":
            return nw.sum_horizontal(*map(_wide, parts, kinds))
        return EXTREMES[step.name](*_of_one_kind(parts, kinds))

    def applied(self, left: nw.Expr, step: Any, arguments: Sequence[Any]) -> nw.Expr | None:
        """Write a step after what is written already; None if engines agree about it.

        Raises:
            UnportableError: if there is no common form.
        """
        _refuse(step.name)
        if step.name == "cast":
            return cast(left, self._type(left), step.kwargs["dtype"])
        if step.name in OPERATORS:
            return self._operation(step.name, left, arguments[0])
        if step.name in TURNED:
            return self._operation(TURNED[step.name], arguments[0], left)
        return self._of_one(left, step) if step.name in ("__neg__", "abs", "ceil", "floor") else None

    def _of_one(self, left: nw.Expr, step: Any) -> nw.Expr | None:
        kind = self._type(left)
        if not _is_number(kind):
            return None
        wide: nw.Expr = _wide(left, kind)
        if step.name == "__neg__" and not (kind.is_float() or kind.is_decimal()):
            return nw.lit(0) - wide
        found = built(type(wide), [*steps(wide), step])
        return found.cast(nw.Float64()) if step.name in ("ceil", "floor") and kind.is_float() else found

    def _operation(self, symbol: str, left: Any, right: Any) -> nw.Expr | None:
        kinds = self._type(left), self._type(right)
        if symbol == "__add__" and all(isinstance(kind, nw.String) for kind in kinds):
            return nw.concat_str(*(side if isinstance(side, nw.Expr) else nw.lit(side) for side in (left, right)))
        if (
            symbol == "__sub__"
            and any(isinstance(kind, nw.Date) for kind in kinds)
            and all(isinstance(kind, (nw.Date, nw.Datetime)) for kind in kinds)
        ):
            raise UnportableError("subtracts with dates, which stores count in days or in times; cast them to Datetime")
        if not all(map(_is_number, kinds)):
            return None
        if symbol not in DIVIDING:
            return OPERATORS[symbol](_wide(left, kinds[0]), _wide(right, kinds[1]))
        if is_plain(right) and value_of(right) == 0:
            return None  # which is refused, as nobody means it
        if symbol == "__truediv__" or any(kind.is_float() for kind in kinds):
            return _float_division(symbol, _float(left, kinds[0]), _float(right, kinds[1]))
        divided = OPERATORS[symbol](_whole(left, kinds[0]), _whole(right, kinds[1]))
        return divided if is_plain(right) else nw.when(right != 0).then(divided)

    def _type(self, value: Any) -> Any:
        return type_of(value if isinstance(value, nw.Expr) else nw.lit(value), self.types)


def with_wide_integers(condition: nw.Expr) -> nw.Expr:
    """Compute integers with 128 bits, where there are so many: Polars wraps around at the end of 64, DuckDB raises.

    >>> with_wide_integers(nw.col("a").cast(nw.Int64) + 1)
    col(a).cast(dtype=Int128).__add__(1)
    """
    casts = [step.kwargs["dtype"] for step in all_steps(condition) if step.name == "cast"]
    return mapped(condition, _widened) if any(dtype in WIDE for dtype in casts) else condition


def with_widest_integers(conditions: tuple[nw.Expr, ...], engine: nw.Implementation) -> tuple[nw.Expr, ...]:
    """Do so in conditions that an engine evaluates, if it has such integers."""
    return conditions if engine.is_ibis() else tuple(map(with_wide_integers, conditions))


def _widened(step: Any) -> Any:
    if step.name != "cast" or step.kwargs["dtype"] not in WIDE:
        return step
    return with_arguments(step, step.exprs, {"dtype": nw.Int128()})


def _refuse(name: str) -> None:
    if name in REFUSED:
        what, instead = REFUSED[name]
        raise UnportableError(f"uses {what}; {instead}")


def _is_number(dtype: Any) -> bool:
    return isinstance(dtype, (nw.Boolean, nw.dtypes.NumericType))


def _concatenated(texts: Sequence[nw.Expr], separator: str, ignore_nulls: bool) -> nw.Expr:
    """Glue texts; NULLs that are ignored have no separator either."""
    if not ignore_nulls:
        return nw.concat_str(*texts, separator=separator)
    glued = [
        nw.when(text.is_null()).then(nw.lit("")).otherwise(nw.concat_str(nw.lit(separator), text)) for text in texts
    ]
    return nw.concat_str(*glued).str.slice(len(separator))


# -- numbers -----------------------------------------------------------------------------------------------------------


def _wide(side: Any, dtype: Any) -> Any:
    """Return a number of 64 bits; the cast of one that has them marks what Polars computes with 128."""
    if not isinstance(side, nw.Expr) or is_plain(side) or isinstance(dtype, nw.Decimal):
        return side
    if dtype.is_float():
        return _float(side, dtype)
    return side.cast(nw.UInt64() if isinstance(dtype, nw.UInt64) else nw.Int64())


def _whole(side: Any, dtype: Any) -> Any:
    """Return an integer of 64 bits, also where a store keeps large ones as decimals."""
    if not isinstance(dtype, nw.Decimal):
        return _wide(side, dtype)
    if dtype.scale:
        raise _division_of_decimals()
    return side.cast(nw.Int64()) if isinstance(side, nw.Expr) else int(side)


def _float(side: Any, dtype: Any) -> Any:
    if isinstance(dtype, nw.Decimal) and dtype.scale:
        raise _division_of_decimals()
    if is_plain(side):
        return nw.lit(float(value_of(side)))
    if isinstance(dtype, nw.Boolean):
        side = side.cast(nw.Int64())
    return side if isinstance(dtype, nw.Float64) else side.cast(nw.Float64())


def _division_of_decimals() -> UnportableError:
    return UnportableError("divides decimals, of which stores keep other digits; cast them to Float64, or multiply")


def _float_division(symbol: str, left: nw.Expr, right: nw.Expr) -> nw.Expr:
    """Divide; what is divided by zero, which has no sign, is infinite, or NaN where it is zero itself."""
    quotient = left / right
    if not is_plain(right):
        quotient = nw.when(right.is_null() | (right != 0)).then(quotient).otherwise(left * nw.lit(inf))
    if symbol == "__truediv__":
        return quotient
    whole = quotient.floor().cast(nw.Float64())
    return whole if symbol == "__floordiv__" else left - whole * right


def _of_one_kind(parts: Sequence[nw.Expr], kinds: Sequence[Any]) -> list[nw.Expr]:
    """Return numbers that are all floats if one is; NaN counts as little as NULL."""
    if not any(kind.is_float() for kind in kinds):
        return list(map(_wide, parts, kinds))
    return [_without_nan(_float(part, kind), kind) for part, kind in zip(parts, kinds, strict=True)]


def _without_nan(number: nw.Expr, given: Any) -> nw.Expr:
    return nw.when(~number.is_nan()).then(number) if isinstance(given, FLOATS) else number
