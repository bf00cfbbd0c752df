"""Random graphs, as the tools read them that the formats are for: Mermaid in a browser, and Graphviz."""

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.services import browser, mermaid
from tests.services.debian import can_install, install

from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.fields import FieldsMermaidRenderer
from metaxy.dag.render.graphviz import GraphvizRenderer
from metaxy.dag.render.labels import sanitize_mermaid_id
from metaxy.dag.render.mermaid import MermaidRenderer
from metaxy.dag.stats import FeatureStats
from metaxy.dag.view import FieldNode, GraphData, GraphNode, NodeStatus, Relation

pytestmark = pytest.mark.slow
WORDS = (
    "end",
    "graph",
    "a-b",
    "a_b",
    "style",
    "class",
    "o",
    "x",
    "default",
    "_1",
    "flowchart",
    "click",
    "video",
    "subgraph",
)
TEXTS = (
    '"]; drop',
    "<b>&amp;#35;",
    "}}%%{",
    "%% comment",
    "a|b",
    "`code`",
    "\\n\\",
    "é 映像",
    "--> x",
    "x\ny",
    "---",
    "'",
    "$$x$$",
    "[/a/]",
    "",
)


def graphs(number: int) -> list[GraphData]:
    """Make graphs with all that can be in one."""
    return [_graph(random.Random(seed)) for seed in range(number)]


def _graph(chance: random.Random) -> GraphData:
    compared = chance.random() < 0.5
    keys = sorted({"/".join(chance.choices(WORDS, k=chance.choice([1, 2, 2, 3]))) for _ in range(chance.randrange(12))})
    statuses: list[NodeStatus] = (
        [each for each in NodeStatus if each is not NodeStatus.NORMAL] if compared else [NodeStatus.NORMAL]
    )
    parents = [chance.sample(keys[:number], min(number, chance.randrange(3))) for number in range(len(keys))]
    nodes = [_node(chance, key, those, statuses) for key, those in zip(keys, parents, strict=True)]
    return GraphData.of(nodes, project_version="1234", old_project_version="0123" if compared else None)


def _node(chance: random.Random, key: str, parents: list[str], statuses: list[NodeStatus]) -> GraphNode:
    text = chance.choice(TEXTS)
    relations = [
        Relation(lineage=chance.choice(["1:1", "N:1", "1:N"]), optional=chance.random() < 0.3) for _ in parents
    ]
    versions: dict[str, Any] = {"version": "2", "old_version": "1", "changes": (text,)}
    fields = [
        FieldNode(
            key=name,
            code_version=text,
            status=chance.choice(statuses),
            parents=[(each, "a") for each in parents],
            **versions,
        )
        for name in chance.sample(["a", "end", "b-c"], chance.randrange(1, 4))
    ]
    return GraphNode(
        key=key,
        project=text or None,
        status=chance.choice(statuses),
        fields=fields,
        dependencies=parents,
        relations={parent: each for parent, each in zip(parents, relations, strict=True) if each.text},
        stats=FeatureStats(state="error", error=text) if chance.random() < 0.3 else None,
        **versions,
    )


def configs() -> list[RenderConfig]:
    """Return options that change what a picture says."""
    return [
        RenderConfig(),
        RenderConfig(fold="key", title='A "title" with: [all] {of} it', direction="LR"),
        RenderConfig(fold="project", show_code_versions=True, hash_length=0),
        RenderConfig.minimal(),
    ]


def test_mermaid_reads_every_graph(tmp_path: Path) -> None:
    if not browser.program() or not (script := mermaid.script()):
        pytest.skip("no Chromium, or no Mermaid from npm")
    pictures = [MermaidRenderer(graph_data=data, config=config) for data in graphs(40) for config in configs()]
    fields = [FieldsMermaidRenderer(graph_data=data) for data in graphs(40)]
    page = tmp_path / "page.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><script src={script.as_uri()}></script>ready", encoding="utf-8"
    )
    with browser.page(tmp_path / "profile") as opened:
        opened.open(page.as_uri(), "ready")
        found = mermaid.read(opened, [each.render() for each in (*pictures, *fields)])
    for each, read in zip((*pictures, *fields), found, strict=True):
        assert "error" not in read, f"{read}\n{each.render()}"
    for each, read in zip(pictures, found, strict=False):
        assert read["nodes"] == sorted(sanitize_mermaid_id(key) for key in each.graph_data.nodes), each.render()
        edges = [
            [sanitize_mermaid_id(str(key)) for key in (edge.from_key, edge.to_key)] for edge in each.graph_data.edges
        ]
        assert read["edges"] == sorted(edges)
    assert len(found) > 150


def test_graphviz_reads_every_graph(tmp_path: Path) -> None:
    if not shutil.which("dot") and can_install():
        install("graphviz")
    if not (program := shutil.which("dot")):
        pytest.skip("no Graphviz: install the package graphviz")
    pictures = {
        tmp_path / f"{number}-{index}.dot": GraphvizRenderer(graph_data=data, config=config)
        for number, data in enumerate(graphs(20))
        for index, config in enumerate(configs())
    }
    for file, picture in pictures.items():
        file.write_text(picture.render(), encoding="utf-8")
    command = [program, "-Tdot_json", "-O", *map(str, pictures)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stderr == ""
    for file, picture in pictures.items():
        read = json.loads(file.with_name(f"{file.name}.dot_json").read_text(encoding="utf-8"), strict=False)
        names = [each["name"].replace("\\\\", "\\") for each in read.get("objects", ())]  # doubled in IDs
        fields = [f"{key}::{field.key}" for key, node in picture.graph_data.nodes.items() for field in node.fields]
        assert sorted(names) == sorted([*picture.graph_data.nodes, *(fields if picture.config.show_fields else ())])
        linked = {(names[edge["tail"]], names[edge["head"]]) for edge in read.get("edges", ())}
        assert {(str(edge.from_key), str(edge.to_key)) for edge in picture.graph_data.edges} <= linked
