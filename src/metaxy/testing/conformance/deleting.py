"""Deleting: tombstones hide samples, hard deletes remove rows; nothing else changes."""

from typing import Any, Final

import narwhals as nw
import pytest

from metaxy import columns as c
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.case import StoreCase
from metaxy.testing.conformance.factory import define, everything, fill, ids, rows, values
from metaxy.versioning.frames import collect_to_polars

SOFT: Final = pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])
FILTERS: Final[dict[str, tuple[Any, list[str]]]] = {
    "id": (nw.col("id") == "a", ["b", "c", "d"]),
    "latest": (nw.col("n") == 2, ["b", "c", "d"]),
    "not the latest": ([nw.col("id") == "a", nw.col("n") == 1], ["a", "b", "c", "d"]),
    "not equal": (nw.col("n") != 2, ["a", "d"]),
    "negated": (~(nw.col("n") == 2), ["a", "d"]),
    "null": (nw.col("n").is_null(), ["a", "b", "c"]),
    "several": ([nw.col("n") > 0, nw.col("id").is_in(["a", "b"])], ["c", "d"]),
    "nothing": (nw.col("id") == "unknown", ["a", "b", "c", "d"]),
}


class Deleting(StoreCase):
    """Conditions select the latest rows that fulfil them; NULL is not fulfilled."""

    @pytest.fixture
    def filled(self, store: MetadataStore) -> MetadataStore:
        """A store with rows of a feature, which has a child."""
        fill(store, "video")
        define("clip", "video")
        return store

    @SOFT
    def test_samples_that_fulfil_all_filters_are_counted_and_then_gone(self, filled: MetadataStore, soft: bool) -> None:
        for number, (name, (filters, left)) in enumerate(FILTERS.items()):
            feature = f"video{number}"
            fill(filled, feature)
            before = len(everything(filled, feature))
            assert before == 5
            counted = filled.count_rows_to_delete(feature, filters, soft=soft)
            filled.delete(feature, filters, soft=soft)
            changed = len(everything(filled, feature)) - before
            assert counted == (4 - len(left) if soft else -changed), name
            if name == "latest" and not soft:
                left = ["a", *left]  # rows are removed, not samples: the older row of a counts again
            assert values(filled.read(feature)) == left, name

    def test_a_tombstone_is_the_row_with_the_time_of_its_deletion(self, filled: MetadataStore) -> None:
        alive = collect_to_polars(filled.read("video", filters=[nw.col("id") == "a"]))
        filled.delete("video", nw.col("id") == "a")
        dead = collect_to_polars(filled.read("video", filters=[nw.col("id") == "a"], include_soft_deleted=True))
        assert dead.drop(c.METAXY_DELETED_AT).rows() == alive.drop(c.METAXY_DELETED_AT).rows()
        assert dead[c.METAXY_DELETED_AT].item() > dead[c.METAXY_UPDATED_AT].item()
        assert dead[c.METAXY_MATERIALIZATION_ID].item() == "run-2"

    def test_deleting_again_changes_nothing(self, filled: MetadataStore) -> None:
        filled.delete("video", everything=True)
        count = everything(filled, "video").height
        filled.delete("video", everything=True)
        assert everything(filled, "video").height == count

    def test_a_hard_delete_of_the_newest_row_brings_the_older_one_back(self, filled: MetadataStore) -> None:
        filled.delete("video", nw.col("n") == 2, soft=False)
        assert values(filled.read("video", filters=[nw.col("id") == "a"]), "n") == [1]

    @SOFT
    def test_rows_of_other_versions_stay(self, filled: MetadataStore, soft: bool) -> None:
        define("video", fields=[{"key": "default", "code_version": "2"}])
        filled.write("video", rows(id=["a"], n=[3]))
        filled.delete("video", everything=True, soft=soft)
        assert values(filled.read("video")) == []
        define("video")
        assert values(filled.read("video"), "id", "n") == [("a", 2), ("b", 1), ("c", 1), ("d", None)]

    @SOFT
    def test_children_see_what_is_left(self, filled: MetadataStore, soft: bool) -> None:
        filled.write("clip", filled.resolve_update("clip").new)
        filled.delete("video", nw.col("id") == "a", soft=soft)
        assert values(filled.read("clip")) == ["a", "b", "c", "d"]
        assert ids(filled.resolve_update("clip")) == ([], [], ["a"])

    @SOFT
    def test_a_delete_that_says_nothing_deletes_nothing(self, filled: MetadataStore, soft: bool) -> None:
        for nothing in (None, ()):
            with pytest.raises(ValueError, match="everything=True"):
                filled.delete("video", nothing, soft=soft)
        assert values(filled.read("video")) == ["a", "b", "c", "d"]
        assert filled.delete("video", everything=True, soft=soft).rows == (4 if soft else 5)
        assert values(filled.read("video")) == []

    @SOFT
    def test_orphans_are_deleted_as_they_are_unless_they_were_written_since(
        self, filled: MetadataStore, soft: bool
    ) -> None:
        filled.write("clip", filled.resolve_update("clip").new)
        filled.delete("video", nw.col("id").is_in(["a", "c"]), soft=soft)
        orphaned = filled.resolve_update("clip").orphaned
        filled.write("clip", filled.read("clip", filters=nw.col("id") == "a"))
        deleted = filled.delete("clip", rows=orphaned, soft=soft)
        assert (deleted.rows, deleted.changed_since) == (1, 1)
        assert values(filled.read("clip")) == ["a", "b", "d"]
        filled.delete("clip", rows=orphaned.select("id"), soft=soft)
        assert not filled.resolve_update("clip")
        assert values(filled.read("clip")) == ["b", "d"]

    @SOFT
    def test_orphans_can_be_deleted_by_their_ids(self, filled: MetadataStore, soft: bool) -> None:
        filled.write("clip", filled.resolve_update("clip").new)
        filled.delete("video", nw.col("id").is_in(["a", "c"]), soft=soft)
        orphaned = filled.resolve_update("clip").orphaned
        filled.delete("clip", nw.col("id").is_in(orphaned["id"].to_list()), soft=soft)
        assert not filled.resolve_update("clip")
        assert values(filled.read("clip")) == ["b", "d"]
