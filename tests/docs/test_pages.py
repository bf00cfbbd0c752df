"""The README and the pages of docs/ hold what they show.

The `python` blocks of a page are one program, run from top to bottom in an empty folder; what it prints is what the
`output` blocks of the page show. New pages are found without being named here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.services import ray

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|output)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "examples").rglob("*.md"))


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def program(text: str) -> str:
    """Return the code of a page, on the lines that it has there, so that tracebacks point into the page."""
    lines = [""] * text.count("\n")
    for block in BLOCK.finditer(text):
        if block[1] == "python":
            code, start = block[2].splitlines(), text.count("\n", 0, block.start(2))
            lines[start : start + len(code)] = code
    return "\n".join(lines)


def output(text: str) -> str:
    return "".join(block[2] for block in BLOCK.finditer(text) if block[1] == "output")


@pytest.mark.parametrize("page", [page for page in PAGES if program(read(page)).strip()])
def test_code_does_what_the_page_says(page: str, tmp_path: Path) -> None:
    text = read(page)
    script = tmp_path / "page.py"
    script.write_text(program(text), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("METAXY_")}
    if re.search("^import ray$", text, re.MULTILINE):
        environment |= ray.variables()
    result = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=environment | {"PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == output(text)


@pytest.mark.parametrize("page", [*PAGES, *EXAMPLES])
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    assert [target for target in LINK.findall(read(page)) if not (folder / target).exists()] == []
