"""Each warning has a class of its own, so that a filter of Python can pick it."""

import ast
from collections.abc import Iterator

import pytest
from tests.architecture.tree import Module, modules

from metaxy import errors

CLASSES = {name for name in errors.__all__ if name.endswith("Warning")}


def calls_of_warn() -> Iterator[tuple[Module, ast.Call]]:
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warn_user":
                yield module, node


def test_a_warning_is_given_with_its_class() -> None:
    calls = [*calls_of_warn()]
    assert len(calls) > 5  # else this test looks for the wrong call
    # A name in small letters is a parameter: its callers choose between classes.
    given = [(module.at(call), ast.unparse(call.args[1]) if len(call.args) > 1 else "") for module, call in calls]
    assert not [at for at, name in given if name not in CLASSES and not (name.islower() and name.isidentifier())]


def test_all_warnings_blame_the_line_of_the_user() -> None:
    given = [node for module in modules() for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    assert not [each for each in given if ast.unparse(each.func) in ("warnings.warn", "warn") and len(each.args) > 1]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_no_class_of_warnings_is_bare(name: str) -> None:
    found = getattr(errors, name)
    assert issubclass(found, Warning)
    assert found.__doc__
    assert found.__module__ == "metaxy.errors"  # what `python -W error::metaxy.errors.X` names


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_each_class_of_warnings_is_given(name: str) -> None:
    assert [module.name for module in modules() if module.name != "metaxy.errors" and f" {name}" in module.text]
