"""Values in frames of users that Polars holds, but not what reads them later: there they end in panics."""

from collections.abc import Iterator
from datetime import date
from typing import Any, Final

import polars as pl

from metaxy.columns import is_system_column
from metaxy.errors import MetadataSchemaError
from metaxy.versioning.polars_casts import members_of

EPOCH: Final = date(1970, 1, 1).toordinal()
LEAST, MOST = date.min.toordinal() - EPOCH, date.max.toordinal() - EPOCH
PER_DAY: Final = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
DAYS_OF_400_YEARS: Final = 146_097
TIMES: Final = (pl.Date, pl.Datetime)


def refuse_years(frame: pl.DataFrame | pl.LazyFrame, what: str) -> None:
    """Refuse dates and times outside of the years 1 to 9999, at any depth; only columns of such types are looked at.

    >>> refuse_years(pl.DataFrame({"d": pl.Series([2**31 - 1], dtype=pl.Date)}), "the samples for feature video")
    Traceback (most recent call last):
    metaxy.errors.MetadataSchemaError: the samples for feature video: column 'd' holds the day 5881580-07-11, ...
    """
    times = [
        (name, days)
        for name, dtype in frame.collect_schema().items()
        if not is_system_column(name)
        for days in _days(pl.col(name), dtype)
    ]
    if not times:
        return
    ends = [end for n, (_, days) in enumerate(times) for end in (days.min().alias(f"{n}<"), days.max().alias(f"{n}>"))]
    found = frame.lazy().select(ends).collect().row(0)
    for n, (name, _) in enumerate(times):
        for day in found[2 * n : 2 * n + 2]:
            if day is not None and not LEAST <= day <= MOST:
                raise MetadataSchemaError(
                    f"{what}: column {name!r} holds the day {_day(day)}, and stores keep the years 1 to 9999 only; "
                    "give another value, such as NULL"
                )


def _days(value: pl.Expr, dtype: Any) -> Iterator[pl.Expr]:
    """Yield the days since 1970 of all times inside of a column."""
    if isinstance(dtype, TIMES):
        units = value.to_physical().cast(pl.Int64)
        yield units // PER_DAY[dtype.time_unit] if isinstance(dtype, pl.Datetime) else units
    elif isinstance(dtype, pl.Struct):
        for _, inner, part in members_of(value, dtype):
            yield from _days(inner, part)
    elif isinstance(dtype, pl.Map):
        entries = value.map.entries().explode()
        for name, part in (("key", dtype.key), ("value", dtype.value)):
            yield from _days(entries.struct.field(name), part)
    elif isinstance(dtype, (pl.List, pl.Array)):
        yield from _days(value.explode(), dtype.inner)


def _day(days: int) -> str:
    """Write a day of any year: the calendar repeats itself every 400 years."""
    cycles, rest = divmod(days - LEAST, DAYS_OF_400_YEARS)
    day = date.fromordinal(rest + 1)
    return f"{day.year + 400 * cycles}-{day.month:02}-{day.day:02}"
