"""Each project under examples/ runs in a folder of its own, and prints what the `output` blocks of its README show."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.test_pages import ROOT, output

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/README.md"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
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


def test_examples_are_listed() -> None:
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES if f"[{path.name}]({path.name}/README.md)" not in listed] == []
