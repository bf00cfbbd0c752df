"""Rows that live in a database stay there: what reaches the client are counts, and the samples that changed."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import narwhals as nw
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.stores import STORES, StoreFactory

from metaxy import columns as c
from metaxy.ext.ibis.connection import IbisConnection
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.versioning import frames
from metaxy.versioning.sql_engine import SqlEngine

MANY = 200
LAKES = {"delta", "iceberg", "lancedb"}  # Polars computes on their files
DATABASES = [name for name in STORES if name not in LAKES]
# Stores of one lake have a DuckDB database each, between which rows are copied by the client.
NEIGHBOURS = [name for name in DATABASES if name != "ducklake"]


class Watch:
    """Counts the rows of each answer, wherever code asks for one; rows that are sent to the database fail the test."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.received: list[int] = []
        collectors: dict[str, Callable[..., Any]] = {
            "collect_to_polars": frames.collect_to_polars,
            "collect_to_arrow": frames.collect_to_arrow,
        }
        for module in [module for name, module in sys.modules.items() if name.startswith("metaxy.")]:
            for name, collect in collectors.items():
                if vars(module).get(name) is collect:
                    patch.setattr(module, name, self._counting(collect))

    def on(self, store: MetadataStore) -> None:
        assert isinstance(store.engine, SqlEngine)
        database = store.engine.database
        self.patch.setattr(type(database), "fetch", self._counting(type(database).fetch), raising=True)
        self.patch.setattr(database, "load", lambda *_: pytest.fail("rows are sent to the database"), raising=True)
        if isinstance(database, IbisConnection):
            self.patch.setattr(database.bulk, "insert", lambda *_: pytest.fail("rows are sent to the database"))

    def _counting(self, collect: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            table = collect(*arguments, **options)
            self.received.append(len(table))
            return table

        return counted


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> StoreFactory:
    """Make a closed store in the one database of the test."""

    def database(**options: Any) -> MetadataStore:
        return STORES[request.param](tmp_path, **options)

    return database


@pytest.fixture
def store(database: StoreFactory) -> Iterator[MetadataStore]:
    """A store whose feature clip lacks a sample, has a stale and an orphaned one."""
    define("video")
    define("clip", "video")
    with database().open("w") as store:
        store.write("video", rows(id=range(MANY)))
        store.write("clip", store.resolve_update("clip").new)
        store.write("video", rows("2", id=[7, MANY]))
        store.delete("video", nw.col("id") == 0)
        yield store


def test_an_update_fetches_what_changed_and_a_write_of_its_views_nothing(store: MetadataStore, watch: Watch) -> None:
    watch.on(store)
    assert ids(store.resolve_update("clip")) == ([MANY], [7], [0])
    lazy = store.resolve_update("clip", lazy=True)
    store.write("clip", lazy.new)
    store.write("clip", lazy.stale)
    store.write("clip", store.read("clip"))
    assert max(watch.received) <= 4  # three samples, and the number of all
    assert len(values(store.read("clip"))) == MANY + 1


def test_deletions_rebases_and_counts_fetch_numbers_only(store: MetadataStore, watch: Watch) -> None:
    watch.on(store)
    status = get_feature_metadata_status("clip", store).status
    assert (status.store_row_count, status.missing_count, status.stale_count, status.orphaned_count) == (MANY, 1, 1, 1)
    assert store.count_rows_to_delete("clip", nw.col("id") < 50, soft=True) == 50
    store.delete("clip", nw.col("id") < 50)
    store.delete("clip", nw.col("id") >= 150, soft=False)
    store.write("clip", store.rebase("clip", store.read("clip")))
    assert max(watch.received) <= 5  # one number for each status, that of all expected and that of all stored
    assert set(values(store.read("clip"))) == set(range(50, 150))


@pytest.mark.parametrize("database", NEIGHBOURS, indirect=True)
def test_a_copy_inside_a_database_fetches_numbers_only(
    store: MetadataStore, database: StoreFactory, watch: Watch
) -> None:
    store.delete("clip", nw.col("id") == 3)
    with database(table_prefix="copy_").open("w") as target:
        watch.on(store)
        watch.on(target)
        assert target.copy_metadata(store, ["clip"])["rows_copied"] == MANY
        assert target.copy_metadata(store, ["clip"])["rows_copied"] == 0
        store.write("clip", store.resolve_update("clip", lazy=True).new)
        assert target.copy_metadata(store, ["clip"], filters={"clip": [nw.col("id") != 3]})["rows_copied"] == 1
        assert max(watch.received) == 1
        copied = [name for name in everything(target, "clip").columns if name not in c.BY_FIELD_COLUMNS]
        there = store.read("clip", filters=[nw.col("id") != 3])
        assert values(target.read("clip"), *copied) == values(there, *copied)
