"""Where boxes and lines of pictures stand."""

import os
import random
import subprocess
import sys
from itertools import combinations, pairwise

import pytest

from metaxy.dag.layout import BOX_GAP, PART_GAP, Arc, Box, Layout, Route, lay_out


def graph(
    boxes: int, lines: int, seed: int, *, acyclic: bool = True
) -> tuple[dict[str, tuple[float, float]], list[Arc]]:
    """Make boxes of different sizes, and lines between places on them."""
    chance = random.Random(seed)
    sizes = {f"f{n}": (chance.uniform(40, 200), chance.uniform(20, 120)) for n in range(boxes)}
    arcs = []
    for _ in range(lines):
        ends = chance.sample(range(boxes), 2)
        source, target = sorted(ends) if acyclic else ends
        places = [chance.choice([None, 5.0, 15.0]) for _ in range(2)]
        arcs.append(Arc(f"f{source}", f"f{target}", *places))
    return sizes, arcs


def touches(route: Route, box: Box) -> bool:
    """Say whether a line comes into a box; a bend stays within the rectangle of its two points."""
    return any(
        min(a[0], b[0]) < box.x + box.width
        and max(a[0], b[0]) > box.x
        and min(a[1], b[1]) < box.y + box.height
        and max(a[1], b[1]) > box.y
        for a, b in pairwise(route.points)
    )


def overlap(one: Box, other: Box) -> bool:
    """Say whether two boxes overlap."""
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_nothing_is_in_the_way_of_anything(direction: str) -> None:
    for seed in range(12):
        sizes, arcs = graph(4 + 4 * seed, 7 * seed, seed, acyclic=seed % 3 > 0)
        layout = lay_out(sizes, arcs, direction)  # type: ignore[arg-type]  # one of both
        assert {key: (box.width, box.height) for key, box in layout.boxes.items()} == sizes
        assert not any(overlap(one, other) for one, other in combinations(layout.boxes.values(), 2))
        assert [route.arc for route in layout.routes] == list(dict.fromkeys(arcs))
        for route in layout.routes:
            others = [box for key, box in layout.boxes.items() if key not in route.arc[:2]]
            assert not any(touches(route, box) for box in others), (seed, route)
        corners = [(box.x + box.width, box.y + box.height) for box in layout.boxes.values()]
        corners += [(box.x, box.y) for box in layout.boxes.values()]
        corners += [point for route in layout.routes for point in route.points]
        assert all(-0.01 <= x <= layout.width + 0.01 and -0.01 <= y <= layout.height + 0.01 for x, y in corners)


def test_lines_start_and_end_where_they_should() -> None:
    for seed in range(6):
        sizes, arcs = graph(20, 30, seed)
        down, right = lay_out(sizes, arcs, "TB"), lay_out(sizes, arcs, "LR")
        for route in down.routes:
            source, target = down.boxes[route.arc.source], down.boxes[route.arc.target]
            leaves, enters = _places(route.arc, source.width, target.width)
            assert route.points[0] == pytest.approx((source.x + leaves, source.y + source.height))
            assert route.points[-1] == pytest.approx((target.x + enters, target.y))
        for route in right.routes:
            source, target = right.boxes[route.arc.source], right.boxes[route.arc.target]
            leaves, enters = _places(route.arc, source.height, target.height)
            assert route.points[0] == pytest.approx((source.x + source.width, source.y + leaves))
            assert route.points[-1] == pytest.approx((target.x, target.y + enters))


def _places(arc: Arc, source: float, target: float) -> tuple[float, float]:
    return (
        source / 2 if arc.leaves is None else arc.leaves,
        target / 2 if arc.enters is None else arc.enters,
    )


def small(*arcs: str) -> Layout:
    """Lay out boxes of one size, by the lines between them."""
    ends = [(arc[0], arc[1]) for arc in arcs]
    return lay_out(dict.fromkeys("abcdefgh", (100.0, 40.0)), [Arc(*each) for each in ends])


def test_dependencies_stand_above_and_lines_are_short() -> None:
    boxes = small("ab", "bc", "cd", "ed", "fe").boxes
    rows = sorted({box.y for key, box in boxes.items() if key in "abcdef"})
    assert {key: rows.index(boxes[key].y) for key in "abcdef"} == {"a": 0, "b": 1, "f": 1, "c": 2, "e": 2, "d": 3}


def test_a_long_line_is_straight_and_goes_around() -> None:
    layout = small("ab", "bc", "cd", "ad")
    long = layout.routes[-1]
    assert len({round(x, 3) for x, _ in long.points[2:-1]}) == 1
    assert not any(touches(long, layout.boxes[key]) for key in "bc")


def test_lines_from_one_place_are_one_until_they_part() -> None:
    layout = small("ab", "bc", "cd", "ad", "ac")
    one, other = layout.routes[-2:]
    assert one.points[:3] == other.points[:3] != one.points[:1]


def test_what_could_be_drawn_without_crossings_is() -> None:
    layout = small("ac", "bd", "ce", "df", "ag", "bh")
    where = {key: box.x for key, box in layout.boxes.items()}
    assert (where["a"] < where["b"]) == (where["c"] < where["d"]) == (where["e"] < where["f"])


def test_cycles_are_drawn_against_the_direction() -> None:
    layout = small("ab", "bc", "ca", "aa")
    assert [route.arc[:2] for route in layout.routes] == [("a", "b"), ("b", "c"), ("c", "a")]
    heights = {key: layout.boxes[key].y for key in "abc"}
    assert heights["a"] < heights["b"] < heights["c"]
    assert layout.routes[-1].points[0] == (layout.boxes["c"].x + 50, heights["c"])


def test_features_without_dependencies_stand_in_rows() -> None:
    layout = lay_out(dict.fromkeys(map(str, range(100)), (100.0, 40.0)), [])
    assert len({box.y for box in layout.boxes.values()}) > 8
    assert layout.width < 3 * layout.height
    assert {(box.x % (100 + BOX_GAP), box.y % (40 + PART_GAP)) for box in layout.boxes.values()} == {(0, 0)}


def test_chains_of_any_length_and_nothing_at_all() -> None:
    count = 3000
    sizes = {str(n): (10.0, 10.0) for n in range(count)}
    layout = lay_out(sizes, [Arc(str(n), str(n + 1)) for n in range(count - 1)])
    assert {box.x for box in layout.boxes.values()} == {0}
    assert lay_out({}, []) == Layout(0, 0, {}, ())


def test_the_picture_depends_on_nothing_but_its_input() -> None:
    code = (
        "from tests.dag.test_layout import graph, lay_out\n"
        "layout = lay_out(*graph(60, 90, 5))\n"
        "print(sorted(layout.boxes.items()), layout.routes)"
    )
    shown = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(shown) == 1
