"""Deleting: tombstones hide samples, hard deletes remove rows; nothing else changes."""

from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, ids, rows, values

from metaxy import columns as c
from metaxy.errors import FeatureNotFoundError, UnknownFeatureError
from metaxy.store.statistics import feature_statistics
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

SOFT = pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])


@pytest.fixture(autouse=True)
def video(store: MetadataStore) -> None:
    fill(store, "video")
    define("clip", "video")


def fill(store: MetadataStore, feature: str) -> None:
    """Write sample a twice, so that its latest row has n = 2; b and c have n = 1; d has none."""
    define(feature)
    store.write(feature, rows(id=["a", "b", "c", "d"], n=[1, 1, 1, None]), materialization_id="run-1")
    store.write(feature, rows(id=["a"], n=[2]), materialization_id="run-2")


FILTERS: dict[str, tuple[Any, list[str]]] = {
    "none": (None, []),
    "empty": ([], []),
    "id": (nw.col("id") == "a", ["b", "c", "d"]),
    "latest": (nw.col("n") == 2, ["b", "c", "d"]),
    "not the latest": ([nw.col("id") == "a", nw.col("n") == 1], ["a", "b", "c", "d"]),
    "not equal": (nw.col("n") != 2, ["a", "d"]),
    "negated": (~(nw.col("n") == 2), ["a", "d"]),
    "null": (nw.col("n").is_null(), ["a", "b", "c"]),
    "several": ([nw.col("n") > 0, nw.col("id").is_in(["a", "b"])], ["c", "d"]),
    "nothing": (nw.col("id") == "unknown", ["a", "b", "c", "d"]),
}


@SOFT
def test_samples_that_fulfil_all_filters_are_counted_and_then_gone(store: MetadataStore, soft: bool) -> None:
    for number, (name, (filters, left)) in enumerate(FILTERS.items()):
        feature = f"video{number}"
        fill(store, feature)
        before = len(everything(store, feature))
        assert before == 5
        counted = store.count_rows_to_delete(feature, filters, soft=soft)
        store.delete(feature, filters, soft=soft)
        changed = len(everything(store, feature)) - before
        assert counted == (4 - len(left) if soft else -changed), name
        if name == "latest" and not soft:
            left = ["a", *left]  # rows are removed, not samples: the older row of a counts again
        assert values(store.read(feature)) == left, name


@pytest.mark.object_store
def test_a_soft_delete_only_adds_rows(store: MetadataStore) -> None:
    before = everything(store, "video")
    store.delete("video", nw.col("id").is_in(["a", "b"]))
    after = everything(store, "video")
    assert values(after.filter(pl.col(c.METAXY_DELETED_AT).is_null()), *before.columns) == values(
        before, *before.columns
    )
    assert values(after.filter(pl.col(c.METAXY_DELETED_AT).is_not_null())) == ["a", "b"]


def test_a_tombstone_is_the_row_with_the_time_of_its_deletion(store: MetadataStore) -> None:
    alive = collect_to_polars(store.read("video", filters=[nw.col("id") == "a"]))
    store.delete("video", nw.col("id") == "a")
    dead = collect_to_polars(store.read("video", filters=[nw.col("id") == "a"], include_soft_deleted=True))
    assert dead.drop(c.METAXY_DELETED_AT).rows() == alive.drop(c.METAXY_DELETED_AT).rows()
    assert dead[c.METAXY_DELETED_AT].item() > dead[c.METAXY_UPDATED_AT].item()
    assert dead[c.METAXY_MATERIALIZATION_ID].item() == "run-2"


def test_deleting_again_changes_nothing(store: MetadataStore) -> None:
    store.delete("video", None)
    count = everything(store, "video").height
    store.delete("video", None)
    assert everything(store, "video").height == count


@pytest.mark.object_store
@SOFT
def test_a_deleted_sample_that_is_written_again_is_back(store: MetadataStore, soft: bool) -> None:
    store.delete("video", nw.col("id") == "b", soft=soft)
    store.write("video", rows(id=["b"], n=[5]))
    assert values(store.read("video", filters=[nw.col("id") == "b"]), "n") == [5]


@pytest.mark.object_store
def test_a_hard_delete_removes_rows_and_history(store: MetadataStore) -> None:
    store.delete("video", nw.col("id") == "b")
    store.delete("video", nw.col("id").is_in(["a", "b"]), soft=False)
    assert values(everything(store, "video")) == ["c", "d"]


def test_a_hard_delete_of_the_newest_row_brings_the_older_one_back(store: MetadataStore) -> None:
    store.delete("video", nw.col("n") == 2, soft=False)
    assert values(store.read("video", filters=[nw.col("id") == "a"]), "n") == [1]


@SOFT
def test_rows_of_other_versions_stay(store: MetadataStore, soft: bool) -> None:
    define("video", fields=[{"key": "default", "code_version": "2"}])
    store.write("video", rows(id=["a"], n=[3]))
    store.delete("video", None, soft=soft)
    assert values(store.read("video")) == []
    define("video")
    assert values(store.read("video"), "id", "n") == [("a", 2), ("b", 1), ("c", 1), ("d", None)]


@SOFT
def test_a_sample_is_deleted_by_whatever_its_id_is(store: MetadataStore, soft: bool) -> None:
    odd = ["\U0008f218§", "\ufffd", "é", "a'b", 'a"b', "\\", "\x01\n", "z" * 70]
    store.write("video", rows(id=odd, n=[1] * len(odd)))
    for n, name in enumerate(odd):
        store.delete("video", (nw.col("id") == name) & (nw.col("n") == 1), soft=soft)
        assert set(values(store.read("video"))) == {"a", "b", "c", "d", *odd[n + 1 :]}


@SOFT
def test_children_see_what_is_left(store: MetadataStore, soft: bool) -> None:
    store.write("clip", store.resolve_update("clip").new)
    store.delete("video", nw.col("id") == "a", soft=soft)
    assert values(store.read("clip")) == ["a", "b", "c", "d"]
    assert ids(store.resolve_update("clip")) == ([], [], ["a"])


@SOFT
def test_orphans_can_be_deleted_by_their_ids(store: MetadataStore, soft: bool) -> None:
    store.write("clip", store.resolve_update("clip").new)
    store.delete("video", nw.col("id").is_in(["a", "c"]), soft=soft)
    orphaned = store.resolve_update("clip").orphaned
    store.delete("clip", nw.col("id").is_in(orphaned["id"].to_list()), soft=soft)
    assert not store.resolve_update("clip")
    assert values(store.read("clip")) == ["b", "d"]


@SOFT
@pytest.mark.three_stores
def test_features_without_a_table_are_not_found(store: MetadataStore, soft: bool) -> None:
    with pytest.raises(FeatureNotFoundError, match="feature clip has no table"):
        store.delete("clip", None, soft=soft)
    with pytest.raises(UnknownFeatureError, match="Did you mean 'clip'"):
        store.delete("clipp", None, soft=soft)
    assert not store.has_feature("clip")


def test_what_a_store_has_of_a_feature_is_counted(store: MetadataStore) -> None:
    empty = feature_statistics(store, "clip")
    assert (empty.exists, empty.samples, empty.rows, empty.last_write) == (False, 0, 0, None)
    store.delete("video", nw.col("id") == "a")
    define("video", fields=[{"key": "default", "code_version": "2"}])
    store.write("video", rows(id=["a"], n=[3]))
    found = feature_statistics(store, "video")
    assert (found.exists, found.samples, found.rows) == (True, 1, 7)
    assert (found.tombstones, found.feature_versions) == (1, 2)
    assert found.last_write is not None
