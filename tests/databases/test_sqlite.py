"""What SQLite cannot keep or compare is refused in one line."""

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows, values

from metaxy.errors import MetadataSchemaError, StoreLockedError
from metaxy.ext.sqlite import SQLiteMetadataStore

NAN, INF = math.nan, math.inf
x = nw.col("x")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteMetadataStore]:
    with SQLiteMetadataStore(tmp_path / "a.sqlite", auto_create_tables=True).open("w") as store:
        yield store


@pytest.mark.parametrize(
    ("column", "wrong"),
    [
        (pl.Series("x", [1.0, NAN]), "NaN"),
        (pl.Series("x", [None, NAN], dtype=pl.Float32), "NaN"),
        (pl.Series("True", [1, 2]), "rename it"),
        (pl.Series("false", ["a", "b"]), "rename it"),
    ],
)
def test_what_would_be_lost_is_refused(store: SQLiteMetadataStore, column: pl.Series, wrong: str) -> None:
    define("video")
    define("shot", ids=[column.name])
    for feature, frame in [
        ("video", rows(id=["a", "b"], **{column.name: column})),
        ("shot", rows(**{column.name: column})),
    ]:
        with pytest.raises(MetadataSchemaError, match=wrong) as caught:
            store.write(feature, frame.drop_nulls())
        assert repr(column.name) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not store.has_feature(feature)
    if column.dtype.is_float():
        with pytest.raises(MetadataSchemaError, match="NaN"):
            store.resolve_update("shot", samples=rows(x=column).drop_nulls())


def test_infinite_numbers_are_kept_and_nan_is_greater_than_all(store: SQLiteMetadataStore) -> None:
    define("video")
    numbers = [1.5, INF, -INF, 0.0, 1e300, None]
    inside = [{"y": NAN}, {"y": INF}, {"y": 0.5}, {"y": None}, None, {"y": -INF}]
    store.write("video", rows(id=list("abcdef"), x=numbers, s=inside))
    read = store.read("video").collect("polars").to_native().sort("id")
    assert read["x"].to_list() == numbers
    assert str(read["s"].to_list()) == str(inside)
    chosen: list[tuple[nw.Expr, str]] = [
        (x == INF, "b"),
        (x < 0, "c"),
        (x != NAN, "abcde"),
        (x < NAN, "abcde"),
        (x >= NAN, ""),
        (x.is_nan(), ""),
        (x.is_finite(), "ade"),
        (~x.is_in([NAN, 0.0]), "abce"),
        (nw.col("s").struct.field("y") > 0.5, "ab"),
    ]
    for condition, wanted in chosen:
        assert "".join(values(store.read("video", filters=condition))) == wanted


def test_members_of_structs_are_compared_as_what_they_are(store: SQLiteMetadataStore) -> None:
    define("video")
    members = {"tiny": 1e-20, "at": datetime(2020, 1, 1, 12), "day": date(2020, 1, 1), "raw": b"\x00\xff", "ok": True}
    store.write("video", rows(id=["a", "b"], s=[members, dict.fromkeys(members)]))
    member = nw.col("s").struct.field
    for condition, wanted in [
        (member("tiny") < 1, ["a"]),
        (member("at") > datetime(2020, 1, 1, 13), []),
        (member("at") > date(2020, 1, 1), ["a"]),
        (member("day") == datetime(2020, 1, 1), ["a"]),
        (member("raw") == b"\x00\xff", ["a"]),
        (member("ok"), ["a"]),
        (member("at").is_null(), ["b"]),
    ]:
        assert values(store.read("video", filters=condition)) == wanted


@pytest.mark.parametrize(
    "condition",
    [
        nw.col("at") < "2020-01-01",
        nw.col("day") == "2020-01-01",
        nw.coalesce("at", "day") < datetime(2020, 1, 1),
        nw.max_horizontal("day", "at") < date(2020, 1, 1),
        nw.col("day").fill_null(datetime(2020, 1, 1)) > date(2020, 1, 1),
    ],
)
def test_times_are_compared_with_times_only(store: SQLiteMetadataStore, condition: Any) -> None:
    define("video")
    store.write("video", rows(id=["a"], at=[datetime(2020, 1, 1)], day=[date(2020, 1, 1)]))
    for act in (lambda: store.read("video", filters=condition).collect(), lambda: store.delete("video", condition)):
        with pytest.raises(
            MetadataSchemaError, match=r"compares text with a date|chooses between a datetime and a date"
        ) as caught:
            act()
        assert "\n" not in str(caught.value)
    assert values(store.read("video")) == ["a"]


def test_a_file_that_is_locked_is_not_read_as_if_nobody_changed_it(tmp_path: Path) -> None:
    """It would look broken, or as it was before, when the last one who writes has put the log away and closes it."""
    define("video")
    file = tmp_path / "a.sqlite"
    with SQLiteMetadataStore(file, auto_create_tables=True).open("w") as writer:
        writer.write("video", rows(id=["0"]))
    reader = SQLiteMetadataStore(file, lock_timeout=0)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreLockedError, match="is locked by another process"), reader:
            pass
    with reader:
        assert values(reader.read("video")) == ["0"]
