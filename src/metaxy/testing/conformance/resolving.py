"""Updates in all their forms: with conditions, lazily, on each engine, of many parents."""

from typing import Any, Final

import narwhals as nw
import polars as pl
import pytest

from metaxy import columns as c
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.case import StoreCase
from metaxy.testing.conformance.factory import change, define, everything, ids, put, rows, values

ENGINES: Any = ("auto", "native", "polars")
UPDATES: Final[dict[str, tuple[dict[str, Any], tuple[list[str], list[str], list[str]]]]] = {
    "nothing": ({}, (["e"], ["b"], ["d"])),
    "parent": ({"filters": {"video": [nw.col("n") > 2]}}, (["e"], ["b"], ["a", "d"])),
    "parent, by id": ({"filters": {"video": [nw.col("id") != "b"]}}, (["e"], [], ["b", "d"])),
    "target": ({"target_filters": [nw.col("n") < 3]}, (["c", "e"], ["b"], [])),
    "target by key": ({"filters": {"clip": [nw.col("n") < 3]}}, (["c", "e"], ["b"], [])),
    "everywhere": ({"global_filters": [nw.col("id").is_in(["b", "d"])]}, ([], ["b"], ["d"])),
    "one, not a list": ({"global_filters": nw.col("id") == "b"}, ([], ["b"], [])),
    "staleness": ({"staleness_predicates": [nw.col("n") == 1, nw.col("n") == 4]}, (["e"], ["a", "b"], ["d"])),
    "staleness that is null": ({"staleness_predicates": [nw.col("nothing") == 1]}, (["e"], ["b"], ["d"])),
    "no comparison": ({"skip_comparison": True}, (["a", "b", "c", "e"], [], [])),
    "no comparison, no staleness": (
        {"skip_comparison": True, "staleness_predicates": [nw.col("n") == 1]},
        (["a", "b", "c", "e"], [], []),
    ),
}


class Resolving(StoreCase):
    """An update is the same however it is asked for."""

    @pytest.fixture
    def changed(self, store: MetadataStore) -> MetadataStore:
        """Samples that are new, stale and orphaned, see `change`."""
        change(store)
        return store

    def test_filters_and_predicates(self, changed: MetadataStore) -> None:
        put(changed, "clip", everything(changed, "clip").with_columns(nothing=pl.lit(None, pl.Int64)))
        for name, (asked, expected) in UPDATES.items():
            for lazy in (False, True):
                assert ids(changed.resolve_update("clip", lazy=lazy, **asked)) == expected, (name, lazy)

    def test_all_engines_give_the_same_rows(self, changed: MetadataStore) -> None:
        columns = ("id", "n", c.METAXY_PROVENANCE, c.METAXY_PROVENANCE_BY_FIELD, c.METAXY_DATA_VERSION_BY_FIELD)
        given = changed.resolve_update("clip")
        for engine in ENGINES:
            asked = changed.resolve_update("clip", versioning_engine=engine)
            assert [values(frame, *columns) for frame in asked] == [values(frame, *columns) for frame in given], engine

    def test_lazy_increments_collect_to_eager_ones(self, changed: MetadataStore) -> None:
        lazy = changed.resolve_update("clip", lazy=True)
        assert ids(lazy.collect()) == ids(lazy) == (["e"], ["b"], ["d"])
        polars = lazy.to_polars()
        assert [values(frame) for frame in (polars.new, polars.stale, polars.orphaned)] == [["e"], ["b"], ["d"]]
        assert [values(frame) for frame in polars.collect()] == [["e"], ["b"], ["d"]]
        for given in (lazy.input, polars.input):
            assert given is not None
            assert values(given, "id", "n") == [("a", 1), ("b", 20), ("c", 3), ("e", 5)]

    def test_lazy_frames_can_be_written(self, changed: MetadataStore) -> None:
        lazy = changed.resolve_update("clip", lazy=True)
        changed.write("clip", lazy.stale)
        changed.write("clip", lazy.new)
        assert ids(changed.resolve_update("clip")) == ([], [], ["d"])

    def test_one_to_twelve_parents(self, store: MetadataStore) -> None:
        parents = [f"p{n}" for n in range(12)]
        for parent in parents:
            define(parent)
        store.write_multi({p: rows(["1", "1", "1"], id=["a", "b", p], **{f"of_{p}": [1, 2, 3]}) for p in parents})
        children = {f"c{n}": parents[:n] for n in range(1, 13)}
        for child, some in children.items():
            define(child, *some)
            new = store.resolve_update(child).new
            assert values(new, "id", *(f"of_{p}" for p in some))[:2] == [
                ("a", *[1] * len(some)),
                ("b", *[2] * len(some)),
            ]
            assert set(new.columns) == {"id", *(f"of_{p}" for p in some), *c.VERSION_COLUMNS}
            store.write(child, new)
        store.delete("p0", nw.col("id") == "b")
        store.write("p1", rows("2", id=["a"], of_p1=[4]))
        for child, some in children.items():
            stale = ["a"] if "p1" in some else []
            assert ids(store.resolve_update(child)) == ([], stale, ["b"])
