"""Any database behind Ibis, and subclasses as they were written for metaxy 0.1."""

import importlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ibis
import narwhals as nw
import pytest
from tests.factory import define, ids, rows, values

from metaxy import columns as c
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import (
    InvalidConfigError,
    MetadataSchemaError,
    PolarsMaterializationWarning,
    StoreConnectionError,
    StoreLockedError,
    StoreNotOpenError,
)
from metaxy.ext.ibis import IbisMetadataStore
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection
from metaxy.ext.ibis.generic import generic
from metaxy.ext.sqlite import SQLiteMetadataStore
from metaxy.hashing import HashAlgorithm
from metaxy.testing.conformance import StorageConformance, StoreFactory
from metaxy.testing.conformance.columns import Columns
from metaxy.versioning.polars_engine import PolarsEngine


def _md5(text: str) -> str:
    return text  # the database has a function of this name


md5: Any = ibis.udf.scalar.builtin(_md5, name="md5")


class OldStore(IbisMetadataStore):
    """A store as users wrote it."""

    versioning_engine_cls = object

    def _create_hash_functions(self) -> dict[HashAlgorithm, Any]:
        return {HashAlgorithm.MD5: lambda text: md5(text).lower()}

    def _get_default_hash_algorithm(self) -> HashAlgorithm:
        return HashAlgorithm.MD5

    def get_table_name(self, key: FeatureKey) -> str:
        return f"old_{super().get_table_name(key)}"

    def transform_after_read(self, table: Any, key: FeatureKey) -> Any:
        return table.mutate(seen=ibis.literal(str(key)))

    def transform_before_write(self, df: Any, key: FeatureKey, table_name: str) -> Any:  # noqa: ARG002
        return df.drop("seen", strict=False).with_columns(nw.lit(table_name).alias("written_to"))


pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")  # of Ibis


@pytest.fixture
def duckdb_url(tmp_path: Path) -> str:
    return f"duckdb://{tmp_path}/a.duckdb"


def test_a_subclass_of_metaxy_0_1_still_works(duckdb_url: str) -> None:
    define("video")
    define("clip", "video")
    with OldStore(connection_string=duckdb_url, table_prefix="my_", auto_create_tables=True).open("w") as store:
        assert store.hash_algorithm == HashAlgorithm.MD5
        assert store.connection.dialect.hashes == {HashAlgorithm.MD5: "LOWER(MD5({0}))"}
        store.write("video", rows(id=["a", "b"]))
        store.write("clip", store.resolve_update("clip").new.drop("seen", "written_to"))
        assert {"old_my_clip", "old_my_video"} <= set(store.conn.list_tables())
        assert values(store.read("video"), "id", "seen", "written_to") == [
            ("a", "video", "old_my_video"),
            ("b", "video", "old_my_video"),
        ]
        assert not store.resolve_update("clip")
        native = values(store.resolve_update("clip", skip_comparison=True).new, c.METAXY_PROVENANCE)
        polars = store.resolve_update("clip", skip_comparison=True, versioning_engine="polars").new
        assert native == values(polars, c.METAXY_PROVENANCE)


@pytest.mark.parametrize(
    "path", ["metaxy.metadata_store", "metaxy.metadata_store.ibis", "metaxy.ext.ibis.metadata_store"]
)
def test_the_paths_of_metaxy_0_1_lead_here(path: str) -> None:
    assert importlib.import_module(path).IbisMetadataStore is IbisMetadataStore


def test_a_database_by_url_or_by_name(tmp_path: Path, duckdb_url: str) -> None:
    define("video")
    define("clip", "video")
    for store in (
        IbisMetadataStore(connection_string=duckdb_url, auto_create_tables=True),
        IbisMetadataStore(backend="sqlite", connection_params={"database": tmp_path / "b"}, auto_create_tables=True),
    ):
        with store.open("w"):
            store.write("video", rows(id=["a", "b"]))
            store.write("clip", store.resolve_update("clip", versioning_engine="native").new)
            store.write("video", rows("2", id=["a"]))
            assert ids(store.resolve_update("clip")) == ([], ["a"], [])
            assert store.native_implementation() == nw.Implementation.IBIS


class Unknown(IbisMetadataStore):
    """A database whose SQL nobody described: DuckDB, as if it were new."""

    def connection_to(self, address: Address) -> IbisConnection:
        return generic(address)


@pytest.mark.filterwarnings("ignore::metaxy.errors.PolarsMaterializationWarning")
class TestUnknown(StorageConformance, Columns):
    """What does not depend on SQL works, or is refused: maps, durations, huge integers, new members of structs."""

    @pytest.fixture
    def make_store(self) -> StoreFactory:
        return lambda folder, **options: Unknown(connection_string=f"duckdb://{folder}/unknown.duckdb", **options)


def test_a_database_without_a_dialect_keeps_rows_and_polars_computes(duckdb_url: str) -> None:
    define("video")
    define("clip", "video")
    store = Unknown(connection_string=duckdb_url, auto_create_tables=True)
    with ExitStack() as stack:
        with pytest.warns(PolarsMaterializationWarning, match="does not know the SQL of duckdb"):
            stack.enter_context(store.open("w"))  # only here: any other warning fails the test
        assert isinstance(store.engine, PolarsEngine)
        store.write("video", rows(id=["a", "b"]))
        store.write("clip", store.resolve_update("clip").new)
        store.write("video", rows("2", id=["a"]))
        assert ids(store.resolve_update("clip")) == ([], ["a"], [])
        assert ids(store.resolve_update("clip", ids=["b"])) == ([], [], [])
        for soft in (True, False):
            assert store.delete("clip", rows=store.read("video", ids=["b"]).select("id"), soft=soft).rows == 2 - soft


@pytest.mark.filterwarnings("ignore::metaxy.errors.PolarsMaterializationWarning")
@pytest.mark.filterwarnings("ignore::metaxy.errors.PolarsMaterializationWarning")
def test_structs_gain_members_where_the_sql_is_known(duckdb_url: str) -> None:
    define("video", fields=["x"])
    first = rows({"x": "1"}, id=["a"], boxes=[[{"w": 1}]])
    with IbisMetadataStore(connection_string=duckdb_url, auto_create_tables=True).open("w") as store:
        store.write("video", first)
        define("video", fields=["x", "y"])
        store.write("video", rows({"x": "1", "y": "2"}, id=["b"], boxes=[[{"h": "x", "w": 2}]]))
        store.write("video", store.read("video"))
        assert values(store.read("video"), "id", "boxes") == [("b", [{"w": 2, "h": "x"}])]
    refused = pytest.raises(
        MetadataSchemaError, match=r"lacks 'boxes\.element\.d', and .* cannot add members to structs"
    )
    with Unknown(connection_string=duckdb_url, auto_create_tables=True).open("w") as store, refused:
        store.write("video", rows({"x": "1", "y": "2"}, id=["c"], boxes=[[{"d": 1}]]))


@pytest.mark.filterwarnings("ignore::metaxy.errors.PolarsMaterializationWarning")
def test_what_runs_no_sql_is_refused_in_one_line() -> None:
    store = IbisMetadataStore(backend="polars")
    with pytest.raises(InvalidConfigError, match="'polars' of Ibis runs no SQL") as caught, store.open("w"):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::metaxy.errors.PolarsMaterializationWarning")
def test_what_cannot_be_reached_is_said_in_one_line(tmp_path: Path) -> None:
    for store, kind in (
        (IbisMetadataStore(backend="no_such_database"), InvalidConfigError),
        (SQLiteMetadataStore(tmp_path / "nowhere" / "a.sqlite"), StoreConnectionError),
    ):
        with pytest.raises((kind, StoreConnectionError)) as caught, store.open("w"):
            pass
        assert "\n" not in str(caught.value)
    with pytest.raises(InvalidConfigError, match="connection_string"):
        IbisMetadataStore()
    store = SQLiteMetadataStore(tmp_path / "a.sqlite")
    with pytest.raises(StoreNotOpenError):
        _ = store.conn
    assert store.sqlalchemy_url == f"sqlite:///{tmp_path / 'a.sqlite'}"


def test_twelve_parents_and_many_fields_do_not_overflow_the_parser_of_sqlite(tmp_path: Path) -> None:
    fields = [f"f{n}" for n in range(8)]
    parents = [f"p{n}" for n in range(12)]
    for parent in parents:
        define(parent, fields=fields)
    define("child", *parents, fields=fields)
    with SQLiteMetadataStore(tmp_path / "a.sqlite", auto_create_tables=True).open("w") as store:
        for parent in parents:
            store.write(parent, rows(dict.fromkeys(fields, "1"), id=["a", "b"]))
        store.write("child", store.resolve_update("child", versioning_engine="native").new)
        store.write("p7", rows(dict.fromkeys(fields, "2"), id=["b"]))
        filtered = store.resolve_update("child", global_filters=[nw.col("id") != "c"])
        assert ids(filtered) == ([], ["b"], [])


def test_a_sqlite_file_that_is_locked_for_too_long_is_named(tmp_path: Path) -> None:
    define("video")
    file = tmp_path / "a.sqlite"
    with (
        SQLiteMetadataStore(file, auto_create_tables=True).open("w") as first,
        SQLiteMetadataStore(file, auto_create_tables=True, lock_timeout=0.1).open("w") as second,
    ):
        with first.connection.session.transaction(), pytest.raises(StoreLockedError) as caught:
            second.write("video", rows(id=["a"]))
        assert "\n" not in str(caught.value)
        for word in (str(file), "0.1 s", "lock_timeout"):
            assert word in str(caught.value)
        assert not first.has_feature("video")
        second.write("video", rows(id=["b"]))
        assert values(first.read("video")) == ["b"]


def test_only_queries_that_nest_deeply_are_stored_first(tmp_path: Path) -> None:
    define("video")
    define("clip", "video")
    with SQLiteMetadataStore(tmp_path / "a.sqlite", auto_create_tables=True).open("w") as store:
        store.write("video", rows(id=["a", "b"]))
        store.write("clip", store.resolve_update("clip").new)
        before = store.read("clip", with_feature_history=True)
        define("clip", "video", fields=[{"key": "default", "code_version": "2"}])
        flat = store.rebase("clip", before)
        stored = "SELECT count(*) FROM sqlite_temp_master"
        assert store.connection.session.driver.execute(stored).fetchone() == (0,)
        for _ in range(8):
            before = before.filter(nw.col("id") > "").head(9)
        deep = store.rebase("clip", before)
        assert store.connection.session.driver.execute(stored).fetchone() == (1,)
        assert values(deep) == values(flat) == ["a", "b"]


def test_times_of_sqlite_are_microseconds(tmp_path: Path) -> None:
    define("video")
    with SQLiteMetadataStore(tmp_path / "a.sqlite", auto_create_tables=True).open("w") as store:
        store.write("video", rows(id=["a"]))
        [[kind, moment]] = store.connection.session.driver.execute(
            "SELECT typeof(metaxy_updated_at), metaxy_updated_at FROM video"
        ).fetchall()
        assert (kind, len(str(moment))) == ("integer", 16)
        year = store.read("video").select(year=nw.col(c.METAXY_UPDATED_AT).dt.year())
        assert values(year, "year") == [store.clock.now().year]
        assert values(store.read("video", filters=[nw.col(c.METAXY_UPDATED_AT) < store.clock.now()])) == ["a"]
