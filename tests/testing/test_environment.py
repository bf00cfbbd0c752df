import os

import pytest

from metaxy.testing import env_override


def test_variables_are_set_and_removed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "old")
    monkeypatch.setenv("REMOVED", "old")
    monkeypatch.delenv("ADDED", raising=False)
    before = dict(os.environ)
    with env_override(KEPT="new", REMOVED=None, ADDED="new"):
        assert (os.environ["KEPT"], os.environ.get("REMOVED"), os.environ["ADDED"]) == ("new", None, "new")
    assert dict(os.environ) == before


def change_and_fail() -> None:
    with env_override(ADDED="1"):
        os.environ["BY_THE_BLOCK"] = "1"
        del os.environ["PATH"]
        _ = 1 / 0


def test_what_the_block_does_is_undone_after_errors_too() -> None:
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError):
        change_and_fail()
    assert dict(os.environ) == before
