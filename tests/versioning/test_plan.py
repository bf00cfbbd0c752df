"""The one plan of an update in Polars: how often it looks at each table, counted instead of timed."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.agreement.memory import memory_store
from tests.factory import define, ids, rows
from tests.stores import delta_store

from metaxy.columns import METAXY_MATERIALIZATION_ID, METAXY_PROVENANCE, METAXY_UPDATED_AT
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.hashing import HashAlgorithm, HashSettings
from metaxy.store.store import MetadataStore
from metaxy.versioning import polars as plan
from metaxy.versioning import polars_comparison as comparison
from metaxy.versioning.recipe import Column, Current, Input, Latest, Recipe

STORES: dict[str, Callable[[Path], MetadataStore]] = {"memory": lambda _: memory_store(), "delta": delta_store}
LOOKS: dict[str, tuple[Callable[[MetadataStore], Any], int]] = {
    "eager": (lambda store: store.resolve_update("clip"), 1),
    "lazy, not collected": (lambda store: store.resolve_update("clip", lazy=True).to_polars(), 0),
    "lazy": (lambda store: store.resolve_update("clip", lazy=True).collect(), 1),
    "lazy, as Polars": (lambda store: store.resolve_update("clip", lazy=True).to_polars().collect(), 1),
}


@pytest.mark.parametrize("store_name", STORES)
@pytest.mark.parametrize("name", LOOKS)
def test_db08_the_latest_rows_of_each_table_are_chosen_once(
    name: str, store_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    keep_latest = plan.keep_latest

    def watched(frame: pl.DataFrame, *arguments: Sequence[str]) -> pl.DataFrame:
        looked.append(len(frame))
        return keep_latest(frame, *arguments)

    resolve, times = LOOKS[name]
    with FeatureGraph().use(), STORES[store_name](tmp_path).open("w") as store:
        define("video")
        define("clip", "video")
        store.write("video", rows(id=["a", "b"]))
        store.write("clip", store.resolve_update("clip").new)
        store.write("video", rows("2", id=["b"]))
        assert ids(store.resolve_update("clip")) == ([], ["b"], [])
        monkeypatch.setattr(plan, "keep_latest", watched)
        resolve(store)
    assert sorted(looked) == [2, 3][: 2 * times]


@pytest.mark.parametrize("store_name", STORES)
def test_the_feature_itself_is_read_without_payload_but_for_orphaned_samples(
    store_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    keep_latest = plan.keep_latest

    def watched(frame: pl.DataFrame, *arguments: Sequence[str]) -> pl.DataFrame:
        if METAXY_MATERIALIZATION_ID in frame.columns:  # a payload that only stored rows show
            seen.append(frame.height)
        return keep_latest(frame, *arguments)

    with FeatureGraph().use(), STORES[store_name](tmp_path).open("w") as store:
        define("video")
        define("clip", "video")
        store.write("video", rows(id=["a", "b", "c"]))
        store.write("clip", store.resolve_update("clip").new)
        monkeypatch.setattr(plan, "keep_latest", watched)
        assert ids(store.resolve_update("clip")) == ([], [], [])
        assert seen == []
        store.delete("video", nw.col("id") == "b")
        seen.clear()
        assert ids(store.resolve_update("clip")) == ([], [], ["b"])
        assert seen == [1]  # one row of three


def test_texts_are_compared_only_where_times_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_rows: list[int] = []
    sort = pl.DataFrame.sort

    def watched(frame: pl.DataFrame, *arguments: Any, **options: Any) -> pl.DataFrame:
        sorted_rows.append(frame.height)
        return sort(frame, *arguments, **options)

    monkeypatch.setattr(pl.DataFrame, "sort", watched)
    times = [datetime(2026, 1, day) for day in (1, 2, 2, 1, 2, 3)]
    frame = pl.DataFrame({"id": list("aabbbc"), METAXY_UPDATED_AT: times, METAXY_PROVENANCE: list("zaczba")})
    kept = plan.keep_latest(frame, ["id"])
    assert sorted(kept.select("id", METAXY_PROVENANCE).rows()) == [("a", "a"), ("b", "c"), ("c", "a")]
    assert sorted_rows == [3]  # of a and b, one row is the latest of a, and two of b are equally late


@pytest.mark.parametrize("hash_of", [0, None], ids=["all hashes equal", "as they are"])
def test_samples_whose_ids_have_equal_hashes_stay_apart(hash_of: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if hash_of is not None:
        monkeypatch.setattr(pl.DataFrame, "hash_rows", lambda frame: pl.repeat(0, frame.height, eager=True))
    times = [datetime(2026, 1, day) for day in (1, 2, 1, 1, 3)]
    frame = pl.DataFrame({"id": ["b", "a", None, "a", "c"], METAXY_UPDATED_AT: times})
    assert plan.keep_latest(frame, ["id"]).rows() == [frame.row(n) for n in (0, 1, 2, 4)]


def test_samples_that_stand_beside_each_other_and_agree_are_not_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[tuple[int, int]] = []
    join = pl.LazyFrame.join

    def watched(left: pl.LazyFrame, right: pl.LazyFrame, **options: Any) -> pl.LazyFrame:
        joined.append((left.collect().height, right.collect().height))
        return join(left, right, **options)

    with FeatureGraph().use(), delta_store(tmp_path).open("w") as store:
        define("video")
        define("audio")
        define("clip", "video", "audio")
        for root in ("video", "audio"):
            store.write(root, rows(id=[*"abcdef"]))
        store.write("clip", store.resolve_update("clip").new)
        for changed in ("ba", "e"):  # each time another file comes first
            store.write("video", rows(changed, id=[*changed]))
        monkeypatch.setattr(pl.LazyFrame, "join", watched)
        assert ids(store.resolve_update("clip")) == ([], ["a", "b", "e"], [])
        assert joined == [(3, 3)]  # not the parents, and three of six samples
        joined.clear()
        store.write("video", rows(id=["new"]))
        store.write("audio", rows(id=["new"]))
        assert ids(store.resolve_update("clip")) == (["new"], ["a", "b", "e"], [])
        assert joined == [(4, 3)]


TEXTS = st.tuples(st.sampled_from(["a", "b", "c", "d", None]), st.sampled_from(["1", "2", None]))
ONE_EACH = st.lists(TEXTS, unique_by=lambda row: row[0])
SEVERAL = st.lists(TEXTS, max_size=6)
Texts = list[tuple[str | None, str | None]]
IDS = (Column("id", "k0", "id"), Column("part", "k3", "part"))


def frame_of(texts: Texts, *names: str) -> pl.DataFrame:
    return pl.DataFrame(texts, dict.fromkeys(names, pl.String), orient="row")


def recipe_of(*inputs: Input, repeats: bool = False) -> Recipe:
    current = Current(Latest(("id",), None), (), ("id",))
    hashing = HashSettings(HashAlgorithm.XXHASH64, 8)
    return Recipe("x", inputs, (), ("k0",), (), hashing, current, repeats=repeats)


@given(ONE_EACH | SEVERAL, ONE_EACH, st.booleans())
@example([("a", "1"), ("a", "1")], [("a", "1")], False)
@example([("c", "1")], [("c", "1")], False)
def test_what_is_left_out_of_the_comparison_is_unchanged(left: Texts, right: Texts, stale: bool) -> None:
    expected = frame_of(left, "k0", "p").with_row_index("k1")
    high = pl.when(pl.col("c0") == "c").then(pl.lit("2")).otherwise("low")
    stored = frame_of(right, "c0", "low").with_columns(high=high, stale=pl.lit(stale) & (pl.col("c0") == "b"))
    recipe = recipe_of(repeats=expected["k0"].is_duplicated().any())
    shown = ["status", "k0", "k1", "p", "c0"]
    whole = comparison.compare(recipe, expected.lazy(), stored.lazy()).collect()
    quick = comparison.changed_rows(recipe, expected, stored)
    assert sorted(quick.select(shown).rows(), key=str) == sorted(whole.select(shown).rows(), key=str)


@given(ONE_EACH | SEVERAL, SEVERAL, st.sampled_from(["inner", "optional", "outer"]), st.booleans())
def test_parents_that_stand_beside_each_other_are_as_if_they_were_joined(
    left: Texts, right: Texts, how: str, same: bool
) -> None:
    first, second = frame_of(left, "k0", "k1"), frame_of(left if same else right, "k0", "k2")
    ids = 2 if second["k0"].is_duplicated().any() else 1
    latest = Latest(tuple(column.stored for column in IDS[:ids]), None)
    step = Input("x", latest, IDS[:ids], (), join=("k0",), optional=how != "inner", outer=how == "outer")
    recipe = recipe_of(Input("y", latest, IDS[:1], ()), step)
    whole = plan.join_lazily(recipe, [first.lazy(), second.lazy()]).collect()
    quick = plan.join_at_once(recipe, [first, second])
    assert sorted(quick.select("k0", "k1", "k2").rows(), key=str) == sorted(whole.rows(), key=str)


def test_groups_are_in_the_order_of_texts_where_a_storage_keeps_enums() -> None:
    """Databases and lakes keep an Enum as text: the same rows must have the same versions everywhere."""
    define("part", ids=["a", "n"])
    group = FeatureDep(feature="part", lineage=LineageRelationship.aggregation(on=["a"]))
    define("whole", group, ids=["a"])
    found = []
    for dtype in (pl.String(), pl.Enum(["b", "é", "a"])):
        with memory_store().open("w") as store:
            names = pl.Series(["a", "b", "é"], dtype=dtype)
            store.write("part", rows({"default": ["1", "2", "3"]}, a=["x"] * 3, n=names))
            found.append(store.resolve_update("whole").new[METAXY_PROVENANCE].to_list())
    assert found[0] == found[1]
