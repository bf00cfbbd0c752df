"""Reading: which rows count, in which columns."""

from datetime import datetime, timedelta, timezone
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, put, rows, values

from metaxy import columns as c
from metaxy.dag.graph import FeatureGraph
from metaxy.errors import FeatureNotFoundError, MetadataSchemaError, UnknownFeatureError
from metaxy.store.store import MetadataStore

NOON = datetime(2020, 1, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def history(store: MetadataStore, graph: FeatureGraph) -> tuple[str, str]:
    """Two versions of a feature; sample a was written twice, b deleted, c deleted and written again. Both versions."""
    define("video", fields=["default"])
    store.write("video", rows(id=["a", "old"], n=[0, 0]))
    first = graph.get_feature_version("video")
    define("video", fields=[{"key": "default", "code_version": "2"}])
    store.write("video", rows(id=["a", "b", "c"], n=[1, 1, 1]))
    store.write("video", rows(id=["a"], n=[2]))
    store.delete("video", nw.col("id").is_in(["b", "c"]))
    store.write("video", rows(id=["c"], n=[3]))
    return first, graph.get_feature_version("video")


# -- which rows --------------------------------------------------------------------------------------------------------

READS: dict[str, tuple[dict[str, Any], list[tuple[str, int]]]] = {
    "latest": ({}, [("a", 2), ("c", 3)]),
    "deleted": ({"include_soft_deleted": True}, [("a", 2), ("b", 1), ("c", 3)]),
    "history": ({"with_sample_history": True}, [("a", 1), ("a", 2), ("b", 1), ("c", 1), ("c", 3)]),
    "history and deleted": (
        {"with_sample_history": True, "include_soft_deleted": True},
        [("a", 1), ("a", 2), ("b", 1), ("b", 1), ("c", 1), ("c", 1), ("c", 3)],
    ),
    "versions": ({"with_feature_history": True}, [("a", 2), ("c", 3), ("old", 0)]),
    "everything": (
        {"with_feature_history": True, "with_sample_history": True},
        [("a", 0), ("a", 1), ("a", 2), ("b", 1), ("c", 1), ("c", 3), ("old", 0)],
    ),
    "filters see the latest row": ({"filters": [nw.col("n") == 1]}, []),
    "filters on ids": ({"filters": [nw.col("id") == "a"]}, [("a", 2)]),
    "all filters hold": ({"filters": [nw.col("n") > 1, nw.col("id") != "a"]}, [("c", 3)]),
    "filters of history": (
        {"filters": [nw.col("n") == 1], "with_sample_history": True},
        [("a", 1), ("b", 1), ("c", 1)],
    ),
    "no filters": ({"filters": []}, [("a", 2), ("c", 3)]),
}


@pytest.mark.usefixtures("history")
def test_rows_that_count(store: MetadataStore) -> None:
    for name, (options, expected) in READS.items():
        assert values(store.read("video", **options), "id", "n") == expected, name


@pytest.mark.three_stores
def test_rows_of_one_version(store: MetadataStore, history: tuple[str, str]) -> None:
    first, second = history

    def read(version: str) -> list[Any]:
        return values(store.read("video", feature_version=version, with_feature_history=True), "id", "n")

    assert read(first) == [("a", 0), ("old", 0)]
    assert read(second) == [("a", 2), ("c", 3)]
    assert read("unknown") == []
    with pytest.raises(ValueError, match="feature_version needs with_feature_history=True"):
        store.read("video", feature_version=first)


def test_samples_are_told_apart_by_all_ids(store: MetadataStore) -> None:
    define("video", ids=["id", "frame"])
    store.write("video", rows(id=["a", "a", "b"], frame=[1, 2, 1], n=[1, 1, 1]))
    store.write("video", rows(id=["a"], frame=[2], n=[2]))
    assert values(store.read("video"), "id", "frame", "n") == [("a", 1, 1), ("a", 2, 2), ("b", 1, 1)]


def test_a_null_that_was_written_last_counts(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], n=[1]))
    store.write("video", rows(id=["a"], n=pl.Series([None], dtype=pl.Int64)))
    assert values(store.read("video"), "n") == [None]
    assert values(store.read("video", filters=[nw.col("n") == 1])) == []
    assert values(store.read("video", filters=[nw.col("n").is_null()])) == ["a"]


def test_the_order_of_rows_is_that_of_their_times(store: MetadataStore) -> None:
    """A row without a time is older than any other; a deletion counts as of its own time."""
    define("video")
    store.write("video", rows(id=["a"], n=[0]))
    row = everything(store, "video")

    def at(number: int, updated: datetime | None, created: datetime | None, deleted: datetime | None) -> pl.DataFrame:
        times = {c.METAXY_UPDATED_AT: updated, c.METAXY_CREATED_AT: created, c.METAXY_DELETED_AT: deleted}
        moments = [pl.lit(time, pl.Datetime("us", "UTC")).alias(name) for name, time in times.items()]
        return row.with_columns(pl.lit(number).alias("n"), *moments)

    later = NOON + timedelta(microseconds=1)
    ordered = [
        at(0, None, NOON, None),
        at(1, NOON, None, None),
        at(2, NOON, NOON, None),
        at(3, NOON, later, None),
        at(4, NOON, NOON, later),  # deleted just after it was written
        at(5, later, NOON, None),  # written again in the moment of the deletion: the writing counts
        at(6, NOON, NOON, later + timedelta(microseconds=1)),
    ]
    for last in range(len(ordered)):
        put(store, "video", pl.concat(ordered[last::-1]))
        assert values(store.read("video", include_soft_deleted=True), "n") == [last]
        assert values(store.read("video"), "n") == ([last] if last not in (4, 6) else [])


# -- which columns -----------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_db21_columns_may_leave_out_ids(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], u=["old"], v=["x"]))
    store.write("video", rows(id=["a"], u=["new"], v=["x"]))
    for filters in (None, [nw.col("v") == "x"], [nw.col("id") == "a"]):
        frame = store.read("video", columns=["u"], filters=filters)
        assert frame.collect_schema().names() == ["u"]
        assert values(frame, "u") == ["new"]


@pytest.mark.object_store
def test_columns_come_in_the_order_that_was_asked_for(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], u=["u"], v=["v"]))
    wanted = ["v", c.METAXY_PROVENANCE_BY_FIELD, "id", c.METAXY_FEATURE_VERSION, "u"]
    assert store.read("video", columns=wanted).collect_schema().names() == wanted
    assert store.read("video").collect_schema().names() == everything(store, "video").columns


@pytest.mark.three_stores
def test_unknown_columns_are_refused_with_a_near_match(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], height=[1]))
    with pytest.raises(MetadataSchemaError, match=r"feature video has no column 'hieght'\. Did you mean 'height'\?"):
        store.read("video", columns=["hieght"])


def test_filters_on_unknown_columns_are_refused_in_one_line(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], height=[1]))
    for filters in ([nw.col("hieght") == 1], [nw.col("id") == "a", nw.col("id") == nw.col("hieght")]):
        with pytest.raises(MetadataSchemaError, match="hieght") as caught:
            store.read("video", filters=filters)
        assert "\n" not in str(caught.value)


def test_system_columns_have_the_same_types_everywhere(store: MetadataStore) -> None:
    define("video", fields=["x"])
    store.write("video", rows({"x": "1"}, id=["a"]))
    kinds: dict[str, Any] = {
        "text": nw.String(),
        "timestamp": nw.Datetime("us", "UTC"),
        "by_field": nw.Struct({"x": nw.String()}),
    }
    schema = store.read("video").collect_schema()
    assert {column.name: schema[column.name] for column in c.SYSTEM_COLUMNS} == {
        column.name: kinds[column.kind] for column in c.SYSTEM_COLUMNS
    }


# -- which features ----------------------------------------------------------------------------------------------------


@pytest.mark.object_store
def test_a_feature_without_a_table_is_not_found(store: MetadataStore) -> None:
    define("video")
    with pytest.raises(FeatureNotFoundError, match="feature video has no table in") as caught:
        store.read("video")
    assert [str(key) for key in caught.value.keys] == ["video"]
    assert not store.has_feature("video")
    assert store.find_store_for_feature("video") is None


@pytest.mark.three_stores
def test_a_feature_that_is_not_in_the_graph_is_refused(store: MetadataStore) -> None:
    define("video")
    with pytest.raises(UnknownFeatureError, match=r"feature 'vidoe' is not in the graph\. Did you mean 'video'\?"):
        store.read("vidoe")


def test_all_history_of_a_table_is_read_without_its_feature(store: MetadataStore) -> None:
    define("video", fields=["x", "y"])
    store.write("video", rows({"x": "1", "y": "2"}, id=["a", "b"], n=[1, 2]))
    store.write("video", rows({"x": "1", "y": "3"}, id=["a"], n=[3]))
    store.delete("video", nw.col("id") == "b")
    history: dict[str, Any] = {"with_feature_history": True, "with_sample_history": True}
    asked: list[dict[str, Any]] = [
        {},
        {"columns": ["n", "id"], "filters": [nw.col("n") > 1]},
        {"include_soft_deleted": True, "filters": [nw.col("id") == "b"]},
        {"feature_version": "none"},
    ]
    known = [values(store.read("video", **history, **options), "id", "n") for options in asked]
    assert [len(found) for found in known] == [3, 2, 2, 0]
    with FeatureGraph().use():
        assert [values(store.read("video", **history, **options), "id", "n") for options in asked] == known
        for feature, sample in ((False, False), (True, False), (False, True)):
            with pytest.raises(UnknownFeatureError, match="video"):
                store.read("video", with_feature_history=feature, with_sample_history=sample)
        with pytest.raises(FeatureNotFoundError, match="feature film has no table"):
            store.read("film", **history)


@pytest.mark.three_stores
def test_the_store_that_has_the_rows_is_named(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"]))
    frame, holder = store.read("video", with_store_info=True)
    assert values(frame) == ["a"]
    assert holder is store
    assert store.find_store_for_feature("video") is store
    assert store.has_feature("video")
