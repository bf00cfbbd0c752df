"""What is special about Delta tables: partitions, what is read of them, files that come and go."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import narwhals as nw
import pytest
from deltalake import DeltaTable, write_deltalake
from tests.factory import define, everything, ids, rows, values
from tests.services import s3

from metaxy import columns as c
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import FeatureNotFoundError, StoreConnectionError
from metaxy.ext.delta import DeltaMetadataStore, DeltaMetadataStoreConfig
from metaxy.store.store import MetadataStore


def table(store: MetadataStore, key: str) -> DeltaTable:
    storage: Any = store.storage
    return DeltaTable(storage.uri(FeatureKey(key)), storage_options=storage.storage_options or None)


def code_version(key: str, version: str, *deps: str) -> None:
    """Define a feature anew, with this code version."""
    define(key, *deps, fields=[FieldSpec(key="default", code_version=version)])


# -- partitions --------------------------------------------------------------------------------------------------------


def test_new_tables_are_partitioned_by_feature_version(tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        code_version("video", "2")
        store.write("video", rows(id=["a"]))
        assert table(store, "video").metadata().partition_columns == [c.METAXY_FEATURE_VERSION]
        assert len(table(store, "video").file_uris()) == 2
        assert everything(store, "video").height == 2
        assert values(store.read("video")) == ["a"]


def test_the_user_may_choose_other_partitions(tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path, delta_write_options={"partition_by": ["day"]}).open("w") as store:
        for day in ("mon", "tue"):
            store.write("video", rows(id=[day], day=[day]))
        assert table(store, "video").metadata().partition_columns == ["day"]
        assert values(store.read("video"), "id", "day") == [("mon", "mon"), ("tue", "tue")]


def test_existing_tables_keep_their_partitions(tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        stored = everything(store, "video")
        store.drop_feature_metadata("video")
        write_deltalake(tmp_path / "video.delta", stored)  # as metaxy 0.1 does
        store.write("video", rows(id=["b"]))
        assert table(store, "video").metadata().partition_columns == []
        assert values(store.read("video")) == ["a", "b"]


def test_db30_files_of_other_versions_are_never_read(tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store:
        for version in ("1", "2", "3"):
            code_version("video", version)
            code_version("clip", version, "video")
            store.write("video", rows(id=["a", "b"]))
            store.write("clip", store.resolve_update("clip").new)
        code_version("video", "2")
        code_version("clip", "2", "video")
        for key in ("video", "clip"):
            stored = everything(store, key)
            assert stored[c.METAXY_FEATURE_VERSION].n_unique() == 3
            for file in table(store, key).file_uris():
                if stored.filter(id="a")[c.METAXY_FEATURE_VERSION][1] not in file:
                    Path(file).unlink()  # whoever reads it fails
    with DeltaMetadataStore(tmp_path).open("w") as store:
        seen = nw.col("metaxy_provenance").str.len_chars() > 0
        assert values(store.read("video", filters=[seen, nw.col("id") == "a"])) == ["a"]
        assert not store.resolve_update("clip")
        store.write("video", rows("2", id=["a"]))
        for lazy in (False, True):
            assert ids(store.resolve_update("clip", lazy=lazy, global_filters=[seen])) == ([], ["a"], [])
        store.delete("video", nw.col("id") == "b")
        assert ids(store.resolve_update("clip")) == ([], ["a"], ["b"])
        with pytest.raises(Exception, match="parquet"):
            values(store.read("video", with_feature_history=True))


# -- files -------------------------------------------------------------------------------------------------------------


def test_db30_small_files_are_merged_and_old_ones_removed(tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store:
        for number in range(8):
            store.write("video", rows(id=[f"{number}"]))
        before = everything(store, "video").sort("id")
        old = [Path(file) for file in table(store, "video").file_uris()]
        store.optimize("video")
        assert len(table(store, "video").file_uris()) == 1
        assert all(file.exists() for file in old)  # someone may still read them
        assert everything(store, "video").sort("id").equals(before)
        store.optimize("video", keep=timedelta(0))
        assert not any(file.exists() for file in old)
        assert everything(store, "video").sort("id").equals(before)
        with pytest.raises(FeatureNotFoundError):
            store.optimize("clip")
        with pytest.raises(ValueError, match="keep"):
            store.optimize("video", keep=timedelta(days=-1))


def test_rows_written_while_a_table_is_tidied_stay(tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store:
        for number in range(3):
            store.write("video", rows(id=[f"{number}"]))
        behind = table(store, "video")
        store.write("video", rows(id=["3"]))
        behind.optimize.compact()  # does not know of the last write
        store.optimize("video", keep=timedelta(0))
        assert values(store.read("video")) == ["0", "1", "2", "3"]


def test_a_dropped_table_leaves_nothing(tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        store.drop_feature_metadata("video")
        assert not store.has_feature("video")
        assert list(tmp_path.iterdir()) == []


# -- object stores -----------------------------------------------------------------------------------------------------


def on_s3(bucket: str, **options: Any) -> DeltaMetadataStore:
    return DeltaMetadataStore(f"s3://{bucket}/features", storage_options=s3.options(), **options)


def test_db19_a_dropped_table_is_absent_from_a_bucket() -> None:
    bucket = s3.new_bucket()
    with on_s3(bucket).open("w") as store:
        store.write("video", rows(id=["a"]))
        store.write("clip", store.resolve_update("clip").new)
        store.drop_feature_metadata("video")
        assert not store.has_feature("video")
        assert {name.split("/")[1] for name in s3.objects(bucket)} == {"clip.delta"}
        store.write("video", rows(id=["b"], other=[1]))
        assert values(store.read("video"), "id", "other") == [("b", 1)]


def test_a_missing_bucket_is_named_and_no_secret() -> None:
    with on_s3("no-such-bucket").open("w") as store:
        for verb in (lambda: store.read("video"), lambda: store.write("video", rows(id=["a"]))):
            with pytest.raises(StoreConnectionError) as caught:
                verb()
            message = str(caught.value)
            assert "s3://no-such-bucket/features/video.delta" in message
            assert "NoSuchBucket" in message
            assert "\n" not in message
            assert s3.CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in message


@pytest.mark.parametrize("scheme", ["s3", "s3a", "gs", "az", "abfss"])
def test_addresses_of_object_stores_are_accepted_and_options_never_shown(scheme: str) -> None:
    options = {"account_key": "c2VjcmV0", "service_account_key": "c2VjcmV0", "connect_timeout": "1s"}
    store = DeltaMetadataStore(f"{scheme}://place/features/", storage_options=options)
    assert store.display() == f"DeltaMetadataStore(path={scheme}://place/features)"
    with store:
        info = store.get_store_info("video")
    assert info["uri"] == f"{scheme}://place/features/video.delta"
    config = DeltaMetadataStoreConfig(root_path="x", storage_options=options)
    assert "c2VjcmV0" not in f"{store!r} {info} {store.storage!r} {config!r}"


def test_options_reach_the_object_store() -> None:
    bucket = s3.new_bucket()
    with on_s3(bucket, layout="flat").open("w") as store:
        store.write("video", rows(id=["a"]))
    assert {name.split("/")[:2] == ["features", "video.delta"] for name in s3.objects(bucket)} == {True}
