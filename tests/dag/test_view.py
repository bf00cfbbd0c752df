import json

import pytest
from tests.dag.definitions import external, stored
from tests.dag.views import feature_graph, video, view

from metaxy.config import MetaxyConfig
from metaxy.dag.focus import GraphWalker, with_parents
from metaxy.dag.view import FieldNode, GraphData, GraphNode, NodeStatus
from metaxy.errors import MetaxyEmptyCodeVersionError, UnknownFeatureError


def keys(data: GraphData) -> list[str]:
    return [str(node.key) for node in GraphWalker(data).topological_sort()]


def test_a_view_has_versions_fields_and_edges_of_the_graph() -> None:
    graph = feature_graph(*video())
    with MetaxyConfig(project="p").use():
        shown = GraphData.from_feature_graph(graph)
        node = shown.nodes["video/crop"]
        assert node.version == graph.get_feature_version("video/crop")
        assert {str(f.key): f.version for f in node.fields} == graph.get_feature_version_by_field("video/crop")
        assert shown.project_version == graph.get_project_version("p")
    assert node.fields[1].parents == (("video/raw", "frames"),)
    assert sorted(f"{edge.from_key} {edge.to_key}" for edge in shown.edges) == [
        "video/crop faces",
        "video/raw audio/transcript",
        "video/raw video/crop",
    ]
    assert [str(node.key) for node in shown.nodes.values() if node.is_root] == ["video/raw"]
    assert not shown.is_diff


def test_a_parent_that_is_not_there_is_missing_and_what_depends_on_it_has_no_version() -> None:
    shown = view(stored("a", ["gone"]), stored("b", ["a"]), stored("c"))
    assert [(key, node.status.value, node.version is None) for key, node in sorted(shown.nodes.items())] == [
        ("a", "normal", True),
        ("b", "normal", True),
        ("c", "normal", False),
        ("gone", "missing", True),
    ]


def test_an_external_feature_with_versions_of_its_own_needs_no_parents() -> None:
    shown = view(external("far", ["gone"], provenance_by_field={"default": "v1"}), stored("near", ["far"]))
    assert shown.nodes["near"].version is not None


def test_of_a_project_only_its_own_features_are_there() -> None:
    shown = view(stored("a"), stored("b", ["far"]), stored("far", project="q"), external("placeholder"), project="p")
    assert sorted(shown.nodes) == ["a", "b"]


def test_several_projects_have_no_version_together() -> None:
    assert GraphData.from_feature_graph(feature_graph(stored("a"), stored("b", project="q"))).project_version is None


def test_plain_data_comes_back_as_the_same_view() -> None:
    shown = view(*video())
    assert GraphData.from_struct(json.loads(json.dumps(shown.to_struct()))) == shown
    with pytest.raises(MetaxyEmptyCodeVersionError, match="field 'x' of 'a' has no code version"):
        GraphData.of([GraphNode(key="a", fields=[FieldNode(key="x")])]).to_struct()


def test_a_snapshot_is_viewed_like_its_graph() -> None:
    graph = feature_graph(*video())
    with MetaxyConfig(project="p").use():
        snapshot = {
            key: {**entry, "fields": graph.get_feature_version_by_field(key)}
            for key, entry in graph.to_snapshot().items()
        }
        assert GraphData.from_snapshot(snapshot).nodes == GraphData.from_feature_graph(graph).nodes


def test_order_is_dependencies_first_then_the_alphabet() -> None:
    assert keys(view(*video())) == ["video/raw", "audio/transcript", "video/crop", "faces"]
    assert [str(n.key) for n in GraphWalker(view(*video())).topological_sort(["faces", "video/raw"])] == [
        "video/raw",
        "faces",
    ]


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [
        (None, None, ["video/raw", "video/crop", "faces"]),
        (0, None, ["video/crop", "faces"]),
        (None, 0, ["video/raw", "video/crop"]),
        (0, 0, ["video/crop"]),
        (-1, 1, ["video/raw", "video/crop", "faces"]),
    ],
)
def test_focus_on_a_feature(up: int | None, down: int | None, expected: list[str]) -> None:
    assert keys(GraphWalker(view(*video())).extract_subgraph("video/crop", up, down)) == expected


def test_walks_from_a_feature() -> None:
    walker = GraphWalker(view(*video()))
    assert [str(n.key) for n in walker.bfs_from("faces")] == ["faces", "video/crop", "video/raw"]
    assert [str(n.key) for n in walker.bfs_from("faces", max_depth=1)] == ["faces", "video/crop"]
    assert [str(n.key) for n in walker.get_root_nodes()] == ["video/raw"]
    assert walker.depths() == {"video/raw": 1, "video/crop": 2, "audio/transcript": 2, "faces": 3}


def test_focus_on_an_unknown_feature_names_a_near_one() -> None:
    with pytest.raises(ValueError, match="Did you mean 'video/crop'") as caught:
        GraphWalker(view(*video())).extract_subgraph("video/corp")
    assert isinstance(caught.value, UnknownFeatureError)


def test_a_project_is_shown_with_the_parents_it_needs() -> None:
    shown = view(
        stored("top", project="q"), stored("far", ["top"], project="q"), stored("near", ["far"]), stored("own")
    )
    assert sorted(with_parents(shown, "p").nodes) == ["far", "near", "own"]


def test_features_by_status() -> None:
    assert [str(n.key) for n in view(stored("a", ["gone"])).get_nodes_by_status(NodeStatus.MISSING)] == ["gone"]
