"""Renaming: rows come under a new key, and what was right stays right."""

import warnings
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.stores import StoreFactory

from metaxy import columns as c
from metaxy.dag.graph import current_graph
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import (
    DefinitionError,
    FeatureNotFoundError,
    PolarsMaterializationWarning,
    RenameError,
    RenameWarning,
)
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.store.system.tables import RENAMES
from metaxy.versioning.frames import collect_to_polars

FIELDS = ["audio", "frames"]
DERIVED = ("crop", "chunk", "text", "stats")


def define_all(raw: str = "media/raw", chunk: str = "chunk", **changes: Any) -> None:
    """Define a root with two fields, what is computed of it, and children of all that, three features deep."""
    graph = current_graph()
    for key in list(graph.feature_definitions_by_key):
        graph.remove_feature(key)
    define(raw, fields=FIELDS)
    define("crop", raw, fields=changes.get("crop", ["frames"]))
    of_raw = FeatureDep(feature=raw, lineage=LineageRelationship.expansion(["id"]))
    define(chunk, of_raw, ids=["id", "part"], fields=["audio"])
    define("text", chunk, ids=["id", "part"])
    of_text = FeatureDep(feature="text", lineage=LineageRelationship.aggregation(["id"]))
    define("stats", of_text, FeatureDep(feature="crop", optional=True))


def media(versions: str, **columns: Any) -> pl.DataFrame:
    return rows({"audio": list(versions), "frames": list(versions)}, **columns)


def parts(store: MetadataStore) -> pl.DataFrame:
    return store.resolve_update("chunk").new.to_polars().join(pl.DataFrame({"part": [0, 1]}), how="cross")


def compute_all(store: MetadataStore) -> None:
    """Write four samples and all that is made of them; then b changes, d goes, and e comes, and a crop is deleted."""
    store.write("media/raw", media("1111", id=list("abcd"), n=[1, 2, 3, 4]), materialization_id="run-1")
    crops = collect_to_polars(store.resolve_update("crop").new)
    own = pl.when(pl.col("id") == "a").then(pl.struct(frames=pl.lit("mine")))
    store.write("crop", crops.drop(c.METAXY_DATA_VERSION).with_columns(own.alias(c.METAXY_DATA_VERSION_BY_FIELD)))
    parents = store.resolve_update("chunk").new
    store.write("chunk", parts(store).filter(pl.col("id") != "c"), replaces=parents)  # c has no chunks
    store.write("text", store.resolve_update("text").new)
    store.write("stats", store.resolve_update("stats", one_row_per_group=True).new)
    store.write("media/raw", media("21", id=["b", "e"], n=[20, 5]))
    store.delete("media/raw", nw.col("id") == "d")
    store.delete("crop", nw.col("id") == "c")


def state(store: MetadataStore) -> dict[str, Any]:
    return {key: ids(store.resolve_update(key, one_row_per_group=key == "stats")) for key in DERIVED}


def content(store: MetadataStore, key: str, *columns: str) -> list[Any]:
    return values(store.read(key), *columns, c.METAXY_CREATED_AT, c.METAXY_MATERIALIZATION_ID)


def test_nothing_is_computed_again(store: MetadataStore) -> None:
    define_all()
    compute_all(store)
    before = state(store)
    assert before["crop"] == (["c", "e"], ["b"], ["d"])
    assert before["chunk"][:2] == (["e"], ["b"])
    read = {key: content(store, key, "id", "n") for key in ("media/raw", "crop", "text")}
    old = everything(store, "media/raw")
    define_all("media/source")
    done = store.rename_feature("media/raw", "media/source", dry_run=True)
    assert not store.has_feature("media/source")
    assert not store.has_feature(RENAMES.key)
    assert store.rename_feature("media/raw", "media/source") == done
    assert [(str(each.feature), each.copied) for each in done if each.former] == [("media/source", old.height)]
    assert {str(each.feature) for each in done} == {"media/source", *DERIVED}
    assert state(store) == before
    assert content(store, "media/source", "id", "n") == read["media/raw"]
    assert {key: content(store, key, "id", "n") for key in ("crop", "text")} == {k: read[k] for k in ("crop", "text")}
    overridden = store.read("crop", filters=[nw.col("id") == "a"], columns=[c.METAXY_DATA_VERSION_BY_FIELD])
    assert values(overridden, c.METAXY_DATA_VERSION_BY_FIELD) == [{"frames": "mine"}]
    tables = {key: everything(store, key) for key in ("media/source", *DERIVED)}
    again = store.rename_feature("media/raw", "media/source", drop_old=True)
    assert [(each.copied, each.rebased) for each in again] == [(0, 0)]
    recorded = values(store.read(RENAMES.key), "feature_key", "former_key")
    assert sorted(recorded) == sorted([("media/source", "media/raw"), *((key, None) for key in DERIVED)])
    assert {key: everything(store, key).height for key in tables} == {k: each.height for k, each in tables.items()}
    assert old.height < tables["media/source"].height
    assert not store.has_feature("media/raw")
    assert state(store) == before


def renamed_from(key: str, *former: str) -> None:
    """Let a feature of the active graph say which keys it had before."""
    graph = current_graph()
    definition = graph.get_feature_definition(key)
    spec = definition.spec.model_copy(update={"renamed_from": tuple(map(FeatureKey, former))})
    graph.add_feature_definition(definition.model_copy(update={"spec": spec}))


@pytest.mark.three_stores
def test_several_features_are_renamed_at_once(store: MetadataStore) -> None:
    define_all()
    compute_all(store)
    before = state(store)
    define_all("media/source", "piece")
    renamed_from("media/source", "media/raw", "raw")
    renamed_from("piece", "parts", "chunk")
    done = store.rename_features()
    assert [(str(each.feature), str(each.former)) for each in done if each.former] == [
        ("media/source", "media/raw"),
        ("piece", "chunk"),
    ]
    assert ids(store.resolve_update("piece")) == before["chunk"]
    assert {
        key: ids(store.resolve_update(key, one_row_per_group=key == "stats")) for key in ("crop", "text", "stats")
    } == {key: before[key] for key in ("crop", "text", "stats")}
    assert {str(table.key) for table in store.unknown_tables()} == {"media/raw", "chunk"}


def test_a_table_that_two_keys_share_is_not_dropped(store: MetadataStore) -> None:
    """Names of tables in databases do not tell hyphens from underscores, so the old table is the new one."""
    define("my-video")
    define("clip", "my-video")
    store.write("my-video", rows(id=["a", "b"], n=[1, 2]))
    store.write("clip", store.resolve_update("clip").new)
    current_graph().remove_feature("clip")
    current_graph().remove_feature("my-video")
    define("my_video")
    define("clip", "my_video")
    renamed_from("my_video", "my-video")
    apart = store.storage.describe(FeatureKey("my-video")) != store.storage.describe(FeatureKey("my_video"))
    assert [str(table.key) for table in store.unknown_tables()] == (["my-video"] if apart else [])
    store.rename_features(drop_old=True)
    assert store.unknown_tables() == []
    assert values(store.read("my_video"), "id", "n") == [("a", 1), ("b", 2)]
    assert ids(store.resolve_update("clip")) == ([], [], [])
    store.rename_feature("my-video", "my_video", drop_old=True)  # once more
    assert values(store.read("my_video"), "id", "n") == [("a", 1), ("b", 2)]


@pytest.mark.three_stores
def test_only_what_a_key_explains_is_renamed(store: MetadataStore) -> None:
    define_all()
    compute_all(store)
    with pytest.raises(DefinitionError, match="while the graph still has it"):
        store.rename_feature("crop", "text")
    define_all("media/source", crop=[{"key": "frames", "code_version": "2"}])
    with pytest.raises(FeatureNotFoundError, match="neither nope nor media/source has a table"):
        store.rename_feature("nope", "media/source")
    done = {str(each.feature) for each in store.rename_feature("media/raw", "media/source")}
    assert done == {"media/source", "chunk", "text"}  # crop changed in another way as well, and so did stats
    current_graph().remove_feature("crop")
    define("cut", "media/source", fields=[{"key": "frames", "code_version": "2"}])
    with pytest.raises(RenameError, match="more than the key has changed"):
        store.rename_feature("crop", "cut")


@pytest.mark.three_stores
def test_rows_of_fallback_stores_are_renamed_there(make: StoreFactory) -> None:
    define("raw")
    define("crop", "raw")
    prod = make("prod")
    with prod.open("w"):
        prod.write("raw", rows(id=["a", "b"]))
    mine = make("mine", fallback_stores=[prod])
    with mine.open("w"):
        mine.write("crop", mine.resolve_update("crop", versioning_engine="polars").new)
    current_graph().remove_feature("raw")
    define("source")
    define("crop", "source")
    with mine.open("w"), pytest.raises(RenameError, match="rename it there first"):
        mine.rename_feature("raw", "source")
    with prod.open("w"):
        prod.rename_feature("raw", "source", drop_old=True)
    with mine.open("w"), warnings.catch_warnings():
        warnings.simplefilter("ignore", PolarsMaterializationWarning)
        [done] = [each for each in mine.rename_feature("raw", "source") if each.rebased]
        assert (str(done.feature), done.rebased) == ("crop", 2)
        assert not mine.resolve_update("crop")


def test_rows_that_were_computed_since_are_not_covered(store: MetadataStore) -> None:
    """A newer row of the new key stays; what the old code still writes comes when the renaming is repeated."""
    define("raw")
    store.write("raw", rows(id=["a", "b"], n=[1, 1]))
    current_graph().remove_feature("raw")
    define("source")
    store.write("source", rows("2", id=["a"], n=[2]))
    store.rename_feature("raw", "source")
    assert values(store.read("source"), "id", "n") == [("a", 2), ("b", 1)]
    current_graph().remove_feature("source")
    define("raw")
    store.write("raw", rows("3", id=["b"], n=[3]))
    current_graph().remove_feature("raw")
    define("source")
    for _ in range(2):
        store.rename_feature("raw", "source")
        assert values(store.read("source"), "id", "n") == [("a", 2), ("b", 3)]
    assert everything(store, "source").height == 3 + 1 + 2


@pytest.mark.three_stores
def test_a_declared_rename_is_carried_out_before_anything_is_computed(make: StoreFactory) -> None:
    """For the feature itself as for its children; whoever only reads is told, and nothing is computed again."""
    define_all()
    with make().open("w") as store:
        compute_all(store)
        before = state(store)
    define_all("media/source", "piece")
    renamed_from("media/source", "media/raw")
    renamed_from("piece", "chunk")
    with make() as reader:
        for key in ("crop", "piece", "text"):
            with pytest.raises(RenameError, match=r"media/source was renamed from media/raw, .*mx metadata rename"):
                reader.resolve_update(key)
        with pytest.warns(RenameWarning, match="still under the old key"), pytest.raises(FeatureNotFoundError):
            reader.read("media/source")
        with pytest.warns(RenameWarning, match="still under the old key"):
            assert get_feature_metadata_status("crop", reader).status.renamed_from == (FeatureKey("media/raw"),)
    with make().open("w") as store:
        with pytest.warns(RenameWarning, match=r"piece was renamed from chunk, so .* samples were taken over"):
            assert ids(store.resolve_update("text")) == before["text"]
        assert ids(store.resolve_update("crop")) == before["crop"]
        assert not get_feature_metadata_status("text", store).status.renamed_from
        assert all(not each.copied + each.rebased for each in store.rename_features())
        with pytest.warns(RenameWarning, match=r"its old table media/raw .*mx metadata tables drop media/raw.* first"):
            assert store.delete("media/source", nw.col("id") == "a", soft=False).rows
        store.delete("crop", nw.col("id") == "a", soft=False)  # which has no old table, and warns of nothing
        store.drop_feature_metadata("media/raw")
        store.delete("media/source", nw.col("id") == "b", soft=False)


@pytest.mark.three_stores
def test_a_first_write_does_not_hide_the_rows_under_the_old_key(store: MetadataStore) -> None:
    define("raw")
    store.write("raw", rows(id=["a", "b"]))
    current_graph().remove_feature("raw")
    define("source")
    renamed_from("source", "raw")
    with pytest.warns(RenameWarning, match="2 samples were taken over"):
        store.write("source", rows("2", id=["b"]))
    assert values(store.read("source")) == ["a", "b"]
    current_graph().remove_feature("source")
    define("source", fields=["x"])  # its code changes after that, of which no warning tells to take it back
    renamed_from("source", "raw")
    assert ids(store.resolve_update("source", samples=rows({"x": "1"}, id=["c"]))) == (["c"], [], [])
    current_graph().remove_feature("source")
    define("other", fields=["x"])
    renamed_from("other", "raw")
    with pytest.warns(RenameWarning, match="more than the key has changed"):  # so nothing is taken over, and it goes on
        assert ids(store.resolve_update("other", samples=rows({"x": "1"}, id=["c"]))) == (["c"], [], [])


@pytest.mark.three_stores
def test_rows_that_were_removed_for_good_stay_away(make: StoreFactory) -> None:
    """Whoever asks for the rename again gets them back, and so does what has other rows under the old key."""
    define("raw")
    define("crop", "raw")
    with make().open("w") as store:
        store.write("raw", rows(id=["a", "b"]))
        store.write("crop", store.resolve_update("crop").new)
    current_graph().remove_feature("raw")
    define("source")
    define("crop", "source")
    renamed_from("source", "raw")
    with make().open("w") as store:
        with pytest.warns(RenameWarning, match="2 samples were taken over|4 samples were taken over"):
            assert not store.resolve_update("crop")
        store.delete("crop", everything=True, soft=False)
        with pytest.warns(RenameWarning, match="its old table raw"):
            store.delete("source", everything=True, soft=False)
    with make("dev", fallback_stores=[make()], fallback="rows").open("w") as dev:
        assert ids(dev.resolve_update("crop")) == ([], [], [])
    with make() as store:
        assert ids(store.resolve_update("crop")) == ([], [], [])
        assert get_feature_metadata_status("crop", store).status.renamed_from == ()
    with make().open("w") as store:
        assert ids(store.resolve_update("source", samples=rows(id=["a"]))) == (["a"], [], [])
        store.drop_feature_metadata("source")
        store.write("source", rows(id=["c"]))
        assert values(store.read("source")) == ["c"]
        assert ids(store.resolve_update("crop")) == (["c"], [], [])
        store.rename_features()
        assert values(store.read("source")) == ["a", "b", "c"]
        assert values(store.read("crop")) == ["a", "b"]
