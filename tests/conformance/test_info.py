"""What stores tell about features and about themselves."""

from typing import Any

import narwhals as nw
import pytest
from tests.factory import define, ids, rows, values
from tests.stores import StoreFactory

from metaxy import columns as c
from metaxy.config import MetaxyConfig
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import FeatureNotFoundError, StoreNotOpenError, UnknownFeatureError
from metaxy.hashing import HashAlgorithm
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows


@pytest.fixture(autouse=True)
def features() -> None:
    define("video")
    define("clip", "video")


def test_the_schema_is_that_of_a_read(store: MetadataStore) -> None:
    store.write("video", rows(id=["a"], n=[1.5]))
    for shape in (False, True):
        with MetaxyConfig(enable_map_datatype=shape).use():
            schema = store.read_feature_schema_from_store("video")
            assert schema == store.read("video").collect_schema()
    assert schema["n"] == nw.Float64()
    assert schema[c.METAXY_UPDATED_AT] == nw.Datetime("us", "UTC")


@pytest.mark.three_stores
def test_the_schema_of_what_is_not_here_is_not_found(make: StoreFactory) -> None:
    with make("far").open("w") as far:
        far.write("video", rows(id=["a"]))
    with make("near", fallback_stores=[make("far")]).open("w") as near:
        with pytest.raises(FeatureNotFoundError):
            near.read_feature_schema_from_store("video")
        with pytest.raises(UnknownFeatureError):
            near.read_feature_schema_from_store("vidoe")


def test_a_store_says_where_a_feature_lies(make: StoreFactory) -> None:
    store = make(name="mine")
    info = store.get_store_info("video")
    assert info["name"] == "mine"
    assert info["type"] == f"{type(store).__module__}.{type(store).__name__}"
    assert info["display"] == store.display()
    assert [value for key, value in info.items() if key not in ("name", "type", "display") and "video" in value]


@pytest.mark.three_stores
def test_metadata_says_which_store_has_a_feature(make: StoreFactory) -> None:
    with make("far").open("w") as far:
        far.write("video", rows(id=["a"]))
    with make("near", name="near", fallback_stores=[make("far", name="far")]).open("w") as near:
        nothing = {"name": "near", "display": near.display()}
        assert near.get_store_metadata("clip") == nothing
        assert near.get_store_metadata("video", check_fallback=False) == nothing
        assert near.get_store_metadata("video")["resolved_from"]["name"] == "far"
        near.write("video", rows(id=["a"]))
        assert near.get_store_metadata("video") == {**nothing, "resolved_from": near.get_store_info("video")}


def test_the_native_library_is_that_of_frames(store: MetadataStore) -> None:
    store.write("video", rows(id=["a"]))
    assert store.native_implementation() is store.read("video").implementation


@pytest.mark.filterwarnings("ignore::metaxy.errors.PolarsMaterializationWarning")
def test_that_holds_for_each_algorithm(make: StoreFactory) -> None:
    for algorithm in (HashAlgorithm.XXHASH64, HashAlgorithm.WYHASH):  # which some databases leave to Polars
        with make(algorithm.value, hash_algorithm=algorithm).open("w") as store:
            store.write("video", rows(id=["a", "b"], n=[1, 2], u=[{"m": 1}, None]))
            native = store.native_implementation()
            read, lazy = store.read("video"), store.resolve_update("clip", lazy=True)
            assert {frame.implementation for frame in (read, lazy.new, lazy.stale, lazy.orphaned)} == {native}
            assert (native.is_polars()) == (store.resolve_update("clip").new.implementation.is_polars())
            assert values(read.filter(nw.col("n") > 1).select("id")) == ["b"]
            assert values(read.filter(nw.col("u").is_null()).head(1)) == ["b"]
            assert (len(collect_to_polars(read)), count_lazy_rows(read), len(collect_to_polars(read.head(1)))) == (
                2,
                2,
                1,
            )
            store.write("clip", store.resolve_update("clip").new)
            store.write("video", read.with_columns(nw.lit("c").alias("id")).head(1))
            assert ids(store.resolve_update("clip", filters={"video": "n > 0"})) == (["c"], [], [])


@pytest.mark.three_stores
def test_a_closed_store_looks_at_nothing(make: StoreFactory) -> None:
    store = make()
    for look in (store.read_feature_schema_from_store, store.get_store_metadata, store.find_store_for_feature):
        with pytest.raises(StoreNotOpenError):
            look("video")
    with pytest.raises(StoreNotOpenError):
        store.native_implementation()


# -- progress ----------------------------------------------------------------------------------------------------------


def progress(store: MetadataStore, feature: str = "clip", **options: Any) -> float | None:
    return store.calculate_input_progress(store.resolve_update(feature, lazy=True, **options), feature)


@pytest.mark.three_stores
def test_progress_counts_what_is_not_new(store: MetadataStore) -> None:
    store.write("video", rows("1", id=["a", "b", "c", "d"]))
    assert progress(store) == 0
    new = store.resolve_update("clip").new
    store.write("clip", new.filter(nw.col("id").is_in(["a", "b", "c"])))
    assert progress(store) == 75
    store.write("video", rows("2", id=["a"]))
    assert progress(store) == 75, "stale samples were processed once"
    assert store.resolve_update("clip").progress == pytest.approx(75)
    assert progress(store, filters={"video": [nw.col("id") == "a"]}) == 100


@pytest.mark.three_stores
def test_progress_counts_groups(store: MetadataStore) -> None:
    define("whole", FeatureDep(feature="video", lineage=LineageRelationship.aggregation(on=["g"])), ids=["g"])
    store.write("video", rows(id=["a", "b", "c"], g=["x", "x", "y"]))
    new = store.resolve_update("whole", one_row_per_group=True).new
    assert values(new, "g") == ["x", "y"]
    store.write("whole", new.filter(nw.col("g") == "x"))
    assert progress(store, "whole") == 50


def test_a_group_of_several_rows_is_one_sample(store: MetadataStore) -> None:
    define("whole", FeatureDep(feature="video", lineage=LineageRelationship.aggregation(on=["g"])), ids=["g"])
    store.write("video", rows(id=["a", "b", "c", "d"], g=["x", "x", "y", "z"]))
    increment = store.resolve_update("whole")
    assert (len(increment.new), increment.counts) == (4, {"new": 3, "stale": 0, "orphaned": 0, "unchanged": 0})
    store.write("whole", increment.new.unique("g").select(nw.exclude("id")))
    store.write("video", rows(["2", "1", "1"], id=["b", "e", "f"], g=["x", "w", "w"]))
    store.delete("video", nw.col("g") == "z")
    increment = store.resolve_update("whole")
    assert [len(frame) for frame in increment] == [2, 2, 1]
    assert (increment.expected, round(increment.progress or 0)) == (3, 67)
    assert increment.counts == {"new": 1, "stale": 1, "orphaned": 1, "unchanged": 1}
    assert increment.counts == store.resolve_update("whole", lazy=True).collect().counts
    assert store.resolve_update("whole", one_row_per_group=True).counts == increment.counts
    status = get_feature_metadata_status("whole", store).status
    assert (status.missing_count, status.stale_count, status.orphaned_count) == (1, 1, 1)


@pytest.mark.three_stores
def test_samples_given_twice_count_once(store: MetadataStore) -> None:
    define("video")
    increment = store.resolve_update("video", samples=rows(id=["a", "a", "b"]))
    assert (increment.expected, increment.counts["new"]) == (2, 2)


@pytest.mark.three_stores
def test_there_is_no_progress_where_nothing_is_expected(store: MetadataStore) -> None:
    store.write("video", rows(id=["a"]))
    assert progress(store, "video", samples=rows(id=["a"])) is None
    assert progress(store, filters={"video": [nw.col("id") == "z"]}) is None
