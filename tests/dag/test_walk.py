"""Walks: order, cycles, depth."""

import pytest

from metaxy.dag.walk import dependencies_first, find_cycle

PARENTS = {"d": "bc", "c": "a", "b": "a", "a": "", "z": ""}


@pytest.mark.parametrize(
    ("starts", "expected"), [("d", "abcd"), ("cd", "acbd"), ("zc", "zac"), ("abcdz", "abcdz"), ("", "")]
)
def test_dependencies_come_first(starts: str, expected: str) -> None:
    assert "".join(dependencies_first(starts, PARENTS.__getitem__)) == expected


def test_a_walk_ends_in_a_circle() -> None:
    assert sorted(dependencies_first("a", {"a": "b", "b": "a"}.__getitem__)) == ["a", "b"]


@pytest.mark.parametrize(
    ("parents", "cycle"),
    [
        ({"a": "a"}, "aa"),
        ({"a": "b", "b": "a"}, "aba"),
        ({"a": "xb", "x": "y", "y": "", "b": "xc", "c": "a"}, "abca"),
        ({"a": "b", "b": "c", "c": "b"}, None),
        ({"a": ""}, None),
    ],
)
def test_a_cycle_is_found_only_through_its_start(parents: dict[str, str], cycle: str | None) -> None:
    found = find_cycle("a", parents.__getitem__)
    assert (found and "".join(found)) == cycle


def test_depth_is_no_limit() -> None:
    deep = 20_000
    assert dependencies_first([deep], lambda n: [n - 1] if n else [])[:3] == [0, 1, 2]
    assert len(find_cycle(0, lambda n: [(n + 1) % deep]) or []) == deep + 1
