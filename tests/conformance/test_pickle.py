"""Closed stores travel to other processes."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.factory import define, rows, values
from tests.stores import StoreFactory, duckdb_store

from metaxy.errors import MetadataStoreError
from metaxy.hashing import HashAlgorithm
from metaxy.store.store import MetadataStore


@pytest.fixture(autouse=True)
def video() -> None:
    define("video")


def copied(store: MetadataStore) -> Any:
    return pickle.loads(pickle.dumps(store))


def test_a_copy_has_the_same_tables(make: StoreFactory) -> None:
    store = make()
    with store.open("w"):
        store.write("video", rows(id=["a"]))
    copy = copied(store)
    with copy.open("w"):
        copy.write("video", rows(id=["b"]))
    with store, copied(copy) as third:
        assert values(store.read("video")) == values(third.read("video")) == ["a", "b"]


def test_a_copy_has_the_same_options(make: StoreFactory) -> None:
    options = {
        "name": "prod",
        "hash_algorithm": HashAlgorithm.SHA256,
        "versioning_engine": "polars",
        "materialization_id": "run-1",
        "schema_evolution": "strict",
        "auto_create_tables": False,
        "fallback_stores": [make("old", hash_algorithm=HashAlgorithm.SHA256)],
    }
    store = make(**options)
    copy = copied(store)
    assert type(copy) is type(store)
    assert repr(copy) == repr(store)
    for name in options.keys() - {"fallback_stores"}:
        assert getattr(copy, name) == getattr(store, name) == options[name]
    assert [repr(fallback) for fallback in copy.fallback_stores] == [repr(make("old"))]


def test_a_store_that_was_used_and_closed_can_be_copied(make: StoreFactory) -> None:
    store = make()
    with store.open("w"), store:
        store.write("video", rows(id=["a"]))
    with store, copied(make()) as copy:
        assert values(copy.read("video")) == ["a"]


def test_an_open_store_is_refused(store: MetadataStore) -> None:
    with pytest.raises(MetadataStoreError, match="is open; close it before it is pickled"):
        pickle.dumps(store)


READ = """
import pickle, sys
store = pickle.load(sys.stdin.buffer)
with store:
    print(store.has_feature("video"), store.has_feature("clip"))
"""


def test_a_store_works_in_another_process(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    with store.open("w"):
        store.write("video", rows(id=["a"]))
    ran = subprocess.run([sys.executable, "-c", READ], input=pickle.dumps(store), capture_output=True, check=False)
    assert (ran.stdout.split(), ran.stderr) == ([b"True", b"False"], b"")


def test_a_relative_path_leads_to_the_same_tables_from_elsewhere(
    make_store: StoreFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers on the same machine may run in another folder."""
    for folder in ("here", "elsewhere"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    store = make_store(Path("here"))
    sent = pickle.dumps(store)
    with store.open("w"):
        store.write("video", rows(id=["a"]))
    monkeypatch.chdir("elsewhere")
    with pickle.loads(sent) as copy:
        assert values(copy.read("video")) == ["a"]
