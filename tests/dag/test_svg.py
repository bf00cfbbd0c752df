"""Pictures that are drawn: SVG that stands alone."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from tests.dag.definitions import stored
from tests.dag.views import feature_graph, video, view

from metaxy.config import MetaxyConfig
from metaxy.dag.diff import merge
from metaxy.dag.render.config import RenderConfig, Theme
from metaxy.dag.render.formats import render
from metaxy.dag.render.palette import COLORS, STATES, STATUSES
from metaxy.dag.render.panels import shortened, text_width
from metaxy.dag.render.svg import DRAWN, SIGNS, FieldsSvgRenderer, SvgRenderer
from metaxy.dag.stats import FeatureStats
from metaxy.dag.view import FieldNode, GraphData, GraphNode, NodeStatus
from metaxy.definitions.dependency import FeatureDep
from metaxy.errors import UnknownFeatureError

SVG = "{http://www.w3.org/2000/svg}"
DIFF = merge(view(*video()), view(*video("2")[:3], stored("new", ["faces"])))


def drawn(data: GraphData, theme: Theme | None = None, **options: Any) -> ET.Element:
    """Return a picture as what a reader of XML makes of it."""
    return ET.fromstring(render(data, "svg", RenderConfig(**options), theme))


def texts(picture: ET.Element) -> list[str]:
    """Return what a picture shows, tooltips aside."""
    return ["".join(each.itertext()) for each in picture.iter(f"{SVG}text")]


def titles(picture: ET.Element) -> list[str]:
    """Return the first line of each tooltip."""
    return [(each.text or "").splitlines()[0] for each in picture.iter(f"{SVG}title")]


def test_a_picture_shows_features_fields_and_lines() -> None:
    picture = drawn(view(*video()), show_field_versions=False)
    shown = texts(picture)
    assert shown[:2] == ["Feature graph", f"4 features · {view(*video()).project_version or ''}"[:21]]
    assert {"video/raw", "video/crop", "faces", "audio/transcript", "frames", "audio"} <= set(shown)
    assert {"video/raw → video/crop", "video/crop → faces", "video/raw → audio/transcript"} <= set(titles(picture))
    assert float(picture.attrib["width"]) < 800


def test_directions_and_options() -> None:
    down, right = (drawn(view(*video()), direction=direction) for direction in ("TB", "LR"))
    assert float(down.attrib["height"]) > float(right.attrib["height"])
    assert texts(drawn(view(*video()), title="My <graph>"))[0] == "My <graph>"
    assert "1 feature" in texts(drawn(view(*video()), feature="faces", up=0, show_project_version=False))


def test_a_picture_needs_nothing_and_disturbs_nothing() -> None:
    text = render(DIFF, "svg", RenderConfig())
    assert re.findall(r"\b(?:href|src|url|@import|@font-face|script|foreignObject|id=)", text) == []
    assert text.count("http") == 1  # the name of the language
    style = text[text.index("<style>") + 7 : text.index("</style>")]
    selectors = [
        each for line in style.splitlines() for rule in line.split("}") for each in rule.split("{")[0].split(",")
    ]
    assert all(each.startswith((".mx", "@media")) for each in selectors if each.strip())
    assert "prefers-color-scheme:dark" in style


def test_hostile_names_are_only_shown() -> None:
    evil = "</title><script>alert(1)</script>&\"'\x00\x1b\ud800\uffff\u202e"
    node = GraphNode(key="a", project=evil, fields=(FieldNode(key="f", code_version=evil),), changes=(evil,))
    data = GraphData.of([node])
    for renderer in (SvgRenderer, FieldsSvgRenderer):
        config = RenderConfig(show_code_versions=True, title=evil)
        text = renderer(graph_data=data, config=config).render()
        picture = ET.fromstring(text.encode())
        assert {each.tag.removeprefix(SVG) for each in picture.iter()} <= {"svg", "style", "rect", "text", "tspan"} | {
            "g",
            "title",
            "path",
            "circle",
        }
        assert not set("\x00\x1b\u202e") & set(text)


def test_statuses_differ_in_shape_and_in_lightness() -> None:
    shown = {NodeStatus.NORMAL, NodeStatus.UNCHANGED}
    assert set(SIGNS) == set(STATUSES) == set(NodeStatus) - shown
    assert len(set(DRAWN.values())) == len(DRAWN) == len(SIGNS) + len(STATES)
    picture = drawn(DIFF)
    signs = [each.attrib["class"] for each in picture.iter(f"{SVG}g") if "sign" in each.attrib.get("class", "")]
    assert {"sign added", "sign removed", "sign changed", "sign affected"} == set(signs)
    assert [each for each in texts(picture) if each.startswith(("added", "removed", "changed", "affected"))] == [
        "added 1",
        "removed 1",
        "changed 1",
        "affected 2",
    ]


def test_what_a_store_has_is_seen_at_a_glance() -> None:
    known = {
        "video/raw": FeatureStats(state="root_feature", rows=50),
        "video/crop": FeatureStats(state="up_to_date", rows=50, missing=0, stale=0, orphaned=0),
        "audio/transcript": FeatureStats(state="needs_update", rows=50, missing=0, stale=5, orphaned=0),
        "faces": FeatureStats(state="missing"),
    }
    picture = drawn(view(*video()).with_stats(known), show_project_version=False)
    shown = texts(picture)
    assert shown[1] == "4 features"  # not of all is known what there is to compute
    assert {"up to date 1", "needs an update 1", "no table yet 1", "root 1", "50 rows, 5 stale"} <= set(shown)
    classes = [each.attrib.get("class", "") for each in picture.iter(f"{SVG}g")]
    assert sorted(name for name in classes if name.startswith("edge ")) == [
        "edge state-missing",
        "edge state-needs_update",
    ]
    known["faces"] = FeatureStats(state="needs_update", rows=0, missing=1_000, stale=0, orphaned=0)
    counted = view(*video()).with_stats(known)
    assert texts(drawn(counted, show_project_version=False))[1] == "4 features · 1,005 samples to compute"
    light, dark = (render(counted, "svg", RenderConfig(color_scheme=scheme)) for scheme in ("light", "dark"))
    assert light != dark
    assert "prefers-color-scheme" not in light + dark
    compared = merge(view(*video()).with_stats(known), view(*video("2")).with_stats(known))
    assert {"changed 1", "affected 2"} <= set(texts(drawn(compared)))  # where both are known, comparisons say more


def luminance(color: str) -> float:
    """Return how light a colour is (WCAG)."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG)."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", [0, 1])
def test_everything_can_be_read_in_both_modes(mode: int) -> None:
    papers = [COLORS[name]["fill"][mode] for name in (".card", ".paper")]
    inks = [COLORS[name]["fill"][mode] for name in (".strong", ".plain", ".soft")]
    inks += [shade[mode] for shade in STATUSES.values()]
    assert min(contrast(ink, paper) for ink in inks for paper in papers) >= 4.5
    assert len({shade[mode] for shade in STATUSES.values()}) == len(STATUSES)


def test_a_theme_wins() -> None:
    assert "#123456" in render(DIFF, "svg", RenderConfig(), Theme(added_color="#123456"))
    assert Theme().removed_color not in render(DIFF, "svg", RenderConfig(), Theme(added_color="#123456"))


def test_lines_say_why_something_changes() -> None:
    picture = drawn(DIFF)
    lines = {
        (each.find(f"{SVG}title").text): each.attrib["class"]  # type: ignore[union-attr]  # every line has one
        for each in picture.iter(f"{SVG}g")
        if each.attrib.get("class", "").startswith("edge")
    }
    assert lines["video/crop → faces"] == lines["video/raw → video/crop"] == "edge affected"
    assert lines["faces → new"] == "edge added"
    assert lines["video/raw → audio/transcript"] == "edge removed"


def test_fields_are_linked() -> None:
    data = view(*video()[:2], stored("opt", [FeatureDep(feature="video/crop", optional=True)], fields=["frames"]))
    picture = ET.fromstring(FieldsSvgRenderer(graph_data=data).render())
    found = titles(picture)
    assert "video/raw.frames → video/crop.frames" in found
    assert "video/raw.audio → video/crop.frames" not in found
    assert "video/crop.frames → opt.frames (optional)" in found
    assert texts(picture).count("optional") == 1
    assert (
        "video/raw.frames → video/crop.frames"
        not in FieldsSvgRenderer(graph_data=data, config=RenderConfig(show_fields=False)).render()
    )


def test_long_texts_are_cut_and_told() -> None:
    name = "a" * 200
    picture = drawn(view(stored(f"video/{name}", fields=[name])))
    assert not any(name in each for each in texts(picture))
    assert f"video/{name}" in titles(picture)
    assert float(picture.attrib["width"]) < 500
    assert shortened("映像の特徴", 40) == "映像…"
    assert text_width("e\u0301") == text_width("e")


def test_graphs_draw_themselves() -> None:
    with MetaxyConfig(project="p").use():
        graph = feature_graph(*video())
        assert graph.to_svg() == render(view(*video()), "svg", RenderConfig())
        assert "video/raw.frames → video/crop.frames" in graph.to_svg(fields=True, show_projects=False)
        with pytest.raises(UnknownFeatureError):
            graph.to_svg(feature="none")
