"""The module that web pages draw with, in a real browser, where there is one."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.dag.definitions import stored
from tests.dag.views import video, view
from tests.services.browser import Page, page, program

from metaxy.service.drawings import bundled, drawing, picture_files

pytestmark = pytest.mark.slow
SHOWN = "[...document.querySelectorAll('.node:not(.gone)')].length"


def quoted(data: Any) -> str:
    """Return data for a script in a page."""
    return json.dumps(data).replace("</", "<\\/")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if not program():
        pytest.skip("no Chromium here")
    with page(tmp_path_factory.mktemp("profile"), width=1200, height=800) as opened:
        yield opened


def test_a_page_mounts_a_drawing_moves_it_and_takes_it_away(browser: Page, tmp_path: Path) -> None:
    drawn = drawing(view(*video(), *(stored(f"text/{n}", ["faces"]) for n in range(3))), live=True)
    files = picture_files()
    script = f"""{bundled(files["picture.js"])}
        const options = {{svg: {quoted(drawn.svg)}, onSelect: (...those) => told.push(those)}};
        const told = [], picture = mount(document.querySelector("main"), {quoted(drawn.data)}, options);
        Object.assign(window, {{told, picture}});"""
    where = tmp_path / "page.html"
    where.write_text(
        f"<!doctype html><style>main{{height:100vh}}{files['picture.css']}</style><main class=stage></main>"
        f"<script type=module>{script}</script>",
        encoding="utf-8",
    )
    browser.open(where.as_uri(), "transcript")
    browser.run("""
        picture.note("faces", ["1,200 rows, 3 missing", "written yesterday"], "needs_update");
        picture.note("video/raw", ["120 rows"], "root_feature");
        picture.note("video/crop", ["could not be counted: " + "no such column ".repeat(9)], "error");
        picture.note("text/1", ["8 rows, up to date"], "up_to_date");
        picture.note("nobody", ["8 rows"], "up_to_date");""")
    shown = browser.shows("1,200 rows, 3 missing", "could not be counted: no…")
    assert "yesterday" not in shown  # it is there for who points at it
    if pictures := os.environ.get("METAXY_TEST_PICTURES"):
        browser.picture(Path(pictures) / "picture-live.png")
    assert browser.run(SHOWN) == 7
    browser.run(
        "document.querySelector('[data-key=faces] .name').dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert browser.run("told") == [["faces", None]]
    assert browser.run(f"picture.near(1), {SHOWN}") == 5
    browser.run("picture.near(0), picture.fold()")
    browser.shows("2 features", "1 not counted, 1 root", "1 up to date")
    if pictures:
        browser.picture(Path(pictures) / "picture-folded.png")
    assert browser.run("picture.destroy(), document.querySelector('main').children.length") == 0
