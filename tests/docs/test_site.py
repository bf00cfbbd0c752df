"""The site has every page, each link leads somewhere, and reading it needs no network."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docs.test_pages import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.slow  # run by `make docs`, too
CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
LOADED = re.compile(
    r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>|@import[^;]*|url\(http"
)
NEEDS_MORE = re.compile(r"class=[\"']?(?:mermaid|glightbox|pyodide)")  # the theme would load these from elsewhere


def pages_of(nav: Any) -> Iterator[str]:
    """Yield the pages of a navigation, depth first."""
    if isinstance(nav, str):
        yield nav
    for item in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_of(item)


def test_navigation_has_every_page_once() -> None:
    docs = ROOT / "docs"
    pages = sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    decisions = {page for page in pages if re.match(r"decisions/\d", page)}
    shown = sorted(pages_of(CONFIG["project"]["nav"]))
    assert shown == [page for page in pages if page not in decisions], "add the page to `nav` in zensical.toml"
    listed = re.findall(r"\]\((\d[^)]*)\)", (docs / "decisions/README.md").read_text(encoding="utf-8"))
    assert sorted(f"decisions/{page}" for page in listed) == sorted(decisions), "list it in docs/decisions/README.md"


def test_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("zensical", reason="needs the group docs: run this by `make docs`")
    shutil.copyfile(ROOT / "zensical.toml", tmp_path / "zensical.toml")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for folder in ("src", "tests"):  # the API pages are read from the code
        (tmp_path / folder).symlink_to(ROOT / folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 0, result.stdout + result.stderr
    built = [path for path in (tmp_path / "site").rglob("*") if path.suffix in (".html", ".css")]
    assert {path.stem for path in built} >= {"index", "reference", "092-settings-are-a-value"}
    for path in built:
        text = path.read_text(encoding="utf-8")
        assert [found[0] for found in LOADED.finditer(text)] == [], path
        assert NEEDS_MORE.search(text) is None, path
