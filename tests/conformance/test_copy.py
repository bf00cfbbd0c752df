"""Copying: rows as they are, with their history, between stores of any kind, as often as one likes."""

import logging
from datetime import timedelta
from pathlib import Path

import duckdb
import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, rows, values, with_members
from tests.stores import STORES, StoreFactory

from metaxy import columns as c
from metaxy.config import MetaxyConfig
from metaxy.errors import DefinitionError, MetadataSchemaError
from metaxy.store import copying
from metaxy.store.store import MetadataStore

EVERY = (
    "id",
    "n",
    c.METAXY_FEATURE_VERSION,
    c.METAXY_PROJECT_VERSION,
    c.METAXY_PROVENANCE,
    c.METAXY_DATA_VERSION,
    c.METAXY_CREATED_AT,
    c.METAXY_UPDATED_AT,
    c.METAXY_DELETED_AT,
    c.METAXY_MATERIALIZATION_ID,
)
NEXT = [{"key": "default", "code_version": "2"}]


@pytest.fixture
def source(tmp_path: Path) -> MetadataStore:
    """A closed store: a was rewritten and x exists in the older version only; d is deleted."""
    store = STORES["duckdb"](tmp_path, name="source")
    with store.open("w"):
        define("video")
        store.write("video", rows("1", id=["a", "x", "d"], n=[1, 1, 1]), materialization_id="run-1")
        store.write("video", rows("2", id=["a"], n=[2]), materialization_id="run-2")
        define("video", fields=NEXT)
        store.write("video", rows("3", id=["a", "d"], n=[3, 3]), materialization_id="run-3")
        store.delete("video", nw.col("id") == "d")
    return store


@pytest.fixture
def target(make: StoreFactory) -> MetadataStore:
    """A closed, empty store of any kind."""
    return make("target", materialization_id="copying")


def test_db03_all_rows_arrive_as_they_are(source: MetadataStore, target: MetadataStore) -> None:
    with source, target.open("w"):
        answer = target.copy_metadata(source, ["video"], with_sample_history=True)
        assert answer == {"features_copied": 1, "rows_copied": 7}
        assert values(everything(target, "video"), *EVERY) == values(everything(source, "video"), *EVERY)
        for version in (NEXT, ["default"]):
            define("video", fields=version)
            assert values(target.read("video"), "id", "n") == values(source.read("video"), "id", "n")


@pytest.mark.three_stores
def test_db03_each_version_keeps_its_latest_rows(source: MetadataStore, target: MetadataStore) -> None:
    with source, target.open("w"):
        target.copy_metadata(source, ["video"])
        assert values(target.read("video"), "id", "n") == [("a", 3)]
        define("video")
        assert values(target.read("video"), "id", "n") == [("a", 2), ("d", 1), ("x", 1)]


@pytest.mark.three_stores
def test_only_the_current_version_without_history(source: MetadataStore, target: MetadataStore) -> None:
    with source, target.open("w"):
        assert target.copy_metadata(source, ["video"], with_feature_history=False)["rows_copied"] == 2
        assert values(target.read("video")) == ["a"]
        assert values(target.read("video", include_soft_deleted=True)) == ["a", "d"]


@pytest.mark.parametrize("history", [True, False])
def test_copying_twice_adds_nothing(source: MetadataStore, target: MetadataStore, history: bool) -> None:
    with source, target.open("w"):
        first = target.copy_metadata(source, ["video"], with_sample_history=history)["rows_copied"]
        assert target.copy_metadata(source, ["video"], with_sample_history=history)["rows_copied"] == 0
        assert everything(target, "video").height == first


@pytest.mark.three_stores
def test_a_second_copy_brings_what_came_since(source: MetadataStore, target: MetadataStore) -> None:
    with target.open("w"):
        with source:
            target.copy_metadata(source, ["video"])
        with source.open("w"):
            source.write("video", rows("4", id=["b"], n=[4]))
            assert target.copy_metadata(source, ["video"])["rows_copied"] == 1
        assert values(target.read("video"), "id", "n") == [("a", 3), ("b", 4)]


def test_many_batches_make_one_table(
    source: MetadataStore, target: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "BATCH_ROWS", 2)
    with source, target.open("w"):
        assert target.copy_metadata(source, ["video"], with_sample_history=True)["rows_copied"] == 7
        assert values(everything(target, "video"), *EVERY) == values(everything(source, "video"), *EVERY)


@pytest.mark.three_stores
def test_filters_choose_rows(source: MetadataStore, target: MetadataStore) -> None:
    with source, target.open("w"):
        target.copy_metadata(source, ["video"], filters={"video": [nw.col("n") > 1]}, global_filters=[nw.col("n") < 3])
        assert values(everything(target, "video"), "id", "n") == [("a", 2)]
        with pytest.raises(DefinitionError, match="filters name audio, which is not copied; these are: video"):
            target.copy_metadata(source, ["video"], filters={"audio": [nw.col("n") > 1]})


@pytest.mark.three_stores
def test_features_of_the_project_are_copied_by_default(
    source: MetadataStore, target: MetadataStore, caplog: pytest.LogCaptureFixture
) -> None:
    define("audio")
    define("other", project="another")
    with source.open("w"):
        source.write("other", rows(id=["o"]))
    with MetaxyConfig(project="test").use(), source, target.open("w"), caplog.at_level(logging.WARNING):
        assert target.copy_metadata(source)["features_copied"] == 1
        assert not target.has_feature("other")
    assert "feature audio has no table" in caplog.text


@pytest.mark.parametrize("kind", ["delta", "the same"])
def test_fields_of_other_versions_are_kept(make: StoreFactory, tmp_path: Path, kind: str) -> None:
    define("video", fields=["sound", "picture"])
    near = STORES["delta"](tmp_path, name="source") if kind == "delta" else make("source")
    with near.open("w"):
        near.write("video", rows({"sound": "1", "picture": "2"}, id=["a"]))
    define("video", fields=["picture", "text"])
    with near.open("w"), make("target").open("w") as far:
        near.write("video", rows({"picture": "3", "text": "4"}, id=["b"]))
        far.copy_metadata(near, ["video"])
        stored = with_members(everything(far, "video"), "sound", "picture", "text")
        assert values(stored, "id", "picture", "sound", "text") == [("a", "2", "1", None), ("b", "3", None, "4")]
        assert not far.resolve_update("video", samples=rows({"picture": "3", "text": "4"}, id=["b"]))


@pytest.mark.three_stores
def test_rows_with_other_columns_extend_the_table(source: MetadataStore, target: MetadataStore) -> None:
    with source, target.open("w"):
        target.schema_evolution = "add"
        target.write("video", rows("9", id=["z"], m=["own"]))
        target.copy_metadata(source, ["video"], with_feature_history=False)
        assert values(target.read("video"), "id", "n", "m") == [("a", 3, None), ("z", None, "own")]


@pytest.mark.three_stores
def test_progress_is_shown(source: MetadataStore, target: MetadataStore, capsys: pytest.CaptureFixture[str]) -> None:
    with source, target.open("w"):
        target.copy_metadata(source, ["video"], progress=True)
    out, shown = capsys.readouterr()
    assert out == ""
    assert "video" in shown
    assert "5/5" in shown


@pytest.mark.three_stores
def test_both_stores_must_be_open(source: MetadataStore, target: MetadataStore) -> None:
    with source, pytest.raises(ValueError, match="closed"):
        target.copy_metadata(source)
    with target.open("w"), pytest.raises(ValueError, match="closed"):
        target.copy_metadata(source)
    with source, target, pytest.raises(ValueError, match="read"):
        target.copy_metadata(source)


@pytest.mark.three_stores
def test_what_was_copied_needs_no_update(source: MetadataStore, target: MetadataStore) -> None:
    define("clip", "video")
    with source.open("w"):
        source.write("clip", source.resolve_update("clip").new)
    with source, target.open("w"):
        target.copy_metadata(source, ["video", "clip"])
        assert not target.resolve_update("clip")
        assert everything(target, "clip")[c.METAXY_DELETED_AT].dtype == pl.Datetime("us", "UTC")


@pytest.mark.three_stores
def test_a_dry_run_counts_what_a_copy_would_append(source: MetadataStore, target: MetadataStore) -> None:
    with target.open("w"):
        pass  # an embedded database must exist before it is read
    with source, target:
        assert target.copy_metadata(source, ["video"], dry_run=True) == {"features_copied": 1, "rows_copied": 5}
        assert not target.has_feature("video")
    with source, target.open("w"):
        target.copy_metadata(source, ["video"], global_filters=[nw.col("id") == "x"])
        assert target.copy_metadata(source, ["video"], dry_run=True)["rows_copied"] == 4


def test_durations_of_duckdb_are_read_as_durations() -> None:
    """It hands them over as intervals, which Polars does not know."""
    rows_of_duckdb = nw.from_native(duckdb.sql("SELECT INTERVAL 1 SECOND AS length")).lazy()
    [batch] = copying.in_batches(rows_of_duckdb)
    assert values(batch, "length") == [timedelta(seconds=1)]


def test_types_that_a_store_lacks_are_refused_as_in_a_write(tmp_path: Path) -> None:
    """Before, the library of the store said so, in many lines."""
    define("video")
    source, target = STORES["duckdb"](tmp_path, name="source"), STORES["delta"](tmp_path, name="target")
    with source.open("w"), target.open("w"):
        source.write("video", rows("1", id=["a"], length=[timedelta(seconds=1)]))
        with pytest.raises(MetadataSchemaError, match="has no type for column 'length' of Duration") as refused:
            target.copy_metadata(source, ["video"])
        assert "\n" not in str(refused.value)
