"""Topological order and dependents."""

import random

import pytest
from tests.dag.definitions import graph_of, spec, user

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.keys import FeatureKey

DIAMOND = [user("a"), user("b", ["a"]), user("c", ["a"]), user("d", ["c", "b"]), user("x")]


def diamond(seed: int = 0) -> FeatureGraph:
    return graph_of(*random.Random(seed).sample(DIAMOND, len(DIAMOND)))


@pytest.mark.parametrize("seed", range(5))
def test_the_order_does_not_depend_on_registration(seed: int) -> None:
    assert [str(key) for key in diamond(seed).topological_sort_features()] == ["a", "b", "c", "d", "x"]


def test_some_features_are_sorted_by_all_dependencies_between_them() -> None:
    graph = graph_of(user("z"), user("m", ["z"]), user("a", ["m"]))
    assert [str(key) for key in graph.topological_sort_features(["a", "z", "z"])] == ["z", "a"]
    assert [str(key) for key in graph.topological_sort_features(["a", "z"], descending=True)] == ["a", "z"]
    assert graph.topological_sort_features([]) == []


def test_unknown_features_are_kept() -> None:
    assert diamond().topological_sort_features(["d", "nope", FeatureKey("a")]) == [
        FeatureKey(text) for text in ("a", "d", "nope")
    ]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ("a", ["b", "c", "d"]),
        (["a"], ["b", "c", "d"]),
        ([["a"]], ["b", "c", "d"]),
        (["a", "b"], ["c", "d"]),
        (FeatureKey("b"), ["d"]),
        (spec("b"), ["d"]),
        ([user("d"), "x"], []),
        (iter(["c"]), ["d"]),
        ("nope", []),
        ([], []),
    ],
)
def test_dependents_are_sorted_and_exclude_their_sources(sources: object, expected: list[str]) -> None:
    assert [str(key) for key in diamond().get_downstream_features(sources)] == expected  # type: ignore[arg-type]  # many kinds


def test_dependents_are_known_before_their_parent() -> None:
    assert [str(key) for key in graph_of(user("late", ["early"])).get_downstream_features("early")] == ["late"]
