import base64
import hashlib
import html
import importlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.dag.definitions import stored
from tests.dag.views import chain, feature_graph, video, view

from metaxy.compat.diffs import DiffFormatter, GraphDiff, from_merged_diff
from metaxy.compat.functions import render_field_deps_mermaid
from metaxy.config import MetaxyConfig
from metaxy.dag.diff import merge, merged_struct, only_changes
from metaxy.dag.render.config import RenderConfig, Theme
from metaxy.dag.render.fields import FieldsMermaidRenderer, FieldsRenderer
from metaxy.dag.render.formats import FORMATS, render
from metaxy.dag.render.labels import sanitize_mermaid_id
from metaxy.dag.render.mermaid import MermaidRenderer
from metaxy.dag.render.terminal import TerminalRenderer
from metaxy.dag.view import FieldNode, GraphData, GraphNode, NodeStatus
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship

PLAIN = RenderConfig.minimal(show_projects=False)
DIFF = merge(view(*video()), view(*video("2")[:3], stored("new", ["faces"])))


def text(data: GraphData, name: str, **options: Any) -> str:
    return render(data, name, RenderConfig(**options))


# --- each format ----------------------------------------------------------------------------------------------------


def test_terminal_shows_features_with_fields_and_dependencies() -> None:
    assert render(view(*video()[:2]), "terminal", PLAIN) == (
        "📊 Graph\n"
        "├── video/raw\n"
        "│   └── 🔧 fields\n"
        "│       ├── audio\n"
        "│       └── frames\n"
        "└── video/crop\n"
        "    ├── 🔧 fields\n"
        "    │   ├── audio\n"
        "    │   └── frames\n"
        "    └── ⬅️  depends on\n"
        "        └── video/raw"
    )


def test_terminal_shows_what_changed_and_counts() -> None:
    lines = render(DIFF, "terminal", PLAIN).splitlines()
    assert lines[0] == "📊 Graph changes"
    assert [line[4:] for line in lines if line.startswith(("├──", "└──"))] == [
        "video/raw [~]",
        "audio/transcript [-]",
        "video/crop [↻]",
        "faces [↻]",
        "new [+]",
    ]
    assert lines[-1] == "+1 -1 ~1 ↻2"


def test_colours_only_where_they_are_asked_for() -> None:
    plain, coloured = (TerminalRenderer(graph_data=DIFF, color=color).render() for color in (False, True))
    assert "\x1b" not in plain
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain


def test_cards_are_boxes_of_the_same_height_side_by_side() -> None:
    lines = render(view(*video()[:2]), "cards", PLAIN).splitlines()
    assert lines == [
        "Graph",
        "",
        "Dependencies:",
        "  video/raw → video/crop",
        "",
        "Features:",
        "╭───────────╮ ╭────────────╮",
        "│ video/raw │ │ video/crop │",
        "│ Fields:   │ │ Fields:    │",
        "│ • audio   │ │ • audio    │",
        "│ • frames  │ │ • frames   │",
        "╰───────────╯ ╰────────────╯",
    ]
    assert max(map(len, text(view(*chain(50)), "cards").splitlines())) <= 100


def test_mermaid_has_one_line_per_node_and_edge() -> None:
    shown = text(view(*video()[:2]), "mermaid", show_project_version=False, title='My "graph"')
    lines = shown.splitlines()
    assert lines[:4] == ["---", 'title: "My \\"graph\\""', "---", "flowchart TB"]
    nodes = [line for line in lines if line.startswith("    video") and '["' in line]
    assert len(nodes) == 2
    assert nodes[1].startswith('    video__crop["<b>video/crop</b><br/><small>project: p</small><br/>')
    assert "    video__raw --> video__crop" in lines


def test_mermaid_marks_what_changed() -> None:
    shown = text(DIFF, "mermaid")
    assert '    new("<b>new</b> [+]' in shown
    assert '    audio__transcript(["<b>audio/transcript</b> [-]' in shown
    assert f"    style video__crop stroke:{Theme().affected_color},stroke-width:2px" in shown
    old, new = (DIFF.nodes["video/raw"].old_version, DIFF.nodes["video/raw"].version)
    assert old is not None
    assert new is not None
    assert f"<font color='#FF0000'>{old[:8]}</font> → <font color='#00FF00'>{new[:8]}</font>" in shown


def test_mermaid_ids_never_collide_and_are_no_words_of_mermaid() -> None:
    keys = ["a/b", "a-b", "a_b", "a/b-c", "a-b/c", "a_", "a", "a_m", "a_u", "end", "graph", "a.b", "end_", "é"]
    ids = [sanitize_mermaid_id(key) for key in keys]
    assert len(set(ids)) == len(ids)
    assert not {"end", "graph"} & set(ids)
    assert all(re.fullmatch(r"\w+", each, re.ASCII) for each in ids)
    shown = text(view(stored("a/b"), stored("a-b"), stored("end", ["a/b", "a-b"])), "mermaid")
    assert "a__b --> end_" in shown
    assert "a_mb --> end_" in shown


def test_text_of_users_cannot_break_out_of_labels() -> None:
    hostile = '"]; <script>|#\\ é'
    node = GraphNode(key="a", project=hostile, version="v", fields=[FieldNode(key="x", code_version=hostile)])
    data = GraphData.of([node])
    mermaid = text(data, "mermaid", show_code_versions=True)
    assert "<script>" not in mermaid
    assert next(line for line in mermaid.splitlines() if line.startswith("    a[")).count('"') == 2
    dot = text(data, "graphviz", show_code_versions=True)
    assert all(re.fullmatch(r'(?:[^"]|"(?:[^"\\]|\\.)*")*', line) for line in dot.splitlines())
    assert "<script>" not in text(data, "html", show_code_versions=True)
    rows = [line for line in text(data, "markdown", show_code_versions=True).splitlines() if line.startswith("| |")]
    assert len(rows) == 1


def test_graphviz_has_features_fields_and_both_kinds_of_lines() -> None:
    lines = text(view(*video()[:2]), "graphviz", show_projects=False, direction="LR").splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("strict digraph {", "    rankdir=LR;", "}")
    assert any(
        re.match(r'    "video/raw" \[label="video/raw\\nv: \w{8}", shape="doubleoctagon"\];', each) for each in lines
    )
    assert '    "video/raw" -> "video/crop";' in lines
    assert '    "video/crop" -> "video/crop::frames" [style=dashed, arrowhead=none];' in lines
    changed = text(DIFF, "graphviz")
    assert re.search(r'"audio/transcript" \[label="audio/transcript \[REMOVED\].*shape="octagon"', changed)
    assert re.search(r'"new::default" \[label="default \[ADDED\]', changed)
    assert "none" not in changed.replace("arrowhead=none", "")


@pytest.mark.parametrize("data", [view(*video()), DIFF])
def test_json_and_yaml_hold_the_same(data: GraphData) -> None:
    whole = {"hash_length": 0, "show_code_versions": True}
    struct = json.loads(text(data, "json", **whole))
    assert importlib.import_module("yaml").safe_load(text(data, "yaml", **whole)) == struct
    assert struct == (merged_struct(data) if data.is_diff else data.to_struct())


def test_markdown_is_a_table_with_a_small_picture() -> None:
    shown = text(DIFF, "markdown")
    assert "**+1 -1 ~1 ↻2**" in shown
    table = [line for line in shown.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 5
    assert all(line.count("|") == 7 for line in table)
    assert all(line.count("|") == 6 for line in text(DIFF, "markdown", show_changes=False).splitlines() if "|" in line)
    assert "```mermaid\n---\ntitle:" in shown
    assert "mermaid" not in text(view(*chain(61)), "markdown")


def test_markdown_says_what_anyone_wrote_and_stays_short_enough_for_a_comment() -> None:
    def node(code_version: str) -> GraphData:
        return GraphData.of([GraphNode(key="a", version="1", fields=(FieldNode(key="x", code_version=code_version),))])

    hostile = "<img src=x> `a` | **b** ~c~ [d](e) &amp; __f__ g_h %%{init\n"
    shown = text(node(hostile), "markdown", show_code_versions=True)
    said = r"\<img src=x\> \`a\` \| \*\*b\*\* \~c\~ \[d\](e) \&amp; \_\_f\_\_ g_h %%{init "
    [row] = [line for line in shown.splitlines() if "cv: " in line and line.startswith("|")]
    assert f"cv: {said})" in row
    assert "%%{init" not in shown.partition('a["')[2]
    assert "```mermaid" in shown
    for long in ("x" * 50_000, "é" * 16_000):  # for Mermaid, and for the table and the picture together
        assert "mermaid" not in text(node(long), "markdown", show_code_versions=True)


def test_html_is_a_page_of_its_own() -> None:
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - given by the parser
            found.append(tag)

    shown = text(DIFF, "html")
    Reader().feed(shown)
    assert found.count("tr") == 1 + 5  # what is there without scripts
    assert found.count("script") == 3
    assert not {"link", "img", "iframe", "object"} & set(found)
    assert re.findall(r"https?://[^\s\"']+", shown) == ["http://www.w3.org/2000/svg"]  # the name of a language
    assert not re.search(r"(?<![\w.])(fetch|XMLHttpRequest|WebSocket|eval|innerHTML|import)\b", shown)


def test_the_page_runs_its_own_scripts_only() -> None:
    shown = text(DIFF, "html")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', shown)
    assert policy is not None
    assert policy[1].startswith("default-src 'none';")
    scripts = re.findall(r'<script type="(?:text/javascript|module)">(.*?)</script>', shown, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert [f"'sha256-{digest}'" for digest in digests] == policy[1].split("script-src ")[1].split()


def test_the_page_knows_each_feature() -> None:
    hostile = "</script><script>alert(1)</script>"
    described = stored("note", ["video/crop"], description=hostile, metadata={"owner": hostile})
    shown = text(view(*video(), described), "html")
    assert hostile not in shown
    [data] = re.findall(r'id="data">(.*?)</script>', shown, re.DOTALL)
    nodes = json.loads(data)["nodes"]
    assert nodes["note"]["description"] == hostile
    assert hostile in nodes["note"]["more"]
    assert nodes["video/crop"]["parents"]["frames"] == [["video/raw", "frames"]]
    assert nodes["video/crop"]["dependencies"] == [["video/raw", ""]]
    assert nodes["video/crop"]["groups"] == {"key": "video", "project": "p"}
    assert len(nodes["faces"]["at"]) == 4


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("data", [view(*video()), DIFF])
def test_every_format_honours_the_options(name: str, data: GraphData) -> None:
    version = next(v for v in [data.nodes["video/crop"].version] if v)
    field = next(f.version for f in data.nodes["video/crop"].fields if f.version and str(f.key) == "frames")
    shown = text(data, name)
    assert version[:8] in shown
    assert version not in shown
    assert field is not None
    assert field[:8] in shown
    assert version in text(data, name, hash_length=0)
    assert version[:8] not in text(data, name, show_feature_versions=False)
    assert field[:8] not in text(data, name, show_field_versions=False)
    assert "frames" not in text(data, name, show_fields=False)
    focused = text(data, name, feature="video/crop", up=0, down=0)
    assert "faces" not in focused
    assert "video/crop" in focused


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_the_same_each_time_and_ends_nothing_with_blanks(name: str) -> None:
    graph = feature_graph(*reversed(video()))
    with MetaxyConfig(project="p").use():
        other_order = GraphData.from_feature_graph(graph)
    assert text(other_order, name) == text(view(*video()), name)
    assert all(line == line.rstrip() for line in text(DIFF, name).splitlines())


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_shows_an_empty_graph_and_a_comparison_without_changes(name: str) -> None:
    assert text(GraphData.of([]), name)
    assert text(only_changes(merge(view(*video()), view(*video()))), name)


@pytest.mark.parametrize("name", ["terminal", "cards", "mermaid", "graphviz", "svg"])
def test_a_missing_parent_is_shown_as_such(name: str) -> None:
    assert "not in the graph" in text(view(stored("a", ["gone"])), name)


def test_presets() -> None:
    config = RenderConfig(feature="a__b", up=1, down=2, show_fields=False)
    assert (str(config.get_feature_key()), RenderConfig().get_feature_key()) == ("a/b", None)
    assert RenderConfig.verbose().around(config) == RenderConfig(
        feature="a__b", up=1, down=2, show_code_versions=True, hash_length=0
    )
    assert RenderConfig.default() == RenderConfig()


def test_a_renderer_needs_something_to_show() -> None:
    with pytest.raises(ValueError, match="pass graph or graph_data"):
        MermaidRenderer()


def test_a_renderer_takes_a_graph() -> None:
    assert (
        MermaidRenderer(feature_graph(*video()), RenderConfig(feature="video/crop", up=1, down=0)).render().count("<b>")
        == 2
    )


# --- fields ---------------------------------------------------------------------------------------------------------


def test_fields_are_linked_to_the_fields_they_are_computed_from() -> None:
    lines = FieldsMermaidRenderer(graph_data=view(*video()[:2]), config=PLAIN).render().splitlines()
    assert lines[:4] == [
        "flowchart TB",
        '    subgraph video__raw["video/raw"]',
        '        video__raw_daudio["audio"]',
        '        video__raw_dframes["frames"]',
    ]
    assert "    video__raw_dframes --> video__crop_dframes" in lines
    assert "    video__raw_daudio --> video__crop_dframes" not in lines
    assert FieldsRenderer(graph_data=view(*video()[:2]), config=PLAIN).render().splitlines() == [
        "video/raw.audio",
        "video/raw.frames",
        "video/crop.audio ← video/raw.audio",
        "video/crop.frames ← video/raw.frames",
    ]


def test_fields_of_recorded_features() -> None:
    with MetaxyConfig(project="p").use():
        snapshot = feature_graph(*video()).to_snapshot()
    shown = render_field_deps_mermaid(snapshot, features=["video/crop", "faces"], direction="LR")
    assert shown.startswith("flowchart LR\n")
    assert "video__crop_dframes --> faces_dframes" in shown
    assert "video__raw" not in shown


# --- the formatter of metaxy 0.1 ------------------------------------------------------------------------------------


def test_formatter_takes_lists_and_plain_data() -> None:
    formatter = DiffFormatter()
    whole, short = (
        formatter.format(merged_data=merged_struct(DIFF), show_all_fields=wanted).splitlines()
        for wanted in (True, False)
    )
    assert any("[↻]" in line for line in whole)
    assert len(whole) - len(short) == 2  # the sound of video/raw and of video/crop is the same
    assert "faces" in formatter.format(diff=GraphDiff.from_view(DIFF), diff_only=True)
    assert json.loads(formatter.format(merged_data=merged_struct(DIFF), format="json"))["summary"]["affected"] == 2
    with pytest.raises(ValueError, match="pass diff or merged_data"):
        formatter.format()


def test_statuses_have_colours() -> None:
    assert {Theme().of_status(status) for status in NodeStatus} >= {Theme().added_color, Theme().feature_color}


def test_pictures_need_no_heavy_package() -> None:
    code = (
        "import sys, metaxy.dag.render.formats, metaxy.dag.describe\n"
        "assert not {'rich', 'narwhals', 'polars', 'cyclopts'} & set(sys.modules), 'loaded too much'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- how rows belong together -----------------------------------------------------------------------------------------


def related() -> GraphData:
    """View an aggregation, an expansion, an optional parent, one that is both, and a usual one."""
    many, more = LineageRelationship.aggregation(on=["id"]), LineageRelationship.expansion(on=["id"])
    deps: dict[str, dict[str, Any]] = {
        "many": {"lineage": many},
        "more": {"lineage": more},
        "maybe": {"optional": True},
        "both": {"lineage": many, "optional": True},
        "usual": {},
    }
    child = stored("child", [FeatureDep(feature=key, **options) for key, options in deps.items()])
    return view(*(stored(key) for key in deps), child)


RELATIONS = {
    "terminal": ("many (N:1)", "more (1:N)", "maybe (optional)", "both (N:1, optional)", "└── usual"),
    "cards": ("many → child (N:1)", "more → child (1:N)", "maybe → child (optional)", "both → child (N:1, optional)"),
    "mermaid": ("many -->|N:1| child", "more -->|1:N| child", "maybe -.->|optional| child", "usual --> child"),
    "graphviz": (
        '"many" -> "child" [label="N:1", fontsize="10"];',
        '"maybe" -> "child" [label="optional", fontsize="10", style="dotted"];',
        '"usual" -> "child";',
    ),
    "markdown": ("many (N:1)<br>more (1:N)<br>maybe (optional)<br>both (N:1, optional)<br>usual",),
    "html": ("many (N:1)<br>more (1:N)<br>maybe (optional)<br>both (N:1, optional)<br>usual",),
    "svg": (
        "<title>many → child (N:1)</title>",
        "<title>maybe → child (optional)</title>",
        '<g class="edge optional" data-from="both" data-to="child"><title>both → child (N:1, optional)</title>',
        "<title>usual → child</title>",
    ),
    "json": ('"to": "child",\n      "lineage": "N:1",\n      "optional": true',),
    "yaml": ('"to": "child"\n    "lineage": "1:N"\n    "optional": false',),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_shows_how_rows_belong_together(name: str) -> None:
    shown = text(related(), name)
    assert [each for each in RELATIONS[name] if each not in shown] == [], shown
    compared = text(merge(related(), related()), name)
    assert [each for each in RELATIONS[name] if each not in compared] == [], compared


def test_fields_show_how_rows_belong_together() -> None:
    lines = FieldsRenderer(graph_data=related(), config=PLAIN).render()
    assert (
        "← both.default (N:1, optional), many.default (N:1), maybe.default (optional), more.default (1:N), usual"
        in lines
    )
    shown = FieldsMermaidRenderer(graph_data=related(), config=PLAIN).render()
    assert "many_ddefault -->|N:1| child_ddefault" in shown
    assert "maybe_ddefault -.->|optional| child_ddefault" in shown
    assert "usual_ddefault --> child_ddefault" in shown


def test_relations_come_back_from_plain_data() -> None:
    data = related()
    assert GraphData.from_struct(json.loads(json.dumps(data.as_plain()))) == data
    merged = merge(data, data)
    again = from_merged_diff(json.loads(json.dumps(merged_struct(merged))))
    assert again.nodes["child"].relations == merged.nodes["child"].relations
    old = {"nodes": [], "edges": [{"from": "a", "to": "b"}]}  # as older releases wrote it
    assert GraphData.from_struct(old).edges[0].relation.text == ""


# --- what changed, in words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_changed(name: str) -> None:
    wordy = [FeatureDep(feature="video/crop", filters=["size > 1"])]
    new = [*video("2")[:2], stored("faces", wordy, fields=["frames"]), video("2")[3]]
    new[3] = stored("audio/transcript", ["video/raw"], fields=["audio"], description="Words")
    data = merge(view(*video()), view(*new))
    shown = html.unescape(text(data, name))
    for words in ("code version 1 → 2", "filters of video/crop: none → size > 1", "through video/raw", "description"):
        plain = re.sub("<[^>]*>", "", shown) if name == "mermaid" else shown
        assert words in plain, shown
    assert "size > 1" not in html.unescape(text(data, name, show_changes=False))
