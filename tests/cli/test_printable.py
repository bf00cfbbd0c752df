"""What others wrote into names, tags and rows is shown by a terminal, and never obeyed."""

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from tests.cli.test_output import NO_TERMINALS, on_a_terminal

from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.terminal import TerminalRenderer
from metaxy.dag.view import FieldNode, GraphData, GraphNode
from metaxy.printable import json_text, printable
from metaxy.testing import TempMetaxyProject

# Red, "clear the screen" in seven and in eight bits, a title of the window, back to the line's start, right to left.
EVIL: Final = "\x1b[31mred\x1b[2J\x9b2J\x1b]0;title\x07\r\x08\x7f\u202egnp"
UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
FEATURES: Final = f"""
import metaxy as mx


class Video(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="video",
        id_columns=["id"],
        fields=[mx.FieldSpec(key="frames", code_version="1")],
        metadata={{"owner": {EVIL!r}, "score": float("nan")}},
        description={f"What is {EVIL}"!r},
    ),
):
    __metaxy_project__ = {f"p{EVIL}"!r}
    id: str


class Crop(mx.BaseFeature, spec=mx.FeatureSpec(key="crop", id_columns=["id"], deps=[Video])):
    __metaxy_project__ = "mine"
    id: str
"""
COMMANDS: Final = (
    "list features --verbose",
    "list features",
    "list stores",
    "describe features video",
    "describe graph",
    "metadata show video",
    "metadata show video --all-columns",
    "metadata status --verbose",
    "metadata stats",
    "history",
    "config print",
    "doctor",
    *(f"graph render --verbose -f {name}" for name in ("terminal", "mermaid", "graphviz", "markdown", "html")),
    *("graph render --verbose -f cards", "graph lineage video"),
)


@pytest.fixture
def project(tmp_path: Path) -> TempMetaxyProject:
    database = {"type": "metaxy.ext.duckdb.DuckDBMetadataStore", "database": str(tmp_path / f"a{EVIL[:2]}.db")}
    project = TempMetaxyProject(tmp_path, FEATURES, project="mine", stores={"dev": database})
    frame = pl.DataFrame(
        [
            {
                "id": EVIL,
                f"head{EVIL}": 1,
                "nested": [{"a": float("nan"), "b": EVIL}],
                "big": float("inf"),
                "metaxy_provenance_by_field": {"frames": EVIL},
            }
        ]
    )
    with project.use(), project.store().open("w") as store:
        store.write("video", frame)
    project.run_cli(["push", f"--tags.{EVIL[:5]}", EVIL])
    return project


def test_no_command_prints_what_a_terminal_obeys(project: TempMetaxyProject) -> None:
    shown = ""
    for line in COMMANDS:
        result = project.run_cli(["--all-projects", *line.split()], check=False)
        assert not UNSEEN.findall(result.stdout + result.stderr), line
        shown += result.stdout
    assert shown.count(r"\u001b[31mred\u001b[2J\u009b2J") >= len(COMMANDS)


def test_errors_warnings_and_logs_are_printable(project: TempMetaxyProject) -> None:
    for args, env in (
        (["metadata", "show", EVIL], {}),
        (["metadata", "show", "video", "--filter", f"a = '{EVIL}"], {}),
        (["metadata", "show", "video", "--filter", f"a = '{EVIL}", "--debug"], {}),
        ([EVIL], {}),
        (["list", "stores"], {f"METAXY_STORES__{EVIL}__CONFIG__DATABASE": "x"}),
        (["list", "stores"], {"METAXY_LOG_LEVEL": EVIL}),
    ):
        result = project.run_cli(args, check=False, env=env)
        assert "31mred" in result.stderr
        assert not UNSEEN.findall(result.stdout + result.stderr), args


def test_json_is_json_and_keeps_the_values(project: TempMetaxyProject) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    def parsed(*args: str) -> Any:
        text = project.run_cli(["--all-projects", *args, "--format", "json"]).stdout
        assert not UNSEEN.findall(text)
        return json.loads(text, parse_constant=refuse)

    (row,) = parsed("metadata", "show", "video")
    assert (row["id"], row["nested"], row["big"]) == (EVIL, [{"a": None, "b": EVIL}], None)
    assert parsed("history")[0]["tags"][EVIL[:5]] == EVIL
    assert parsed("describe", "features", "video")["metadata"] == {"owner": EVIL, "score": None}
    nodes = {node["key"]: node for node in parsed("graph", "render")["nodes"]}
    assert nodes["video"]["metadata"] == {"owner": EVIL, "score": None}
    assert "NaN" not in project.run_cli(["--all-projects", "graph", "render", "-f", "yaml"]).stdout


@NO_TERMINALS
def test_on_a_terminal_only_our_own_colours_are_obeyed() -> None:
    code = (
        f"import sys; from metaxy.cli.output import print_table, say, warn\n"
        f"print_table({EVIL!r}, [{EVIL!r}], [[{EVIL!r}]]); say({EVIL!r}); warn({EVIL!r}); say({EVIL!r}, 'green')"
    )
    _, text = on_a_terminal(code, TERM="xterm", COLUMNS="200")
    ours = re.sub(r"\x1b\[[0-9;]*m", "", text.replace("\r\n", "\n"))
    assert not UNSEEN.findall(ours)
    assert ours.count(r"\u001b[31mred") == 6


def test_a_coloured_picture_has_only_our_own_colours() -> None:
    field = FieldNode(key="frames", code_version=f"1{EVIL}\nfake line")
    node = GraphNode(key="video", project=EVIL, version=EVIL, fields=(field,))
    view = GraphData.of([node], project_version=EVIL)
    text = TerminalRenderer(graph_data=view, config=RenderConfig.verbose(), color=True).render()
    assert not UNSEEN.findall(re.sub(r"\x1b\[(?:0|1|2|3\d)m", "", text))
    assert "fake line" not in [line.strip() for line in text.splitlines()]
    assert "\x1b[31m" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("日本 é 👩‍👧", "日本 é 👩‍👧"),
        ("a\rb\x00\x7f", r"a\u000db\u0000\u007f"),
        ("\u2028\u2066x\u2069", r"\u2028\u2066x\u2069"),
    ],
)
def test_only_controls_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_json_cannot_say_is_null_or_text() -> None:
    value = {"a": (float("nan"), [float("-inf"), 1.5]), "b": {"c": float("inf")}, "d": Path("x")}
    assert json.loads(json_text(value)) == {"a": [None, [None, 1.5]], "b": {"c": None}, "d": "x"}
    assert json.loads(printable(json_text({"a": EVIL}))) == {"a": EVIL}
    assert sys.float_info.max == json.loads(json_text(sys.float_info.max))
