"""Values beside a column: as the column's type or, if that has no such value, as the next smaller one that it has."""

import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import ROUND_FLOOR, Context, Decimal
from math import floor, isfinite, isnan
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import narwhals as nw
import polars as pl

FLOATS: Final = (nw.Float16, nw.Float32, nw.Float64)
PACKED: Final = dict(zip(FLOATS, "efd", strict=True))  # as `struct` calls them
SIGNED: Final = {nw.Int8: 7, nw.Int16: 15, nw.Int32: 31, nw.Int64: 63}
UNSIGNED: Final = {nw.UInt8: 8, nw.UInt16: 16, nw.UInt32: 32, nw.UInt64: 64}
LARGEST: Final = 2**63 - 1  # of integers that need no type
LISTED: Final = (*SIGNED, *UNSIGNED, nw.Float64, nw.Decimal, nw.String, nw.Binary, nw.Date, nw.Time, nw.Duration)
MIDNIGHT: Final = time()
DIGITS: Final = Context(prec=100)
NANOSECONDS: Final = timedelta(microseconds=LARGEST // 1000)  # as many as 64 bits count


@dataclass(frozen=True)
class Fitted:
    """A value that a column can hold, and whether the given one is equal (0), greater (1) or smaller (-1).

    No value of the column lies between the two.
    """

    value: Any
    given: int = 0


def plain(value: Any) -> Any:
    """Return a value that every engine knows: a UUID as text, a time with a zone in UTC.

    >>> plain(datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")))
    datetime.datetime(2024, 7, 1, 10, 0, tzinfo=datetime.timezone.utc)
    """
    if isinstance(value, UUID):
        return str(value)
    zoned = isinstance(value, datetime) and value.tzinfo is not None
    return value.astimezone(timezone.utc) if zoned else value


def fitted(value: Any, dtype: Any) -> Fitted:
    """Return the value of a type that stands for another one in comparisons; types that are not known change nothing.

    >>> fitted(300, nw.Int8()), fitted(1.5, nw.Int64()), fitted(True, nw.Int64())
    (Fitted(value=127, given=1), Fitted(value=1, given=1), Fitted(value=1, given=0))
    """
    kind = type(dtype)
    if isinstance(value, (int, float, Decimal)):
        if kind in FLOATS:
            return Fitted(_rounded(float(value), PACKED[kind]))
        if kind in SIGNED or kind in UNSIGNED:
            return _whole(value, *range_of(dtype))
        return _decimal(value, dtype.precision, dtype.scale) if kind is nw.Decimal else Fitted(value)
    if isinstance(value, date):
        return _within(_moment(value, dtype), dtype)
    if isinstance(value, timedelta):
        return _within(Fitted(value), dtype)
    return Fitted(str(value)) if isinstance(value, time) and kind is nw.Unknown else Fitted(value)


def _rounded(number: float, form: str) -> float:
    """Return a number as a column of a form keeps it; one that is too large for it stays."""
    if not isfinite(number):
        return number
    try:
        [rounded] = struct.unpack(form, struct.pack(form, number))
    except OverflowError:
        return number
    return float(rounded)


def range_of(dtype: Any) -> tuple[int, int]:
    """Return the smallest and the largest integer of a type."""
    bits = SIGNED.get(type(dtype))
    return (0, 2 ** UNSIGNED[type(dtype)] - 1) if bits is None else (-(2**bits), 2**bits - 1)


def _whole(value: float | Decimal, lowest: int, highest: int) -> Fitted:
    if isnan(value) or value > highest:  # NaN is greater than every number
        return Fitted(highest, 1)
    if value < lowest:
        return Fitted(lowest, -1)
    whole = floor(value)
    return Fitted(whole, int(value > whole))


def _decimal(value: float | Decimal, precision: int, scale: int) -> Fitted:
    highest = Decimal(10**precision - 1).scaleb(-scale, DIGITS)
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if isnan(exact) or exact > highest:
        return Fitted(highest, 1)
    if exact < -highest:
        return Fitted(-highest, -1)
    nearest = exact.quantize(Decimal(1).scaleb(-scale), ROUND_FLOOR, DIGITS)
    return Fitted(nearest, int(exact > nearest))


def _moment(value: date, dtype: Any) -> Fitted:
    """Return a day as the midnight that begins it, a time as the day that it is of, and times in one zone."""
    if isinstance(dtype, nw.Date) and isinstance(value, datetime) and value.tzinfo is None:
        return Fitted(value.date(), int(value.time() > MIDNIGHT))
    if not isinstance(dtype, nw.Datetime):
        return Fitted(value)
    zone = zone_of(dtype.time_zone) if dtype.time_zone else None
    if not isinstance(value, datetime):
        return Fitted(datetime.combine(value, MIDNIGHT, timezone.utc if zone else None))
    return Fitted(value.astimezone(zone) if zone and value.tzinfo else value)


def _within(found: Fitted, dtype: Any) -> Fitted:
    """Return the first or last time that 64 bits count in nanoseconds in place of one beyond."""
    value: Any = found.value
    if getattr(dtype, "time_unit", None) != "ns" or not isinstance(value, (datetime, timedelta)):
        return found
    start: Any = timedelta()
    if isinstance(value, datetime):
        start = datetime(1970, 1, 1, tzinfo=value.tzinfo and timezone.utc)
    if abs(value - start) <= NANOSECONDS:
        return found
    given = 1 if value > start else -1
    return Fitted(start + given * NANOSECONDS, given)


def zone_of(name: str) -> tzinfo:
    """Return a time zone, UTC for one that this machine does not know."""
    with suppress(Exception):
        return ZoneInfo(name) if name not in {"UTC", "Etc/UTC"} else timezone.utc
    return timezone.utc


def literal(value: Any, dtype: Any) -> Any:
    """Return a value of a type for engines; those that they read as another type are told theirs.

    Polars would compare nanoseconds with microseconds as microseconds.
    """
    if type(dtype) is nw.Decimal or (type(dtype) in UNSIGNED and value > LARGEST):
        return nw.lit(value, dtype)
    finer = isinstance(dtype, (nw.Datetime, nw.Duration)) and dtype.time_unit == "ns"
    return nw.lit(value, dtype) if finer and isinstance(value, (datetime, timedelta)) else value


def listed(values: Iterable[Any], dtype: Any) -> list[Any] | None:
    """Return those of some values that a column of a type can hold, None where only engines know what they mean.

    >>> listed([1, 2.0, 2.5, 300, None], nw.Int8())
    [1, 2]
    """
    given = [plain(value) for value in values if value is not None]
    wanted = _type_of_list(given, dtype)
    if wanted is None:
        return None
    try:
        if type(dtype) is nw.String or dtype.is_integer():
            return pl.Series(given, dtype=wanted, strict=True).to_list()  # most lists, also long ones, are right
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        pass
    try:
        kept = [found.value for found in (fitted(value, dtype) for value in given) if found.given == 0]
        return pl.Series(kept, dtype=wanted, strict=True).to_list()
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return None


def _type_of_list(values: Iterable[Any], dtype: Any) -> Any:
    """Return the type in which values are listed; times with and without a zone are left alone where they mix."""
    if dtype is None:  # of several columns, or of one that nobody knows
        return None
    if isinstance(dtype, nw.Unknown) and all(isinstance(value, time) for value in values):
        return pl.String()
    if isinstance(dtype, nw.Datetime):
        zoned = dtype.time_zone is not None
        mixes = any(isinstance(value, datetime) and (value.tzinfo is not None) != zoned for value in values)
        return None if mixes else pl.Datetime("us", dtype.time_zone)
    if dtype.is_float():
        return pl.Float64()
    return nw.Schema({"c": dtype}).to_polars()["c"] if isinstance(dtype, LISTED) else None
