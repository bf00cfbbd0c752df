"""Tests of reading: which rows count, in which columns."""

from datetime import datetime, timedelta, timezone
from typing import Any, Final

import narwhals as nw
import polars as pl

from metaxy import columns as c
from metaxy.dag.graph import current_graph
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.case import StoreCase
from metaxy.testing.conformance.factory import define, everything, put, rows, values

NOON: Final = datetime(2020, 1, 1, 12, tzinfo=timezone.utc)
READS: Final[dict[str, tuple[dict[str, Any], list[tuple[str, int]]]]] = {
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


def write_history(store: MetadataStore) -> tuple[str, str]:
    """Write two versions of a feature, and return them; a is written twice, b deleted, c deleted and written again."""
    define("video", fields=["default"])
    store.write("video", rows(id=["a", "old"], n=[0, 0]))
    first = current_graph().get_feature_version("video")
    define("video", fields=[{"key": "default", "code_version": "2"}])
    store.write("video", rows(id=["a", "b", "c"], n=[1, 1, 1]))
    store.write("video", rows(id=["a"], n=[2]))
    store.delete("video", nw.col("id").is_in(["b", "c"]))
    store.write("video", rows(id=["c"], n=[3]))
    return first, current_graph().get_feature_version("video")


class Reading(StoreCase):
    """The latest row of each sample counts, by an order that is the same everywhere."""

    def test_rows_that_count(self, store: MetadataStore) -> None:
        write_history(store)
        for name, (options, expected) in READS.items():
            assert values(store.read("video", **options), "id", "n") == expected, name

    def test_samples_are_told_apart_by_all_ids(self, store: MetadataStore) -> None:
        define("video", ids=["id", "frame"])
        store.write("video", rows(id=["a", "a", "b"], frame=[1, 2, 1], n=[1, 1, 1]))
        store.write("video", rows(id=["a"], frame=[2], n=[2]))
        assert values(store.read("video"), "id", "frame", "n") == [("a", 1, 1), ("a", 2, 2), ("b", 1, 1)]

    def test_a_null_that_was_written_last_counts(self, store: MetadataStore) -> None:
        define("video")
        store.write("video", rows(id=["a"], n=[1]))
        store.write("video", rows(id=["a"], n=pl.Series([None], dtype=pl.Int64)))
        assert values(store.read("video"), "n") == [None]
        assert values(store.read("video", filters=[nw.col("n") == 1])) == []
        assert values(store.read("video", filters=[nw.col("n").is_null()])) == ["a"]

    def test_the_order_of_rows_is_that_of_their_times(self, store: MetadataStore) -> None:
        """A row without a time is older than any other; a deletion counts as of its own time."""
        define("video")
        store.write("video", rows(id=["a"], n=[0]))
        row = everything(store, "video")

        def at(
            number: int, updated: datetime | None, created: datetime | None, deleted: datetime | None
        ) -> pl.DataFrame:
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

    def test_the_order_of_columns_does_not_matter(self, store: MetadataStore) -> None:
        define("video")
        first = rows(id=["a"], u=["u1"], v=["v1"])
        store.write("video", first)
        store.write("video", rows(id=["b"], u=["u2"], v=["v2"]).select(reversed(first.columns)))
        assert values(store.read("video"), "id", "u", "v") == [("a", "u1", "v1"), ("b", "u2", "v2")]

    def test_a_renamed_column_never_shifts_values(self, store: MetadataStore) -> None:
        define("video")
        store.write("video", rows(id=["a"], u=["u1"], v=["v1"]))
        store.write("video", rows(id=["b"], v=["v2"], w=["w2"]))
        assert values(store.read("video"), "id", "u", "v", "w") == [("a", "u1", "v1", None), ("b", None, "v2", "w2")]

    def test_ties_are_broken_alike_everywhere_and_rows_stay_whole(self, store: MetadataStore) -> None:
        define("video")
        count = 500
        columns = {"id": list(range(count)), "a": [0] * count, "b": [0] * count}
        store.write("video", rows("0", **columns))
        first = everything(store, "video")
        versions = [f"{n:x}" for n in range(8)]
        tied = [
            first.with_columns(
                pl.lit(n).alias("a"),
                pl.lit(n).alias("b"),
                pl.lit(version).alias(c.METAXY_DATA_VERSION),
                pl.lit(NOON).alias(c.METAXY_UPDATED_AT),
                pl.lit(NOON).alias(c.METAXY_CREATED_AT),
            )
            for n, version in enumerate(versions)
        ]
        put(store, "video", pl.concat(tied).sample(fraction=1, shuffle=True, seed=1))
        for _ in range(2):
            assert set(values(store.read("video"), "a", "b", c.METAXY_DATA_VERSION)) == {(7, 7, "7")}
