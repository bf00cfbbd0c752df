"""Each project under examples/ runs in a folder of its own, and prints what the `output` blocks of its README show."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.test_pages import ROOT, output

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/README.md"))

PROGRAMS = [path for path in EXAMPLES if (path / "pipeline.py").exists() and path.name != "look"]  # it has its own test
STORE = "DuckDBMetadataStore"
PARTS = ("data:image/svg+xml", "What is said.", "count_faces", "<summary>stale", "needs an update", "look.duckdb")
# Runs cells, and prints what the value of the last line of each has as HTML, by the name of its type.
SHOW = """
import ast, json, re, sys
names, shown = vars(sys.modules["__main__"]), {}
for cell in re.split("^# %%", open(sys.argv[1], encoding="utf-8").read(), flags=re.MULTILINE):
    code = ast.parse(cell[cell.find("\\n") + 1 :])
    last = code.body.pop() if code.body and isinstance(code.body[-1], ast.Expr) else None
    exec(compile(code, "cell", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
        if hasattr(value, "_repr_html_"):
            shown[type(value).__name__] = value._repr_html_()
print(json.dumps(shown))
"""


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda path: path.name)
def test_example_prints_what_its_readme_shows(example: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(example, tmp_path / example.name)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("METAXY_")}
    result = subprocess.run(
        [sys.executable, "pipeline.py"],
        cwd=copy,
        env=environment | {"PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == output((example / "README.md").read_text(encoding="utf-8"))


def test_each_cell_of_a_notebook_shows_its_last_line(tmp_path: Path) -> None:
    """What Jupyter, marimo and VS Code do with the cells of `examples/look`."""
    copy = shutil.copytree(ROOT / "examples" / "look", tmp_path / "look")
    result = subprocess.run(
        [sys.executable, "-c", SHOW, "pipeline.py"],
        cwd=copy,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    *printed, last = result.stdout.splitlines(keepends=True)
    assert "".join(printed) == output((ROOT / "examples" / "look" / "README.md").read_text(encoding="utf-8"))
    shown = json.loads(last)
    assert list(shown) == ["FeatureGraph", "MetaxyMeta", "RunReport", "Increment", "FeatureMetadataStatus", STORE]
    for part, page in zip(PARTS, shown.values(), strict=True):
        assert part in page
        assert page.startswith('<div class="metaxy">')
        assert "__main__" not in page


def test_examples_are_listed() -> None:
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES if f"[{path.name}]({path.name}/README.md)" not in listed] == []
