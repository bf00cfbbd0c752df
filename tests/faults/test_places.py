"""Files, folders and tables that are full, read-only, broken, gone or of someone else: one line says so."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.factory import everything, put, rows, values
from tests.faults.children import children, finish
from tests.stores import STORES, delta_store

from metaxy import columns as c
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import FeatureNotFoundError, MetadataSchemaError, MetadataStoreError, StoreConnectionError
from metaxy.store.store import MetadataStore

Make = Callable[..., MetadataStore]
VIDEO = FeatureKey("video")
# Stores that are files, and where: these tests fill, close, break and remove the places. Servers guard theirs.
PLACES = {
    "duckdb": "store.duckdb",
    "delta": "delta",
    "lancedb": "lancedb",
    "iceberg": "iceberg",
    "sqlite": "store.sqlite",
}
LEADING = (".duckdb", ".json", ".manifest", ".sqlite")  # files that lead to all others
on_disk = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("iceberg", "sqlite"))) for name in PLACES]
)


def complaint(do: Callable[[], Any], kind: type[Exception] = MetadataStoreError) -> str:
    """Do what must fail, and return the message: one line that is not too long to read."""
    with pytest.raises(kind) as caught:
        do()
    message = str(caught.value)
    assert "\n" not in message
    assert 20 < len(message) < 1000
    return message


def write_row(make: Make, sample: str) -> None:
    with make().open("w") as store:
        store.write("video", rows(id=[sample]))


def values_of_video(make: Make) -> list[Any]:
    with make() as store:
        return values(store.read("video"))


# -- full and read-only ------------------------------------------------------------------------------------------------

FULL = """
import random, resource, signal
from metaxy.errors import MetadataStoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
many = 200_000
try:
    with make().open("w") as store:
        store.write("video", rows(id=range(many), text=[random.randbytes(16).hex() for _ in range(many)]))
except MetadataStoreError as error:
    say(str(error))
"""


@on_disk
@pytest.mark.parametrize("limit", [2_000_000, 3_000_000])
def test_a_full_disk_is_named_and_nothing_is_half_written(make: Make, name: str, tmp_path: Path, limit: int) -> None:
    pytest.importorskip("resource")
    with make().open("w") as store:
        store.write("video", rows(id=[-1], text=["first"]))
    with children(1, FULL, name, tmp_path, limit) as [child]:
        said = finish(child)
    assert len(said) == 1, said
    assert str(tmp_path) in said[0]
    with make().open("w") as store:
        assert values(store.read("video")) == [-1]
        store.write("video", rows(id=[-2], text=["after"]))
        assert values(store.read("video")) == [-1, -2]


STRANGER = """
import os
from metaxy.errors import MetadataStoreError
for used in ("duckdb", sys.argv[1]):  # modules may be out of reach afterwards
    with STORES[used](Path(sys.argv[3])).open("w") as store:
        store.write("video", rows(id=["a"]))
        values(store.read("video"))
if os.getuid() == 0:  # who may do everything, and becomes nobody
    os.setgid(65534), os.setuid(65534)

def attempt(do):
    try:
        say("done", do())
    except MetadataStoreError as error:
        say(type(error).__name__, str(error))

def write():
    with make().open("w") as store:
        store.write("video", rows(id=["b"]))

def read():
    with make() as store:
        return values(store.read("video"))

attempt(write)
attempt(read)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that all users can reach, as those of pytest are private."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)
        for place in [Path(path), *Path(path).rglob("*")]:
            place.chmod(0o755)


def stranger(name: str, folder: Path, tmp_path: Path, of_folders: int, of_files: int) -> tuple[str, str]:
    """Write a row, set permissions, and return what another user hears who wants to write, and to read."""
    with STORES[name](folder).open("w") as store:
        store.write("video", rows(id=["a"]))
    (tmp_path / "other").mkdir()
    for place in [*folder.rglob("*"), folder]:
        place.chmod(of_folders if place.is_dir() else of_files)
    with children(1, STRANGER, name, folder, tmp_path / "other") as [child]:
        refused, read = finish(child)
    return refused, read


windows = pytest.mark.skipif(os.name == "nt", reason="folders of Windows have other permissions")


@on_disk
@windows
def test_a_folder_without_permission_is_read_but_not_written(name: str, folder: Path, tmp_path: Path) -> None:
    refused, read = stranger(name, folder, tmp_path, 0o555, 0o444)
    assert refused.startswith("StoreConnectionError"), refused
    assert str(folder) in refused
    assert read == "done ['a']"
    with STORES[name](folder) as store:
        assert values(store.read("video")) == ["a"]


@on_disk
@windows
def test_a_folder_that_may_not_be_entered_is_not_an_empty_one(name: str, folder: Path, tmp_path: Path) -> None:
    for heard in stranger(name, folder, tmp_path, 0o000, 0o000):
        assert heard.startswith("StoreConnectionError"), heard
        assert str(folder) in heard


# -- tables that change under an open store ----------------------------------------------------------------------------


def test_a_table_that_is_dropped_while_the_store_is_open(make: Make) -> None:
    with make().open("w") as store:
        store.write("video", rows(id=["a"], old=[1]))
        store.storage.drop(VIDEO)
        assert not store.has_feature("video")
        assert "video" in complaint(lambda: store.read("video"), FeatureNotFoundError)
        store.write("video", rows(id=["b"], new=[1]))
        assert values(store.read("video"), "id", "new") == [("b", 1)]


def test_a_table_that_is_dropped_before_its_rows_are_collected(make: Make) -> None:
    with make().open("w") as store:
        store.write("video", rows(id=["a"]))
        read = store.read("video")
        store.storage.drop(VIDEO)
        with pytest.raises(Exception, match=r"video|No such file"):
            read.collect()
        store.write("video", rows(id=["b"]))
        assert values(store.read("video")) == ["b"]


# -- broken and foreign ------------------------------------------------------------------------------------------------


@on_disk
def test_a_database_of_garbage(make: Make, name: str, tmp_path: Path) -> None:
    write_row(make, "a")
    for file in [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix in LEADING]:
        file.write_bytes(b"\x00garbage\xff" * 2000)
    assert str(tmp_path) in complaint(lambda: write_row(make, "b"), StoreConnectionError)
    assert str(tmp_path) in complaint(lambda: values_of_video(make), StoreConnectionError)


@on_disk
def test_a_file_where_a_folder_should_be(make: Make, name: str, tmp_path: Path) -> None:
    place = tmp_path / PLACES[name]
    if place.suffix:
        place.mkdir()  # a folder where a file should be
    else:
        place.write_text("a file")
    for do in (lambda: write_row(make, "a"), lambda: values_of_video(make)):
        assert str(tmp_path) in complaint(do, StoreConnectionError)


def test_a_table_whose_data_files_are_gone(tmp_path: Path) -> None:
    store = delta_store(tmp_path)
    with store.open("w"):
        store.write("video", rows(id=["a"]))
        for file in tmp_path.rglob("*.parquet"):
            file.unlink()
        said = complaint(lambda: store.write("video", rows(id=["b"])), StoreConnectionError)
        assert said.startswith("feature video: its table cannot be read")
        with pytest.raises(Exception, match="parquet"):
            values(store.read("video"))
        store.drop_feature_metadata("video")
        store.write("video", rows(id=["b"]))
        assert values(store.read("video")) == ["b"]


FOREIGN = {
    "no system columns": (pl.DataFrame({"id": ["z"], "price": [1.5]}), "it lacks metaxy_feature_version"),
    "system columns of other types": (
        pl.DataFrame(
            {
                "id": ["z"],
                c.METAXY_FEATURE_VERSION: ["1"],
                c.METAXY_PROVENANCE: ["1"],
                c.METAXY_PROVENANCE_BY_FIELD: ["1"],
                c.METAXY_UPDATED_AT: ["today"],
            }
        ),
        "its column metaxy_updated_at is String",
    ),
    "another type of ID": (pl.DataFrame({"id": [[1]]}), "it lacks metaxy_feature_version"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_table_of_someone_else_stays_as_it_is(make: Make, what: str) -> None:
    foreign, words = FOREIGN[what]
    with make(schema_evolution="add").open("w") as store:
        put(store, "video", foreign)
        verbs: list[Callable[[], Any]] = [
            lambda: store.write("video", rows(id=["a"])),
            lambda: store.read("video"),
            lambda: store.resolve_update("video", samples=rows(id=["a"])),
            lambda: store.resolve_update("clip"),
            lambda: store.delete("video", everything=True),
            lambda: store.delete("video", everything=True, soft=False),
        ]
        for verb in verbs:
            message = complaint(verb, MetadataSchemaError)
            assert message.startswith(f"feature video: its table in {store!r} is no feature table, {words}"), message
        assert store.has_feature("video")
        assert everything(store, "video").equals(foreign)


def test_unknown_columns_of_a_table_do_no_harm(make: Make) -> None:
    with make().open("w") as store:
        store.write("video", rows(id=["a"]))
        table = everything(store, "video")
        odd: dict[str, list[Any]] = {"metaxy_later": ["?"], "select": [1], "a 'b' c": [2.5], "Id ": [True]}
        put(store, "video", table.with_columns(pl.Series(key, value) for key, value in odd.items()))
        store.write("video", rows("2", id=["b"]))
        assert values(store.read("video"), "id", *odd) == [("a", "?", 1, 2.5, True), ("b", None, None, None, None)]
        increment = store.resolve_update("video", samples=rows(["1", "3"], id=["a", "b"]))
        assert (values(increment.new), values(increment.stale)) == ([], ["b"])
        store.delete("video", everything=True)
        assert values(store.read("video")) == []


def test_a_type_that_changes_is_refused(make: Make) -> None:
    with make().open("w") as store:
        store.write("video", rows(id=["a"], size=[1]))
        for wrong in (rows(id=["b"], size=["x"]), rows(id=[1], size=[1]), rows(id=["b"], size=[{"a": 1}])):
            assert "video" in complaint(partial(store.write, "video", wrong), MetadataSchemaError)
        assert values(store.read("video"), "id", "size") == [("a", 1)]


@on_disk
def test_a_store_whose_place_is_removed(make: Make, name: str, tmp_path: Path) -> None:
    write_row(make, "a")
    place = tmp_path / PLACES[name]
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()
    with make() as store:
        assert not store.has_feature("video")
    write_row(make, "b")
    with make() as store:
        assert values(store.read("video")) == ["b"]
