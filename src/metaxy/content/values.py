"""Versions of plain Python values, by one canonical form.

A value is written as a letter for its kind, the length of what follows, a colon, and that:

    N none · T true · F false · i integer, as hexadecimal digits · f float, as its eight bytes, the first one highest
    s text in UTF-8 · b bytes · m decimal · D date · t time · d duration · M moment with a zone, in UTC · W one without
    u UUID · l list or tuple, its items in their order · o mapping, its items sorted · e set, its items sorted
    a array, the SHA-256 of its own form (see `metaxy.content.arrays`)

Every NaN is the same, and so are the two zeros. Integers, floats and booleans differ even where they are equal numbers.
"""

import dataclasses
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import polars as pl

from metaxy.content.arrays import array_digest, is_array
from metaxy.content.frames import OnError, Outcome, check_on_error, listed, result_frame
from metaxy.content.rounding import check_decimals, recipe_name, rounded
from metaxy.errors import ContentError

_LETTERS: Final[Mapping[object, bytes]] = {None: b"N0:", True: b"T0:", False: b"F0:"}
_NAN: Final = bytes.fromhex("7ff8000000000000")
_EPOCH: Final = datetime(1970, 1, 1)  # for moments without a zone
_EPOCH_UTC: Final = _EPOCH.replace(tzinfo=timezone.utc)


def hash_values(values: Iterable[Any], *, decimals: int | None = None, on_error: OnError = "record") -> pl.DataFrame:
    """Hash plain Python values, whatever they are made of.

    Frames: values → version, error; one row per value, in their order

    Values are None, booleans, numbers, text, bytes, dates and times, UUIDs, paths, members of enumerations (as their
    values), arrays, and lists, tuples, mappings, sets, dataclasses and Pydantic models of such. The order in mappings
    and sets does not matter, lists and tuples are alike, every NaN is the same, and so are 0.0 and -0.0. Kinds differ:
    1, 1.0 and True have three versions.

    Args:
        values: The values, such as a column as a list.
        decimals: Round floats to so many digits behind the point before they are hashed; versions then say so.
        on_error: ``"raise"`` raises if a value has no version.

    Raises:
        ContentError: if a value has no version and ``on_error`` is ``"raise"``.

    >>> import metaxy.content as content
    >>> one, other = content.hash_values([{"a": 1, "b": [0.1 + 0.2]}, {"b": (0.3,), "a": 1}], decimals=6)["version"]
    >>> one == other, one[:24]
    (True, 'value-6:15989d2a5ee3dee2')
    """
    check_on_error(on_error)
    check_decimals(decimals)
    name = recipe_name("value", decimals)
    return result_frame({}, [_outcome(value, name, decimals) for value in listed(values, "values")], on_error=on_error)


def _outcome(value: Any, name: str, decimals: int | None) -> Outcome:
    try:
        return Outcome(f"{name}:{sha256(canonical(value, decimals)).hexdigest()}")
    except RecursionError:
        return Outcome(error="RecursionError: it contains itself, or lies too deep")
    except Exception as error:
        return Outcome.of_error(error)


def canonical(value: Any, decimals: int | None = None) -> bytes:
    r"""Return the canonical form of a value.

    Raises:
        ContentError: if it has none.

    >>> canonical({"b": 1, "a": None}), canonical([True, "é".encode()])
    (b'o15:s1:aN0:s1:bi1:1', b'l8:T0:b2:\xc3\xa9')
    """
    if value is None or value is True or value is False:
        return _LETTERS[value]
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return write(value, decimals)
    if is_array(value):
        return _piece(b"a", array_digest(value, decimals))
    plain = _plain(value)
    if plain is value:
        raise ContentError(f"a {type(value).__module__}.{type(value).__qualname__} has no canonical form; convert it")
    return canonical(plain, decimals)


def _piece(letter: bytes, content: bytes) -> bytes:
    return b"%s%d:%s" % (letter, len(content), content)


def _plain(value: Any) -> Any:
    """Return the plain value behind one of a class, the same itself if there is none."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if hasattr(type(value), "model_dump"):
        return value.model_dump()
    return value.item() if _is_numpy_scalar(value) else value


def _is_numpy_scalar(value: Any) -> bool:
    """Return whether a value is a number of NumPy that a Python number holds exactly."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return getattr(value, "shape", None) == () and kind in "biuf" and value.dtype.itemsize <= 8


def _float(value: float, decimals: int | None) -> bytes:
    value = rounded(float(value), decimals)
    return _piece(b"f", _NAN if math.isnan(value) else struct.pack(">d", value + 0.0))  # -0.0 + 0.0 is 0.0


def _decimal(value: Decimal, _: int | None) -> bytes:
    if value.is_nan():
        return _piece(b"m", b"NaN")
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return _piece(b"m", b"-Infinity" if sign else b"Infinity")
    number = int("".join(map(str, digits)) or "0")
    while number and number % 10 == 0:
        number, exponent = number // 10, exponent + 1
    return _piece(b"m", b"%s%dE%d" % (b"-" if sign and number else b"", number, exponent if number else 0))


def _moment(value: datetime, _: int | None) -> bytes:
    _refuse_lost(value)
    if value.tzinfo is None or value.utcoffset() is None:
        return _piece(b"W", _microseconds(value.replace(tzinfo=None) - _EPOCH))
    return _piece(b"M", _microseconds(value - _EPOCH_UTC))


def _duration(value: timedelta, _: int | None) -> bytes:
    _refuse_lost(value)
    return _piece(b"d", _microseconds(value))


def _refuse_lost(value: Any) -> None:
    """Refuse what is no moment, or has a part that microseconds do not hold, as those of Pandas may.

    Raises:
        ContentError: if it is so.
    """
    if value != value:
        raise ContentError("a moment or duration that is none (NaT) has no canonical form; pass None")
    if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
        raise ContentError("nanoseconds would be lost; round it to microseconds, or hash it as a whole number")


def _microseconds(duration: timedelta) -> bytes:
    return b"%d" % ((duration.days * 86_400 + duration.seconds) * 1_000_000 + duration.microseconds)


def _time(value: time, _: int | None) -> bytes:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ContentError(f"the time {value} is not certain: how far {value.tzinfo} is from UTC depends on the date")
    return _piece(b"t", value.isoformat(timespec="microseconds").encode("ascii"))


def _list(value: Sequence[Any], decimals: int | None) -> bytes:
    return _piece(b"l", b"".join(canonical(item, decimals) for item in value))


def _mapping(value: Mapping[Any, Any], decimals: int | None) -> bytes:
    items = [canonical(key, decimals) + canonical(item, decimals) for key, item in value.items()]
    return _piece(b"o", b"".join(sorted(items)))


def _set(value: AbstractSet[Any], decimals: int | None) -> bytes:
    """Write each item once: what is rounded may be equal."""
    return _piece(b"e", b"".join(sorted({canonical(item, decimals) for item in value})))


# The first that fits; the order matters where a class has two of these above it.
_WRITERS: Final[tuple[tuple[Any, Callable[[Any, "int | None"], bytes]], ...]] = (
    (Enum, lambda value, decimals: canonical(value.value, decimals)),
    (str, lambda value, _: _piece(b"s", value.encode("utf-8"))),
    (int, lambda value, _: _piece(b"i", format(int(value), "x").encode("ascii"))),
    (float, _float),
    ((bytes, bytearray), lambda value, _: _piece(b"b", bytes(value))),
    (Decimal, _decimal),
    (datetime, _moment),
    (date, lambda value, _: _piece(b"D", value.isoformat().encode("ascii"))),
    (time, _time),
    (timedelta, _duration),
    (UUID, lambda value, _: _piece(b"u", value.bytes)),
    (PurePath, lambda value, _: _piece(b"s", value.as_posix().encode("utf-8"))),
    ((list, tuple), _list),
    (Mapping, _mapping),
    (AbstractSet, _set),
)
