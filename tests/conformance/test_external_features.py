"""Placeholders for features of other projects are replaced by what these projects pushed."""

from typing import Any

import pytest
from tests.factory import PROJECT, define, rows, values
from tests.stores import StoreFactory

import metaxy as mx
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.selection import FeatureSelection
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import (
    ExternalFeatureVersionMismatchError,
    ExternalFeatureVersionMismatchWarning,
    UnresolvedExternalFeatureWarning,
)
from metaxy.store.external import sync_external_features
from metaxy.store.store import MetadataStore
from metaxy.store.system.storage import SystemTableStorage

pytestmark = pytest.mark.three_stores


def place(key: str, *deps: str, code: str = "1", **options: Any) -> None:
    """Add a placeholder to the active graph."""
    fields = [{"key": "default", "code_version": code}]
    spec = FeatureSpec(key=key, id_columns=["id"], deps=deps, fields=fields)
    external = FeatureDefinition.external(spec=spec, project="theirs", **options)
    FeatureGraph.get_active().add_feature_definition(external)


@pytest.fixture
def theirs(store: MetadataStore) -> FeatureGraph:
    """What another project pushed to the store: video ← crop, and audio."""
    with FeatureGraph().use() as graph:
        for key, deps in (("video", ()), ("crop", ("video",)), ("audio", ())):
            define(key, *deps, fields=[{"key": "default", "code_version": "1"}], project="theirs")
        SystemTableStorage(store).push_graph_snapshot()
    return graph


def test_placeholders_become_what_was_pushed(store: MetadataStore, theirs: FeatureGraph, graph: FeatureGraph) -> None:
    place("video")
    define("mine", "video")
    before = graph.get_feature_version("mine")
    (loaded,) = sync_external_features(store)
    assert (loaded.key, loaded.is_external, loaded.project) == (FeatureKey("video"), False, "theirs")
    assert loaded.feature_class_path == theirs.get_feature_definition("video").feature_class_path
    assert graph.get_feature_definition("video") is loaded
    assert graph.get_feature_version("mine") == before
    assert sync_external_features(store) == []


def test_parents_are_loaded_too(store: MetadataStore, theirs: FeatureGraph, graph: FeatureGraph) -> None:
    place("crop", "video")
    assert [str(d.key) for d in sync_external_features(store)] == ["crop", "video"]
    assert graph.get_feature_version("crop") == theirs.get_feature_version("crop")


def test_own_features_stay(store: MetadataStore, theirs: FeatureGraph, graph: FeatureGraph) -> None:
    own = define("video")
    assert [str(d.key) for d in sync_external_features(store, selection=FeatureSelection(all=True))] == [
        "audio",
        "crop",
    ]
    assert graph.get_feature_definition("video") is own
    assert own.project == PROJECT


def test_the_configuration_selects_more(store: MetadataStore, theirs: FeatureGraph) -> None:
    with MetaxyConfig(extra_features=[FeatureSelection(keys=["audio"])]).use():
        assert [str(d.key) for d in sync_external_features(store)] == ["audio"]
        assert sync_external_features(store) == []


def test_nothing_to_load_leaves_the_store_alone(make: StoreFactory) -> None:
    define("mine")
    assert sync_external_features(make()) == []  # a closed store without a table


def test_another_version_is_a_warning(store: MetadataStore, theirs: FeatureGraph, graph: FeatureGraph) -> None:
    place("video", code="0")
    place("audio", code="1")
    expected = graph.get_feature_version("video")
    with pytest.warns(ExternalFeatureVersionMismatchWarning, match=f"1. video: expected {expected}, found .*default: "):
        sync_external_features(store)
    assert graph.get_feature_version("video") == theirs.get_feature_version("video")


@pytest.mark.parametrize("how", ["argument", "placeholder", "configuration"])
def test_another_version_may_be_an_error(store: MetadataStore, theirs: FeatureGraph, how: str) -> None:
    place("video", code="0", on_version_mismatch="error" if how == "placeholder" else "warn")
    with (
        MetaxyConfig(locked=how == "configuration").use(),
        pytest.raises(ExternalFeatureVersionMismatchError, match="video: expected"),
    ):
        sync_external_features(store, on_version_mismatch="error" if how == "argument" else None)


def test_given_versions_are_compared(store: MetadataStore, theirs: FeatureGraph) -> None:
    place("crop", "video", provenance_by_field={"default": "x"})  # its parent is not known here
    with pytest.warns(ExternalFeatureVersionMismatchWarning, match="crop: .*default: x → "):
        sync_external_features(store)


def test_unknown_features_stay_placeholders(store: MetadataStore, graph: FeatureGraph) -> None:
    place("video")
    with pytest.warns(UnresolvedExternalFeatureWarning, match="no definition of external features video"):
        assert sync_external_features(store) == []
    assert graph.get_feature_definition("video").is_external


@pytest.mark.parametrize("sync", [True, False])
def test_reading_and_resolving_sync(
    store: MetadataStore, theirs: FeatureGraph, graph: FeatureGraph, sync: bool
) -> None:
    with theirs.use():
        store.write("video", rows("1", id=["a", "b"]))
    with MetaxyConfig(sync=sync).use():
        place("video")
        define("mine", "video")
        assert values(store.resolve_update("mine").new) == ["a", "b"]
        assert graph.get_feature_definition("video").is_external is not sync
        graph.remove_feature("video")
        place("video")
        assert values(store.read("video")) == ["a", "b"]
        assert graph.get_feature_definition("video").is_external is not sync


def test_the_public_name() -> None:
    assert mx.sync_external_features is sync_external_features
