"""The API pages name everything that users import, and their docstrings are read as they are meant."""

import pkgutil
import re

import pytest
from tests.docs.reference import public_path, store_classes
from tests.docs.test_pages import ROOT

import metaxy as mx
import metaxy.content as content
from metaxy import errors

NAMED = [
    name
    for page in (ROOT / "docs" / "api").glob("*.md")
    for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]

ERRORS = {f"metaxy.{name}" for name in errors.__all__}  # their whole module is on a page
TYPES = {"OnError"}  # of arguments, whose descriptions say what they are


def test_every_public_name_is_there_once() -> None:
    public = {f"metaxy.{name}" for name in mx.__all__ if not name.startswith("__")}
    public |= {f"metaxy.content.{name}" for name in content.__all__ if name not in TYPES}
    assert [name for name in NAMED if NAMED.count(name) > 1] == []
    assert public - set(NAMED) - ERRORS == set(), "add `::: NAME` to a page of docs/api"
    assert {public_path(store) for store in store_classes()} - set(NAMED) == set()


@pytest.mark.parametrize("name", NAMED)
def test_every_name_exists(name: str) -> None:
    pkgutil.resolve_name(name)


@pytest.mark.slow
def test_examples_are_code_and_experimental_things_say_so() -> None:
    pytest.importorskip("griffe", reason="needs the group docs: run this by `make docs`")
    from tests.docs.docstrings import as_markdown

    text = "Return it.\n\n>>> answer()\n42\n\nMore."
    assert as_markdown(text, experimental=False) == "Return it.\n\n```pycon\n>>> answer()\n42\n```\n\nMore."
    assert as_markdown(text, experimental=True).startswith("*Experimental")
