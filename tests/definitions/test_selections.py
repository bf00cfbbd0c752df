"""Feature selections and their algebra."""

import operator
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.selection import FeatureSelection
from metaxy.errors import DefinitionError

ALL = FeatureSelection(all=True)
NONE = FeatureSelection.none()
A, B, AB = (FeatureSelection(keys=list(keys)) for keys in ("a", "b", "ba"))
P, Q = (FeatureSelection(projects=[project]) for project in "pq")
PA = FeatureSelection(projects=["p"], keys=["a"])


@pytest.mark.parametrize(
    ("combine", "left", "right", "expected"),
    [
        (operator.or_, A, ALL, ALL),
        (operator.or_, B, A, FeatureSelection(keys=["a", "b"])),
        (operator.or_, P, A, PA),
        (operator.or_, A, NONE, A),
        (operator.and_, A, ALL, A),
        (operator.and_, ALL, A, A),
        (operator.and_, AB, A, A),
        (operator.and_, A, B, NONE),
        (operator.and_, PA, P, P),
        (operator.sub, AB, A, B),
        (operator.sub, A, A, NONE),
        (operator.sub, A, ALL, NONE),
        (operator.sub, ALL, ALL, NONE),
        (operator.sub, ALL, NONE, ALL),
        (operator.sub, PA, Q, PA),
    ],
)
def test_selections_combine(
    combine: Callable[[Any, Any], Any], left: FeatureSelection, right: FeatureSelection, expected: FeatureSelection
) -> None:
    assert combine(left, right) == expected
    assert combine(left, right).is_empty is (expected is NONE)


def test_all_but_some_cannot_be_written() -> None:
    with pytest.raises(DefinitionError, match="list those you want"):
        _ = ALL - A


@pytest.mark.parametrize(
    "given", [{}, {"all": False}, {"keys": "a"}, {"projects": "p"}, {"keys": ["A"]}, {"key": ["a"]}]
)
def test_a_bad_selection_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FeatureSelection(**given)


@pytest.mark.parametrize(
    ("selection", "included"), [(ALL, True), (NONE, False), (P, True), (Q, False), (A, True), (B, False), (Q | A, True)]
)
def test_a_selection_includes_by_project_or_key(selection: FeatureSelection, included: bool) -> None:
    assert selection.includes(FeatureKey("a"), "p") is included


def test_a_selection_is_plain_data() -> None:
    assert PA.model_dump(mode="json") == {"projects": ["p"], "keys": ["a"], "all": None}
    assert FeatureSelection.model_validate(PA.model_dump(mode="json")) == PA
