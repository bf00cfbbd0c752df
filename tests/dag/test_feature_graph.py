"""The graph that users work with: active graph, configured length and project, snapshots."""

import pickle
import threading

import pytest
from tests.dag.definitions import external, stored, user

from metaxy.compat.diffs import GraphDiff
from metaxy.config import MetaxyConfig
from metaxy.dag.diff import merge
from metaxy.dag.graph import FeatureGraph, current_graph, get_feature_by_key
from metaxy.dag.graph import graph as default_graph
from metaxy.dag.plan import FQFieldKey
from metaxy.dag.view import GraphData
from metaxy.definitions.keys import FeatureKey, FieldKey
from metaxy.errors import AmbiguousProjectError, UnknownFeatureError


@pytest.fixture
def graph() -> FeatureGraph:
    graph = FeatureGraph()
    for definition in (user("b", ["a"], project="p"), user("a", project="p"), external("c", project="q")):
        graph.add_feature_definition(definition)
    return graph


def test_the_default_graph_is_active_until_another_is() -> None:
    assert FeatureGraph.get_active() is FeatureGraph.get() is current_graph() is default_graph
    first, second = FeatureGraph(), FeatureGraph()
    with first.use() as active:
        assert active is first
        with second.use():
            assert current_graph() is second
        assert FeatureGraph.get_active() is first
        FeatureGraph.set_active(second)
        assert current_graph() is second
    assert current_graph() is default_graph


def test_an_active_graph_is_that_of_its_context() -> None:
    seen: list[FeatureGraph] = []
    with FeatureGraph().use():
        thread = threading.Thread(target=lambda: seen.append(current_graph()))
        thread.start()
        thread.join()
    assert seen == [default_graph]


def test_a_feature_is_found_in_the_active_graph(graph: FeatureGraph) -> None:
    with graph.use():
        assert get_feature_by_key("a") is graph.get_feature_definition("a")
        with pytest.raises(UnknownFeatureError):
            get_feature_by_key("nope")


@pytest.mark.parametrize("length", [8, 16, 64])
def test_versions_have_the_configured_length(graph: FeatureGraph, length: int) -> None:
    with MetaxyConfig(hash_truncation_length=length).use():
        assert graph.get_feature_version("b") == graph.get_feature_version("b", length)
        assert graph.get_feature_version_by_field("b") == graph.get_feature_version_by_field("b", length)
        key = FQFieldKey(FeatureKey("b"), FieldKey("default"))
        assert graph.get_field_version(key) == graph.get_field_version(key, length)
        assert graph.get_project_version("p") == graph.project_version == graph.get_project_version("p", length)


def test_the_project_is_the_configured_one_or_the_only_one(graph: FeatureGraph) -> None:
    assert graph.project == "p"
    assert graph.has_external_features
    with MetaxyConfig(project="q").use():
        assert graph.project_version == "empty"
    graph.add_feature_definition(user("d", project="r"))
    with pytest.raises(AmbiguousProjectError, match="several projects: p, r; set 'project'"):
        _ = graph.project_version
    with pytest.raises(RuntimeError, match="no features of its own"):
        _ = FeatureGraph().project


def test_features_are_listed_by_project(graph: FeatureGraph) -> None:
    def listed(*projects: str, **options: bool) -> list[str]:
        return [str(key) for key in graph.list_features(list(projects) or None, **options)]

    assert listed() == ["b", "a", "c"]
    assert (listed("q"), listed("p", "q")) == (["c"], ["b", "a", "c"])
    with MetaxyConfig(project="p").use():
        assert listed() == ["b", "a"]
        assert listed(only_current_project=False) == ["b", "a", "c"]
        assert graph.list_features("q") == [FeatureKey("c")]


def test_a_snapshot_holds_the_features_of_a_project(graph: FeatureGraph) -> None:
    snapshot = graph.to_snapshot()
    assert list(snapshot) == ["b", "a"]
    definition = graph.get_feature_definition("b")
    assert snapshot["b"] == {
        "feature_spec": definition.spec.model_dump(mode="json"),
        "feature_schema": {},
        "metaxy_feature_version": graph.get_feature_version("b"),
        "metaxy_definition_version": definition.feature_definition_version,
        "feature_class_path": "code.b",
        "project": "p",
    }
    assert graph.to_snapshot(project="q") == {}


def test_a_snapshot_is_of_the_only_project_whatever_is_configured(graph: FeatureGraph) -> None:
    with MetaxyConfig(project="q").use():
        assert list(graph.to_snapshot()) == ["b", "a"]
        graph.add_feature_definition(user("d", project="q"))
        with pytest.raises(RuntimeError, match="several projects: p, q"):
            graph.to_snapshot()
        assert list(graph.to_snapshot(project="q")) == ["d"]
    with pytest.raises(RuntimeError, match="no features of its own"):
        FeatureGraph().to_snapshot()


def test_a_graph_has_the_versions_of_its_snapshot_whatever_says_the_length(
    graph: FeatureGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a configuration, each part of a definition must ask the same place for the length of hashes."""
    monkeypatch.setenv("METAXY_HASH_TRUNCATION_LENGTH", "24")
    snapshot = graph.to_snapshot()
    for key, entry in snapshot.items():
        definition = graph.get_feature_definition(key)
        versions = {
            "metaxy_feature_version": graph.get_feature_version(key),
            "metaxy_definition_version": definition.feature_definition_version,
        }
        assert {name: entry[name] for name in versions} == versions  # type: ignore[literal-required]
        lengths = {*versions.values(), definition.spec.feature_spec_version, graph.project_version}
        assert {len(version) for version in lengths} == {24}
    assert FeatureGraph.from_snapshot(snapshot).to_snapshot() == snapshot
    own = FeatureGraph.from_snapshot(snapshot)
    for key, entry in snapshot.items():
        entry["fields"] = own.get_feature_version_by_field(key)  # type: ignore[typeddict-unknown-key]
    assert not GraphDiff.from_view(
        merge(GraphData.from_snapshot(snapshot), GraphData.from_feature_graph(own))
    ).has_changes


def test_a_graph_is_built_from_a_snapshot(graph: FeatureGraph) -> None:
    snapshot = graph.to_snapshot()
    again = FeatureGraph.from_snapshot(snapshot)
    assert isinstance(again, FeatureGraph)
    assert again.to_snapshot() == snapshot
    assert again.get_feature_definition("b") == stored("b", ["a"], project="p")


def test_a_graph_is_pickled_with_its_definitions(graph: FeatureGraph) -> None:
    version = graph.get_feature_version("b")
    again = pickle.loads(pickle.dumps(graph))
    again.add_feature_definition(user("d", ["b"], project="p"))
    assert (again.get_feature_version("b"), again.get_downstream_features("a")) == (
        version,
        [FeatureKey("b"), FeatureKey("d")],
    )
    assert again.has_external_features


@pytest.mark.parametrize("part", ["feature_spec", "feature_schema", "feature_class_path", "project"])
def test_an_incomplete_snapshot_is_a_key_error(graph: FeatureGraph, part: str) -> None:
    entry = {name: value for name, value in graph.to_snapshot()["a"].items() if name != part}
    with pytest.raises(KeyError, match=part):
        FeatureGraph.from_snapshot({"a": entry})
