"""The one plan of an update in Polars: how often it looks at each table, counted instead of timed."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.agreement.memory import memory_store
from tests.factory import define, ids, rows
from tests.stores import delta_store

from metaxy.columns import METAXY_MATERIALIZATION_ID, METAXY_PROVENANCE, METAXY_UPDATED_AT
from metaxy.registry import FeatureGraph
from metaxy.store.store import MetadataStore
from metaxy.versioning import polars as plan

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

    def watched(frame: pl.DataFrame, id_columns: Sequence[str]) -> pl.DataFrame:
        looked.append(len(frame))
        return keep_latest(frame, id_columns)

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

    def watched(frame: pl.DataFrame, id_columns: Sequence[str]) -> pl.DataFrame:
        if METAXY_MATERIALIZATION_ID in frame.columns:  # a payload that only stored rows show
            seen.append(frame.height)
        return keep_latest(frame, id_columns)

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
