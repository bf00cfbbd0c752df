"""Latest rows on DuckDB: the form for deep histories picks the same rows as the one for shallow ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from tests.golden.features import stored_definition
from tests.stores import duckdb_store

from metaxy.dag.graph import FeatureGraph
from metaxy.ext.duckdb.connection import DEEP_ROWS
from metaxy.ext.duckdb.dialect import DUCKDB
from metaxy.versioning.latest import pick
from metaxy.versioning.recipe import Latest
from metaxy.versioning.sources import Source

TIMES = (
    "NULL",
    "'-infinity'",
    "'1960-01-01'",
    "'1970-01-01'",
    "'2026-01-01'",
    "'2026-01-01 00:00:00.000001'",
    "'infinity'",
)
COLUMNS = ("id", "metaxy_deleted_at", "metaxy_updated_at", "metaxy_provenance")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a table with all pairs of times, in both orders, some of them with equally late rows."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t (id VARCHAR, metaxy_deleted_at TIMESTAMP, metaxy_updated_at TIMESTAMP, "
            "metaxy_provenance VARCHAR)"
        )
        for n, one in enumerate(TIMES):
            for m, other in enumerate(TIMES):
                for provenance, time in (("b", one), ("a", other), ("c", one)):
                    row = f"'{n}-{m}', NULL, {time}::TIMESTAMP, '{provenance}'"
                    connection.execute(f"INSERT INTO t VALUES ({row})")
        yield connection


@pytest.mark.parametrize("ids", [("id",), ("id", "metaxy_provenance"), ("metaxy_deleted_at",)])
def test_both_forms_pick_the_same_rows(connection: duckdb.DuckDBPyConnection, ids: tuple[str, ...]) -> None:
    def picked(*, deep: bool) -> list[tuple[Any, ...]]:
        source = Source("t", COLUMNS, row_id="rowid", deep=deep)
        ctes, rows = pick(source, Latest(ids, None), DUCKDB, "r")
        return connection.execute("WITH " + ",".join(ctes) + rows.select(["rowid"]) + " ORDER BY ALL").fetchall()

    assert picked(deep=True) == picked(deep=False) != []


@pytest.mark.parametrize("again", [True, False])
def test_a_large_table_is_deep_if_samples_were_written_again(tmp_path: Path, again: bool) -> None:
    graph = FeatureGraph()
    graph.add_feature_definition(stored_definition({"key": "video", "id_columns": ["id"], "fields": ["audio"]}))
    store = duckdb_store(tmp_path)
    rows, deep = DEEP_ROWS // 3, []
    with graph.use(), store.open("w"):
        for n in range(4):
            ids = [f"{i + (0 if again else n * rows)}" for i in range(rows)]
            versions = [{"audio": f"{n}"}] * rows
            store.write("video", pl.DataFrame({"id": ids, "metaxy_provenance_by_field": versions}))
            deep.append(store.connection.is_deep('"video"', ["id"]))  # type: ignore[attr-defined]  # of stores in databases only
        latest = store.read("video").collect().to_polars()["metaxy_provenance_by_field"].struct.field("audio")
    assert deep[:2] == [False, False]  # too small to matter
    assert deep[3] == again
    assert set(latest.value_counts().rows()) == ({("3", rows)} if again else {(f"{n}", rows) for n in range(4)})
