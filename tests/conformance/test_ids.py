"""Reads and updates of some samples only: those that a frame or a list of IDs names."""

import warnings
from datetime import date
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, fill, ids, rows, values
from tests.stores import StoreFactory

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import DefinitionError, EmptySamplesWarning, MetadataSchemaError, PolarsMaterializationWarning
from metaxy.store.store import MetadataStore


def test_samples_are_read_by_their_ids(store: MetadataStore) -> None:
    fill(store, "video")
    store.delete("video", nw.col("id") == "c")
    for given in (["a", "c", "x"], ("a",), pl.Series(["a"]), store.read("video", filters=nw.col("id") == "a")):
        assert values(store.read("video", ids=given), "id", "n") == [("a", 2)], given
    assert values(store.read("video", ids=["a", "c"], include_soft_deleted=True)) == ["a", "c"]
    assert values(store.read("video", ids={"a"}, with_sample_history=True), "n") == [1, 2]
    assert values(store.read("video", ids=["a", "b"], filters=nw.col("n") > 1, columns=["n"]), "n") == [2]
    assert values(store.read("video", ids=[])) == values(store.read("video", ids=pl.DataFrame())) == []


def test_ids_of_several_columns_and_types(store: MetadataStore) -> None:
    define("frame", ids=["day", "n"])
    days = [date(2026, 1, n) for n in (1, 1, 2)]
    store.write("frame", rows(day=days, n=[1, 2, 1], x=[*"abc"]))
    both = pl.DataFrame({"n": [1, 2], "day": days[1:]}, schema_overrides={"n": pl.UInt8})
    assert values(store.read("frame", ids=both), "x") == ["a"]
    assert values(store.read("frame", ids=both.select("day")), "x") == ["a", "b", "c"]
    assert values(store.read("frame", ids=both.select("n").head(1).to_pandas()), "x") == ["a", "c"]
    with pytest.raises(MetadataSchemaError, match="are a list, but samples have several: day, n"):
        store.read("frame", ids=[1])


@pytest.mark.three_stores
def test_ids_that_make_no_sense_are_refused(store: MetadataStore) -> None:
    fill(store, "video")
    define("clip", "video")
    complaints: list[tuple[Any, str]] = [
        ([1, 2], "column 'id' is Int64 on one side and String on the other"),
        (["a", None], "column 'id' is NULL in 1 rows"),
        (["a", 1], "are no list of values of one type"),
        (pl.DataFrame({"ids": ["a"]}), "lack ID column 'id'. Did you mean 'ids'"),
        ("a", r"str, which is no dataframe; pass a list, \['a'\]"),
    ]
    for given, said in complaints:
        for act in (store.read, store.resolve_update):
            with pytest.raises(MetadataSchemaError, match=said):
                act("clip" if act == store.resolve_update else "video", ids=given)
    with FeatureGraph().use(), pytest.raises(ValueError, match="the graph does not have the feature"):
        store.read("video", ids=["a"], with_feature_history=True, with_sample_history=True)


def counts(store: MetadataStore, feature: str, **options: Any) -> Any:
    """Resolve at once, lazily and with Polars; all must find the same."""
    at_once = store.resolve_update(feature, **options)
    assert ids(store.resolve_update(feature, lazy=True, **options)) == ids(at_once)
    assert ids(store.resolve_update(feature, versioning_engine="polars", **options)) == ids(at_once)
    return (*ids(at_once), at_once.expected)


def test_an_update_of_some_samples_says_nothing_of_others(store: MetadataStore) -> None:
    define("video")
    define("clip", {"feature": "video", "rename": {"id": "key"}}, ids=["key"])
    store.write("video", rows(id=[*"abcd"], other=[*"dcba"]))
    store.write("clip", store.resolve_update("clip").new)
    store.write("video", rows("2", id=["a", "b", "e", "f"], other=[*"zzzz"]))
    store.delete("video", nw.col("id").is_in(["c", "d"]))

    def found(**options: Any) -> Any:
        increment = store.resolve_update("clip", **options)
        return *(values(frame, "key") for frame in increment), increment.expected

    assert found() == (["e", "f"], ["a", "b"], ["c", "d"], 4)
    some = ["a", "c", "e", "x"]
    for engine in ("auto", "polars"):
        assert found(ids=some, versioning_engine=engine) == (["e"], ["a"], ["c"], 2)
        assert found(ids=[], versioning_engine=engine) == ([], [], [], 0)
    lazy = store.resolve_update("clip", ids=pl.LazyFrame({"key": some}), lazy=True)
    assert [values(frame, "key") for frame in (lazy.new, lazy.stale, lazy.orphaned)] == [["e"], ["a"], ["c"]]
    assert lazy.input is not None
    assert values(lazy.input, "key") == ["a", "e"]
    native = store.read("clip", filters=nw.col("key").is_in(["a", "d"]))
    assert found(ids=native) == ([], ["a"], ["d"], 1)
    assert found(ids=["c", "e"], skip_comparison=True)[0] == ["e"]


def test_samples_that_are_given_are_chosen_as_well(store: MetadataStore) -> None:
    fill(store, "video")
    samples = rows(["1", "2", "1"], id=["a", "b", "e"], n=[2, 1, 0])
    assert counts(store, "video", samples=samples) == (["e"], ["b"], ["c", "d"], 3)
    assert counts(store, "video", samples=samples, ids=["b", "c"]) == ([], ["b"], ["c"], 1)
    with pytest.warns(EmptySamplesWarning):
        assert counts(store, "video", samples=samples.head(0), ids=["b", "c"]) == ([], [], ["b", "c"], 0)
    twice = pl.concat([samples, samples])
    assert counts(store, "video", samples=twice, ids=["e"]) == (["e"], [], [], 1)


def test_children_of_chosen_parents_and_chosen_groups(store: MetadataStore) -> None:
    define("video")
    define("frame", FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["id"])), ids=["id", "n"])
    define("kind", FeatureDep(feature="video", lineage=LineageRelationship.aggregation(on=["kind"])), ids=["kind"])
    store.write("video", rows(id=[*"abc"], kind=[*"xxy"]))
    children = store.resolve_update("frame").new.to_polars()
    store.write("frame", children.join(pl.DataFrame({"n": [1, 2]}), how="cross"))
    store.write("kind", store.resolve_update("kind", one_row_per_group=True).new)
    store.write("video", rows("2", id=["a", "d"], kind=[*"xy"]))
    store.delete("video", nw.col("id") == "c")
    assert counts(store, "frame", ids=pl.DataFrame({"id": [*"acd"]})) == (["d"], ["a"], ["c", "c"], 2)
    assert counts(store, "frame", ids=pl.DataFrame({"id": ["a"], "n": [7]})) == ([], ["a"], [], 1)
    with pytest.raises(DefinitionError, match="cannot be chosen by n, as they are compared by id"):
        store.resolve_update("frame", ids=pl.DataFrame({"n": [7]}))
    for kind, wanted in {"x": ["a", "b"], "y": ["d"]}.items():
        for engine in ("auto", "polars"):
            rows_of_one = store.resolve_update("kind", ids=[kind], versioning_engine=engine)
            group = store.resolve_update("kind", ids=[kind], one_row_per_group=True, versioning_engine=engine)
            assert (values(rows_of_one.stale), rows_of_one.counts["stale"]) == (wanted, 1)
            assert (values(group.stale, "kind"), len(group.new), len(group.orphaned)) == ([kind], 0, 0)


def test_parents_that_share_only_some_ids(store: MetadataStore) -> None:
    define("video", ids=["video"])
    define("box", ids=["video", "box"])
    define("text", ids=["video", "text"])
    define("pair", "video", "box", {"feature": "text", "optional": True}, ids=["video", "box", "text"])
    store.write("video", rows(video=[*"abc"]))
    store.write("box", rows(video=[*"aab"], box=[1, 2, 1]))
    store.write("text", rows(video=[*"aab"], text=[1, 2, 1]))
    chosen = pl.DataFrame({"video": [*"aac"], "box": [1, 2, 1], "text": [2, 1, 1]})
    for engine in ("auto", "polars"):
        every = store.resolve_update("pair", versioning_engine=engine)
        assert every.expected == 5
        some = store.resolve_update("pair", ids=chosen, versioning_engine=engine)
        assert values(some.new, "video", "box", "text") == [("a", 1, 2), ("a", 2, 1)]
        assert some.expected == 2
        assert store.resolve_update("pair", ids=chosen.select("box").head(1), versioning_engine=engine).expected == 3


@pytest.mark.three_stores
def test_ids_are_looked_up_in_fallback_stores(make: StoreFactory) -> None:
    define("clip", "video")
    with make("far").open("w") as far:
        fill(far, "video")
    with make("near", fallback_stores=[make("far")]).open("w") as near:
        assert values(near.read("video", ids=["a"]), "n") == [2]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PolarsMaterializationWarning)
            assert ids(near.resolve_update("clip", ids=["b"])) == (["b"], [], [])
