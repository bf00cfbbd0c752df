"""Columns of users, of any type: stored and read again as they were, or refused in one line that names the column."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from tests.factory import define, rows
from tests.stores import STORES

from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

COLUMNS = {
    "unusual text": pl.Series(["é𝒳\\'\"`", "%_;--\n"]),
    "small integers": pl.Series([-128, 127], dtype=pl.Int8),
    "small numbers": pl.Series([255, 0], dtype=pl.UInt8),
    "numbers": pl.Series([2**32 - 1, None], dtype=pl.UInt32),
    "large integers": pl.Series([-(2**63), 2**63 - 1]),
    "larger integers": pl.Series([2**64 - 1, 0], dtype=pl.UInt64),
    "huge integers": pl.Series([2**100, None], dtype=pl.Int128),
    "small floats": pl.Series([1.1, None], dtype=pl.Float32),
    "infinite floats": pl.Series([float("-inf"), float("inf")]),
    "truth": pl.Series([True, None]),
    "decimals": pl.Series([Decimal("1.23"), None]),
    "bytes": pl.Series([b"\x00\xff", None]),
    "categories": pl.Series(["a", None], dtype=pl.Categorical),
    "an enum": pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
    "dates": pl.Series([date(1950, 1, 1), date(2200, 1, 1)]),
    "times": pl.Series([datetime(1950, 1, 1, 1, 1, 1, 123456), None]),
    "times of a zone": pl.Series([datetime(2024, 7, 1), None]).dt.replace_time_zone("Europe/Berlin"),
    "times of the day": pl.Series([time(1, 2, 3, 4), None]),
    "lists of times of the day": pl.Series([[time(1, 2, 3, 4)], None]),
    "durations": pl.Series([timedelta(days=-1, microseconds=3), None]),
    "lists": pl.Series([[1, 2], None]),
    "lists of lists": pl.Series([[["a"], []], None]),
    "lists of structs": pl.Series([[{"a": 1}], []]),
    "arrays": pl.Series([[1.5, 2.5], None], dtype=pl.Array(pl.Float32, 2)),
    "arrays of text": pl.Series([["a,", '"b'], None], dtype=pl.Array(pl.String, 2)),
    "structs": pl.Series([{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
    "structs of categories and arrays": pl.Series(
        [{"a": "x", "b": [1, 2]}, {"a": "y", "b": [3, 4]}],
        dtype=pl.Struct({"a": pl.Categorical(), "b": pl.Array(pl.Int64, 2)}),
    ),
}


def refusal(store: MetadataStore, frame: pl.DataFrame) -> str | None:
    """Write a frame, and return why it was refused."""
    try:
        store.write("video", frame)
    except MetadataSchemaError as error:
        return str(error)
    return None


def test_a_column_is_stored_as_it_is_or_refused(store: MetadataStore, subtests: pytest.Subtests) -> None:
    define("video")
    for what, column in COLUMNS.items():
        with subtests.test(what):
            keep_or_refuse(store, column)
        store.drop_feature_metadata("video")


def keep_or_refuse(store: MetadataStore, column: pl.Series) -> None:
    wanted = column.to_list()
    refused = refusal(store, rows(id=["a", "b"], u=column))
    if refused is not None:
        assert "'u'" in refused
        assert "\n" not in refused
        assert not store.has_feature("video")
        return
    store.write("video", rows(id=["a2", "b2"], u=column))  # this one meets a table
    found = collect_to_polars(store.read("video")).sort("id")
    assert found["id"].to_list() == ["a", "a2", "b", "b2"]
    assert found["u"].to_list() == [wanted[0], wanted[0], wanted[1], wanted[1]]


REFUSED = {
    "duckdb": {"huge integers"},
    "ducklake": {"huge integers", "durations"},
    "delta": {"huge integers", "larger integers", "durations", "times of the day", "lists of times of the day"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_only_types_that_a_store_lacks_are_refused(name: str, tmp_path: Path) -> None:
    define("video")
    with STORES[name](tmp_path).open("w") as store:
        refused = set()
        for what, column in COLUMNS.items():
            if refusal(store, rows(id=["a", "b"], u=column)):
                refused.add(what)
            store.drop_feature_metadata("video")
    assert refused == REFUSED[name]
