"""Times as SQLite keeps them here, microseconds since 1970 in UTC, and what functions make of them.

SQLite's own functions take times as text and round them to milliseconds, which may lead into another day.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone

import polars as pl

from metaxy.versioning.dialect import EPOCH

MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_A_DAY = 86_400_000_000
# What Ibis takes out of a time, by the names of its operations.
PARTS: Mapping[str, Callable[[datetime], int]] = {
    "ExtractYear": lambda moment: moment.year,
    "ExtractIsoYear": lambda moment: moment.isocalendar()[0],
    "ExtractQuarter": lambda moment: (moment.month + 2) // 3,
    "ExtractMonth": lambda moment: moment.month,
    "ExtractWeekOfYear": lambda moment: moment.isocalendar()[1],
    "ExtractDay": lambda moment: moment.day,
    "ExtractDayOfYear": lambda moment: moment.timetuple().tm_yday,
    "ExtractHour": lambda moment: moment.hour,
    "ExtractMinute": lambda moment: moment.minute,
    "ExtractSecond": lambda moment: moment.second,
    "ExtractMillisecond": lambda moment: moment.microsecond // 1000,
    "ExtractMicrosecond": lambda moment: moment.microsecond,
    "ExtractEpochSeconds": lambda moment: (moment - EPOCH) // timedelta(seconds=1),
    "DayOfWeekIndex": lambda moment: moment.weekday(),
}
# Units of Ibis, and how Polars writes them.
UNITS = {"Y": "y", "Q": "q", "M": "mo", "W": "w", "D": "d", "h": "h", "m": "m", "s": "s", "ms": "ms", "us": "us"}


def micros(moment: datetime) -> int:
    """Return a time as microseconds since 1970; one without a zone is in UTC.

    >>> micros(datetime(1970, 1, 2))
    86400000000
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return (aware - EPOCH) // MICROSECOND


def moment_of_text(text: str) -> int:
    """Read a day or a time.

    >>> moment_of_text("1970-01-01"), moment_of_text("1970-01-01T01:00:00.000001+01:00")
    (0, 1)
    """
    try:
        return micros(datetime.fromisoformat(text))
    except ValueError:
        found: datetime = pl.Series([text]).str.to_datetime(time_unit="us")[0]
        return micros(found)


def text_of_moment(moment: int) -> str:
    """Write a time.

    >>> text_of_moment(-1)
    '1969-12-31 23:59:59.999999'
    """
    return naive(moment).isoformat(sep=" ", timespec="microseconds")


def part(moment: int, name: str) -> int:
    """Take a part out of a time.

    >>> part(-1, "ExtractDay")
    31
    """
    return PARTS[name](EPOCH + moment * MICROSECOND)


def written(moment: int, form: str) -> str:
    """Write a time in a form, as Polars does."""
    found: str = pl.Series([naive(moment)]).dt.to_string(form)[0]
    return found


def truncated(moment: int, every: str) -> int:
    """Return the start of the span that a time is in, as Polars does.

    >>> text_of_moment(truncated(-1, "1mo"))
    '1969-12-01 00:00:00.000000'
    """
    found: datetime = pl.Series([naive(moment)]).dt.truncate(every)[0]
    return micros(found)


def naive(moment: int) -> datetime:
    """Return a stored time."""
    return (EPOCH + moment * MICROSECOND).replace(tzinfo=None)
