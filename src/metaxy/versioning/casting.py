"""Casts in filters: those that all engines can do alike, with NULL for what the new type has no room for.

Of the others each engine has a way of its own: `1.5` is cut to 1 or rounded to 2, a text that is no number is an error
or 0, and a time is written with more digits or fewer.
"""

from collections.abc import Mapping
from typing import Any, Final

import narwhals as nw

from metaxy.versioning.portable import UnportableError
from metaxy.versioning.values import FLOATS, LARGEST, SIGNED, UNSIGNED, range_of

TEXTS: Final = (nw.String, nw.Categorical, nw.Enum)
WHOLE_NUMBER: Final = r"^[+-]?[0-9]{1,18}$"
EXACT_DIGITS: Final = 15  # of decimals, as many as a float keeps
UNITS: Final = ("ms", "us")
# What to do instead, by the type that is wanted.
INSTEAD: Final[Mapping[type, str]] = {
    nw.String: "compare the values as they are, or use dt.to_string() with a format",
    nw.Float64: "store the number as a column",
    nw.Date: "use str.to_date() or str.to_datetime() with a format, or store the date as a column",
    nw.Datetime: "use str.to_datetime() with a format, or compare with times of the column's own type",
}


def cast(value: nw.Expr, given: Any, wanted: Any) -> nw.Expr | None:
    """Cast a value of a type to another; None where nobody knows of which type it is.

    Raises:
        UnportableError: if engines do that in ways of their own.
    """
    dtype = wanted() if isinstance(wanted, type) else wanted
    if given is None or isinstance(given, nw.Unknown):
        return None
    if given == dtype:
        return value
    if isinstance(dtype, TEXTS):
        return as_text(value, given)
    kind = type(dtype)
    if kind in SIGNED or kind in UNSIGNED:
        found = _as_integer(value, given, dtype)
    elif isinstance(dtype, nw.Boolean):
        found = _as_truth(value, given)
    elif isinstance(dtype, nw.Float64):
        found = _as_float(value, given)
    else:
        found = value.cast(dtype) if _is_moment(given, dtype) else None
    if found is None:
        raise _refused(given, dtype)
    return found


def as_text(value: nw.Expr, given: Any) -> nw.Expr:
    """Write a value as text, where all engines write the same.

    Raises:
        UnportableError: where they do not.
    """
    if given is None or isinstance(given, (nw.Unknown, *TEXTS)):
        return value if isinstance(given, nw.String) else value.cast(nw.String())
    if isinstance(given, nw.Boolean):
        return nw.when(value).then(nw.lit("true")).otherwise(nw.when(~value).then(nw.lit("false")))
    if given.is_integer() or isinstance(given, nw.Date) or (isinstance(given, nw.Decimal) and given.scale == 0):
        return value.cast(nw.String())
    raise _refused(given, nw.String())


def _refused(given: Any, wanted: Any) -> UnportableError:
    instead = INSTEAD.get(type(wanted), "cast to Int64, Float64 or Boolean, or store the value as a column")
    return UnportableError(f"casts {given} to {wanted}, which stores do in ways of their own; {instead}")


def _as_truth(value: nw.Expr, given: Any) -> nw.Expr | None:
    if not isinstance(given, nw.dtypes.NumericType):
        return None
    return (value != 0) | value.is_nan() if given.is_float() else value != 0


def _as_integer(value: nw.Expr, given: Any, dtype: Any) -> nw.Expr | None:
    """Cut the parts of a number off; 64 bits do as well as fewer."""
    lowest, highest = range_of(dtype)
    if isinstance(given, nw.Boolean):
        return value.cast(nw.Int64())
    if isinstance(given, TEXTS):
        text: nw.Expr = nw.when(value.str.contains(f"(?s){WHOLE_NUMBER}")).then(value)
        number = text.cast(nw.Int64())
        return nw.when((number >= lowest) & (number <= min(highest, LARGEST))).then(number)
    if given.is_integer():
        return _within(value, given, lowest, highest).cast(nw.Int64())
    if isinstance(dtype, nw.UInt64):
        return None
    if isinstance(given, nw.Decimal) and given.scale == 0:
        return nw.when((value >= lowest) & (value <= highest)).then(value).cast(nw.Int64())
    return _cut(value, given, lowest, highest) if isinstance(given, FLOATS) else None


def _cut(value: nw.Expr, given: Any, lowest: int, highest: int) -> nw.Expr:
    number = value if isinstance(given, nw.Float64) else value.cast(nw.Float64())
    cut: nw.Expr = nw.when(number < 0).then(number.ceil()).otherwise(number.floor())
    whole = cut.cast(nw.Float64())
    fits = (whole >= float(lowest)) & (whole < float(highest + 1))
    return nw.when(fits).then(whole).cast(nw.Int64())


def _within(value: nw.Expr, given: Any, lowest: int, highest: int) -> nw.Expr:
    """Leave out what is beyond two bounds, if there is any such integer of its type."""
    least, most = range_of(given)
    bounds = [*([value >= lowest] if least < lowest else []), *([value <= highest] if most > highest else [])]
    return nw.when(*bounds).then(value) if bounds else value


def _as_float(value: nw.Expr, given: Any) -> nw.Expr | None:
    if isinstance(given, nw.Boolean):
        return value.cast(nw.Int64()).cast(nw.Float64())
    exact = isinstance(given, nw.Decimal) and given.precision <= EXACT_DIGITS
    return value.cast(nw.Float64()) if exact or given.is_integer() or given.is_float() else None


def _is_moment(given: Any, wanted: Any) -> bool:
    """Return whether only a zone or the time of the day comes or goes."""
    if isinstance(wanted, nw.Date):
        return isinstance(given, nw.Datetime)
    if not isinstance(wanted, nw.Datetime) or wanted.time_unit != "us" or wanted.time_zone not in (None, "UTC"):
        return False
    if isinstance(given, nw.Date):
        return wanted.time_zone is None
    return isinstance(given, nw.Datetime) and given.time_unit in UNITS and given.time_zone in (None, "UTC")
