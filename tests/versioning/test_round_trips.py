"""How many statements a database is asked for a write and for an update, counted by who carries them out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from tests.golden.features import stored_definition
from tests.stores import duckdb_store, postgresql_store

from metaxy.dag.graph import FeatureGraph
from metaxy.store.store import MetadataStore

FEATURES = (
    {"key": "video", "id_columns": ["id"], "fields": ["audio", "frames"]},
    {"key": "sound", "id_columns": ["id"], "fields": ["left", "right"]},
    {"key": "crop", "id_columns": ["id"], "deps": ["video"], "fields": ["audio"]},
    {"key": "mixed", "id_columns": ["id"], "deps": ["video", "sound"], "fields": ["audio", "frames"]},
)
Counted = Callable[[], list[str]]


def samples(count: int, **fields: str) -> pl.DataFrame:
    versions = [{name: f"{value}{n}" for name, value in fields.items()} for n in range(count)]
    return pl.DataFrame({"id": [f"{n}" for n in range(count)], "metaxy_provenance_by_field": versions})


@contextmanager
def counted_by_duckdb(store: Any, _: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Let DuckDB keep a log of what it executes."""
    connection = store.connection.cursor
    connection.execute("CALL enable_logging('QueryLog', storage = 'memory')")
    yield lambda: [row[0] for row in connection.execute("SELECT message FROM duckdb_logs()").fetchall()][:-1]


@contextmanager
def counted_by_psycopg(_: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Note each statement that a cursor sends; BEGIN and COMMIT are not sent by one."""
    sent: list[str] = []

    def watched(send: Callable[..., Any]) -> Callable[..., Any]:
        def note(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
            sent.append(str(query))
            return send(self, query, *arguments, **options)

        return note

    for name in ("execute", "copy"):
        monkeypatch.setattr(psycopg.Cursor, name, watched(getattr(psycopg.Cursor, name)))
    yield lambda: list(sent)


def asked(store: MetadataStore, monkeypatch: pytest.MonkeyPatch, count: Any, act: Callable[[], Any]) -> list[str]:
    with monkeypatch.context() as patched, count(store, patched) as counted:
        before = len(counted())
        act()
        sent: list[str] = counted()[before:]
    return sent


@pytest.fixture
def graph() -> Iterator[FeatureGraph]:
    graph = FeatureGraph()
    for feature in FEATURES:
        graph.add_feature_definition(stored_definition(feature))
    with graph.use():
        yield graph


@pytest.mark.usefixtures("graph")
def test_duckdb_writes_rows_that_polars_checked_with_four_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = duckdb_store(tmp_path)
    with store.open("w"):
        store.write("video", samples(5, audio="a", frames="f"))
        for rows in (5, 500):
            written = samples(rows, audio="b", frames="f")
            statements = asked(store, monkeypatch, counted_by_duckdb, partial(store.write, "video", written))
            # What is left out reads no rows: the schema of a table, and this test itself.
            working = [text for text in statements if text and "LIMIT 0" not in text and "logging" not in text]
            starts = [text.split(maxsplit=1)[0] for text in working if "duckdb_logs" not in text]
            assert starts == ["SELECT", "BEGIN", "INSERT", "COMMIT"]  # first, whether a clock runs ahead


@pytest.mark.usefixtures("graph")
def test_duckdb_computes_a_lazy_increment_once_when_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = duckdb_store(tmp_path)
    with store.open("w"):
        store.write("video", samples(5, audio="a", frames="f"))
        for again in (False, True):
            new = store.resolve_update("crop", lazy=True).new
            statements = asked(store, monkeypatch, counted_by_duckdb, partial(store.write, "crop", new))
            computing = [text for text in statements if "expected AS" in text and "LIMIT 0" not in text]
            assert len(computing) == 1
            assert computing[0].startswith("CREATE TEMP TABLE")
            assert store.resolve_update("crop").counts == {"new": 0, "stale": 0, "orphaned": 0, "unchanged": 5}
            left = store.connection.cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE temporary").fetchone()
            assert left == (0,), again


@pytest.mark.usefixtures("graph")
def test_postgresql_is_asked_as_often_for_many_rows_as_for_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = postgresql_store(tmp_path)
    with store.open("w"):
        first = partial(store.write, "video", samples(5, audio="a", frames="f"))
        assert (
            len(asked(store, monkeypatch, counted_by_psycopg, first)) == 11
        )  # table, a look at it, two indexes, statistics
        for rows in (5, 500):
            again = partial(store.write, "video", samples(rows, audio="b", frames="f"))
            statements = asked(store, monkeypatch, counted_by_psycopg, again)
            assert len(statements) == 4  # twice the columns of the table, the latest time, the rows
            assert sum("FROM STDIN" in text for text in statements) == 1


@pytest.mark.usefixtures("graph")
@pytest.mark.parametrize(("feature", "tables", "hashes"), [("crop", 2, 2), ("mixed", 3, 3)])
def test_postgresql_resolves_with_one_statement_after_a_look_at_each_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, feature: str, tables: int, hashes: int
) -> None:
    store = postgresql_store(tmp_path)
    with store.open("w"):
        store.write("video", samples(50, audio="a", frames="f"))
        store.write("sound", samples(50, left="l", right="r"))
        store.write(feature, store.resolve_update(feature).new)
        resolve = partial(store.resolve_update, feature)
        *looks, statement = asked(store, monkeypatch, counted_by_psycopg, resolve)
        assert len(looks) == tables
        assert all("FROM pg_attribute" in look for look in looks)
        assert statement.count("md5(") == hashes  # each field once, and the sample


def test_a_statement_more_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = postgresql_store(tmp_path)
    with store.open("w"):

        def twice() -> None:
            for _ in range(2):
                store.connection.execute("SELECT 1")  # type: ignore[attr-defined]  # of stores in databases only

        assert len(asked(store, monkeypatch, counted_by_psycopg, twice)) == 2
