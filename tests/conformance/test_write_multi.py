"""Writing several features at once: all frames are checked before any is stored; with transactions, all or none."""

from pathlib import Path

import narwhals as nw
import pytest
from deltalake import DeltaTable
from tests.factory import define, everything, rows, values
from tests.stores import delta_store, duckdb_store

from metaxy import columns as c
from metaxy.errors import MetadataSchemaError, StoreConnectionError, UnknownFeatureError
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.store import MetadataStore


@pytest.fixture(autouse=True)
def features() -> None:
    define("video")
    define("clip", "video")
    define("frame", "clip")


@pytest.mark.three_stores
def test_nothing_is_nothing(store: MetadataStore) -> None:
    store.write_multi({})
    assert not store.has_feature("video")


@pytest.mark.three_stores
def test_one_feature_under_two_names_is_refused(store: MetadataStore) -> None:
    with pytest.raises(ValueError, match="feature video is given twice"):
        store.write_multi({"video": rows(id=["a"]), ("video",): rows(id=["b"])})
    assert not store.has_feature("video")


@pytest.mark.three_stores
def test_an_unknown_feature_stops_all(store: MetadataStore) -> None:
    with pytest.raises(UnknownFeatureError, match="Did you mean 'video'"):
        store.write_multi({"video": rows(id=["a"]), "vidoe": rows(id=["a"])})
    assert not store.has_feature("video")


@pytest.mark.parametrize("bad", ["video", "clip", "frame"])
@pytest.mark.three_stores
def test_db26_a_bad_frame_stops_all(store: MetadataStore, bad: str) -> None:
    store.write("video", rows(id=["old"]))
    frames = {key: rows(id=["a"]) for key in ("video", "clip", "frame")}
    frames["clip"] = frames["frame"] = store.resolve_update("clip").new.to_native()
    with pytest.raises(MetadataSchemaError, match=f"feature {bad}: the frame lacks"):
        store.write_multi(frames | {bad: frames[bad].drop(c.METAXY_PROVENANCE_BY_FIELD)})
    assert values(everything(store, "video")) == ["old"]
    assert not store.has_feature("clip")
    assert not store.has_feature("frame")


def test_db26_a_failure_of_the_database_undoes_all(tmp_path: Path) -> None:
    with duckdb_store(tmp_path).open("w") as store:
        assert isinstance(store, DuckDBMetadataStore)
        store.write("video", rows(id=["a"]))
        new = store.resolve_update("clip").new
        store.connection.execute("ALTER TABLE video ALTER COLUMN id SET NOT NULL")
        store.connection.execute("CREATE UNIQUE INDEX only_once ON video (id)")
        with pytest.raises(MetadataSchemaError, match=r"(?i)duplicate key") as caught:
            store.write_multi({"clip": new, "video": rows(id=["b", "a"], path=["new", "column"])})
        assert "\n" not in str(caught.value)
        assert values(store.read("video")) == ["a"]
        assert "path" not in store.read("video").collect_schema()
        assert not store.has_feature("clip")
        store.write_multi({"clip": new, "video": rows(id=["b"])})
        assert values(store.read("video")) == ["a", "b"]


def test_db26_without_transactions_dependents_are_first(tmp_path: Path) -> None:
    """What a crash leaves behind is then found again: children without the new rows of their parents are orphaned."""
    with delta_store(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        new = store.resolve_update("clip").new
        store.write("clip", new)
        DeltaTable(tmp_path / "delta" / "clip.delta").alter.add_constraint({"only_a": "id = 'a'"})
        frames = store.resolve_update("frame").new
        with pytest.raises(StoreConnectionError, match=r"clip\.delta") as caught:
            store.write_multi({"video": rows(id=["b"]), "clip": new.with_columns(id=nw.lit("b")), "frame": frames})
        assert "\n" not in str(caught.value)
        assert values(store.read("frame")) == ["a"]
        assert values(store.read("clip")) == ["a"]
        assert values(store.read("video")) == ["a"]
