"""Deleting: versions, histories and fallback stores; dropping a feature."""

from datetime import datetime, timedelta, timezone

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, put, rows, values
from tests.stores import StoreFactory

from metaxy import columns as c
from metaxy.errors import FeatureNotFoundError
from metaxy.store.store import MetadataStore

NEXT = [{"key": "default", "code_version": "2"}]


@pytest.fixture
def versions(store: MetadataStore) -> None:
    """Samples a and b in the old version, b and c in the current one."""
    define("video")
    store.write("video", rows(id=["a", "b"], n=[1, 1]), materialization_id="old")
    define("video", fields=NEXT)
    store.write("video", rows(id=["b", "c"], n=[2, 2]), materialization_id="new")


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])
def test_db05_all_versions_are_deleted_with_feature_history(store: MetadataStore, soft: bool) -> None:
    store.delete("video", nw.col("id") != "c", soft=soft, with_feature_history=True)
    assert values(store.read("video")) == ["c"]
    define("video")
    assert values(store.read("video")) == []


@pytest.mark.usefixtures("versions")
def test_db05_tombstones_keep_versions_and_runs(store: MetadataStore) -> None:
    kept = ("id", c.METAXY_FEATURE_VERSION, c.METAXY_PROJECT_VERSION, c.METAXY_MATERIALIZATION_ID, c.METAXY_UPDATED_AT)
    before = values(everything(store, "video"), *kept)
    store.delete("video", everything=True, with_feature_history=True)
    dead = everything(store, "video").filter(pl.col(c.METAXY_DELETED_AT).is_not_null())
    assert values(dead, *kept) == before


def test_filters_see_older_rows_with_sample_history(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a", "b"], n=[1, 1]))
    store.write("video", rows(id=["a"], n=[2]))
    store.delete("video", [nw.col("n") == 1, nw.col("id") == "a"])
    assert values(store.read("video")) == ["a", "b"]
    store.delete("video", [nw.col("n") == 1, nw.col("id") == "a"], with_sample_history=True)
    assert values(store.read("video")) == ["b"]


@pytest.mark.three_stores
def test_what_to_delete_must_be_said(store: MetadataStore) -> None:
    define("video")
    with pytest.raises(ValueError, match="feature video: say which rows to delete: pass filters"):
        store.delete("video")
    with pytest.raises(ValueError, match="everything=True goes with neither"):
        store.delete("video", "id = 'a'", everything=True)


@pytest.mark.three_stores
def test_a_delete_that_meets_no_row_writes_nothing(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"]))
    before = everything(store, "video").height
    store.delete("video", nw.col("id") == "b")
    assert everything(store, "video").height == before


def test_db28_a_row_from_a_faster_clock_can_be_deleted(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"]))
    ahead = datetime.now(timezone.utc) + timedelta(hours=1)
    put(store, "video", everything(store, "video").with_columns(pl.lit(ahead).alias(c.METAXY_UPDATED_AT)))
    store.delete("video", everything=True)
    assert values(store.read("video")) == []


@pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])
@pytest.mark.three_stores
def test_db04_rows_of_a_fallback_are_not_deleted(make: StoreFactory, soft: bool) -> None:
    define("video")
    with make("far").open("w") as far:
        far.write("video", rows(id=["a", "b"]))
    with make("near", fallback_stores=[make("far")]).open("w") as near:
        with pytest.raises(FeatureNotFoundError):
            near.delete("video", nw.col("id") == "a", soft=soft)
        assert not near.has_feature("video")
        assert values(near.read("video")) == ["a", "b"]


@pytest.mark.three_stores
def test_db19_a_dropped_feature_is_read_from_the_fallback(make: StoreFactory) -> None:
    define("video")
    with make("far").open("w") as far:
        far.write("video", rows(id=["far"]))
    with make("near", fallback_stores=[make("far")]).open("w") as near:
        near.write("video", rows(id=["near"]))
        near.drop_feature_metadata("video")
        assert values(near.read("video")) == ["far"]
