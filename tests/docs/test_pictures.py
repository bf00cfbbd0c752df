"""The pictures of the first pages are what the code draws now."""

import re

from tests.docs.pictures import ASSETS, pictures
from tests.docs.test_pages import ROOT


def test_pictures_are_up_to_date() -> None:
    drawn = {name: text.encode() for name, text in pictures()}
    kept = {path.name: path.read_bytes() for path in ASSETS.glob("*.svg")}
    assert kept == drawn, "the pictures are out of date: run `make pictures`"


def test_first_pages_show_them() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "index.md"):
        shown = re.findall(r"""[\w./-]+\.svg""", page.read_text(encoding="utf-8"))
        assert shown
        assert [name for name in shown if not (page.parent / name).exists()] == []
