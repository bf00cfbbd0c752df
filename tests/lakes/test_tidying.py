"""Tables made of files: those who want it have their small files merged by writing, the others are advised once."""

import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.factory import everything, rows, values
from tests.stores import STORES

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import StoreConnectionError
from metaxy.store.store import MetadataStore

VIDEO = FeatureKey("video")
LAKES = ["delta", "iceberg", "lancedb", "ducklake"]


def pieces(store: MetadataStore) -> int:
    storage: Any = store.storage
    return int(storage.pieces(VIDEO, storage.scan(VIDEO)))


@pytest.mark.parametrize("name", LAKES)
def test_small_files_do_not_pile_up(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with STORES[name](tmp_path, auto_optimize=4).open("w") as store:
        store.write("video", rows(id=["a", "b"], n=[0, 0]))
        stored = everything(store, "video").with_columns(metaxy_feature_version=pl.lit("other"))
        store.write("video", stored, preserve_feature_version=True)
        store.optimize("video")
        assert pieces(store) == 0  # files of two versions are never merged
        found = []
        for number in range(9):
            store.write("video", rows(str(number), id=["a"], n=[number]))
            found.append(pieces(store))
        assert max(found) in (3, 4)
        assert found[:3] == [1, 2, 3]
        assert found[3:].count(1) >= 1
        assert values(store.read("video"), "id", "n") == [("a", 8), ("b", 0)]
        assert everything(store, "video").height == 13
    assert caplog.messages == []


@pytest.mark.parametrize("name", LAKES)
def test_who_does_not_merge_is_advised_once(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metaxy.store.tidiness.MANY", 2)
    with STORES[name](tmp_path).open("w") as store, caplog.at_level(logging.WARNING):
        for number in range(6):
            store.write("video", rows(id=[str(number)]))
        assert pieces(store) in (5, 6)
        (advice,) = caplog.messages
        assert advice.startswith(repr(store))
        assert "feature video is slow with its 2 small files: call `store.optimize`" in advice


def test_rows_are_stored_though_nothing_can_be_merged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = STORES["delta"](tmp_path, auto_optimize=1)
    tried = []

    def refuse(*_: Any) -> None:
        tried.append(1)
        raise StoreConnectionError("this key may not delete")

    monkeypatch.setattr(store.storage, "optimize", refuse)
    with store.open("w"):
        for number in range(4):
            store.write("video", rows(id=[str(number)]))
        assert values(store.read("video")) == ["0", "1", "2", "3"]
    assert len(tried) == 1
    (said,) = caplog.messages
    assert "has the new rows, but cannot be optimized: this key may not delete" in said


def test_databases_have_nothing_to_merge(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with STORES["duckdb"](tmp_path, auto_optimize=True).open("w") as store:
        for number in range(3):
            store.write("video", rows(id=[str(number)]))
        assert values(store.read("video")) == ["0", "1", "2"]
    assert caplog.messages == []
