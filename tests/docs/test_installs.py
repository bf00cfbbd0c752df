"""What the README says about installing: each extra alone is enough for what it is named after."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.test_pages import ROOT, program, read

UV = os.environ.get("UV") or shutil.which("uv")  # `uv run` sets the variable
PAGE = """
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.render.html import HtmlRenderer

assert "requestAnimationFrame" in HtmlRenderer(FeatureGraph()).render()  # the script of the page is in the package
"""
WEB_PAGE = """
from metaxy.ui.files import read_assets
from metaxy.ui.server import run  # its packages are there

needed = {"index.html", "ui.css", "main.js", "picture.js", "vendor/preact.js", "vendor/LICENSE.preact"}
assert needed <= {*read_assets()}
"""
ELSEWHERE = {"delta": "DeltaMetadataStore", "iceberg": "IcebergMetadataStore"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(UV is None, reason="needs uv: run this by `make test-slow`"),
]


def install(extras: list[str], folder: Path) -> Path:
    """Install the package with some extras, as locked, and return the folder of its scripts."""
    environment = os.environ | {"UV_PROJECT_ENVIRONMENT": str(folder / "environment")}
    options = [f"--extra={extra}" for extra in extras]
    subprocess.run(
        [str(UV), "sync", "--frozen", "--no-editable", "--no-default-groups", *options, "--python", sys.executable],
        cwd=ROOT,
        env=environment,
        check=True,
    )
    return folder / "environment" / ("Scripts" if sys.platform == "win32" else "bin")


@pytest.mark.parametrize(
    ("extras", "commands"),
    [
        ([], ["mx --help", "python page.py"]),
        (["ui"], ["python web_page.py"]),
        (["duckdb"], ["python quickstart.py"]),
        (["delta"], ["python delta.py"]),
        (["iceberg"], ["python iceberg.py"]),
        (["lancedb"], ["python vectors.py"]),
        (["testing"], ["python testing.py"]),
        (["demo"], ["mx demo", "mx demo --store delta"]),
    ],
    ids=" ".join,
)
def test_extra_is_enough(extras: list[str], commands: list[str], tmp_path: Path) -> None:
    scripts = install(extras, tmp_path)
    quickstart = program(read("docs/quickstart.md"))
    (tmp_path / "quickstart.py").write_text(quickstart, encoding="utf-8")
    for extra, store in ELSEWHERE.items():
        there = quickstart.replace("ext.duckdb import DuckDBMetadataStore", f"ext.{extra} import {store}")
        there = there.replace('DuckDBMetadataStore("features.duckdb", auto_create_tables=True)', f'{store}("features")')
        assert "DuckDBMetadataStore" not in there
        (tmp_path / f"{extra}.py").write_text(there, encoding="utf-8")
    (tmp_path / "vectors.py").write_text(program(read("docs/lancedb.md")), encoding="utf-8")
    (tmp_path / "testing.py").write_text(program(read("docs/testing.md")), encoding="utf-8")
    (tmp_path / "page.py").write_text(PAGE, encoding="utf-8")
    (tmp_path / "web_page.py").write_text(WEB_PAGE, encoding="utf-8")
    for command in commands:
        name, *arguments = command.split()
        subprocess.run([str(scripts / name), *arguments], cwd=tmp_path, check=True)
