"""Values and arrays: what is equal has one version, and what is not has two."""

import dataclasses
import enum
import math
import random
import struct
from collections import OrderedDict, namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest

import metaxy.content as content
from metaxy.content.rounding import rounded_array
from metaxy.content.values import canonical
from metaxy.errors import ContentError

NAN = struct.unpack(">d", bytes.fromhex("fff8000000000123"))[0]  # another NaN


class Colour(enum.Enum):
    RED = "red"


class Text(str, enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Model(pydantic.BaseModel):
    x: int
    y: float


Pair = namedtuple("Pair", "x y")  # noqa: PYI024  # what users have

ALIKE: list[list[Any]] = [
    [{"x": 1, "y": 2.0}, OrderedDict(y=2.0, x=1), Point(1, 2.0), Model(x=1, y=2.0)],
    [[1, 2.0], (1, 2.0), Pair(1, 2.0), [np.int8(1), np.float32(2)]],
    [{1, 2, 3}, frozenset([3, 2, 1])],
    [math.nan, NAN, -math.nan, np.float64("nan"), np.float16("nan")],
    [0.0, -0.0],
    ["red", Colour.RED, Text.RED, np.str_("red"), PurePosixPath("red")],
    ["a/b", PureWindowsPath("a\\b")],
    [b"x", bytearray(b"x"), np.bytes_(b"x")],
    [True, np.True_],
    [Decimal("1.50"), Decimal("1.5"), Decimal("15E-1")],
    [Decimal(0), Decimal("-0.00"), Decimal("0E+9")],
    [Decimal("NaN"), Decimal("-NaN")],
    [datetime(2020, 1, 1, 12, tzinfo=timezone.utc), datetime(2020, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))],
    [np.arange(3, dtype="<i4"), np.arange(3, dtype=">i4"), np.arange(6, dtype="<i4")[::2] // 2],
]
SINGLE: list[Any] = [
    *(None, 1, 1.0, -1, 10**40, "1", b"1", "", b"", [], {}, set(), [None], [[]], {"a": 1}, {"a": "1"}, {1: "a"}),
    *(["ab", "c"], ["a", "bc"], ["abc"], [["a"], "b"], ["a", ["b"]], "é", "e\u0301", math.inf, -math.inf),
    *(date(2020, 1, 1), datetime(2020, 1, 1), time(1), timedelta(1), Decimal(1), Decimal("-Infinity")),
    *(datetime(2020, 1, 1, tzinfo=timezone.utc), UUID(int=1), np.zeros(1), np.zeros((1, 1)), 0.1 + 0.2, 0.3),
]


def versions(values: list[Any], **options: Any) -> list[Any]:
    found = content.hash_values(values, **options)
    assert found["error"].null_count() == len(values), found
    return found["version"].to_list()


def test_equal_values_have_one_version_and_others_have_others() -> None:
    groups = [set(versions(group)) for group in ALIKE]
    assert [group for group, found in zip(ALIKE, groups, strict=True) if len(found) > 1] == []
    every = [next(iter(found)) for found in groups] + versions(SINGLE)
    assert len(set(every)) == len(every)


def test_random_values_that_differ_have_forms_that_differ() -> None:
    """The form can be read back, so no two values share one."""
    rng = random.Random(7)

    def value(depth: int) -> Any:
        kinds = ["int", "text", "bytes", "none", *(["list", "dict"] if depth else [])]
        kind = rng.choice(kinds)
        size = rng.randrange(3)
        return {
            "int": lambda: rng.randrange(-20, 20),
            "text": lambda: "".join(rng.choices("s1:", k=size)),
            "bytes": lambda: bytes(rng.choices(b"s1:", k=size)),
            "none": lambda: None,
            "list": lambda: [value(depth - 1) for _ in range(size)],
            "dict": lambda: {rng.choice("ab"): value(depth - 1) for _ in range(size)},
        }[kind]()  # type: ignore[no-untyped-call]

    by_form: dict[bytes, Any] = {}
    for _ in range(5000):
        each = [value(2), value(2)]
        assert by_form.setdefault(canonical(each), each) == each
    assert len(by_form) > 1000


def test_floats_are_rounded_alike_in_values_and_arrays() -> None:
    rng = random.Random(1)
    numbers = [rng.uniform(-10, 10) for _ in range(500)] + [0.5, 1.5, 2.5, -0.4, 1e300, -1e-300, math.inf, math.nan]
    for decimals in (0, 2, 15):
        rounded = versions([[number] for number in numbers], decimals=decimals)
        with np.errstate(all="ignore"):
            again = [rounded_array(np.array([number]), decimals).tolist() for number in numbers]
        assert [canonical(each) for each in again] == [canonical([number], decimals) for number in numbers]
        assert versions(again, decimals=decimals) == rounded
    one, other = versions([{"a": [0.1 + 0.2]}, {"a": [0.3]}], decimals=6)
    assert one == other
    assert versions([1], decimals=3) != versions([1])
    for wrong in (-1, 16, True):
        with pytest.raises(ValueError, match="decimals is a number"):
            content.hash_values([], decimals=wrong)


def test_values_without_a_form() -> None:
    loop: list[Any] = []
    loop.append(loop)
    wrong = [object(), [1, {2: object}], loop, Fraction(1, 3), 1j, "\ud800", pl.Series([1, None]), np.array([object()])]
    wrong += [pd.Timestamp("2020-01-01 00:00:00.000000001"), pd.Timedelta(1, "ns"), pd.NaT]
    wrong += [time(1, tzinfo=ZoneInfo("Europe/Berlin")), pa.array([1, None])]
    wrong += [nw.from_native(pl.Series([1, None]), series_only=True)]
    found = content.hash_values([*wrong, "fine"])
    assert found["version"].is_null().to_list() == [True] * len(wrong) + [False]
    parts = ["builtins.object", "builtins.type", "contains itself", "Fraction", "complex", "utf-8", "NULL", "object"]
    parts += ["nanoseconds would be lost", "nanoseconds would be lost", "NaT", "is not certain", "NULL", "NULL"]
    assert [part for part, error in zip(parts, found["error"], strict=False) if part not in error] == []
    with pytest.raises(ContentError, match=r"14 of 14 inputs have no version, the first is input 0"):
        content.hash_values(wrong, on_error="raise")
    with pytest.raises(TypeError, match="not one str"):
        content.hash_values("text")


def test_columns_are_their_values_and_tables_are_refused() -> None:
    """Iterating over some tables would give the names of their columns, and over columns of PyArrow no plain values."""
    column = pl.Series("text", ["a", None])
    columns: list[Any] = [column, column.to_arrow(), column.to_list(), nw.from_native(column, series_only=True)]
    assert len({tuple(versions(each)) for each in columns}) == 1
    assert content.hash_texts(column.to_arrow()).equals(content.hash_texts(column))
    table = column.to_frame()
    hashes: list[Any] = [content.hash_values, content.hash_texts, content.hash_files, content.hash_arrays]
    for wrong in (table, table.lazy(), table.to_arrow(), table.to_pandas(), nw.from_native(table)):
        for function in (*hashes, content.hash_images, content.hash_audio):
            with pytest.raises(TypeError, match=r"not a whole \w*Table|not a whole \w*Frame"):
                function(wrong)


class Tensor:
    """What libraries of tensors have: data that is handed over without a copy, and no array."""

    def __init__(self, data: "np.ndarray[Any, Any]") -> None:
        self._data = data

    def __dlpack__(self, **options: Any) -> Any:
        return self._data.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._data.__dlpack_device__()


def arrays(values: list[Any], **options: Any) -> list[Any]:
    found = content.hash_arrays(values, **options)
    assert found["error"].null_count() == len(values), found
    return found["version"].to_list()


def test_arrays() -> None:
    table = np.arange(600_000, dtype="<f4").reshape(2, 3, 100_000)
    wide = np.zeros((2, 6, 100_000), dtype=">f4")
    wide[:, ::2] = table
    nan = np.array([NAN, -0.0])
    alike: list[list[Any]] = [
        [table, np.asfortranarray(table), wide[:, ::2], table.astype(">f4"), Tensor(table), table[::-1][::-1]],
        [nan, np.array([np.nan, 0.0]), nan.astype(">f8")],
        [np.array([1 + 2j, NAN]), np.array([1 + 2j, NAN], dtype=">c16")],
        [np.array(["a", "bc"]), np.array(["a", "bc"], dtype="<U9"), np.array(["a", "bc"], dtype=">U2")],
        [np.array(["2020-01-01"], "<M8[s]"), np.array(["2020-01-01"], ">M8[s]")],
    ]
    groups = [set(arrays(group)) for group in alike]
    assert [len(group) for group in groups] == [1] * len(alike)
    single = [
        *(table.reshape(3, 2, 100_000), table.astype("f8"), table[:1], np.zeros(0), np.zeros((0, 2)), np.zeros(())),
        *(
            np.zeros(1, "i4"),
            np.zeros(1, "u4"),
            np.zeros(4, "u1"),
            np.zeros(1, "?"),
            np.zeros(1, "i1"),
            np.zeros(1, "f2"),
        ),
        *(np.array(["2020-01-01"], "M8[ms]"), np.array([b"a", b"bc"]), np.array(["ab", "c"]), np.zeros(1, "m8[s]")),
    ]
    every = [next(iter(group)) for group in groups] + arrays(single)
    assert len(set(every)) == len(every)
    assert arrays([np.array([0.1 + 0.2], "f8")], decimals=6) == arrays([np.array([0.3], ">f8")], decimals=6)
    assert arrays([np.zeros((3, 2))[0]]) == arrays(np.zeros((3, 2)))[:1]  # type: ignore[arg-type]


def test_arrays_without_a_form() -> None:
    wrong: list[Any] = [
        *(
            np.array([object()]),
            np.zeros(1, "i4,f4"),
            np.ma.masked_array([1, 2], [False, True]),
            pl.Series([1]),
            [1, 2],
            7,
        ),
        np.zeros(1, np.longdouble),
    ]
    found = content.hash_arrays([*wrong, np.zeros(1)])
    assert found["version"].is_null().to_list() == [True] * len(wrong) + [False]
