"""Recorded graphs as views: found by words and starts of versions, and compared without a push."""

import pytest
from tests.factory import PROJECT, define

from metaxy.compat.snapshots import GraphDiffer, SnapshotResolver
from metaxy.dag.diff import merge
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.view import GraphData
from metaxy.errors import SnapshotError
from metaxy.store.snapshots import find_version, recorded_view
from metaxy.store.store import MetadataStore
from metaxy.store.system.storage import SystemTableStorage

pytestmark = pytest.mark.three_stores


def push(store: MetadataStore, code: str) -> str:
    """Record three features, the first with this code version."""
    with FeatureGraph().use():
        define("video", fields=[{"key": "default", "code_version": code}])
        define("crop", "video")
        define("alone")
        return SystemTableStorage(store).push_graph_snapshot().project_version


def test_a_recorded_graph_looks_like_the_one_in_memory(store: MetadataStore) -> None:
    version = push(store, "1")
    define("video", fields=[{"key": "default", "code_version": "1"}])
    define("crop", "video")
    define("alone")
    recorded = recorded_view(store, version)
    assert recorded.project_version == version
    assert recorded.nodes == GraphData.from_feature_graph(FeatureGraph.get_active(), PROJECT).nodes


def test_the_graph_in_memory_is_compared_without_a_push(store: MetadataStore) -> None:
    push(store, "1")
    define("video", fields=[{"key": "default", "code_version": "2"}])
    define("crop", "video")
    define("new")
    old = recorded_view(store, find_version(store, "latest", PROJECT), PROJECT)
    merged = merge(old, GraphData.from_feature_graph(FeatureGraph.get_active(), PROJECT))
    assert {key: node.status.value for key, node in merged.nodes.items()} == {
        "alone": "removed",
        "crop": "affected",
        "new": "added",
        "video": "changed",
    }
    assert [field.status.value for field in merged.nodes["crop"].fields] == ["affected"]


def test_parents_in_other_projects_are_looked_up(store: MetadataStore) -> None:
    with FeatureGraph().use():
        define("far", project="theirs", fields=[{"key": "default", "code_version": "1"}])
        define("near", "far")
        SystemTableStorage(store).push_graph_snapshot(project="theirs")
        version = SystemTableStorage(store).push_graph_snapshot(project=PROJECT).project_version
    near = recorded_view(store, version, PROJECT)
    assert list(near.nodes) == ["near"]
    assert near.nodes["near"].fields[0].version is not None
    with FeatureGraph().use():  # their feature moves on: what it was then is not known any more
        define("far", project="theirs", fields=[{"key": "default", "code_version": "2"}])
        SystemTableStorage(store).push_graph_snapshot(project="theirs")
    later = recorded_view(store, version, PROJECT)
    assert later.nodes["near"].version == near.nodes["near"].version
    assert later.nodes["near"].fields[0].version is None


def test_words_and_starts_of_versions(store: MetadataStore) -> None:
    first, second = push(store, "1"), push(store, "2")
    assert find_version(store, "latest") == second
    assert push(store, "1") == find_version(store, "latest", PROJECT) == first
    assert find_version(store, first) == first
    assert find_version(store, second[:6]) == second


def test_versions_that_mean_nothing_or_too_much(store: MetadataStore) -> None:
    with pytest.raises(SnapshotError, match="nothing was pushed yet; run `mx push`"):
        find_version(store, "latest")
    version = push(store, "1")
    push(store, "2")
    with pytest.raises(SnapshotError, match=f"has no snapshot 'zzz'.*{version}"):
        find_version(store, "zzz")
    with pytest.raises(SnapshotError, match="has 2 snapshots that start with ''"):
        find_version(store, "")
    with pytest.raises(SnapshotError, match="has no snapshot of project 'other'"):
        find_version(store, "latest", "other")


def test_the_resolver_of_metaxy_01(store: MetadataStore) -> None:
    resolver = SnapshotResolver()
    version = push(store, "1")
    assert resolver.resolve_snapshot("latest", store, None, PROJECT) == version
    assert resolver.resolve_snapshot("anything") == "anything"
    with pytest.raises(ValueError, match="pass the store"):
        resolver.resolve_snapshot("latest")
    with pytest.raises(ValueError, match="has no features"):
        resolver.resolve_snapshot("current", store, FeatureGraph())
    define("video")
    graph = FeatureGraph.get_active()
    assert resolver.resolve_snapshot("current", store, graph, PROJECT) == graph.get_project_version(PROJECT)


def test_plain_data_of_a_snapshot(store: MetadataStore) -> None:
    old, new = push(store, "1"), push(store, "2")
    differ = GraphDiffer()
    before, after = (differ.load_snapshot_data(store, version, PROJECT) for version in (old, new))
    assert set(before["video"]) >= {"metaxy_feature_version", "fields", "feature_spec", "metaxy_definition_version"}
    diff = differ.diff(before, after, old, new)
    assert [str(node.feature_key) for node in diff.changed_nodes] == ["video"]
    assert [str(node.feature_key) for node in diff.affected_nodes] == ["crop"]
    with pytest.raises(ValueError, match="no snapshot 'nothing'"):
        differ.load_snapshot_data(store, "nothing")
