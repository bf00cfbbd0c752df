"""Lakes at places that are wrong, closed or broken: one line says so, without secrets, and nothing is damaged."""

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.factory import rows, values
from tests.services import guarded_s3, s3
from tests.stores import STORES

from metaxy.errors import MetadataStoreError, StoreConnectionError
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.iceberg import IcebergMetadataStore
from metaxy.ext.lancedb import LanceDBMetadataStore
from metaxy.store.store import MetadataStore

Make = Callable[[str, dict[str, str], Path], MetadataStore]


def delta(address: str, options: dict[str, str], _folder: Path) -> MetadataStore:
    return DeltaMetadataStore(address, storage_options=options)


def lancedb(address: str, options: dict[str, str], _folder: Path) -> MetadataStore:
    return LanceDBMetadataStore(address, storage_options=options)


def iceberg(address: str, options: dict[str, str], folder: Path) -> MetadataStore:
    """With a catalog that everybody may write to, so that only the bucket refuses."""
    catalog = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db"}
    return IcebergMetadataStore(address, catalog_properties=catalog | s3.iceberg_properties(options))


LAKES: dict[str, Make] = {"delta": delta, "lancedb": lancedb, "iceberg": iceberg}
FOLDERS = {"delta": "delta/video.delta", "lancedb": "lancedb/video.lance", "iceberg": "iceberg/metaxy/video"}
LOGS = {"delta": "_delta_log/*", "lancedb": "_versions/*", "iceberg": "metadata/*.metadata.json"}
DATA = {"delta": "metaxy_feature_version=*/*.parquet", "lancedb": "data/*", "iceberg": "data/**/*.parquet"}
# What can be read without the newest and without the oldest file of the log: Delta replays all of it, a version of
# Lance stands by itself, and so does one of Iceberg, but the catalog says which it is.
READABLE = {
    ("delta", "newest of the log"): ["a"],
    ("lancedb", "newest of the log"): ["a"],
    ("lancedb", "oldest of the log"): ["a", "b"],
    ("iceberg", "oldest of the log"): ["a", "b"],
}
lakes = pytest.mark.parametrize("name", LAKES)
in_buckets = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "delta")) for name in LAKES]
)


def complaint(do: Callable[[], Any], options: dict[str, str]) -> str:
    """Do what must fail, and return the message: one line without the secret."""
    with pytest.raises(StoreConnectionError) as caught:
        do()
    message = str(caught.value)
    assert "\n" not in message
    assert ".rs:" not in message
    assert options["AWS_SECRET_ACCESS_KEY"] not in message
    return message


WRONG = {
    "bucket": ({}, r"NoSuchBucket; create the bucket, or correct its name|Path does not exist"),
    "key": (
        {"AWS_ACCESS_KEY_ID": "AKIANOBODY"},
        r"InvalidAccessKeyId; correct the access key|ACCESS_DENIED.*; this needs a key",
    ),
    "secret": (
        {"AWS_SECRET_ACCESS_KEY": "guessed-secret"},
        r"SignatureDoesNotMatch; correct the secret key|ACCESS_DENIED.*; this needs a key",
    ),
}  # PyArrow, which opens tables of Iceberg, only asks for their heads, and answers to that say little


@in_buckets
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_address_or_key_is_named(name: str, wrong: str, tmp_path: Path) -> None:
    change, words = WRONG[wrong]
    bucket = guarded_s3.new_bucket()
    options = guarded_s3.options(guarded_s3.OWNER)
    with LAKES[name](f"s3://{bucket}/features", options, tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
    if wrong == "bucket":
        guarded_s3.remove_bucket(bucket)
    with LAKES[name](f"s3://{bucket}/features", options | change, tmp_path).open("w") as store:
        for verb in (partial(store.read, "video"), partial(store.write, "video", rows(id=["a"]))):
            message = complaint(verb, options | change)
            assert f"s3://{bucket}/features" in message
            assert re.search(words, message)


@in_buckets
def test_a_key_that_may_only_read_reads(name: str, tmp_path: Path) -> None:
    address = f"s3://{guarded_s3.new_bucket()}/features"
    owner, reader = (guarded_s3.options(who) for who in (guarded_s3.OWNER, guarded_s3.READER))
    with LAKES[name](address, owner, tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
    with LAKES[name](address, reader, tmp_path).open("w") as store:
        assert values(store.read("video")) == ["a"]
        for verb in (
            partial(store.write, "video", rows(id=["b"])),
            partial(store.write, "clip", store.resolve_update("clip").new),
            partial(store.delete, "video", everything=True),
            partial(store.delete, "video", everything=True, soft=False),
            partial(store.drop_feature_metadata, "video"),
        ):
            message = complaint(verb, reader)
            assert address in message
            assert "; this needs a key that has the permission" in message
    with LAKES[name](address, owner, tmp_path).open("w") as store:
        assert values(store.read("video")) == ["a"]
        assert not store.has_feature("clip")
        store.write("video", rows(id=["b"]))
        assert values(store.read("video")) == ["a", "b"]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files_of(name: str, part: str, folder: Path) -> list[Path]:
    """List the files of a table that make up a part of it."""
    log = sorted(folder.glob(LOGS[name]), reverse=name == "lancedb")  # names of Lance count down
    return {"data": [*folder.glob(DATA[name])], "newest of the log": log[-1:], "oldest of the log": log[:1]}[part]


parts = pytest.mark.parametrize("gone", ["data", "newest of the log", "oldest of the log"])


@lakes
@parts
def test_a_table_that_is_half_deleted(name: str, gone: str, tmp_path: Path) -> None:
    """What is left is not touched, whichever half it is, until someone removes it or restores the rest."""
    with STORES[name](tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        store.write("video", rows(id=["b"]))
        folder = tmp_path / FOLDERS[name]
        whole = contents(folder)
        lost = files_of(name, gone, folder)
        assert lost
        for path in lost:
            path.unlink()
        left = contents(folder)
        if (name, gone) in READABLE:
            assert values(store.read("video")) == READABLE[name, gone]
        else:
            with pytest.raises(Exception, match=r"video|parquet|lance"):
                values(store.read("video"))
            for verb in (partial(store.write, "video", rows(id=["c"])), partial(store.resolve_update, "clip")):
                with pytest.raises(Exception, match=r"video|parquet|lance") as caught:
                    verb()
                assert isinstance(caught.value, MetadataStoreError) or verb.func == store.resolve_update
        assert {path: data for path, data in contents(folder).items() if path in left} == left
        for path in lost:
            path.write_bytes(whole[path])
        assert values(store.read("video")) == ["a", "b"]


@lakes
@parts
def test_a_half_deleted_table_can_be_dropped(name: str, gone: str, tmp_path: Path) -> None:
    with STORES[name](tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        store.write("video", rows(id=["b"]))
        for path in files_of(name, gone, tmp_path / FOLDERS[name]):
            path.unlink()
        store.drop_feature_metadata("video")
        assert not store.has_feature("video")
        store.write("video", rows(id=["c"]))
        assert values(store.read("video")) == ["c"]


@lakes
def test_files_of_others_at_the_place_of_a_table_stay(name: str, tmp_path: Path) -> None:
    folder = tmp_path / FOLDERS[name]
    folder.mkdir(parents=True)
    rows(id=["theirs"]).write_parquet(folder / "theirs.parquet")
    theirs = contents(folder)
    with STORES[name](tmp_path).open("w") as store:
        assert not store.has_feature("video")
        store.write("video", rows(id=["a"]))
        store.optimize("video")
        assert values(store.read("video")) == ["a"]
    assert {path: data for path, data in contents(folder).items() if path in theirs} == theirs


@lakes
def test_the_table_of_another_format_is_not_overwritten(name: str, tmp_path: Path) -> None:
    other = next(lake for lake in LAKES if lake != name)
    with STORES[other](tmp_path).open("w") as store:
        store.write("video", rows(id=["theirs"]))
    shutil.copytree(tmp_path / FOLDERS[other], tmp_path / FOLDERS[name])
    theirs = contents(tmp_path / FOLDERS[name])
    with STORES[name](tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        assert values(store.read("video")) == ["a"]
    assert {path: data for path, data in contents(tmp_path / FOLDERS[name]).items() if path in theirs} == theirs


def test_the_guard_knows_its_users() -> None:
    """Or the tests above would prove nothing."""
    assert guarded_s3.options(guarded_s3.OWNER) != guarded_s3.options(guarded_s3.READER)
    assert guarded_s3.options(guarded_s3.OWNER)["AWS_ENDPOINT_URL"] != s3.endpoint()
