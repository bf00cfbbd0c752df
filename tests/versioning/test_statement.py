"""The one statement of an eager update: what DuckDB plans to do for it, counted instead of timed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.golden.features import stored_definition

from metaxy.dag.graph import FeatureGraph
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.status import get_feature_metadata_status

FEATURES = (
    {"key": "video", "id_columns": ["id"], "fields": ["audio", "frames"]},
    {"key": "crop", "id_columns": ["id"], "deps": ["video"], "fields": ["audio", "frames"]},
)
PAYLOAD = {"path", "size"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBMetadataStore]:
    """Give a store in which one sample is new, one stale, one orphaned and one unchanged."""
    graph = FeatureGraph()
    for feature in FEATURES:
        graph.add_feature_definition(stored_definition(feature))
    store = DuckDBMetadataStore(tmp_path / "x.duckdb", auto_create_tables=True)
    with graph.use(), store.open("w"):
        store.write("video", samples("a", "b", "gone"))
        store.write("crop", store.resolve_update("crop").new)
        store.write("video", samples("b", "new", audio="changed"))
        store.delete("video", nw.col("id") == "gone")
        yield store


def samples(*ids: str, audio: str = "a") -> pl.DataFrame:
    versions = [{"audio": audio, "frames": "f"} for _ in ids]
    columns = {"id": ids, "path": ids, "size": range(len(ids)), "metaxy_provenance_by_field": versions}
    return pl.DataFrame({name: list(values) for name, values in columns.items()})


def statement_of(store: DuckDBMetadataStore, monkeypatch: pytest.MonkeyPatch, **asked: Any) -> tuple[str, Any]:
    """Return the statements that an eager update fetches: there must be one."""
    fetched: list[str] = []
    fetch = store.connection.fetch

    def watched(query: str, types: Any) -> Any:
        fetched.append(query)
        return fetch(query, types)

    monkeypatch.setattr(store.connection, "fetch", watched)
    increment = store.resolve_update("crop", **asked)
    assert len(fetched) == 1
    return fetched[0], increment


def operators(store: DuckDBMetadataStore, statement: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and details of each operator of the physical plan."""
    plan = store.connection.cursor.execute(f"EXPLAIN (FORMAT json) {statement}").fetchall()[0][1]
    waiting = json.loads(plan)
    while waiting:
        node = waiting.pop()
        waiting += node["children"]
        yield node["name"].strip(), node["extra_info"]


def test_it_finds_what_changed(store: DuckDBMetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _, increment = statement_of(store, monkeypatch)
    assert increment.counts == {"new": 1, "stale": 1, "orphaned": 1, "unchanged": 1}


def test_db08_each_field_and_sample_is_hashed_once(store: DuckDBMetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    statement, _ = statement_of(store, monkeypatch)
    assert statement.count("md5(") == 3  # two fields and the sample
    plan = [str(details) for _, details in operators(store, statement)]
    assert sum(text.count("md5(") for text in plan) <= 3  # and the plan writes none of them twice


def test_expected_rows_are_not_kept_to_be_counted(store: DuckDBMetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for kept in ("changed", None):  # compared, then with nothing to compare with
        statement, increment = statement_of(store, monkeypatch)
        assert increment.expected == 3
        plan = [details.get("CTE Name", "") for _, details in operators(store, statement)]
        assert "expected" not in plan
        assert kept is None or kept in plan
        store.drop_feature_metadata("crop")


def test_db08b_a_filter_on_ids_is_applied_where_tables_are_scanned(
    store: DuckDBMetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"global_filters": [nw.col("id") == "b"]}
    statement, increment = statement_of(store, monkeypatch, **asked)
    assert increment.counts == {"new": 0, "stale": 1, "orphaned": 0, "unchanged": 0}
    scans = [details for name, details in operators(store, statement) if name == "SEQ_SCAN"]
    assert scans
    assert all("id='b'" in str(details["Filters"]) for details in scans)


def test_db08b_the_payload_is_read_only_for_changed_samples(
    store: DuckDBMetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement, _ = statement_of(store, monkeypatch)
    scans = [details for name, details in operators(store, statement) if name == "SEQ_SCAN"]
    reads = [scan for scan in scans if PAYLOAD & set(scan.get("Projections", []))]
    assert len(scans) > len(reads) == 2  # once for new and stale samples, once for orphaned rows; both by row id


def test_only_samples_with_equally_late_rows_are_sorted(
    store: DuckDBMetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement, _ = statement_of(store, monkeypatch)
    sorted_rows = handled(store, statement, "WINDOW")
    assert sorted_rows
    assert sum(sorted_rows) == 0  # `b` was written twice, at two times


def test_earlier_rows_are_brought_in_order_only_where_a_sample_has_several(
    store: DuckDBMetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement, increment = statement_of(store, monkeypatch, previous=True)
    scans = [details for name, details in operators(store, statement) if name == "SEQ_SCAN"]
    assert sum(bool(PAYLOAD & set(scan.get("Projections", []))) for scan in scans) == 3  # of earlier rows once
    assert handled(store, statement, "STREAMING_WINDOW") == [0]  # which numbers the samples
    store.write("crop", increment.stale)
    store.write("video", samples("b", audio="changed again"))
    statement, _ = statement_of(store, monkeypatch, previous=True)
    assert handled(store, statement, "STREAMING_WINDOW") == [3]  # all that changed, as `b` has two rows by now


def handled(store: DuckDBMetadataStore, statement: str, operator: str) -> list[int]:
    """Run a statement, and return how many rows left each operator of a kind."""
    explained = store.connection.cursor.execute(f"EXPLAIN (ANALYZE, FORMAT json) {statement}").fetchall()[0][1]
    waiting, counts = [json.loads(explained)], []
    while waiting:
        node = waiting.pop()
        waiting += node["children"]
        if node.get("operator_type") == operator:
            counts.append(node["operator_cardinality"])
    return counts


def test_status_is_one_statement_that_looks_at_each_table_once(
    store: DuckDBMetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    scanned: list[str] = []
    watch(store.connection, "fetch", fetched, monkeypatch)
    watch(store.storage, "scan", scanned, monkeypatch)
    found = get_feature_metadata_status("crop", store).status
    assert (found.store_row_count, found.missing_count, found.stale_count, found.orphaned_count) == (3, 1, 1, 1)
    assert len(fetched) == 1
    # Whether there is a table of errors is looked up; there is none.
    assert sorted(scanned) == ["crop", "metaxy-system/row_errors", "video"]


def watch(part: Any, name: str, seen: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Note the first argument of each call of a method."""
    method = getattr(part, name)

    def watched(first: Any, *rest: Any) -> Any:
        seen.append(str(first))
        return method(first, *rest)

    monkeypatch.setattr(part, name, watched)
