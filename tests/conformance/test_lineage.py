"""Lineage at its edges: groups, children and parents of different granularity."""

import hashlib
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, ids, put, rows, values

from metaxy import columns as c
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

ENGINES: Any = ("auto", "native", "polars")


# -- groups ------------------------------------------------------------------------------------------------------------


def test_groups_are_hashed_in_the_order_of_ids_that_are_not_selected(store: MetadataStore) -> None:
    """Texts are ordered by their bytes: `Z` before `a`, and the last two against the order of UTF-16."""
    names = ["Z", "a", "é", "\uffff", "\U0001d518"]
    lineage = LineageRelationship.aggregation(on=["g"])
    define("part", ids=["name"])
    define("whole", FeatureDep(feature="part", select=(), lineage=lineage), ids=["g"])
    define("again", FeatureDep(feature="part", lineage=lineage), ids=["g"])
    versions = [str(n) for n in range(len(names))]
    store.write("part", rows(versions[::-1], name=names[::-1], g=["x"] * len(names)))
    for engine in ENGINES:
        new = store.resolve_update("whole", versioning_engine=engine, one_row_per_group=True).new
        assert set(new.columns) == {"g", *c.VERSION_COLUMNS}
        shown = store.resolve_update("again", versioning_engine=engine).new
        assert set(values(shown, c.METAXY_PROVENANCE)) == {hash_of(versions)}, engine
        assert values(new, c.METAXY_PROVENANCE) == [hash_of(versions)], engine


def hash_of(versions: list[str]) -> str:
    group = md5("|".join(versions))
    return md5(md5(f"default|__metaxy_initial__|part.default|{group}"))


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:16]


def test_integers_that_order_a_group_are_numbers(store: MetadataStore) -> None:
    define("part", ids=["g", "n"])
    define("whole", FeatureDep(feature="part", lineage=LineageRelationship.aggregation(on=["g"])), ids=["g"])
    numbers = [-10, -9, 2, 10, 2**62]
    versions = [str(n) for n in range(len(numbers))]
    store.write("part", rows(versions[::-1], g=["x"] * 5, n=numbers[::-1]))
    for engine in ENGINES:
        found = store.resolve_update("whole", versioning_engine=engine, one_row_per_group=True).new
        assert values(found, c.METAXY_PROVENANCE) == [hash_of(versions)], engine


def test_a_row_that_leaves_a_group_makes_it_stale(store: MetadataStore) -> None:
    define("part", ids=["name"])
    define("whole", FeatureDep(feature="part", lineage=LineageRelationship.aggregation(on=["g"])), ids=["g"])
    store.write("part", rows(name=["a", "b", "c"], g=["x", "x", "y"]))
    store.write("whole", store.resolve_update("whole", one_row_per_group=True).new)
    store.write("part", rows(name=["b"], g=["y"]))
    increment = store.resolve_update("whole", one_row_per_group=True)
    assert [values(frame, "g") for frame in increment] == [[], ["x", "y"], []]
    store.write("whole", increment.stale)
    assert not store.resolve_update("whole")


# -- children ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def expanded(store: MetadataStore) -> MetadataStore:
    """Videos a and b, with three crops each, all up to date."""
    define("video", ids=["video"])
    lineage = LineageRelationship.expansion(on=["video"])
    define("crop", FeatureDep(feature="video", lineage=lineage), ids=["video", "crop"])
    store.write("video", rows(video=["a", "b"]))
    store.write("crop", crops(store.resolve_update("crop").new, 1, 2, 3))
    assert not store.resolve_update("crop")
    return store


def crops(frame: Any, *numbers: int) -> pl.DataFrame:
    return collect_to_polars(frame).join(pl.DataFrame({"crop": numbers}), how="cross")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_child_that_disagrees_makes_its_parent_stale(expanded: MetadataStore, number: int) -> None:
    """Whichever child it is, and however its version compares with that of its siblings."""
    for version in ("0", "2"):
        expanded.write("video", rows(version, video=["a"]))
        stale = expanded.resolve_update("crop").stale
        expanded.write("crop", crops(stale, *(n for n in (1, 2, 3) if n != number)))
        for engine in ENGINES:
            increment = expanded.resolve_update("crop", versioning_engine=engine)
            assert [values(frame, "video") for frame in increment] == [[], ["a"], ["a"]], engine
            assert values(increment.orphaned, "crop") == [number], engine  # it was left over
        expanded.write("crop", crops(increment.stale, number))
        assert not any(expanded.resolve_update("crop", versioning_engine=engine) for engine in ENGINES)


def test_one_child_without_provenance_makes_its_parent_stale(expanded: MetadataStore) -> None:
    stored = everything(expanded, "crop")
    nothing = pl.when(video="a", crop=2).then(None).otherwise(c.METAXY_PROVENANCE)
    put(expanded, "crop", stored.with_columns(nothing.alias(c.METAXY_PROVENANCE)))
    for engine in ENGINES:
        increment = expanded.resolve_update("crop", versioning_engine=engine)
        assert [values(frame, "video") for frame in increment] == [[], ["a"], []], engine


def test_one_child_that_a_predicate_names_makes_its_parent_stale(expanded: MetadataStore) -> None:
    increment = expanded.resolve_update("crop", staleness_predicates=[(nw.col("video") == "b") & (nw.col("crop") == 3)])
    assert [values(frame, "video") for frame in increment] == [[], ["b"], []]


def test_all_children_of_a_parent_that_is_gone_are_orphaned(expanded: MetadataStore) -> None:
    expanded.delete("video", nw.col("video") == "a")
    for engine in ENGINES:
        increment = expanded.resolve_update("crop", versioning_engine=engine)
        assert [values(frame, "video") for frame in increment] == [[], [], ["a", "a", "a"]], engine
        assert values(increment.orphaned, "crop") == [1, 2, 3], engine
        lazy = expanded.resolve_update("crop", versioning_engine=engine, lazy=True)
        assert values(lazy.orphaned, "crop") == [1, 2, 3], engine
    assert get_feature_metadata_status("crop", expanded).status.orphaned_count == 3
    expanded.delete("crop", nw.col("video") == "a")
    assert not expanded.resolve_update("crop")


# -- parents of different granularity ----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("video", "frame"), ("frame", "video")], ids=" ".join)
def test_parents_of_different_granularity(store: MetadataStore, order: tuple[str, str]) -> None:
    define("video", ids=["video"])
    define("frame", ids=["video", "frame"])
    define("face", *order, ids=["video", "frame"])
    store.write("video", rows(video=["a", "b", "c"]))
    store.write("frame", rows(["1", "2", "3"], video=["a", "a", "b"], frame=[1, 2, 1]))
    for engine in ENGINES:
        new = store.resolve_update("face", versioning_engine=engine).new
        assert values(new, "video", "frame") == [("a", 1), ("a", 2), ("b", 1)], engine
    store.write("face", new)
    assert not any(store.resolve_update("face", versioning_engine=engine) for engine in ENGINES)
    store.write("frame", rows("9", video=["a"], frame=[2]))
    for engine in ENGINES:
        increment = store.resolve_update("face", versioning_engine=engine)
        assert [values(frame, "video", "frame") for frame in increment] == [[], [("a", 2)], []], engine
    store.write("video", rows("2", video=["a"]))
    for engine in ENGINES:
        increment = store.resolve_update("face", versioning_engine=engine)
        assert [values(frame, "video", "frame") for frame in increment] == [[], [("a", 1), ("a", 2)], []], engine


# -- optional parents --------------------------------------------------------------------------------------------------


def test_parents_that_are_all_optional_are_joined_fully(store: MetadataStore) -> None:
    for parent, samples in {"x": ["a"], "y": ["b"], "z": ["a", "c"]}.items():
        define(parent)
        store.write(parent, rows(id=samples))
    define("any", *(FeatureDep(feature=parent, optional=True) for parent in "xyz"))
    for engine in ENGINES:
        new = store.resolve_update("any", versioning_engine=engine).new
        assert values(new) == ["a", "b", "c"], engine
    store.write("any", new)
    store.write("y", rows(id=["a"]))
    for engine in ENGINES:
        assert ids(store.resolve_update("any", versioning_engine=engine)) == ([], ["a"], []), engine
    store.delete("y", nw.col("id") == "b")
    for engine in ENGINES:
        assert ids(store.resolve_update("any", versioning_engine=engine)) == ([], ["a"], ["b"]), engine
