"""Tests of updates: one update of each kind, from samples, groups, parents of parents."""

import narwhals as nw
import polars as pl
import pytest

from metaxy import columns as c
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import DriftedSamplesWarning
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.case import StoreCase
from metaxy.testing.conformance.factory import change, define, ids, rows, values
from metaxy.versioning.frames import collect_to_polars


class Updates(StoreCase):
    """Samples are new, stale and orphaned as they should be."""

    def test_samples_become_new_stale_and_orphaned(self, store: MetadataStore) -> None:
        define("video")
        first = rows(["1", "1", "1"], id=["a", "b", "c"], path=["x", "y", "z"])
        increment = store.resolve_update("video", samples=first)
        assert ids(increment) == (["a", "b", "c"], [], [])
        store.write("video", increment.new)
        assert not store.resolve_update("video", samples=first)

        second = rows(["1", "2", "1"], id=["a", "b", "d"], path=["x", "y2", "w"])
        increment = store.resolve_update("video", samples=second)
        assert ids(increment) == (["d"], ["b"], ["c"])
        assert increment.counts == {"new": 1, "stale": 1, "orphaned": 1, "drifted": 0, "unchanged": 1}
        assert values(increment.stale, "path") == ["y2"]
        assert values(increment.orphaned, "path") == ["z"]
        for frame in (increment.new, increment.stale):
            store.write("video", frame)
        store.delete("video", nw.col("id").is_in(increment.orphaned["id"].to_list()))
        assert not store.resolve_update("video", samples=second)

    def test_samples_of_equal_versions_with_another_payload(self, store: MetadataStore) -> None:
        define("video")
        define("clip", "video")
        first = rows(["1", "1", "1"], id=["a", "b", "c"], path=["x", "y", None], n=[1, 2, 3], x=[0.5, 1.5, None])
        store.write("video", first)
        store.write("clip", store.resolve_update("clip").new)
        assert store.resolve_update("video", samples=first).counts["drifted"] == 0
        second = first.with_columns(path=pl.Series(["x", "moved", "z"])).drop("x")
        with pytest.warns(DriftedSamplesWarning, match=r"\(path in 2\)"):
            increment = store.resolve_update("video", samples=second)
        assert increment.counts == {"new": 0, "stale": 0, "orphaned": 0, "drifted": 2, "unchanged": 1}
        store.write("video", increment.drifted)
        found = values(store.read("video"), "id", "path", "n", "x")
        assert found == [("a", "x", 1, 0.5), ("b", "moved", 2, 1.5), ("c", "z", 3, None)]
        assert not store.resolve_update("clip")
        assert store.resolve_update("video", samples=second).counts["drifted"] == 0

    def test_aggregation_and_expansion(self, store: MetadataStore) -> None:
        define("frame", ids=["video", "frame"])
        define("video", FeatureDep(feature="frame", lineage=LineageRelationship.aggregation()), ids=["video"])
        define(
            "crop",
            FeatureDep(feature="video", select=["video"], lineage=LineageRelationship.expansion(on=["video"])),
            ids=["video", "crop"],
        )
        store.write("frame", rows(["1", "2", "3"], video=["a", "a", "b"], frame=[1, 2, 1]))
        videos = store.resolve_update("video", one_row_per_group=True).new
        assert values(videos, "video") == ["a", "b"]
        store.write("video", videos)
        crops = collect_to_polars(store.resolve_update("crop").new)
        assert values(crops, "video") == ["a", "b"]
        store.write("crop", crops.join(pl.DataFrame({"crop": [1, 2]}), how="cross"))
        assert not store.resolve_update("crop")
        store.write("frame", rows("9", video=["a"], frame=[2]))
        stale = store.resolve_update("video", one_row_per_group=True).stale
        assert values(stale, "video") == ["a"]
        store.write("video", stale)
        assert values(store.resolve_update("crop").stale, "video") == ["a"]

    def test_renamed_selected_and_filtered_parents(self, store: MetadataStore) -> None:
        define("video")
        store.write("video", rows(id=["a", "b"], n=[1, 2], path=["x", "y"]))
        define("clip", FeatureDep(feature="video", rename={"n": "number"}, select=["number"], filters=["number > 1"]))
        new = store.resolve_update("clip").new
        assert values(new, "id", "number") == [("b", 2)]
        assert set(new.columns) == {"id", "number", *c.VERSION_COLUMNS}

    def test_counts_and_category(self, store: MetadataStore) -> None:
        change(store)
        found = get_feature_metadata_status("clip", store)
        status = found.status
        assert (status.store_row_count, status.missing_count) == (4, 1)
        assert (status.stale_count, status.orphaned_count) == (1, 1)
        assert found.status_category == "needs_update"
        assert status.needs_update
        assert status.progress_percentage is None
        assert status.format_status_line() == "⚠ clip: 4 rows, 1 new, 1 stale, 1 orphaned"
        assert found.lazy_increment is not None
        assert values(found.lazy_increment.new) == ["e"]
