"""`mx graph`, `mx graph-diff` and `mx describe`: what they print, where, and how they exit."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import FEATURES

from metaxy.dag.render.formats import FORMATS
from metaxy.testing import TempMetaxyProject

LEAF = """
class Faces(mx.BaseFeature, spec=mx.FeatureSpec(key="faces", id_columns=["id"], deps=[Crop], fields=["frames"])):
    id: str
"""
CHANGED = FEATURES.replace('code_version="1"', 'code_version="2"')


@pytest.fixture
def project(tmp_path: Path) -> TempMetaxyProject:
    """video/raw → video/crop → faces."""
    return TempMetaxyProject(tmp_path, FEATURES + LEAF, project="vision")


def out(project: TempMetaxyProject, *arguments: str, **options: Any) -> str:
    result = project.run_cli(list(arguments), **options)
    assert result.stderr == ""
    return result.stdout


def error(project: TempMetaxyProject, *arguments: str, code: int = 1) -> str:
    result = project.run_cli(list(arguments), check=False)
    assert (result.returncode, result.stdout) == (code, "")
    assert "Traceback" not in result.stderr
    return result.stderr


# --- graph render ---------------------------------------------------------------------------------------------------


def test_a_tree_by_default(project: TempMetaxyProject) -> None:
    lines = out(project, "graph", "render").splitlines()
    assert re.fullmatch(r"📊 Graph \(snapshot: \w{8}\)", lines[0])
    assert re.fullmatch(r"├── video/raw \(project: vision\) \(v: \w{8}\)", lines[1])
    hidden = [f"--no-show-{what}" for what in ("fields", "feature-versions", "project-version", "projects")]
    assert out(project, "graph", "render", *hidden) == (
        "📊 Graph\n"
        "├── video/raw\n"
        "├── video/crop\n"
        "│   └── ⬅️  depends on\n"
        "│       └── video/raw\n"
        "└── faces\n"
        "    └── ⬅️  depends on\n"
        "        └── video/crop\n"
    )


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_piped_is_the_text_itself(project: TempMetaxyProject, name: str) -> None:
    narrow = out(project, "graph", "render", "-f", name, "--verbose", env={"COLUMNS": "20", "FORCE_COLOR": "1"})
    assert "\x1b" not in narrow
    assert narrow == out(project, "graph", "render", "-f", name, "--verbose")
    project.run_cli(["graph", "render", "-f", name, "--verbose", "-o", "picture"])
    assert (project.path / "picture").read_text(encoding="utf-8") == narrow


def test_graphviz_keeps_its_labels_and_mermaid_its_lines(project: TempMetaxyProject) -> None:
    dot = out(project, "graph", "render", "-f", "graphviz")
    assert re.search(r'"video/crop" \[label="video/crop\\nproject: vision\\nv: \w{8}", shape="box"\];', dot)
    nodes = [
        line for line in out(project, "graph", "render", "-f", "mermaid", "--verbose").splitlines() if '["' in line
    ]
    assert len(nodes) == 3
    assert all(line.endswith('"]') for line in nodes)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_gets_colours_and_a_file_never(project: TempMetaxyProject) -> None:
    pty = __import__("pty")

    def on_terminal(*arguments: str, **variables: str) -> bytes:
        master, terminal = pty.openpty()
        environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | variables
        command = [sys.executable, "-m", "metaxy.cli.app", *arguments]
        subprocess.run(command, cwd=project.path, env=environment, stdout=terminal, stderr=terminal, check=True)
        os.close(terminal)
        shown = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # all is read
                part = b""
            if not part:
                os.close(master)
                return shown
            shown += part

    assert b"\x1b[36mvideo/raw" in on_terminal("graph", "render")
    assert b"\x1b" not in on_terminal("graph", "render", NO_COLOR="1")
    on_terminal("graph", "render", "-o", "picture")
    assert b"\x1b" not in (project.path / "picture").read_bytes()


def test_a_saved_picture_is_told_on_stderr(project: TempMetaxyProject) -> None:
    result = project.run_cli(["graph", "render", "-o", "graph.txt"])
    assert (result.stdout, result.stderr) == ("", "✓ Rendered graph saved to: graph.txt\n")
    assert "No such file or directory: 'no/where'" in error(project, "graph", "render", "-o", "no/where")


def test_cards_and_fields(project: TempMetaxyProject) -> None:
    cards = out(project, "graph", "render", "--type", "cards")
    assert "│ video/raw " in cards
    assert cards == out(project, "graph", "render", "-f", "cards")
    assert "video/crop.frames (v: " in out(project, "graph", "render", "-t", "fields")
    assert "subgraph video__crop" in out(project, "graph", "render", "-t", "fields", "-f", "mermaid")
    assert "drawn as terminal or mermaid" in error(project, "graph", "render", "-t", "fields", "-f", "html", code=2)
    assert "drawn with text only" in error(project, "graph", "render", "-t", "cards", "-f", "graphviz", code=2)


def test_focus_levels_and_lengths(project: TempMetaxyProject) -> None:
    assert "video/* (2 features)" in out(project, "graph", "render", "--fold", "key")
    focused = json.loads(out(project, "graph", "render", "-f", "json", "--feature", "video__crop", "--down", "0"))
    assert [node["key"] for node in focused["nodes"]] == ["video/raw", "video/crop"]
    assert [len(node["version"]) for node in focused["nodes"]] == [16, 16]
    short = json.loads(out(project, "graph", "render", "-f", "json", "--hash-length", "4"))
    assert {len(node["version"]) for node in short["nodes"]} == {4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minimal", "--verbose"], "say the opposite"),
        (["--fold", "key", "--format", "yaml"], "--fold is for pictures"),
        (["--fold", "key", "--type", "fields"], "--fold shows groups of features"),
        (["--up", "1"], "count from a feature"),
        (["--down", "0"], "add --feature KEY"),
        (["--direction", "RL"], "RL"),
        (["--format", "pdf"], "pdf"),
        (["--hash-length", "-1"], "-1"),
        (["--store", "dev"], "--store says where to look for a snapshot"),
    ],
)
def test_options_that_do_not_go_together(project: TempMetaxyProject, options: list[str], message: str) -> None:
    assert message in error(project, "graph", "render", *options, code=2)


def test_unknown_features_and_snapshots(project: TempMetaxyProject) -> None:
    text = error(project, "graph", "render", "--feature", "video/corp")
    assert "Did you mean 'video/crop'? Known features: faces, video/crop, video/raw" in text
    result = project.run_cli(["graph", "render", "--feature", "nothing", "-f", "json"], check=False)
    assert json.loads(result.stdout)["error"] == "FEATURES_NOT_FOUND"
    assert "nothing was pushed yet" in error(project, "graph", "render", "--snapshot", "latest")
    project.run_cli(["push"])
    assert "has no snapshot 'zzz' of project 'vision'" in error(project, "graph", "render", "--snapshot", "zzz")


def test_a_snapshot_is_drawn_as_it_was_pushed(project: TempMetaxyProject) -> None:
    before = out(project, "graph", "render")
    pushed = project.run_cli(["push"]).stdout.strip()
    project.with_features(CHANGED)
    assert out(project, "graph", "render") != before
    assert out(project, "graph", "render", "--snapshot", pushed) == before
    assert out(project, "graph", "render", "--snapshot", pushed[:6]) == before


def test_a_project_without_features_says_where_they_are(project: TempMetaxyProject) -> None:
    result = project.run_cli(["graph", "render", "--project", "other", "-o", "graph.txt"])
    assert "3 in project vision" in result.stderr
    assert (project.path / "graph.txt").read_text() == ""
    assert "video/raw" in out(project, "graph", "render", "--project", "other", "--all-projects")


def test_a_missing_parent_is_a_ghost_and_a_warning(project: TempMetaxyProject) -> None:
    project.with_features(FEATURES.replace("deps=[Video]", 'deps=["video/gone"]'))
    result = project.run_cli(["graph", "render"])
    assert "├── video/gone (not in the graph)" in result.stdout
    assert "features are not in the graph" in result.stderr
    assert "mx lock" in result.stderr


def test_cycles_are_named(project: TempMetaxyProject) -> None:
    roots = 'id_columns=["id"], fields=["audio", "frames"]'
    project.with_features(FEATURES.replace(roots, f'deps=["video/crop"], {roots}'))
    assert re.search(r"video/(raw|crop) → video/(raw|crop) → video/\1", error(project, "graph", "render"))


# --- graph lineage --------------------------------------------------------------------------------------------------


def test_lineage_of_features_and_fields(project: TempMetaxyProject) -> None:
    assert out(project, "graph", "lineage", "video/crop") == (
        "video/crop depends on\n└── video/raw\nvideo/crop is needed by\n└── faces\n"
    )
    assert out(project, "graph", "lineage", "faces.frames") == (
        "faces.frames depends on\n└── video/crop.frames\n    └── video/raw.frames\nfaces.frames is needed by nothing\n"
    )
    data = json.loads(out(project, "graph", "lineage", "video/raw.frames", "--format", "json"))
    assert data == {
        "name": "video/raw.frames",
        "dependencies": [],
        "dependents": ["video/crop.frames", "faces.frames"],
    }
    assert "has no field 'frame'. Did you mean 'frames'" in error(project, "graph", "lineage", "faces.frame")
    assert "'face' is not in the graph" in error(project, "graph", "lineage", "face")


# --- graph-diff -----------------------------------------------------------------------------------------------------


def test_the_code_is_compared_with_the_last_push(project: TempMetaxyProject) -> None:
    project.run_cli(["push"])
    project.with_features(CHANGED + LEAF + LEAF.replace("Faces", "Eyes").replace('"faces"', '"eyes"'))
    lines = out(project, "graph-diff", "render", "latest", "current", "--minimal").splitlines()
    assert [line[4:] for line in lines if line.startswith(("├──", "└──"))] == [
        "video/raw (project: vision)",
        "video/crop (project: vision) [~]",
        "eyes (project: vision) [+]",
        "faces (project: vision) [↻]",
    ]
    assert lines[-1] == "+1 ~1 ↻1"
    assert len(json.loads(out(project, "history", "--format", "json"))) == 1


def test_json_of_a_comparison(project: TempMetaxyProject) -> None:
    project.run_cli(["push"])
    project.with_features(CHANGED)
    data = json.loads(out(project, "graph-diff", "render", "latest", "-f", "json"))
    assert data["summary"] == {"added": 0, "removed": 1, "changed": 1, "affected": 0, "described": 0}
    crop = data["nodes"]["video/crop"]
    assert (crop["status"], len(crop["old_version"]), crop["dependencies"]) == ("changed", 16, ["video/raw"])
    [change] = crop["field_changes"]
    assert (change["field_key"], change["is_added"], change["is_removed"], change["is_changed"]) == (
        "frames",
        False,
        False,
        True,
    )
    focused = ["graph-diff", "render", "latest", "-f", "json", "--feature", "video/crop", "--up", "0"]
    assert list(json.loads(out(project, *focused))["nodes"]) == ["faces", "video/crop"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_shows_a_comparison(project: TempMetaxyProject, name: str) -> None:
    project.run_cli(["push"])
    project.with_features(CHANGED + LEAF)
    shown = out(project, "graph-diff", "render", "latest", "-f", name)
    assert "faces" in shown
    assert "video/raw" in shown
    assert "\x1b" not in shown
    short = out(project, "graph-diff", "render", "latest", "-f", name, "--only-changes", "--no-show-fields")
    assert "faces" in short
    assert "frames" not in short


def test_exit_code_says_whether_anything_differs(project: TempMetaxyProject) -> None:
    project.run_cli(["push"])
    assert project.run_cli(["graph-diff", "render", "latest", "--exit-code"]).returncode == 0
    project.with_features(CHANGED + LEAF)
    assert project.run_cli(["graph-diff", "render", "latest"]).returncode == 0
    assert project.run_cli(["graph-diff", "render", "latest", "--exit-code"], check=False).returncode == 1


def test_what_is_only_described_differently_needs_strictness(project: TempMetaxyProject) -> None:
    project.run_cli(["push"])
    project.with_features((FEATURES + LEAF).replace("    id: str", "    id: str\n    n: int", 1))
    diff = ["graph-diff", "render", "latest", "--only-changes"]
    assert out(project, *diff, "--exit-code", "--minimal").splitlines() == [
        "📊 Graph changes",
        "└── video/raw (project: vision) [✎]",
        "    └── ✎ changes",
        "        └── columns: +n",
        "✎1",
    ]
    assert project.run_cli([*diff, "--exit-code", "--strict"], check=False).returncode == 1
    assert "--strict says what --exit-code counts" in error(project, *diff, "--strict", code=2)
    assert "columns: +n" not in out(project, *diff, "--no-show-changes")


def test_two_pushes_are_compared_and_a_report_is_saved(project: TempMetaxyProject) -> None:
    first = project.run_cli(["push"]).stdout.strip()
    project.with_features(CHANGED + LEAF)
    second = project.run_cli(["push"]).stdout.strip()
    project.with_features("")
    result = project.run_cli(["graph-diff", "render", first, second, "-f", "markdown", "-o", "diff.md"])
    assert (result.stdout, result.stderr) == ("", "✓ Diff rendered to: diff.md\n")
    assert "**~1 ↻1**" in (project.path / "diff.md").read_text(encoding="utf-8")


def test_what_cannot_be_compared(project: TempMetaxyProject) -> None:
    assert "nothing was pushed yet; run `mx push`" in error(project, "graph-diff", "render", "latest", "current")
    assert "about one project" in error(project, "graph-diff", "render", "latest", "--all-projects", code=2)
    project.run_cli(["push"])
    assert "has no snapshot 'zzz'" in error(project, "graph-diff", "render", "zzz")
    assert "'nothing' is not in the graph" in error(project, "graph-diff", "render", "latest", "--feature", "nothing")


# --- describe -------------------------------------------------------------------------------------------------------


def test_a_feature_as_text(project: TempMetaxyProject) -> None:
    lines = out(project, "describe", "features", "video/crop").splitlines()
    assert re.fullmatch(r"video/crop \(\w{8}\) vision", lines[0])
    assert lines[1:4] == ["Source: vision.features.Crop", "ID columns: id", "Fields:"]
    assert re.fullmatch(r"  frames \(\w{8}\) ← video/raw:\(frames\)", lines[4])
    assert lines[5:] == ["Dependencies:", "  video/raw"]
    both = out(project, "describe", "feature", "video/raw", "faces")
    assert f"\n{'-' * 60}\nfaces (" in both
    assert "  none (root feature)" in both


def test_everything_that_a_feature_may_have(project: TempMetaxyProject) -> None:
    project.with_features(
        """
        import metaxy as mx

        class A(mx.BaseFeature, spec=mx.FeatureSpec(key="a", id_columns=["id"], metadata={"owner": "me"})):
            '''What A is.

            More of it.
            '''
            id: str
            path: str

        class B(mx.BaseFeature, spec=mx.FeatureSpec(key="b", id_columns=["id"], deps=[
            mx.FeatureDep(feature=A, select=["id", "where"], rename={"path": "where"}, optional=True,
                lineage=mx.LineageRelationship.aggregation(on=["id"]), filters=["where > 'a'"])
        ])):
            id: str
        """
    )
    text = out(project, "describe", "features", "--all-features")
    assert "  What A is.\n\n  More of it.\n" in text
    assert "Metadata:\n  owner: me\n" in text
    assert "  a | select: id, where | N:1 | optional | where where > 'a' | rename: path → where" in text
    data = json.loads(out(project, "describe", "features", "--all-features", "--format", "json"))["features"]
    assert data[1]["dependencies"] == [
        {
            "feature": "a",
            "select": ["id", "where"],
            "rename": {"path": "where"},
            "filters": ["where > 'a'"],
            "lineage": "N:1",
            "optional": True,
        }
    ]
    assert data[0]["metadata"] == {"owner": "me"}


def test_a_feature_as_json(project: TempMetaxyProject) -> None:
    data = json.loads(out(project, "describe", "features", "video/crop", "-f", "json"))
    assert list(data) == [
        *("project", "key", "version", "description", "is_external", "source", "id_columns", "fields", "dependencies")
    ]
    assert data["fields"][0].keys() == {"key", "code_version", "version", "deps"}
    assert data["fields"][0]["deps"] == [{"feature": "video/raw", "fields": ["frames"]}]


def test_unknown_and_malformed_features(project: TempMetaxyProject) -> None:
    text = error(project, "describe", "features", "video/corp")
    assert "'video/corp' is not in the graph. Did you mean 'video/crop'?" in text
    assert error(project, "describe", "features", "video//crop", code=2).count("\n") == 1
    project.with_features(FEATURES.replace("deps=[Video]", 'deps=["video/gone"]'))
    assert "video/gone (needed by video/crop)" in error(project, "describe", "features", "video/crop")


def test_the_graph_in_numbers(project: TempMetaxyProject) -> None:
    text = out(project, "describe", "graph")
    assert [int(number) for number in re.findall(r"(?:Features|Depth) +(\d+)$", text, re.MULTILINE)] == [3, 3, 1, 1]
    assert text.endswith("Root features:\n  video/raw\nLeaf features:\n  faces\n")
    data = json.loads(out(project, "describe", "graph", "--format", "json"))
    assert (data["graph_depth"], data["leaf_features"], data["filter_project"]) == (3, ["faces"], "vision")


def test_the_graph_of_a_snapshot_is_described_itself(project: TempMetaxyProject) -> None:
    pushed = project.run_cli(["push"]).stdout.strip()
    project.with_features(FEATURES)
    assert json.loads(out(project, "describe", "graph", "-f", "json"))["total_features"] == 2
    data = json.loads(out(project, "describe", "graph", "latest", "-f", "json"))
    assert (data["total_features"], data["metaxy_project_version"]) == (3, pushed)
    assert "has no snapshot 'zzz'" in error(project, "describe", "graph", "--snapshot", "zzz")


def test_describing_the_graph_needs_no_store(tmp_path: Path) -> None:
    project = TempMetaxyProject(tmp_path, FEATURES, project="vision", stores={})
    assert "Total Features" in out(project, "describe", "graph")
    assert "no store is configured" in error(project, "describe", "graph", "latest", code=2)


def test_long_lists_are_cut(project: TempMetaxyProject) -> None:
    one = 'class F{n}(mx.BaseFeature, spec=mx.FeatureSpec(key="f{n}", id_columns=["id"])):\n    id: str\n'
    project.with_features("import metaxy as mx\n" + "".join(one.replace("{n}", str(n)) for n in range(12)))
    assert out(project, "describe", "graph").count("  … and 2 more") == 2
