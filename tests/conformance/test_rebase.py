"""Rebasing: rows move to another version of their feature without being computed again."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.stores import StoreFactory

from metaxy import columns as c
from metaxy.dag.graph import FeatureGraph, current_graph
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import DefinitionError, MetadataSchemaError
from metaxy.store.store import MetadataStore
from metaxy.store.system.storage import SystemTableStorage
from metaxy.versioning.frames import collect_to_polars

NEXT = [{"key": "default", "code_version": "2"}]


def computed(store: MetadataStore, **extra: Any) -> None:
    """Compute clip from video under the first version of clip, then define the second."""
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a", "b"], n=[1, 2]))
    store.write("clip", store.resolve_update("clip").new.with_columns(**extra))
    define("clip", "video", fields=NEXT)


def previous(store: MetadataStore, feature: str = "clip") -> Any:
    return store.read(feature, with_feature_history=True)


def test_rebased_rows_need_no_update(store: MetadataStore) -> None:
    computed(store)
    assert ids(store.resolve_update("clip")) == (["a", "b"], [], [])
    created = values(everything(store, "clip"), "id", c.METAXY_CREATED_AT)
    store.write("clip", store.rebase("clip", previous(store)), preserve_feature_version=True)
    assert not store.resolve_update("clip")
    assert values(store.read("clip"), "id", c.METAXY_CREATED_AT) == created


def test_rows_equal_those_that_would_be_computed(store: MetadataStore) -> None:
    computed(store)
    versions = ("id", "n", c.METAXY_PROVENANCE, c.METAXY_PROVENANCE_BY_FIELD)
    expected = values(store.resolve_update("clip").new, *versions)
    assert values(store.rebase("clip", previous(store)), *versions) == expected


def test_own_data_versions_are_kept(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a", "b"]))
    new = collect_to_polars(store.resolve_update("clip").new)
    own = pl.when(pl.col("id") == "a").then(pl.struct(default=pl.lit("mine")))
    store.write("clip", new.drop(c.METAXY_DATA_VERSION).with_columns(own.alias(c.METAXY_DATA_VERSION_BY_FIELD)))
    define("clip", "video", fields=NEXT)
    before = {row["id"]: row for row in collect_to_polars(previous(store)).iter_rows(named=True)}
    store.write("clip", store.rebase("clip", previous(store)), preserve_feature_version=True)
    after = {row["id"]: row for row in collect_to_polars(store.read("clip")).iter_rows(named=True)}
    assert after["a"][c.METAXY_DATA_VERSION] == before["a"][c.METAXY_DATA_VERSION]
    assert after["a"][c.METAXY_DATA_VERSION_BY_FIELD] == {"default": "mine"}
    assert after["b"][c.METAXY_DATA_VERSION] == after["b"][c.METAXY_PROVENANCE]
    assert after["b"][c.METAXY_PROVENANCE] != before["b"][c.METAXY_PROVENANCE]


def test_data_versions_that_were_set_after_an_update_are_kept(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a", "b"]))
    new = collect_to_polars(store.resolve_update("clip").new)
    store.write("clip", new.with_columns(pl.struct(default="id").alias(c.METAXY_DATA_VERSION_BY_FIELD)))
    define("clip", "video", fields=NEXT)
    store.write("clip", store.rebase("clip", previous(store)), preserve_feature_version=True)
    assert values(store.read("clip"), c.METAXY_DATA_VERSION_BY_FIELD) == [{"default": "a"}, {"default": "b"}]


@pytest.mark.three_stores
def test_rows_without_parents_are_left_out(store: MetadataStore) -> None:
    computed(store)
    store.delete("video", everything=True)
    store.write("video", rows(id=["b"], n=[2]))
    assert values(store.rebase("clip", previous(store))) == ["b"]


@pytest.mark.three_stores
def test_a_frame_of_the_user_can_be_rebased(store: MetadataStore) -> None:
    computed(store)
    frame = collect_to_polars(previous(store)).filter(pl.col("id") == "a")
    assert values(store.rebase("clip", frame)) == ["a"]
    with pytest.raises(MetadataSchemaError, match="lacks column 'id'"):
        store.rebase("clip", frame.drop("id"))


@pytest.mark.three_stores
def test_rows_can_be_rebased_on_another_graph(store: MetadataStore) -> None:
    computed(store)
    older = FeatureGraph()
    with older.use():
        define("video")
        version = define("clip", "video").key
        wanted = older.get_feature_version(version)
    store.write("clip", store.rebase("clip", previous(store)), preserve_feature_version=True)
    back = collect_to_polars(store.rebase("clip", store.read("clip"), to_feature_version=wanted, graph=older))
    assert set(back[c.METAXY_FEATURE_VERSION]) == {wanted}
    first = everything(store, "clip").filter(pl.col(c.METAXY_FEATURE_VERSION) == wanted)
    assert values(back, "id", c.METAXY_PROVENANCE) == values(first, "id", c.METAXY_PROVENANCE)


@pytest.mark.three_stores
def test_rows_can_be_rebased_on_a_version_that_was_pushed(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    SystemTableStorage(store).push_graph_snapshot()
    pushed = current_graph().get_feature_version("clip")
    projects = (current_graph().project_version, c.METAXY_PROJECT_VERSION)
    computed(store)
    store.write("clip", store.rebase("clip", previous(store)), preserve_feature_version=True)
    back = collect_to_polars(store.rebase("clip", store.read("clip"), to_feature_version=pushed))
    first = everything(store, "clip").filter(pl.col(c.METAXY_FEATURE_VERSION) == pushed)
    columns = ("id", c.METAXY_PROVENANCE, c.METAXY_FEATURE_VERSION, c.METAXY_PROJECT_VERSION)
    assert values(back, *columns) == values(first, *columns)
    assert set(back[projects[1]]) == {projects[0]}


@pytest.mark.three_stores
def test_a_version_that_was_pushed_with_other_parents_is_refused(store: MetadataStore) -> None:
    define("video", project="other")
    define("clip", "video")
    storage = SystemTableStorage(store)
    for project in ("other", "test"):
        storage.push_graph_snapshot(project=project)
    pushed = current_graph().get_feature_version("clip")
    define("video", project="other", fields=NEXT)
    storage.push_graph_snapshot(project="other")
    store.write("video", rows(id=["a"]))
    with pytest.raises(ValueError, match="its parents in other projects or the hash settings have changed"):
        store.rebase("clip", store.resolve_update("clip").new, to_feature_version=pushed)


@pytest.mark.three_stores
def test_the_current_version_may_be_named(store: MetadataStore) -> None:
    computed(store)
    version = current_graph().get_feature_version("clip")
    assert values(store.rebase("clip", previous(store), to_feature_version=version)) == ["a", "b"]
    with pytest.raises(ValueError, match=r"version 'other' not found.*push first.* Known versions: \w+$"):
        store.rebase("clip", previous(store), to_feature_version="other")


@pytest.mark.three_stores
def test_roots_cannot_be_rebased(store: MetadataStore) -> None:
    computed(store)
    with pytest.raises(DefinitionError, match="video is a root"):
        store.rebase("video", store.read("video"))


LINEAGES: dict[str, tuple[LineageRelationship, Sequence[str]]] = {
    "aggregation": (LineageRelationship.aggregation(on=["group"]), ["group"]),
    "expansion": (LineageRelationship.expansion(on=["id"]), ["id", "part"]),
}


@pytest.mark.parametrize("name", LINEAGES)
def test_rows_of_other_grains_are_rebased(store: MetadataStore, name: str) -> None:
    lineage, id_columns = LINEAGES[name]
    define("video")
    dep = FeatureDep(feature="video", lineage=lineage)
    define("whole", dep, ids=id_columns)
    store.write("video", rows(id=["a", "b", "c"], group=["x", "x", "y"]))
    new = collect_to_polars(store.resolve_update("whole").new)
    if name == "expansion":
        new = new.join(pl.DataFrame({"part": [1, 2]}), how="cross")
    else:
        new = new.unique(id_columns).drop("id")
    store.write("whole", new)
    define("whole", dep, ids=id_columns, fields=NEXT)
    rebased = store.rebase("whole", previous(store, "whole"))
    assert values(rebased, *id_columns) == values(new, *id_columns)
    store.write("whole", rebased, preserve_feature_version=True)
    assert not store.resolve_update("whole")


@pytest.mark.three_stores
def test_parents_of_a_fallback_are_used(make: StoreFactory) -> None:
    with make("far").open("w") as far:
        define("video")
        far.write("video", rows(id=["a"], n=[1]))
    options: dict[str, Any] = {"fallback_stores": [make("far")], "versioning_engine": "polars"}
    with make("near", **options).open("w") as near:
        define("clip", "video")
        near.write("clip", near.resolve_update("clip").new)
        define("clip", "video", fields=NEXT)
        assert values(near.rebase("clip", previous(near))) == ["a"]
