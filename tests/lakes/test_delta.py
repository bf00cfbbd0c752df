"""What is special about Delta tables: partitions, what is read of them, files that come and go."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, write_deltalake
from tests.factory import define, everything, rows, values
from tests.services import s3

from metaxy import columns as c
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.keys import FeatureKey
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


# -- files -------------------------------------------------------------------------------------------------------------


def test_rows_written_while_a_table_is_tidied_stay(tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store:
        for number in range(3):
            store.write("video", rows(id=[f"{number}"]))
        behind = table(store, "video")
        store.write("video", rows(id=["3"]))
        behind.optimize.compact()  # does not know of the last write
        store.optimize("video", keep=timedelta(0))
        assert values(store.read("video")) == ["0", "1", "2", "3"]


# -- object stores -----------------------------------------------------------------------------------------------------


def on_s3(bucket: str, **options: Any) -> DeltaMetadataStore:
    return DeltaMetadataStore(f"s3://{bucket}/features", storage_options=s3.options(), **options)


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
