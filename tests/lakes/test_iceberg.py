"""What is special about Iceberg tables: catalogs, partitions, what is read of them, files that come and go."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.table import Table
from tests.factory import define, everything, ids, rows, values
from tests.services import s3

from metaxy import columns as c
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import (
    InvalidConfigError,
    MetadataSchemaError,
    StoreConnectionError,
    StoreNotOpenError,
)
from metaxy.ext.iceberg import IcebergMetadataStore, IcebergMetadataStoreConfig
from metaxy.ext.iceberg.rows import TYPES, sink_whole
from metaxy.ext.iceberg.storage import _forget
from metaxy.storage.column_casts import storable

VIDEO = FeatureKey("video")


def table(store: IcebergMetadataStore, key: str = "video") -> Table:
    return store.catalog.load_table(("metaxy", key))


def files(store: IcebergMetadataStore, key: str = "video") -> list[Path]:
    return [Path(task.file.file_path.removeprefix("file://")) for task in table(store, key).scan().plan_files()]


def code_version(key: str, version: str, *deps: str) -> None:
    """Define a feature anew, with this code version."""
    define(key, *deps, fields=[FieldSpec(key="default", code_version=version)])


# -- catalogs ----------------------------------------------------------------------------------------------------------


def test_the_catalog_is_a_database_beside_the_tables(tmp_path: Path) -> None:
    store = IcebergMetadataStore(tmp_path / "lake")
    with store:
        assert not store.has_feature("video")
    assert not (tmp_path / "lake").exists()  # reading creates nothing
    with store.open("w"):
        store.write("video", rows(id=["a"]))
        assert store.get_store_info("video")["identifier"] == "metaxy.video"
        assert store.catalog.list_tables("metaxy") == [("metaxy", "video")]
    assert (tmp_path / "lake" / "catalog.db").exists()
    with pytest.raises(StoreNotOpenError):
        store.catalog.list_namespaces()


def test_a_catalog_elsewhere_is_given_by_properties(tmp_path: Path) -> None:
    properties = {"type": "sql", "uri": f"sqlite:///{tmp_path}/elsewhere.db"}
    warehouse = (tmp_path / "lake").as_uri()
    store = IcebergMetadataStore(warehouse, namespace="team", catalog_name="prod", catalog_properties=properties)
    with store.open("w"):
        store.write("video", rows(id=["a"]))
        assert values(store.read("video")) == ["a"]
        assert store.get_store_info("video")["identifier"] == "team.video"
    assert (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "lake" / "catalog.db").exists()


def test_a_remote_warehouse_without_a_catalog_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match=r"s3://bucket/lake needs catalog_properties"):
        IcebergMetadataStore("s3://bucket/lake")


def test_a_catalog_that_does_not_answer_is_named_without_secrets(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/no/such/folder.db"
    properties = {"type": "sql", "uri": uri, "s3.secret-access-key": "not-to-be-shown"}
    store = IcebergMetadataStore("s3://bucket/lake", catalog_properties=properties)
    with pytest.raises(StoreConnectionError) as caught, store.open("w"):
        store.write("video", rows(id=["a"]))
    assert "s3://bucket/lake" in str(caught.value)
    assert "\n" not in str(caught.value)
    config = IcebergMetadataStoreConfig(warehouse="x", catalog_properties=properties)
    assert "not-to-be-shown" not in f"{store!r} {config!r} {caught.value}"


def test_a_catalog_of_garbage_is_named(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"\x00garbage\xff" * 2000)
    for mode in ("r", "w"):
        with (
            pytest.raises(StoreConnectionError, match="not a database") as caught,
            IcebergMetadataStore(tmp_path).open(mode),
        ):
            pass
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "catalog.db").read_bytes() == b"\x00garbage\xff" * 2000


# -- partitions --------------------------------------------------------------------------------------------------------


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["delete", "overwrite"])
def test_rows_written_while_a_table_is_rewritten_stay(tmp_path: Path, change: str) -> None:
    with IcebergMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["0"]))
        storage: Any = store.storage
        behind = table(store)
        rest = everything(store, "video").lazy()
        store.write("video", rows(id=["1"]))
        versions = values(store.read("video"), c.METAXY_FEATURE_VERSION)[:1] if change == "delete" else None
        with pytest.raises((CommitFailedException, ValidationException)):
            storage._replace(behind, rest, versions)
        assert values(store.read("video")) == ["0", "1"]


def test_a_state_that_ended_just_now_stays_however_old_it_is(tmp_path: Path) -> None:
    with IcebergMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        moment = datetime.now(timezone.utc)
        store.write("video", rows(id=["b"]))
        _forget(table(store), moment)
        assert len(table(store).snapshots()) == 2
        _forget(table(store), datetime.now(timezone.utc) + timedelta(seconds=1))
        assert len(table(store).snapshots()) == 1
        assert values(store.read("video")) == ["a", "b"]


def test_a_table_without_rows_yet_counts_as_absent(tmp_path: Path) -> None:
    """A writer was killed after it created the table, and before its rows were in."""
    with IcebergMetadataStore(tmp_path).open("w") as store:
        storage: Any = store.storage
        storage._create(VIDEO, pl.DataFrame({"id": ["a"]}).to_arrow().schema)
        assert not store.has_feature("video")
        store.write("video", rows(id=["a"], more=[1]))
        assert values(store.read("video"), "id", "more") == [("a", 1)]


def test_rows_whose_files_are_gone_are_reported(tmp_path: Path) -> None:
    with IcebergMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        for file in files(store):
            file.unlink()
        with pytest.raises(Exception, match="parquet"):
            values(store.read("video"))
        store.drop_feature_metadata("video")
        store.write("video", rows(id=["b"]))
        assert values(store.read("video")) == ["b"]


# -- types -------------------------------------------------------------------------------------------------------------


def test_nested_nulls_stay_null(tmp_path: Path) -> None:
    """PyIceberg's own writer turns them into empty lists."""
    structs = pl.Series("l", [[{"x": 1}], None, []], dtype=pl.List(pl.Struct({"x": pl.Int64})))
    with IcebergMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a", "b", "c"]).with_columns(structs))
        store.delete("video", nw.col("id") == "a", soft=False)  # rewrites the others
        assert values(store.read("video"), "id", "l") == [("b", None), ("c", [])]


def test_types_that_iceberg_does_not_have_are_widened_or_refused(tmp_path: Path) -> None:
    given = pl.LazyFrame(schema={"a": pl.Struct({"a": pl.Array(pl.UInt8, 2)})})
    stored = storable(given, TYPES, "video", "Iceberg").collect_schema()
    assert stored["a"] == pl.Struct({"a": pl.List(pl.Int32)})
    with IcebergMetadataStore(tmp_path).open("w") as store:
        small = pl.Series("small", [255], dtype=pl.UInt8)
        store.write("video", rows(id=["a"]).with_columns(small))
        assert values(store.read("video"), "small") == [255]
        large = pl.Series("large", [2**63], dtype=pl.UInt64)
        with pytest.raises(MetadataSchemaError, match="column 'large' is UInt64"):
            store.write("video", rows(id=["b"]).with_columns(large))
        assert values(store.read("video")) == ["a"]


# -- object stores -----------------------------------------------------------------------------------------------------


def on_s3(tmp_path: Path, bucket: str, **changed: str) -> IcebergMetadataStore:
    properties = {
        "type": "sql",
        "uri": f"sqlite:///{tmp_path}/catalog.db?timeout=60",
        **s3.iceberg_properties(),
        **changed,
    }
    return IcebergMetadataStore(f"s3://{bucket}/lake", catalog_properties=properties)


def use_every_verb(store: IcebergMetadataStore) -> None:
    """Write, update, delete, optimise and drop in a store that is open for writing; feature clip stays."""
    store.write("video", rows(id=["a", "b"]))
    store.write("video", rows(id=["c"], more=[1]))
    store.write("clip", store.resolve_update("clip").new)
    assert not store.resolve_update("clip")
    store.delete("video", nw.col("id").is_in(["a"]), soft=False)
    store.optimize("video", keep=timedelta(0))
    assert values(store.read("video"), "id", "more") == [("b", None), ("c", 1)]
    assert ids(store.resolve_update("clip")) == ([], [], ["a"])
    store.drop_feature_metadata("video")
    assert not store.has_feature("video")


def test_every_verb_works_on_a_bucket(tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    with on_s3(tmp_path, bucket).open("w") as store:
        use_every_verb(store)
    assert {name.split("/")[0] for name in s3.objects(bucket)} == {"lake"}


def test_a_missing_bucket_is_named_and_no_secret(tmp_path: Path) -> None:
    with on_s3(tmp_path, "no-such-bucket").open("w") as store:
        with pytest.raises(StoreConnectionError) as caught:
            store.write("video", rows(id=["a"]))
        message = str(caught.value)
        assert "no-such-bucket" in message
        assert "\n" not in message
        assert s3.CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in message
        assert not store.has_feature("video")


# -- broken sources ----------------------------------------------------------------------------------------------------


def test_rows_that_are_lost_on_their_way_are_not_committed_without(tmp_path: Path) -> None:
    """One time in twelve, Polars commits what it wrote before a source failed, and then says that it failed."""

    def fail(_rows: pl.DataFrame) -> pl.DataFrame:
        raise OSError("the disk is gone")

    store = IcebergMetadataStore(tmp_path)
    storage: Any = store.storage
    with store.open("w"):
        store.write("video", rows(id=["a", "b"]))
        kept = everything(store, "video")
        half = pl.concat([kept.lazy(), kept.lazy().map_batches(fail)])
        for _ in range(40):
            with pytest.raises((OSError, StoreConnectionError), match=r"disk is gone|only 2 of 4 rows"):
                sink_whole(half, table(store), 4, mode="overwrite")
        assert everything(store, "video").equals(kept)
        storage.optimize(VIDEO, timedelta(0))
        assert values(store.read("video")) == ["a", "b"]
