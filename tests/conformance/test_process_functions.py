"""Functions that change what they are given or gave before, and that raise what is hard to store."""

import asyncio
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.factory import define, rows, values

from metaxy.dag.graph import FeatureGraph
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.ext.sqlite import SQLiteMetadataStore
from metaxy.store.store import MetadataStore


def size(row: dict[str, Any]) -> dict[str, Any]:
    return {"size": 10 * row["n"]}


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


async def cancelled(row: dict[str, Any]) -> dict[str, Any]:
    if row["id"] == "b":
        raise asyncio.CancelledError
    return size(row)


async def exits_in_a_task(row: dict[str, Any]) -> dict[str, Any]:
    async def leave() -> None:
        raise SystemExit

    if row["id"] == "b":
        await asyncio.create_task(leave())
    return size(row)


@pytest.mark.three_stores
def test_whatever_a_function_raises_only_its_sample_fails(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a", "b", "c"], n=[1, 2, 3]))

    def raising(error: BaseException) -> Any:
        def fn(row: dict[str, Any]) -> dict[str, Any]:
            if row["id"] == "b":
                raise error
            return size(row)

        return fn

    said = "its message cannot be told: ValueError"
    cases = [(raising(Mute()), "Mute", said), (raising(OSError("no a\udcff")), "OSError", "no a\\udcff")]
    for fn, kind, message in [*cases, (cancelled, "CancelledError", ""), (exits_in_a_task, "SystemExit", "")]:
        report = store.process("clip", fn, timeout=60, progress=False)
        assert [(each.ids, each.error_type, each.message) for each in report.errors] == [({"id": "b"}, kind, message)]
        (kept,) = store.read_errors("clip").select("error_type", "error_message").rows()
        assert kept == (kind, message)
    assert values(store.read("clip"), "id", "size") == [("a", 10), ("c", 30)]


def changes_ids(row: dict[str, Any]) -> dict[str, Any]:
    row["id"], row["size"] = "b", 10 * row.pop("n")
    return row


def changes_frames(given: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([given.drop_in_place("id"), given.drop_in_place("n").alias("size") * 10])


def one_dict(given: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    out: dict[str, Any] = {}
    for row in given:
        out["size"] = row["n"] * 10
        yield out


def test_functions_may_change_what_they_are_given_and_what_they_gave() -> None:
    vector, table = np.zeros(1), pd.DataFrame({"id": [""], "size": [0.0]})
    failed: set[str] = set()

    def changes_rows(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sizes = [{"size": row.pop("n") * 10} for row in given]
        if not failed:
            failed.add("once")
            raise OSError
        return sizes

    def one_array(row: dict[str, Any]) -> dict[str, Any]:
        vector[0] = row["n"] * 10
        return {"size": vector}

    def frames_of_one_array(given: pl.DataFrame) -> Iterator[Any]:
        for part in given.iter_slices(1):
            vector[0] = part["n"].item() * 10
            yield pl.DataFrame({"id": part["id"], "size": vector})

    def one_table(given: pl.DataFrame) -> pd.DataFrame:
        table.loc[0] = [given["id"].item(), given["n"].item() * 10.0]
        return table

    cases: list[tuple[Any, int, Any]] = [
        (changes_rows, 3, [10, 20, 30]),
        (changes_frames, 3, [10, 20, 30]),
        (one_dict, 3, [10, 20, 30]),
        (one_array, 3, [[10], [20], [30]]),
        (frames_of_one_array, 3, [10, 20, 30]),
        (one_table, 1, [10, 20, 30]),
        (changes_ids, 3, [20]),
    ]
    for fn, batch, sizes in cases:
        with FeatureGraph().use(), DuckDBMetadataStore(":memory:", auto_create_tables=True).open("w") as store:
            define("video")
            define("clip", "video")
            store.write("video", rows(id=["a", "b", "c"], n=[1, 2, 3]))
            store.process("clip", fn, retries=1, batch_size=batch, progress=False)
            found = values(store.read("clip"), "size")
            assert found == sizes or found == [(each,) for each in sizes], fn


@pytest.mark.parametrize("kind", [DuckDBMetadataStore, SQLiteMetadataStore])
def test_a_function_that_changes_the_working_directory_writes_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    def moves(row: dict[str, Any]) -> dict[str, Any]:
        os.chdir(tmp_path / "elsewhere")
        return size(row)

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    define("video")
    define("clip", "video")
    store = kind("here.db", auto_create_tables=True)
    with store.open("w"):
        store.write("video", rows(id=["a"], n=[1]))
    assert store.process("clip", moves, progress=False).in_sync
    assert not list((tmp_path / "elsewhere").iterdir())
    assert "database=here.db" in repr(store)
    with kind(tmp_path / "here.db") as same:
        assert values(same.read("clip"), "id", "size") == [("a", 10)]


@pytest.mark.parametrize("ids", [[math.nan], [1.0, math.nan, 2.0]])
def test_samples_whose_id_is_nan_are_computed_and_fail_like_others(ids: list[float]) -> None:
    """Frames of one row are joined in another way than others."""
    feature = define("clip", ids=["n"])

    def fail(row: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(row["n"])

    with DuckDBMetadataStore(":memory:", auto_create_tables=True).open("w") as store:
        samples = rows({"default": "1"}, n=ids)
        kwargs: dict[str, Any] = {"samples": samples, "batch_size": 1, "progress": False}
        assert store.process(feature, fail, rows="one", **kwargs).failed == len(ids)
        assert store.read_errors(feature)["n"].is_nan().sum() == 1
        for kind in ("one", "many", "frame"):
            samples = samples.with_columns(pl.struct(default=pl.lit(kind)).alias("metaxy_provenance_by_field"))
            kwargs["samples"] = samples
            report = store.process(feature, lambda given: given, rows=kind, **kwargs)
            assert (report.done, report.failed) == (len(ids), 0)
