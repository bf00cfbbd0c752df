"""Filters with thousands of conditions or values select what short ones select, in reads, deletes and dependencies."""

from functools import reduce
from operator import and_, or_
from typing import Any

import narwhals as nw
from tests.factory import define, everything, ids, rows, values

from metaxy.store.store import MetadataStore

i, x, t = nw.col("id"), nw.col("x"), nw.col("t")
NAMES = [f"{n:03}" for n in range(40)]
NUMBERS = [None if n == 39 else n for n in range(40)]
ODD = ["'", "a,b", "a|b\tc", "\\", "\x1f", "é\x1e"]  # in texts and in lists of them


def some_rows() -> Any:
    return rows(id=NAMES, x=NUMBERS, t=[None if n == 39 else [*ODD, "x"][n % 7] for n in range(40)])


def one_of(numbers: range) -> nw.Expr:
    return reduce(or_, (x == n for n in numbers))


def pairs(count: int) -> str:
    return " OR ".join(f"(x = {n} AND id = '{n:03}')" for n in range(20, 20 + count))


def test_chains_of_conditions(store: MetadataStore) -> None:
    define("video")
    store.write("video", some_rows())
    texts = {
        " OR ".join(f"x = {n}" for n in range(20, 1_020)): NAMES[20:39],
        " AND ".join(f"x != {n}" for n in range(20, 2_020)): NAMES[:20],
        # What cannot be listed stays beside what can, and NULL is neither in a list nor out of it.
        "NOT (" + " OR ".join(f"x = {n} OR x > {n + 30}" for n in range(20, 120)) + ")": NAMES[:20],
        " OR ".join(f"x = {n} OR x = NULL OR id = '{n}'" for n in range(35, 200)): NAMES[35:],
        " OR ".join(f"t = '{n}' OR x = {n}.5 OR id = '{n:03}'" for n in range(30, 60)): NAMES[30:],
    }
    expressions: list[tuple[nw.Expr, list[str]]] = [
        (one_of(range(20, 10_020)), NAMES[20:39]),
        (~one_of(range(20, 1_020)), NAMES[:20]),
        (reduce(and_, (x != n for n in range(20, 2_020))), NAMES[:20]),
        (nw.any_horizontal(*(x == n for n in range(20, 40)), i == "001", ignore_nulls=True), ["001", *NAMES[20:39]]),
    ]
    for text, wanted in texts.items():
        assert values(store.read("video", filters=text)) == wanted
    for condition, wanted in expressions:
        assert values(store.read("video", filters=condition)) == wanted
    define("clip", {"feature": "video", "filters": [pairs(1_500), " OR ".join(f"x = {n}" for n in range(25, 10_025))]})
    assert ids(store.resolve_update("clip")) == (NAMES[25:39], [], [])
    store.delete("video", reduce(or_, ((x == n) & (i == f"{n:03}") for n in range(20, 320))))
    store.delete("video", one_of(range(10, 5_010)), soft=False)
    assert values(store.read("video")) == [*NAMES[:10], "039"]


def test_lists_of_values(store: MetadataStore) -> None:
    define("video")
    store.write("video", some_rows())
    texts, numbers = [f"{n:03}" for n in range(20, 100_020)], list(range(20, 1_020))
    many: list[tuple[nw.Expr, list[str]]] = [
        (i.is_in(texts), NAMES[20:]),
        (~i.is_in(texts[:1_000]), NAMES[:20]),
        (x.is_in(numbers), NAMES[20:39]),
        (~x.is_in([*numbers, 2**64, None]), NAMES[:20]),
        (x.is_in([n + 0.5 for n in numbers] + [3.0]), ["003"]),
        ((x + 1).is_in(numbers), NAMES[19:39]),
        (i.str.to_uppercase().is_in(texts[:1_000]), NAMES[20:]),
        (t.is_in([*ODD, *texts[:1_000]]), [name for n, name in enumerate(NAMES[:39]) if n % 7 < 6]),
        (~t.is_in([*ODD[:3], *texts[:1_000]]), [name for n, name in enumerate(NAMES[:39]) if n % 7 > 2]),
    ]
    for condition, wanted in many:
        assert values(store.read("video", filters=condition)) == wanted
    listed = ", ".join(f"'{text}'" for text in texts)
    define("clip", {"feature": "video", "filters": [f"id IN ({listed})"]})
    assert ids(store.resolve_update("clip")) == (NAMES[20:], [], [])
    store.delete("video", i.is_in(texts[5:1_000]))
    assert store.count_rows_to_delete("video", i.is_in(texts[:1_000]), soft=False) == 35
    store.delete("video", i.is_in(texts), soft=False)
    assert values(everything(store, "video")) == NAMES[:20]


def test_ids_of_several_columns(store: MetadataStore) -> None:
    define("frame", ids=("video", "n"))
    store.write("frame", rows(video=[*"aaabb", "c"], n=[1, 2, 3, 1, 2, 3], x=[None, *range(1, 6)], é=[*"uvwxyz"]))
    both = nw.struct("video", nw.col("n"))
    wanted = [{"video": "a", "n": 1}, {"video": "b", "n": 2}, {"video": "b", "n": 3}]
    others = [{"video": f"other{n}", "n": n} for n in range(200)]
    found = [("a", 1), ("b", 2)]
    rest = [("a", 2), ("a", 3), ("b", 1), ("c", 3)]
    for condition, selected in [
        (both.is_in(wanted), found),
        (both.is_in([*others, *wanted]), found),
        (~both.is_in(wanted), rest),
        (~both.is_in([]), sorted([*found, *rest])),
        (nw.struct("video", "n", "é").is_in([{**row, "é": "u"} for row in wanted]), [("a", 1)]),
        # A row without a value is none of the list, and so it is not in it.
        (~nw.struct("x", "n").is_in([{"x": 1, "n": 2}]), [("a", 1), ("a", 3), *rest[2:3], ("b", 2), ("c", 3)]),
    ]:
        assert values(store.read("frame", filters=condition), "video", "n") == selected
    store.delete("frame", both.is_in([*others, *wanted]), soft=False)
    assert values(store.read("frame"), "video", "n") == rest


def test_bounds_may_be_columns(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a", "b", "c"], low=["a", "c", "low"], high=["b", "d", "z"], t=["a", "a", "m"]))
    assert values(store.read("video", filters=t.is_between("low", nw.col("high")))) == ["a", "c"]
    assert values(store.read("video", filters=nw.coalesce("high", "low") == "d")) == ["b"]
