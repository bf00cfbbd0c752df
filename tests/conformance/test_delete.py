"""Deleting: tombstones hide samples, hard deletes remove rows; nothing else changes."""

import narwhals as nw
import pytest
from tests.factory import define, fill, rows, values

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import FeatureNotFoundError, UnknownFeatureError
from metaxy.service.rows import feature_statistics
from metaxy.store.store import MetadataStore

SOFT = pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])


@pytest.fixture(autouse=True)
def video(store: MetadataStore) -> None:
    fill(store, "video")
    define("clip", "video")


@SOFT
@pytest.mark.three_stores
def test_features_without_a_table_are_not_found(store: MetadataStore, soft: bool) -> None:
    with pytest.raises(FeatureNotFoundError, match="feature clip has no table"):
        store.delete("clip", everything=True, soft=soft)
    with pytest.raises(UnknownFeatureError, match="Did you mean 'clip'"):
        store.delete("clipp", everything=True, soft=soft)
    assert not store.has_feature("clip")


def test_what_a_store_has_of_a_feature_is_counted(store: MetadataStore) -> None:
    empty = feature_statistics(store, FeatureKey("clip"))
    assert (empty.exists, empty.samples, empty.rows, empty.last_write) == (False, 0, 0, None)
    store.delete("video", nw.col("id") == "a")
    define("video", fields=[{"key": "default", "code_version": "2"}])
    store.write("video", rows(id=["a"], n=[3]))
    found = feature_statistics(store, FeatureKey("video"))
    assert (found.exists, found.samples, found.rows) == (True, 1, 7)
    assert (found.tombstones, found.feature_versions) == (1, 2)
    assert found.last_write is not None


def test_ids_named_like_our_columns_tell_rows_apart(store: MetadataStore) -> None:
    define("thing", ids=["metaxy_id", "metaxy_"])
    names = {"metaxy_id": ["a", "a", "b"], "metaxy_": ["x", "y", "x"]}
    store.write("thing", rows(**names, metaxy_n=[1, 2, 3]))
    store.delete("thing", (nw.col("metaxy_id") == "a") & (nw.col("metaxy_n") < 2), soft=False)
    assert values(store.read("thing"), "metaxy_id", "metaxy_", "metaxy_n") == [("a", "y", 2), ("b", "x", 3)]
    store.delete("thing", nw.col("metaxy_") == "y", soft=False)
    assert values(store.read("thing"), "metaxy_n") == [3]
