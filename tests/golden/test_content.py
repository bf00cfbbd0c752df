"""Versions of bytes, of groups of files, of values and of arrays never change, on any system, in any Python."""

import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import numpy as np

import metaxy.content as content
from metaxy.content.files import Algorithm
from metaxy.content.scanning import group_version

GOLDEN = json.loads((Path(__file__).parent / "content.json").read_text("utf-8"))
BYTES = {"empty": b"", "letters": b"abc", "zeros": bytes(3_000_000)}
GROUPS: dict[str, list[tuple[tuple[str, ...], str]]] = {
    "none": [],
    "two": [(("2",), "sha256:b"), (("1", "ü"), "sha256:a")],
}
VALUES: dict[str, Any] = {
    "none": None,
    "numbers": [True, 1, -255, 2**70, 1.5, -0.0, float("nan"), float("inf"), Decimal("1.50")],
    "texts": {"b": "日本", "a": b"\x00\xff", "": ()},
    "times": [
        *(date(2020, 2, 29), datetime(1969, 12, 31, 23, 59, 59, 999_999), timedelta(-1, 1, 1)),
        datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    ],
    "others": {UUID(int=7), frozenset(["x", "y"])},
    "arrays": [np.arange(4, dtype=">i2").reshape(2, 2)],
}
ARRAYS: dict[str, Any] = {
    "floats": np.array([[1.5, -0.0], [np.nan, np.inf]], ">f4"),
    "integers": np.arange(5, dtype="<i8")[::2],
    "texts": np.array(["a", "日本"]),
    "times": np.array(["2020-01-01", "NaT"], "M8[us]"),
    "booleans": np.array([True, False]),
    "complex": np.array([1 + 2j]),
    "nothing": np.zeros((0, 3), "u1"),
}


def test_files(tmp_path: Path) -> None:
    for name, data in BYTES.items():
        (tmp_path / name).write_bytes(data)
    paths = [tmp_path / name for name in BYTES]
    found = {each: content.hash_files(paths, each)["version"].to_list() for each in get_args(Algorithm)}
    assert {each: dict(zip(BYTES, versions, strict=True)) for each, versions in found.items()} == GOLDEN["files"]
    for each in get_args(Algorithm):
        assert content.hash_files(paths[::-1], each, workers=3)["version"].to_list() == found[each][::-1]


def test_groups() -> None:
    assert {name: group_version("sha256", members) for name, members in GROUPS.items()} == GOLDEN["groups"]
    assert group_version("sha256", GROUPS["two"][::-1]) == GOLDEN["groups"]["two"]


def test_values_and_arrays() -> None:
    for decimals, section in ((None, "exact"), (1, "rounded")):
        values = content.hash_values(VALUES.values(), decimals=decimals)["version"]
        assert dict(zip(VALUES, values, strict=True)) == GOLDEN["values"][section]
        arrays = content.hash_arrays(ARRAYS.values(), decimals=decimals)["version"]
        assert dict(zip(ARRAYS, arrays, strict=True)) == GOLDEN["arrays"][section]
