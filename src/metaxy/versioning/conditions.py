"""Conditions of users before an engine runs them: the columns that they name, and what they compare with these.

Narwhals shows the steps of an expression in no public way. Steps that are not understood here are left to the engine.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from functools import cached_property
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import narwhals as nw
import polars as pl

from metaxy.errors import MetadataSchemaError, did_you_mean

COMPARISONS: Final = frozenset({"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "is_in", "is_between"})
Schema = Mapping[str, nw.dtypes.DType]


def checked_conditions(where: str, conditions: Iterable[nw.Expr], schema: Schema) -> tuple[nw.Expr, ...]:
    """Return conditions that every engine understands alike, for columns of these types.

    UUIDs are text in them, as they are in columns; times with a zone are in that of their column.

    Raises:
        MetadataSchemaError: naming a column that does not exist, a value that no store knows, or a column where times
            with and without a zone are compared.
    """
    reader = _Reader(where, schema)
    return tuple(map(reader.checked, conditions))


def reads_only(expression: nw.Expr, schema: Mapping[str, Any], columns: Sequence[str]) -> bool:
    """Return whether an expression can be evaluated with these columns alone."""
    return set(columns) <= set(schema) and _unknown_column(expression, columns) is None


def _unknown_column(expression: nw.Expr, columns: Sequence[str]) -> str | None:
    """Return a column that an expression reads beside these, None if there is none."""
    empty = nw.from_native(pl.DataFrame(schema=dict.fromkeys(columns, pl.Null)))
    try:
        empty.select(expression)
    except nw.exceptions.ColumnNotFoundError as error:
        quoted = re.search(r'"(.*?)"(;|$)', str(error))
        return quoted[1] if quoted else str(error).splitlines()[0]
    except Exception:  # types are unknown here, columns are not
        return None
    return None


@dataclass(frozen=True)
class _Comparison:
    """A step of an expression that compares: expressions, and values of Python."""

    operands: tuple[nw.Expr, ...]
    values: tuple[Any, ...]

    @property
    def columns(self) -> str:
        """The columns that are compared, as text."""
        names = (name for operand in self.operands for step in _steps(operand) for name in step.kwargs.get("names", ()))
        return ", ".join(dict.fromkeys(map(repr, names))) or "of a selector"


def _steps(expression: nw.Expr) -> Sequence[Any]:
    return getattr(expression, "_nodes", ())


def _comparisons(condition: nw.Expr) -> Iterator[_Comparison]:
    waiting = [condition]
    while waiting:
        steps = _steps(waiting.pop())
        for n, step in enumerate(steps):
            inner = [argument for argument in step.exprs if isinstance(argument, nw.Expr)]
            waiting += inner
            if step.name in COMPARISONS or step.name == "lit":
                values = [argument for argument in step.exprs if not isinstance(argument, nw.Expr)]
                values += [*_listed(step.kwargs.get("other")), step.kwargs.get("value")]
                yield _Comparison((*([nw.Expr(*steps[:n])] if n else ()), *inner), tuple(values))


def _listed(values: Any) -> list[Any]:
    """List the values that `is_in` looks for; of a series only objects."""
    if isinstance(values, (list, tuple, set, frozenset)):
        return list(values)
    return list(values) if str(getattr(values, "dtype", "")).lower() == "object" else []


@dataclass(frozen=True)
class _Reader:
    """Reads conditions on columns of known types."""

    where: str
    schema: Schema

    def checked(self, condition: nw.Expr) -> nw.Expr:
        """Return a condition as every engine understands it."""
        unknown = _unknown_column(condition, list(self.schema))
        if unknown is not None:
            raise MetadataSchemaError(
                f"{self.where}: a filter names column {unknown!r}, which it does not have."
                f"{did_you_mean(unknown, self.schema)} It has: {', '.join(self.schema)}"
            )
        written_anew = False
        for comparison in _comparisons(condition):
            kinds = {type(value): value for value in comparison.values}
            self._refuse_objects(comparison, kinds.values())
            self._refuse_two_kinds_of_time(comparison)
            written_anew |= any(issubclass(kind, (UUID, datetime)) for kind in kinds)
        return self._plain(condition, timezone.utc) if written_anew else condition

    def _refuse_objects(self, comparison: _Comparison, values: Iterable[Any]) -> None:
        for value in values:
            try:
                pl.lit(str(value) if isinstance(value, UUID) else value)
            except TypeError as error:
                raise MetadataSchemaError(
                    f"{self.where}: a filter on column {comparison.columns} looks for a Python object of type "
                    f"{type(value).__qualname__}, which no store knows; cast it, for example with str(value)"
                ) from error

    # -- times ---------------------------------------------------------------------------------------------------------

    def _refuse_two_kinds_of_time(self, comparison: _Comparison) -> None:
        """Refuse to compare times with and without a zone: databases take the latter for UTC, Polars refuses too."""
        zoned = {value.tzinfo is not None for value in comparison.values if isinstance(value, datetime)}
        if zoned or len(comparison.operands) > 1:
            zoned |= {zone is not None for operand in comparison.operands for zone in self._zones(operand)}
        if len(zoned) > 1:
            raise MetadataSchemaError(
                f"{self.where}: a filter on column {comparison.columns} compares a time that has a time zone with one "
                "that has none; convert one of them, for example with .replace(tzinfo=timezone.utc)"
            )

    def _zones(self, expression: nw.Expr) -> list[str | None]:
        """Return the zones of the columns of an expression that are times."""
        try:
            found = self._empty.select(expression).schema.values()
        except Exception:  # other types are unknown here
            return []
        return [dtype.time_zone for dtype in found if isinstance(dtype, nw.Datetime)]

    @cached_property
    def _empty(self) -> nw.DataFrame[Any]:
        types = {name: pl.Null() for name in self.schema} | {
            name: pl.Datetime("us", dtype.time_zone and str(_zone(dtype.time_zone)))
            for name, dtype in self.schema.items()
            if isinstance(dtype, nw.Datetime)
        }
        return nw.from_native(pl.DataFrame(schema=types))

    # -- the same in values that every engine knows --------------------------------------------------------------------

    def _plain(self, expression: nw.Expr, zone: tzinfo) -> nw.Expr:
        steps = _steps(expression)
        plain = []
        for n, step in enumerate(map(copy, steps)):
            zones = self._zones(nw.Expr(*steps[:n])) if n and step.name in COMPARISONS else []
            here = _zone(zones[0]) if zones and zones[0] else zone
            step.exprs = tuple(self._plain_value(argument, here) for argument in step.exprs)
            step.kwargs = {name: self._plain_value(value, here) for name, value in step.kwargs.items()}
            plain.append(step)
        return type(expression)(*plain)

    def _plain_value(self, value: Any, zone: tzinfo) -> Any:
        if isinstance(value, nw.Expr):
            return self._plain(value, zone)
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(zone)
        listed = _listed(value)
        return [self._plain_value(item, zone) for item in listed] if listed else value


def _zone(name: str) -> tzinfo:
    """Return a time zone, UTC for one that this machine does not know."""
    with suppress(Exception):
        return ZoneInfo(name) if name not in {"UTC", "Etc/UTC"} else timezone.utc
    return timezone.utc
