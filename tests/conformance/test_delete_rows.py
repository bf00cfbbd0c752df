"""Deleting the rows that a frame names: of any library, size and type of ID, softly or for good."""

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import duckdb
import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, fill, rows, values
from tests.stores import StoreFactory

from metaxy import columns as c
from metaxy.errors import MetadataSchemaError
from metaxy.store.deleting import Deleted
from metaxy.store.store import MetadataStore

SOFT = pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])
UUIDS = [UUID(int=n) for n in range(4)]
IDS = {"text": [*"aabb"], "number": [1, 2, 1, 2], "uuid": UUIDS, "day": [date(2026, 1, n) for n in (1, 1, 1, 2)]}
LIBRARIES: dict[str, Callable[[pl.DataFrame], Any]] = {
    "polars": lambda frame: frame,
    "lazy polars": pl.DataFrame.lazy,
    "narwhals": nw.from_native,
    "pandas": pl.DataFrame.to_pandas,
    "arrow": pl.DataFrame.to_arrow,
    "another duckdb": lambda frame: duckdb.connect().from_arrow(frame.to_arrow()),
}


@SOFT
def test_frames_name_samples_by_ids_of_several_columns(store: MetadataStore, soft: bool) -> None:
    define("frame", ids=[*IDS])
    given = rows(**{**IDS, "uuid": list(map(str, UUIDS)), "n": [1, 2, 3, 4]})
    store.write("frame", given)
    store.write("frame", given.with_columns(n=pl.col("n") + 10))  # for history
    named = pl.DataFrame({**IDS, "uuid": pl.Series(UUIDS, dtype=pl.Object)}).with_columns(
        pl.col("number").cast(pl.Int8)
    )
    near = named[:1].with_columns(day=pl.lit(date(2026, 1, 2)))
    assert store.delete("frame", rows=near, soft=soft) == Deleted(0)
    assert store.count_rows_to_delete("frame", rows=named[1:3], soft=soft) == (2 if soft else 4)
    assert store.delete("frame", rows=pl.concat([named[1:3], named[1:2]]), soft=soft) == Deleted(2 if soft else 4)
    assert values(store.read("frame"), "n") == [11, 14]
    assert store.delete("frame", nw.col("n") > 11, rows=named, soft=soft) == Deleted(1)
    assert values(store.read("frame"), "n") == ([11] if soft else [11, 4])
    assert store.delete("frame", rows=store.read("frame"), soft=soft) == Deleted(1 if soft else 3)
    assert values(store.read("frame"), "n") == []
    assert soft or everything(store, "frame").is_empty()


@SOFT
@pytest.mark.three_stores
def test_frames_of_every_library_name_rows(store: MetadataStore, soft: bool) -> None:
    times = [datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=n) for n in range(3)]
    for name, to_library in LIBRARIES.items():
        define("event", ids=["id", "at"])
        store.write("event", rows(id=[*"abc"], at=times))
        named = to_library(pl.DataFrame({"at": times[:2], "other": [0, 0], "id": [*"ab"]}))
        assert store.delete("event", rows=named, soft=soft) == Deleted(2), name
        assert values(store.read("event")) == ["c"], name
        store.drop_feature_metadata("event")
    store.write("event", rows(id=[*"abc"], at=times))
    finer = pl.DataFrame({"id": [*"ab"], "at": times[:2]}).with_columns(pl.col("at").dt.cast_time_unit("ns"))
    between = finer.with_columns(pl.col("at").dt.offset_by("1ns"))
    assert store.delete("event", rows=between, soft=soft) == Deleted(0)  # no time of the table is equal to one of these
    assert store.delete("event", rows=finer, soft=soft) == Deleted(2)


@SOFT
def test_a_row_that_was_written_since_it_was_read_stays(store: MetadataStore, soft: bool) -> None:
    fill(store, "video")
    read = store.read("video").collect()
    store.write("video", rows(id=["a", "b"], n=[5, 5]))
    assert store.count_rows_to_delete("video", rows=read, soft=soft) == 2
    assert store.delete("video", rows=read, soft=soft) == Deleted(2, changed_since=2)
    assert values(store.read("video"), "id", "n") == [("a", 5), ("b", 5)]
    assert store.delete("video", rows=read, soft=soft) == Deleted(0, changed_since=2)
    assert store.delete("video", rows=read, soft=soft, with_sample_history=True) == Deleted(0, changed_since=2)
    before = everything(store, "video").filter(id="a")
    assert store.delete("video", rows=store.read("video").filter(nw.col("id") == "a"), soft=soft).rows == (
        1 if soft else 3
    )
    assert values(store.read("video")) == ["b"]
    assert len(everything(store, "video").filter(id="a")) == (len(before) + 1 if soft else 0)


@pytest.mark.three_stores
def test_rows_that_were_hidden_are_named_by_what_they_were(store: MetadataStore) -> None:
    fill(store, "video")
    read = store.read("video").collect()
    assert store.delete("video", rows=read) == Deleted(4)
    assert store.delete("video", rows=read) == Deleted(0)
    assert store.delete("video", rows=read, soft=False) == Deleted(9)
    assert everything(store, "video").is_empty()


@SOFT
@pytest.mark.three_stores
def test_versions_of_a_feature_are_told_apart(store: MetadataStore, soft: bool) -> None:
    fill(store, "video")
    old = store.read("video").collect()
    define("video", fields=[{"key": "default", "code_version": "2"}])
    store.write("video", rows(id=["a", "b"], n=[7, 7]))
    assert store.delete("video", rows=old.select("id"), soft=soft) == Deleted(2)
    rest = store.delete("video", rows=old, soft=soft, with_feature_history=True)
    assert rest == Deleted(4 if soft else 5, changed_since=0)
    define("video")
    assert values(store.read("video")) == []


@SOFT
@pytest.mark.three_stores
def test_frames_that_name_nothing_or_nonsense(store: MetadataStore, soft: bool) -> None:
    fill(store, "video")
    for nothing in (pl.DataFrame(), pl.DataFrame({"x": []}), pl.DataFrame({"id": []}), store.read("video").head(0)):
        assert store.delete("video", rows=nothing, soft=soft) == Deleted(0)
    now = [datetime(2026, 1, 1)]
    complaints: list[tuple[Any, str]] = [
        ({"ids": ["a"]}, "rows to delete of feature video lack ID column 'id'. Did you mean 'ids'"),
        ({"id": ["a", None]}, "column 'id' is NULL in 1 rows"),
        ({"id": [1]}, "column 'id' is Int64 on one side and String on the other"),
        ({"id": [["a"]]}, "ID column 'id' is List"),
        ({"id": ["a"], c.METAXY_UPDATED_AT: [None]}, "column 'metaxy_updated_at' is NULL in 1 rows"),
        ({"id": ["a"], c.METAXY_UPDATED_AT: now}, "column 'metaxy_updated_at' is Datetime"),
    ]
    for columns, said in complaints:
        with pytest.raises(MetadataSchemaError, match=said):
            store.delete("video", rows=pl.DataFrame(columns), soft=soft)
    with pytest.raises(MetadataSchemaError, match="list, which is no dataframe"):
        store.delete("video", rows=["a"], soft=soft)
    assert len(everything(store, "video")) == 5


@SOFT
@pytest.mark.three_stores
def test_rows_of_another_store_name_those_of_this(make: StoreFactory, soft: bool) -> None:
    with make("far").open("w") as far, make("near").open("w") as near:
        for store in (far, near):
            fill(store, "video")
        named = far.read("video", filters=nw.col("id") == "b").select("id")
        assert near.delete("video", rows=named, soft=soft) == Deleted(1)
        assert values(near.read("video")) == ["a", "c", "d"]
        assert values(far.read("video")) == ["a", "b", "c", "d"]


@SOFT
@pytest.mark.three_stores
def test_a_table_with_a_column_rowid_is_deleted_from(store: MetadataStore, soft: bool) -> None:
    define("video", ids=["id", "rowid"])
    store.write("video", rows(id=[*"aab"], rowid=[1, 2, 1]))
    assert store.delete("video", rows=pl.DataFrame({"id": [*"ab"], "rowid": [2, 2]}), soft=soft) == Deleted(1)
    assert values(store.read("video"), "id", "rowid") == [("a", 1), ("b", 1)]


@SOFT
def test_many_samples_are_named_at_once(store: MetadataStore, soft: bool) -> None:
    define("frame", ids=["video", "n"])
    numbers = pl.DataFrame({"n": range(20_000)})
    store.write("frame", rows(video=[f"v{n % 7}" for n in range(20_000)], n=numbers["n"]))
    named = store.read("frame", columns=["video", "n"]).filter(nw.col("n") >= 10).collect("polars")
    assert store.delete("frame", rows=named, soft=soft) == Deleted(19_990)
    assert set(values(store.read("frame"), "n")) == set(range(10))
