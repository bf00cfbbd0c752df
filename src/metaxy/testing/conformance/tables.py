"""The life of a table: made, written, read, thinned out, dropped."""

import hashlib
import json
from datetime import date, datetime, timezone
from typing import Final

import narwhals as nw
import polars as pl
import pytest

from metaxy import columns as c
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.errors import FeatureNotFoundError
from metaxy.hashing import HashAlgorithm
from metaxy.store.store import MetadataStore
from metaxy.store.system.storage import SystemTableStorage
from metaxy.store.system.tables import FEATURE_VERSIONS_KEY, FEATURE_VERSIONS_SCHEMA
from metaxy.testing.conformance.case import StoreCase, StoreFactory
from metaxy.testing.conformance.factory import define, everything, fill, rows, values
from metaxy.versioning.frames import collect_to_polars

SOFT: Final = pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])
# What every store must keep; `columns.py` has what some may refuse.
VALUES: Final = {
    "text": ["naïve 'q\" ✓ \n"],
    "number": [2**62],
    "real": [0.1],
    "truth": [True],
    "bytes": [b"\x00\xff"],
    "day": [date(2020, 2, 29)],
    "moment": [datetime(2020, 1, 1, 12, tzinfo=timezone.utc)],
    "wall": [datetime(2020, 1, 1, 12, 0, 0, 123456)],
    "list": [[1, None, 3]],
    "struct": [{"a": 1, "b": {"c": "x"}}],
    "nothing": pl.Series([None], dtype=pl.Float64),
}


class Tables(StoreCase):
    """Each verb of a store does to its table what it says."""

    def test_all_system_columns_are_filled(self, make: StoreFactory, graph: FeatureGraph) -> None:
        version = hashlib.md5(b"y|x", usedforsecurity=False).hexdigest()[:16]  # fields are sorted
        define("video", fields=["b", "a"])
        before = datetime.now(timezone.utc)
        with make(hash_algorithm=HashAlgorithm.MD5).open("w") as store:
            store.write("video", rows({"b": "x", "a": "y"}, id=["1"], path=["p"]), materialization_id="run-7")
            [row] = collect_to_polars(store.read("video")).to_dicts()
        assert before <= row[c.METAXY_UPDATED_AT] <= datetime.now(timezone.utc)
        assert row == {
            "id": "1",
            "path": "p",
            c.METAXY_PROVENANCE_BY_FIELD: {"b": "x", "a": "y"},
            c.METAXY_PROVENANCE: version,
            c.METAXY_DATA_VERSION_BY_FIELD: {"b": "x", "a": "y"},
            c.METAXY_DATA_VERSION: version,
            c.METAXY_FEATURE_VERSION: graph.get_feature_version("video"),
            c.METAXY_PROJECT_VERSION: graph.get_project_version("test"),
            c.METAXY_CREATED_AT: row[c.METAXY_UPDATED_AT],
            c.METAXY_UPDATED_AT: row[c.METAXY_UPDATED_AT],
            c.METAXY_DELETED_AT: None,
            c.METAXY_MATERIALIZATION_ID: "run-7",
        }

    def test_an_empty_frame_creates_the_table(self, store: MetadataStore) -> None:
        define("video")
        store.write("video", rows(id=["a"], size=[1]).head(0))
        assert store.has_feature("video")
        assert values(store.read("video")) == []
        store.write("video", rows(id=["b"], size=[2]))
        assert values(store.read("video"), "id", "size") == [("b", 2)]

    def test_values_of_all_types_come_back(self, store: MetadataStore) -> None:
        define("video")
        frame = rows(id=["a"], **VALUES)
        store.write("video", frame)
        store.write("video", rows(id=["b"], **VALUES))
        read = collect_to_polars(store.read("video", filters=[nw.col("id") == "a"], columns=["id", *VALUES]))
        assert read.to_dicts() == frame.select("id", *VALUES).to_dicts()

    def test_the_last_of_different_rows_is_kept_if_asked(self, store: MetadataStore) -> None:
        define("video")
        frame = rows([str(n) for n in range(6)], id=["a", "b"] * 3, n=list(range(6)))
        store.write("video", frame, on_duplicate="last")
        assert values(store.read("video", with_sample_history=True), "id", "n") == [("a", 4), ("b", 5)]

    def test_each_feature_gets_its_rows_and_its_versions(self, store: MetadataStore, graph: FeatureGraph) -> None:
        define("video")
        define("clip", "video")
        store.write("video", rows(id=["a"]))
        clips = store.resolve_update("clip").new
        store.write_multi({"clip": clips, "video": rows(id=["b"])}, materialization_id="run-1")
        assert values(store.read("video"), "id", c.METAXY_MATERIALIZATION_ID) == [("a", None), ("b", "run-1")]
        assert values(store.read("clip"), "id", c.METAXY_MATERIALIZATION_ID, c.METAXY_FEATURE_VERSION) == [
            ("a", "run-1", graph.get_feature_version("clip"))
        ]

    def test_columns_come_in_the_order_that_was_asked_for(self, store: MetadataStore) -> None:
        define("video")
        store.write("video", rows(id=["a"], u=["u"], v=["v"]))
        wanted = ["v", c.METAXY_PROVENANCE_BY_FIELD, "id", c.METAXY_FEATURE_VERSION, "u"]
        assert store.read("video", columns=wanted).collect_schema().names() == wanted
        assert store.read("video").collect_schema().names() == everything(store, "video").columns

    def test_a_feature_without_a_table_is_not_found(self, store: MetadataStore) -> None:
        define("video")
        with pytest.raises(FeatureNotFoundError, match="feature video has no table in") as caught:
            store.read("video")
        assert [str(key) for key in caught.value.keys] == ["video"]
        assert not store.has_feature("video")
        assert store.find_store_for_feature("video") is None

    def test_a_soft_delete_only_adds_rows(self, store: MetadataStore) -> None:
        fill(store, "video")
        before = everything(store, "video")
        store.delete("video", nw.col("id").is_in(["a", "b"]))
        after = everything(store, "video")
        assert values(after.filter(pl.col(c.METAXY_DELETED_AT).is_null()), *before.columns) == values(
            before, *before.columns
        )
        assert values(after.filter(pl.col(c.METAXY_DELETED_AT).is_not_null())) == ["a", "b"]

    @SOFT
    def test_a_deleted_sample_that_is_written_again_is_back(self, store: MetadataStore, soft: bool) -> None:
        fill(store, "video")
        store.delete("video", nw.col("id") == "b", soft=soft)
        store.write("video", rows(id=["b"], n=[5]))
        assert values(store.read("video", filters=[nw.col("id") == "b"]), "n") == [5]

    def test_a_hard_delete_removes_rows_and_history(self, store: MetadataStore) -> None:
        fill(store, "video")
        store.delete("video", nw.col("id") == "b")
        store.delete("video", nw.col("id").is_in(["a", "b"]), soft=False)
        assert values(everything(store, "video")) == ["c", "d"]

    def test_a_dropped_feature_is_gone(self, store: MetadataStore) -> None:
        define("video")
        store.write("video", rows(id=["a"]))
        store.drop_feature_metadata("video")
        assert not store.has_feature("video")
        with pytest.raises(FeatureNotFoundError):
            store.read("video")
        store.drop_feature_metadata("video")
        store.write("video", rows(id=["b"]))
        assert values(store.read("video")) == ["b"]

    def test_a_push_records_all_features_of_the_project(self, store: MetadataStore, graph: FeatureGraph) -> None:
        define("video")
        define("crop", "video")
        define("theirs", project="other")
        result = SystemTableStorage(store).push_graph_snapshot(project="test")
        assert result == (graph.get_project_version("test"), False, [])
        recorded = everything(store, str(FEATURE_VERSIONS_KEY)).sort("feature_key")
        assert recorded.schema == FEATURE_VERSIONS_SCHEMA
        assert recorded["feature_key"].to_list() == ["crop", "video"]
        assert recorded["metaxy_feature_version"].to_list() == [
            graph.get_feature_version(key) for key in ("crop", "video")
        ]
        assert recorded["recorded_at"].n_unique() == 1
        assert recorded["deleted_at"].null_count() == 2
        assert json.loads(recorded["feature_spec"][0])["deps"][0]["feature"] == "video"

    def test_versions_may_be_maps(self, store: MetadataStore) -> None:
        """They are stored as text or structs where there are no maps, and seen as maps all the same."""
        table = define("video", fields=["x", "y/z"]).key
        define("clip", "video", fields=["x", "other"])
        versions = {"x": "1", "y_z": "2"}
        with MetaxyConfig(enable_map_datatype=True).use():
            store.write("video", rows(versions, id=["a"]))
            for column in c.BY_FIELD_COLUMNS:
                [(found,)] = collect_to_polars(store.read("video", columns=[column])).rows()
                assert dict(found) == versions
            schema = store.storage.scan(table).frame.collect_schema()
            form = "map" if store.storage.capabilities.has_map else store.storage.capabilities.by_field
            text = nw.String()
            stored = {"map": nw.Map(text, text), "json": text, "struct": nw.Struct({"x": text, "y_z": text})}[form]
            assert [schema[column] for column in c.BY_FIELD_COLUMNS] == [stored] * 2
            new = store.resolve_update("clip").new
            assert isinstance(new.schema[c.METAXY_DATA_VERSION_BY_FIELD], nw.Map)
            [(found,)] = new.select(c.METAXY_DATA_VERSION_BY_FIELD).rows()
            assert sorted(dict(found)) == ["other", "x"]
            store.write("clip", new)
        assert not store.resolve_update("clip")
