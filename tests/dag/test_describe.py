import pytest
from tests.dag.definitions import stored
from tests.dag.views import chain, feature_graph, video

from metaxy.compat.functions import get_feature_dependencies, get_feature_dependents
from metaxy.config import MetaxyConfig
from metaxy.dag.describe import describe_graph


def test_a_graph_in_numbers() -> None:
    graph = feature_graph(*video())
    with MetaxyConfig(project="p").use():
        assert describe_graph(graph) == {
            "metaxy_project_version": graph.get_project_version("p"),
            "total_features": 4,
            "graph_depth": 3,
            "root_features": ["video/raw"],
            "leaf_features": ["audio/transcript", "faces"],
            "projects": {"p": 4},
        }


def test_one_project_of_a_graph() -> None:
    described = describe_graph(feature_graph(*video(), stored("other", ["faces"], project="q")), project="p")
    assert (described["total_features"], described["filtered_features"], described["filter_project"]) == (5, 4, "p")
    assert described["leaf_features"] == ["audio/transcript", "faces"]
    assert described["projects"] == {"p": 4}


def test_an_empty_graph() -> None:
    described = describe_graph(feature_graph())
    assert (described["total_features"], described["graph_depth"], described["root_features"]) == (0, 0, [])


def test_missing_parents_do_not_count() -> None:
    described = describe_graph(feature_graph(stored("a", ["gone"])))
    assert (described["total_features"], described["graph_depth"], described["root_features"]) == (1, 1, [])


def test_dependencies_of_a_feature() -> None:
    graph = feature_graph(*video())
    assert get_feature_dependencies(graph, "faces") == {"direct_dependencies": ["video/crop"]}
    found = get_feature_dependencies(graph, "faces", recursive=True)
    assert found["all_dependencies"] == ["video/crop", "video/raw"]
    raw = {"key": "video/raw", "project": "p", "dependencies": []}
    crop = {"key": "video/crop", "project": "p", "dependencies": [raw]}
    assert found["dependency_tree"] == {"key": "faces", "project": "p", "dependencies": [crop]}
    shallow = get_feature_dependencies(graph, "faces", recursive=True, max_depth=1)["dependency_tree"]
    assert shallow["dependencies"][0]["dependencies"] == [{"truncated": True, "key": "video/raw"}]


def test_dependents_of_a_feature() -> None:
    graph = feature_graph(*video())
    assert get_feature_dependents(graph, "video/raw") == {"direct_dependents": ["audio/transcript", "video/crop"]}
    found = get_feature_dependents(graph, "video/raw", recursive=True)
    assert found["all_dependents"] == ["audio/transcript", "faces", "video/crop"]
    assert [child["key"] for child in found["dependent_tree"]["dependents"]] == ["audio/transcript", "video/crop"]


def test_unknown_features() -> None:
    graph = feature_graph(*video())
    with pytest.raises(ValueError, match="'nothing' is not in the graph"):
        get_feature_dependencies(graph, "nothing")
    assert get_feature_dependents(graph, "nothing", recursive=True) == {
        "direct_dependents": [],
        "dependent_tree": {"key": "nothing", "project": None, "dependents": []},
        "all_dependents": [],
    }


def test_a_layered_graph_is_described_without_walking_every_path() -> None:
    layers = [
        stored(f"l{i}_{j}", [f"l{i - 1}_{k}" for k in range(2)] if i else []) for i in range(40) for j in range(2)
    ]
    graph = feature_graph(*layers)  # 2^39 paths
    assert describe_graph(graph)["graph_depth"] == 40
    found = get_feature_dependencies(graph, "l39_0", recursive=True)
    assert len(found["all_dependencies"]) == 78
    assert {"key": "l37_0", "repeated": True} in found["dependency_tree"]["dependencies"][1]["dependencies"]


def test_a_chain_of_a_thousand_features_is_described_to_its_end() -> None:
    graph = feature_graph(*chain(1000))
    assert describe_graph(graph)["graph_depth"] == 1000
    assert len(get_feature_dependents(graph, "f0", recursive=True)["all_dependents"]) == 999
