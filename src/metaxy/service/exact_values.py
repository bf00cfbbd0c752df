"""Values as JSON holds them exactly: what it cannot hold becomes text, and long texts are cut."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite, isnan
from typing import Any, Final, TypeAlias, TypedDict

import polars as pl
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from metaxy.errors import RequestError

WIDEST: Final = 2**53  # the integers up to which JavaScript knows all
LONGEST: Final = 1_000  # characters of a text
TEMPORAL: Final = (pl.Datetime, pl.Duration, pl.Time)  # Polars knows nanoseconds of them, Python does not


class CutText(TypedDict):
    """The beginning of a long text, and how many characters the whole has."""

    text: str
    length: int


Exact: TypeAlias = bool | int | float | str | CutText | None


def exact_rows(frame: pl.DataFrame) -> list[list[Exact]]:
    """Return the rows of a frame.

    Integers beyond 2^53, NaN, infinities, decimals, dates, times and durations become text, as ISO 8601 and Python
    write them; bytes become `0x…`; lists, structs and maps become JSON. Any text of more than 1,000 characters is cut.

    >>> exact_rows(pl.DataFrame({"n": [2**60], "b": [b"ab"], "day": [date(2026, 1, 31)], "s": [{"a": [1.5, None]}]}))
    [['1152921504606846976', '0x6162', '2026-01-31', '{"a": [1.5, null]}']]
    """
    texts = [_temporal_text(name, dtype) for name, dtype in frame.schema.items() if isinstance(dtype, TEMPORAL)]
    return [[exact(value) for value in row] for row in frame.with_columns(texts).iter_rows()]


def exact(value: Any) -> Exact:
    """Return one value.

    >>> exact(float("nan")), exact("x" * 2000)["length"]
    ('NaN', 2000)
    """
    found = _exact(value)
    if isinstance(found, str) and len(found) > LONGEST:
        return {"text": found[:LONGEST], "length": len(found)}
    return found


def _exact(value: Any) -> bool | int | float | str | None:
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= WIDEST else str(value)
        case float():
            return value if isfinite(value) else _no_number(value)
        case bytes():
            return f"0x{value.hex()}"
        case Decimal():
            return f"{value:f}"
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(to_jsonable_python(value))
        case _:
            return json.dumps(_nested(value), ensure_ascii=False)


def _nested(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(_exact(key)): _nested(inner) for key, inner in value.items()}
    if isinstance(value, pl.Series) or (isinstance(value, Sequence) and not isinstance(value, (str, bytes))):
        return [_nested(inner) for inner in value]
    return _exact(value) if isinstance(value, _FLAT) else str(value)


_FLAT: Final = (type(None), bool, str, int, float, bytes, Decimal, datetime, date, time, timedelta)


def _no_number(value: float) -> str:
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _temporal_text(name: str, dtype: pl.DataType) -> pl.Expr:
    text = pl.col(name).dt.to_string("iso")
    return text.str.replace(" ", "T", literal=True) if isinstance(dtype, pl.Datetime) else text


def parsed(values: Mapping[str, Any], types: Mapping[str, pl.DataType], what: str) -> pl.DataFrame:
    """Return a row of values of these types that were shown by `exact`. Columns out: the names of ``values``.

    Raises:
        RequestError: if a value is none of its type.

    >>> parsed({"day": "2026-01-31", "id": 7}, {"day": pl.Date(), "id": pl.Int8()}, "IDs").row(0)
    (datetime.date(2026, 1, 31), 7)
    """
    return pl.DataFrame([_parsed(name, value, types[name], what) for name, value in values.items()])


def _parsed(name: str, value: Any, dtype: pl.DataType, what: str) -> pl.Series:
    try:
        if isinstance(dtype, pl.Datetime) and isinstance(value, str):
            zone = "%z" if dtype.time_zone else ""
            found = pl.Series(name, [value]).str.to_datetime(f"%Y-%m-%dT%H:%M:%S%.f{zone}", time_unit=dtype.time_unit)
            return found.dt.convert_time_zone(dtype.time_zone) if dtype.time_zone else found
        if isinstance(dtype, pl.Binary) and isinstance(value, str):
            return pl.Series(name, [bytes.fromhex(value.removeprefix("0x"))])
        wanted: Any = dtype.to_python()
        return pl.Series(name, [TypeAdapter(wanted).validate_python(value)], dtype=dtype)
    except (ValidationError, ValueError, TypeError, OverflowError, pl.exceptions.PolarsError):
        message = f"{what}: {name!r} is of type {dtype}, and {value!r} is no value of it"
        raise RequestError("INVALID_VALUE", message, kind="request") from None
