"""Groups of features as one box."""

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from tests.dag.definitions import stored
from tests.dag.views import video, view

from metaxy.dag.diff import merge
from metaxy.dag.folding import fold
from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.fields import FieldsRenderer
from metaxy.dag.render.formats import FORMATS, render
from metaxy.dag.stats import FeatureStats
from metaxy.dag.view import GraphData, GraphNode, NodeStatus
from metaxy.definitions.dependency import FeatureDep

OLD, NEW = view(*video()), view(*video("2"))
DATA = ("json", "yaml")


def arrows(data: GraphData) -> set[str]:
    return {
        f"{edge.from_key} → {edge.to_key}{edge.relation.text and f' ({edge.relation.text})'}" for edge in data.edges
    }


def test_groups_stand_for_their_features() -> None:
    folded = fold(view(*video(), stored("lost", ["gone/a"]), stored("also", ["gone/b"])), "key")
    assert set(folded.nodes) == {"video/*", "faces", "audio/transcript", "lost", "also", "gone/a", "gone/b"}
    assert {"video/* → faces", "video/* → audio/transcript", "gone/a → lost"} <= arrows(folded)
    group = folded.nodes["video/*"].group
    assert group is not None
    assert group.members == ("video/raw", "video/crop")
    assert set(fold(OLD, "key", "video/crop").nodes) == {"video/raw", "video/crop", "faces", "audio/transcript"}
    assert list(fold(OLD, "project").nodes) == ["project p"]


def test_groups_may_depend_on_each_other_and_keep_what_all_lines_say() -> None:
    some = FeatureDep(feature="a/1", optional=True)
    data = view(stored("a/1"), stored("b/1", [some]), stored("b/2", [some]), stored("a/2", ["b/1"]))
    folded = fold(data, "key")
    assert arrows(folded) == {"a/* → b/* (optional)", "b/* → a/*"}
    assert all(render(data, name, RenderConfig(fold="key")) for name in FORMATS)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["unchanged", "unchanged"], "unchanged"),
        (["added", "added"], "added"),
        (["added", "unchanged"], "changed"),
        (["affected", "unchanged"], "affected"),
        (["described", "unchanged", "affected"], "affected"),
        (["described", "unchanged"], "described"),
    ],
)
def test_a_group_differs_as_its_features_do(statuses: list[str], expected: str) -> None:
    nodes = [GraphNode(key=f"a/{n}", status=NodeStatus(status)) for n, status in enumerate(statuses)]
    assert fold(GraphData.of(nodes), "key").nodes["a/*"].status.value == expected


@pytest.mark.parametrize("name", FORMATS)
def test_pictures_fold(name: str) -> None:
    stats = {"video/raw": FeatureStats(state="root_feature", rows=3), "video/crop": FeatureStats(state="needs_update")}
    data = merge(OLD, NEW).with_stats(stats)
    shown = render(data, name, RenderConfig(fold="key"))
    if name in DATA:
        assert shown == render(data, name, RenderConfig())
        return
    if name == "html":  # begins folded; the script unfolds
        assert '"fold":"key"' in shown.replace(" ", "")
        assert "video/*" not in shown
        return
    for text in ("video/*", "2 features", "1 changed, 1 affected", "1 to update", "faces"):
        assert text in shown, shown
    part = shown.partition("<details>")[0]  # the picture in Markdown has a label for each box, too
    assert ("video/raw" in part) == (name == "svg")  # for who points at it
    assert name in ("mermaid", "graphviz", "svg") or "~1 ↻2" in shown  # of features


def test_a_stack_of_boxes_is_drawn_for_a_group() -> None:
    shown: Any = ET.fromstring(render(OLD, "svg", RenderConfig(fold="key", show_project_version=False)))
    texts = ["".join(each.itertext()) for each in shown.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Feature graph", "4 features", "video/*", "2 features"} <= set(texts)
    assert sum(each.attrib.get("class") == "pile" for each in shown.iter()) == 2


def test_fields_and_data_have_no_groups() -> None:
    config = RenderConfig(fold="key")
    assert "video/raw.frames" in FieldsRenderer(graph_data=OLD, config=config).render()
    assert len(json.loads(render(OLD, "json", config))["nodes"]) == 4
