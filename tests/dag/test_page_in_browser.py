"""The HTML page in a real browser, where there is one."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.dag.definitions import stored
from tests.dag.views import chain, video, view

from metaxy.dag.diff import merge
from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.formats import render
from metaxy.dag.view import FieldNode, GraphData, GraphNode

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BROWSER, reason="no Chromium here")]


def opened(data: GraphData, folder: Path, place: str = "") -> str:
    """Return what a browser makes of the page; nothing may be reported in its console."""
    page = folder / "page.html"
    page.write_text(render(data, "html", RenderConfig()), encoding="utf-8")
    options = ["--headless=new", "--disable-gpu", "--dump-dom", "--virtual-time-budget=2000", "--enable-logging=stderr"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    command = [BROWSER, *options, f"--user-data-dir={folder / 'profile'}", f"{page.as_uri()}{place}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "CONSOLE" not in result.stderr, result.stderr
    return result.stdout


def shown(page: str) -> int:
    """Return how many boxes are shown."""
    boxes = re.findall(r'<g class="(node [^"]*)"', page)
    return sum("gone" not in each.split() for each in boxes)


def test_the_page_shows_a_comparison_and_what_its_address_names(tmp_path: Path) -> None:
    data = merge(view(*video()), view(*video("2")))
    page = opened(data, tmp_path, "#video%2Fcrop.frames")
    assert re.search(r'<g class="view" transform="translate\(', page)
    assert shown(page) == 4
    assert "<h2>video/crop</h2>" in page
    assert "frames is computed from" in page
    assert len(re.findall(r'class="edge[^"]* near"', page)) == 2  # video/raw → video/crop → faces


def test_large_graphs_begin_with_a_part(tmp_path: Path) -> None:
    one_group = [stored(f"group/{n}", [f"group/{n - 1}"] if n else []) for n in range(100)]
    assert shown(opened(view(*one_group), tmp_path)) == 1  # folded
    assert shown(opened(view(*one_group), tmp_path, "#group%2F50")) == 3
    assert shown(opened(view(*chain(100)), tmp_path)) == 3  # no groups: around the feature that has most neighbours


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=console.error(1)>'\"\u202e"
    node = GraphNode(key="a", project=evil, fields=(FieldNode(key="f", code_version=evil),), metadata={evil: evil})
    page = opened(GraphData.of([node]), tmp_path, "#a.f")
    assert "<img" not in page
    assert "<h2>a</h2>" in page
