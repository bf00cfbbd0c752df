"""Conditions on one column that has the partition of each row, made of partition keys and typed as the column is.

A key of a time window, such as a day or a week, means all times in it, on the clock of its definition.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

import narwhals as nw
from narwhals.dtypes import DType

import dagster as dg
from metaxy.errors import MetadataSchemaError

Window: TypeAlias = tuple[datetime, datetime]
DAY: Final = timedelta(days=1)
BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "false": False}
PARSERS: Final[Sequence[tuple[Callable[[DType], bool], str, Callable[[str], Any]]]] = (
    (lambda dtype: isinstance(dtype, (nw.String, nw.Categorical, nw.Enum)), "text", str),
    (lambda dtype: dtype.is_integer(), "whole number", int),
    (lambda dtype: isinstance(dtype, nw.Boolean), "true or false", lambda text: BOOLEANS[text.lower()]),
    (lambda dtype: isinstance(dtype, nw.Date), "date", date.fromisoformat),
    (lambda dtype: isinstance(dtype, nw.Datetime), "date or time", datetime.fromisoformat),
)


def zone_of(name: str) -> tzinfo:
    """Return a zone by its name, or a distance from UTC, such as frames of Arrow and Pandas may have.

    >>> zone_of("+02:00"), zone_of("Europe/Berlin")
    (datetime.timezone(datetime.timedelta(seconds=7200)), zoneinfo.ZoneInfo(key='Europe/Berlin'))
    """
    distance = name.removeprefix("UTC")
    if not distance.startswith(("+", "-")):
        return ZoneInfo(name)
    return datetime.strptime(distance, "%z").tzinfo or timezone.utc


def any_of(conditions: Iterable[nw.Expr]) -> nw.Expr:
    """Return whether one of some conditions holds; there must be one. Halves are joined, so that many nest little."""
    first, *others = found = list(conditions)
    half = len(found) // 2
    return any_of(found[:half]) | any_of(found[half:]) if others else first


@dataclass(frozen=True)
class PartitionColumn:
    """A column of an asset, with its type where that is known, and where it was named, for messages."""

    name: str
    dtype: DType | None
    where: str

    def among(self, values: Sequence[Any], definition: dg.PartitionsDefinition[Any] | None = None) -> nw.Expr:
        """Return whether it has one of some values or, if they are keys of time windows, is within one of these.

        Raises:
            MetadataSchemaError: if a value cannot be one of the column.
        """
        if not values:
            return self._nothing
        is_time = isinstance(self.dtype, (nw.Date, nw.Datetime))
        if is_time and isinstance(definition, dg.TimeWindowPartitionsDefinition):
            return self._within([_window(definition, value) for value in values])
        found, parts = [self._typed(value) for value in values], []
        if None in found:
            parts.append(nw.col(self.name).is_null())
        if days := [value for value in found if isinstance(self.dtype, nw.Datetime) and type(value) is date]:
            parts.append(self._within([(start, start + DAY) for start in map(self._midnight, days)]))
        if plain := [value for value in found if value is not None and value not in days]:
            parts.append(self._equal(plain))
        return any_of(parts)

    @property
    def _nothing(self) -> nw.Expr:
        """No row: said by the column, as not all libraries filter by a constant."""
        return nw.col(self.name).is_null() & ~nw.col(self.name).is_null()

    def _equal(self, values: Sequence[Any]) -> nw.Expr:
        column = nw.col(self.name)
        return column == values[0] if len(values) == 1 else column.is_in(values)

    # -- values --------------------------------------------------------------------------------------------------------

    def _typed(self, value: Any) -> Any:
        """Return a value as the column has it; as it is, where the type is not known."""
        if self.dtype is None or value is None:
            return value
        for has_type, kind, parse in PARSERS:
            if has_type(self.dtype):
                return self._parsed(value, kind, parse)
        raise self._refused(
            f"holds {self.dtype}, which partitions cannot be told apart by; use texts, whole numbers or times"
        )

    def _parsed(self, value: Any, kind: str, parse: Callable[[str], Any]) -> Any:
        if isinstance(value, str):
            with suppress(ValueError, KeyError):
                if isinstance(self.dtype, nw.Datetime) and len(value) == len("2026-01-01"):
                    return date.fromisoformat(value)
                parsed = parse(value)
                return self._in_zone(parsed) if isinstance(parsed, datetime) else parsed
        elif kind != "text" and not isinstance(value, float):
            return self._in_zone(value) if isinstance(value, datetime) else value
        raise self._refused(f"holds {self.dtype}, and partition {value!r} is no {kind}")

    # -- times ---------------------------------------------------------------------------------------------------------

    def _within(self, windows: Sequence[Window]) -> nw.Expr:
        """Return whether it is in one of some windows, of which adjacent ones are one."""
        merged: list[Window] = []
        for start, end in sorted(windows):
            if merged and merged[-1][1] >= start:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((start, end))
        return any_of(self._dates(*each) if isinstance(self.dtype, nw.Date) else self._times(*each) for each in merged)

    def _dates(self, start: datetime, end: datetime) -> nw.Expr:
        if start.time() != end.time():
            raise self._refused("holds dates, and partitions that are no whole days need a column of times")
        first, last = start.date(), end.date()
        column = nw.col(self.name)
        return column == first if last - first == DAY else (column >= first) & (column < last)

    def _times(self, start: datetime, end: datetime) -> nw.Expr:
        first, last = self._in_zone(start), self._in_zone(end)
        if first >= last:
            raise self._refused(f"holds times without a zone, which are ambiguous at {first}; use times with one")
        return (nw.col(self.name) >= first) & (nw.col(self.name) < last)

    @property
    def _zone(self) -> tzinfo | None:
        name = self.dtype.time_zone if isinstance(self.dtype, nw.Datetime) else None
        return zone_of(name) if name else None

    def _in_zone(self, moment: datetime) -> datetime:
        """Return a time on the clock of the column; without a zone, that of the partitions."""
        if self._zone is None:
            return moment.replace(tzinfo=None)
        return moment.astimezone(self._zone) if moment.tzinfo else moment.replace(tzinfo=self._zone)

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self._zone)

    def _refused(self, why: str) -> MetadataSchemaError:
        return MetadataSchemaError(f"{self.where}: column {self.name!r} {why}")


def _window(definition: dg.TimeWindowPartitionsDefinition, key: str) -> Window:
    window = definition.time_window_for_partition_key(key)
    zone = ZoneInfo(definition.timezone)
    return window.start.astimezone(zone), window.end.astimezone(zone)
