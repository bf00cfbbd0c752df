"""What code of metaxy 0.1 uses beside the documented names: it loads, and does what it did."""

import importlib
import re
from pathlib import Path
from typing import Any

import duckdb
import ibis.expr.datatypes as dt
import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows

import metaxy as mx
from metaxy.compat.definitions import FieldsMappingResolutionContext
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.plan import FeaturePlan
from metaxy.errors import (
    DefinitionWarning,
    ExternalFeatureVersionMismatchError,
    ExternalFeatureVersionMismatchWarning,
    IgnoredOptionWarning,
    StoreNotOpenError,
)
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.ext.ducklake.config import LocalStorageConfig, PostgresCatalogConfig, S3StorageConfig, SQLiteCatalogConfig
from metaxy.versioning.polars_engine import PolarsEngine
from metaxy.versioning.sql_engine import SqlEngine

SCHEMA = nw.Schema({"a": nw.Int64(), "b": nw.String()})


@pytest.fixture(autouse=True)
def graph() -> Any:
    with FeatureGraph().use() as graph, mx.MetaxyConfig().use():
        yield graph


@pytest.fixture
def store() -> DuckDBMetadataStore:
    return DuckDBMetadataStore(":memory:", config={"threads": "1"}, extensions=["json"], auto_create_tables=True)


def test_the_example_of_its_overview_loads() -> None:
    spec = mx.FeatureSpec(key="video/full", id_columns=["sample_uid"])
    with pytest.warns(DefinitionWarning, match="does not declare its ID column 'sample_uid'"):

        class Video(mx.BaseFeature, spec=spec):
            frames: int
            duration: float
            size: int

    assert mx.current_graph().get_feature_version(Video) == Video.feature_version()


@pytest.mark.parametrize("name", ["target_version", "project_version"])
def test_options_without_effect_only_warn(store: DuckDBMetadataStore, name: str) -> None:
    define("video")
    update: Any = store.resolve_update
    with store, pytest.warns(IgnoredOptionWarning, match=f"{name} of resolve_update has no effect") as warned:
        increment = update("video", samples=rows(id=["a"]), **{name: "1"})
    assert increment.counts["new"] == 1
    assert warned[0].filename == __file__
    with store, pytest.raises(TypeError, match=r"no option 'filter'. Did you mean 'filters'"):
        update("video", samples=rows(id=["a"]), filter=[])


def test_stores_of_duckdb_show_their_parts(store: DuckDBMetadataStore) -> None:
    old: Any = store
    assert old.get_table_name(mx.FeatureKey("video/raw-files")) == "video__raw_files"
    assert old.connection_params == {"database": ":memory:", "config": {"threads": "1"}}
    assert [extension.name for extension in old.extensions] == ["json"]
    assert old.ibis_type_to_polars(dt.Array(dt.uuid)) == pl.List(pl.String)
    with pytest.raises(StoreNotOpenError):
        _ = old.conn
    with store:
        assert isinstance(old.conn, duckdb.DuckDBPyConnection)
        assert old.conn.execute("SELECT 42").fetchone() == (42,)


def test_engines(store: DuckDBMetadataStore, tmp_path: Path) -> None:
    classes: list[Any] = [DuckDBMetadataStore, DeltaMetadataStore]
    assert [each.versioning_engine_cls for each in classes] == [SqlEngine, PolarsEngine]
    plan = plan_of("video", "a", "b")
    stores: list[Any] = [store, DeltaMetadataStore(tmp_path)]
    found = [
        type(entered(each.create_versioning_engine(plan, library)))
        for each in stores
        for library in (nw.Implementation.DUCKDB, nw.Implementation.POLARS)
    ]
    assert found == [SqlEngine, PolarsEngine, PolarsEngine, PolarsEngine]


def entered(block: Any) -> Any:
    with block as value:
        return value


def plan_of(key: str, *fields: str) -> FeaturePlan:
    define(key, fields=fields)
    return mx.current_graph().get_feature_plan(key)


def test_structs_are_hashed_as_a_write_hashes_them(store: DuckDBMetadataStore) -> None:
    plan = plan_of("video", "b", "a")
    versions = pl.Series([{"b": "1", "a": "x|y"}, {"b": "2", "a": None}])
    frame = rows({"b": "1", "a": "x|y"}, id=["1", "2"], versions=versions)
    old: Any = store
    with store.open("w"):
        store.write("video", frame.head(1).drop("versions"))
        expected = store.read("video").collect()["metaxy_provenance"][0]
        eager = old.hash_struct_version_column(plan, frame, "versions", "hash")
        assert eager.columns == [*frame.columns, "hash"]
        assert eager["hash"].to_list() == [expected, None]
        assert eager.drop("hash").equals(frame)
        lazy = nw.from_native(old.conn.from_arrow(frame.to_arrow()))
        hashed = old.hash_struct_version_column(plan, lazy, "versions", "hash")
        assert isinstance(hashed.to_native(), duckdb.DuckDBPyRelation)
        assert hashed.collect()["hash"].to_list() == [expected, None]


def test_fields_of_a_mapping() -> None:
    upstream = mx.FeatureSpec(key="video", id_columns=["id"], fields=["audio", "frames"])
    module: Any = importlib.import_module("metaxy.models.fields_mapping")
    assert module.FieldsMappingResolutionContext is FieldsMappingResolutionContext
    mapping: Any = mx.FieldsMapping.default()
    contexts = {name: module.FieldsMappingResolutionContext(field_key=name, upstream_feature=upstream) for name in "ab"}
    contexts["audio"] = module.FieldsMappingResolutionContext(field_key="audio", upstream_feature=upstream)
    both = {mx.FieldKey("audio"), mx.FieldKey("frames")}
    found = {name: mapping.resolve_field_deps(context) for name, context in contexts.items()}
    assert found == {"a": both, "b": both, "audio": {mx.FieldKey("audio")}}


def test_versions_of_an_external_feature() -> None:
    spec = mx.FeatureSpec(key="video", id_columns=["id"], fields=["a", "b"])
    given: Any = {"expected_version": "1", "actual_version": "2"}
    given |= {"expected_version_by_field": {"a": "x", "b": "y"}, "actual_version_by_field": {"a": "x", "b": "z"}}
    warns: Any = mx.FeatureDefinition.external(spec=spec, project="p")
    message = re.escape("external feature video: expected version 1, found 2 (b: expected y, found z)")
    with pytest.warns(ExternalFeatureVersionMismatchWarning, match=message) as warned:
        warns.check_version_mismatch(**given)
    assert warned[0].filename == __file__
    raises: Any = mx.FeatureDefinition.external(spec=spec, project="p", on_version_mismatch="error")
    with pytest.raises(ExternalFeatureVersionMismatchError, match=message):
        raises.check_version_mismatch(**given)
    raises.check_version_mismatch(**{**given, "actual_version": "1"})


def test_a_joiner_gets_the_plan() -> None:
    class Joiner:
        def join_upstream(self, **given: Any) -> Any:
            return given, {"video": "v"}

    define("video")
    parent = mx.FeatureDep(feature="video", rename={"x": "y"})

    class Crop(mx.BaseFeature, spec=mx.FeatureSpec(key="crop", id_columns=["id"], deps=[parent])):
        pass

    old: Any = Crop
    given, names = old.load_input(Joiner(), {"video": "frame"})
    assert names == {"video": "v"}
    assert given.pop("feature_plan").feature.key == mx.FeatureKey("crop")
    assert given == {
        "upstream_refs": {"video": "frame"},
        "feature_spec": Crop.spec(),
        "upstream_columns": {"video": None},
        "upstream_renames": {"video": {"x": "y"}},
    }


POSTGRES_SECRET = (
    "CREATE OR REPLACE SECRET \"s\" (TYPE postgres, HOST 'h', PORT 5432, DATABASE 'd', USER 'u', PASSWORD 'p');"
)
PARTS: list[tuple[Any, str, str]] = [
    (SQLiteCatalogConfig(uri="/a/it's.sqlite"), "", "METADATA_PATH '/a/it''s.sqlite'"),
    (
        PostgresCatalogConfig(secret_name="s", database="d", user="u", password="p", host="h"),
        POSTGRES_SECRET,
        "METADATA_PATH '', METADATA_PARAMETERS MAP {'TYPE': 'postgres', 'SECRET': 's'}",
    ),
    (LocalStorageConfig(path="/x"), "", "DATA_PATH '/x'"),
    (
        S3StorageConfig(bucket="b", prefix="p", secret_name="s", key_id="k", secret="q"),
        "CREATE OR REPLACE SECRET \"s\" (TYPE S3, KEY_ID 'k', SECRET 'q');",
        "DATA_PATH 's3://b/p/'",
    ),
]


def test_parts_of_a_lake() -> None:
    for config, secret, place in PARTS:
        assert config.sql_parts("lake") == (secret, place)


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "datafusion"])
def test_filters_as_sql(dialect: str) -> None:
    old: Any = importlib.import_module("metaxy.metadata_store.utils")
    both = [nw.col("a") > 1, nw.col("b") == "y'"]
    found = old.narwhals_expr_to_sql_predicate(both, SCHEMA, dialect=dialect)
    assert found == "\"a\" > 1 AND \"b\" = 'y'''"
    plain = old.narwhals_expr_to_sql_predicate(
        nw.col("a") > 1, SCHEMA, dialect=dialect, extra_transforms=old.unquote_identifiers()
    )
    assert plain == "a > 1"
    query = old.generate_sql(lambda frame: frame.filter(nw.col("a") > 1), SCHEMA, dialect=dialect)
    assert query.split()[:3] == ["SELECT", "*", "FROM"]
    with pytest.raises(ValueError, match="at least one filter"):
        old.narwhals_expr_to_sql_predicate([], SCHEMA, dialect=dialect)
    with pytest.raises(ValueError, match="no single condition"):
        old.narwhals_expr_to_sql_predicate(nw.col("a") > nw.col("a").mean(), SCHEMA, dialect=dialect)


def test_small_functions() -> None:
    old: Any = importlib.import_module("metaxy.metadata_store.utils")
    local = {"/a/b": True, "a/b": True, "file:///a": True, "~/x": True, "s3://x/y": False, "gs://q": False}
    assert {path: old.is_local_path(path) for path in local} == local
    assert old.sanitize_uri("postgresql://u:p@h:1/db") == "postgresql://***:***@h:1/db"
    assert old.sanitize_uri("s3://bucket/a") == "s3://bucket/a"
    empty = old.empty_frame_like(nw.from_native(pl.DataFrame({"a": [1]})))
    assert empty.schema == {"a": nw.Int64()}
    assert len(empty) == 0
    assert importlib.import_module("metaxy._version").__version__ == mx.__version__
