"""Folders and buckets of any name: tables lie there and nowhere else, or the store refuses to be made."""

import json
import pickle
import shutil
import string
import struct
from base64 import b85encode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from deltalake import write_deltalake
from tests.factory import define, everything, rows, values
from tests.lakes.test_places import LAKES
from tests.services import s3
from tests.stores import STORES

from metaxy.errors import InvalidConfigError, StoreConnectionError
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.delta.scan import OpenTable, scan_table
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.ext.ibis import IbisMetadataStore
from metaxy.ext.iceberg import IcebergMetadataStore
from metaxy.ext.lancedb import LanceDBMetadataStore
from metaxy.ext.sqlite import SQLiteMetadataStore
from metaxy.store.batched_writer import BufferedMetadataWriter
from metaxy.store.store import MetadataStore

# What every store takes, many signs to a name; and what only some do.
NAMES = ['- it\'s 100% "ü" 日本語😀 a#b&c;d,e+f:g(*).. {a}${x}$HOME~ <@`t`>! s3: ', "x=1"]
ODDEST = ["a?b", "a%20b", "[x]|^", "back\\slash"]
CONTROL = ("new\nline", "tab\t")
REFUSED = {
    "duckdb": ["a?b"],
    "sqlite": [],
    "ducklake": ["back\\slash"],
    "delta": ["a%20b", "[x]|^", "back\\slash", *CONTROL],
    "lancedb": CONTROL,
    "iceberg": CONTROL,
}
REFUSED_IN_BUCKETS = {
    "delta": ["a%20b", "[x]|^", "back\\slash", "a?b", "a#b"],
    "lancedb": ["a%20b", "a?b", "a#b"],
    "iceberg": ["a?b", "a#b"],
}


def use(make: Callable[[], MetadataStore]) -> None:
    """Do what a pipeline does, in three sessions."""
    with make().open("w") as store:
        store.write("video", rows(id=["a", "b"], x=[1, 2]))
    with make().open("w") as store:
        store.write("clip", store.resolve_update("clip").new)
        store.write("video", rows("2", id=["b", "c"], x=[3, 4], nested=[{"n": 1}, {"n": 2}]))
        store.delete("video", nw.col("id") == "a")
        store.delete("video", nw.col("x") == 3, soft=False)
        store.optimize("video")
        increment = store.resolve_update("clip")
        assert (values(increment.new), values(increment.stale), values(increment.orphaned)) == (["c"], [], ["a"])
    with make().open("w") as store:
        assert values(store.read("video"), "id", "x") == [("b", 2), ("c", 4)]
        store.delete("video", everything=True, soft=False)
        assert everything(store, "video").is_empty()
        store.drop_feature_metadata("video")
        assert not store.has_feature("video")
        assert values(store.read("clip")) == ["a", "b"]


def glance(make: Callable[[], MetadataStore]) -> None:
    """Write in two sessions, and read."""
    for sample in ("a", "b"):
        with make().open("w") as store:
            store.write("video", rows(id=[sample]))
    with make() as store:
        assert values(store.read("video")) == ["a", "b"]


def test_home_is_the_same_for_all_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(work)
    define("video")
    more = {"database": "~/more.duckdb"}
    catalog = {"type": "sql", "uri": f"sqlite:///{home}/iceberg.sqlite"}

    def lake(kind: str, **options: Any) -> MetadataStore:
        catalog = {"type": kind, "uri": f"~/lake.{kind}"}
        parts = {"catalog": catalog, "storage": {"type": "local", "path": f"~/lake-of-{kind}"}}
        return DuckDBMetadataStore(":memory:", ducklake=parts, **options)

    makers: dict[str, Callable[..., MetadataStore]] = {
        "features.duckdb": partial(DuckDBMetadataStore, "~/features.duckdb"),
        "features.sqlite": partial(SQLiteMetadataStore, "~/features.sqlite"),
        "ibis.sqlite": partial(IbisMetadataStore, connection_string="sqlite:///~/ibis.sqlite"),
        "lake.duckdb": partial(lake, "duckdb"),
        "lake.sqlite": partial(lake, "sqlite"),
        "delta": partial(DeltaMetadataStore, "~/delta"),
        "lance": partial(LanceDBMetadataStore, "~/lance"),
        "iceberg": partial(IcebergMetadataStore, "~/iceberg"),
        "warehouse": partial(IcebergMetadataStore, "~/warehouse", catalog_properties=catalog),
    }
    for name, make in makers.items():
        with make(auto_create_tables=True).open("w") as store:
            store.write("video", rows(id=["a"]))
        with pickle.loads(pickle.dumps(make())) as store:
            assert values(store.read("video")) == ["a"], name
        assert (home / name).exists(), name
    of_ibis = {"connection_string": "duckdb://~/ibis.duckdb"}, {"backend": "duckdb", "connection_params": more}
    for options in of_ibis:
        with IbisMetadataStore(**options).open("w"):
            pass
    assert {each.name for each in home.glob("*.duckdb")} >= {"ibis.duckdb", "more.duckdb"}
    with BufferedMetadataWriter(DuckDBMetadataStore("~/features.duckdb"), spill="~/spill") as writer:
        writer.put({"video": rows(id=["b"])})
        assert (home / "spill").is_dir()
    for kind in (DuckDBMetadataStore, SQLiteMetadataStore, DeltaMetadataStore, LanceDBMetadataStore):
        with pytest.raises(InvalidConfigError, match=r"'~nobody-here/x': there is no such home directory"):
            kind("~nobody-here/x")
    assert not [*work.iterdir()]


@pytest.mark.parametrize("name", REFUSED)
def test_folders_of_any_name(name: str, tmp_path: Path) -> None:
    taken = [*NAMES, *(odd for odd in ODDEST if odd not in REFUSED[name])]
    for odd in taken:
        (tmp_path / odd).mkdir()
        exercise = use if odd in NAMES and name != "ducklake" else glance  # as it is slow
        exercise(partial(STORES[name], tmp_path / odd))
    for odd in REFUSED[name]:
        with pytest.raises(InvalidConfigError, match=r"'.*': .* misreads .* choose another") as caught:
            STORES[name](tmp_path / odd)
        assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == set(taken)


@pytest.mark.parametrize("name", REFUSED_IN_BUCKETS)
def test_buckets_with_prefixes_of_any_name(name: str, tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    first = NAMES[0].replace("#", "")
    taken = [first, "x=1", *(odd for odd in ODDEST if odd not in REFUSED_IN_BUCKETS[name])]
    for odd in taken:
        make = partial(LAKES[name], f"s3://{bucket}/{odd}/features", s3.options(), tmp_path / name)
        (tmp_path / name).mkdir(exist_ok=True)
        (use if odd == first else glance)(make)
        shutil.rmtree(tmp_path / name)  # a catalog
    assert {path.split("/")[0] for path in s3.objects(bucket)} == set(taken)
    for odd in REFUSED_IN_BUCKETS[name]:
        with pytest.raises(InvalidConfigError, match="misreads"):
            LAKES[name](f"s3://{bucket}/{odd}/features", s3.options(), tmp_path)


@pytest.mark.parametrize("name", LAKES)
def test_addresses_of_files_are_paths_or_refused(name: str, tmp_path: Path) -> None:
    address = f"file://{tmp_path}/plain"
    store = {"delta": DeltaMetadataStore, "lancedb": LanceDBMetadataStore, "iceberg": IcebergMetadataStore}[name]
    use(lambda: store(address))
    assert (tmp_path / "plain").is_dir()
    with pytest.raises(InvalidConfigError, match="'%20'"):
        store((tmp_path / "a b").as_uri())


def test_deletion_vectors_are_heeded_below_odd_names(tmp_path: Path) -> None:
    """Other writers mark rows as gone; where that cannot be told, the table is not read."""
    rows = pl.DataFrame({"part": ["p", "p"], "id": ["a", "b"]})
    for odd in ("plain", "ü b"):
        write_deltalake(str(tmp_path / odd), rows, partition_by=["part"])
        mark_first_row_as_gone(tmp_path / odd)
        assert scan_table(OpenTable(str(tmp_path / odd))).collect()["id"].to_list() == ["b"]
    (tmp_path / "ü b").rename(tmp_path / "x=1")
    with pytest.raises(StoreConnectionError, match="deletion vectors"):
        scan_table(OpenTable(str(tmp_path / "x=1")))


def mark_first_row_as_gone(table: Path) -> None:
    """Commit what says so, as the protocol of Delta has it: a bitmap of row numbers in the log."""
    first = (table / "_delta_log" / f"{0:020d}.json").read_text().splitlines()
    add = next(action["add"] for action in map(json.loads, first) if "add" in action)
    bitmap = struct.pack("<IIHHIH", 12346, 1, 0, 0, 16, 0)  # one container, of one number: 0
    array = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    vector = {"storageType": "i", "pathOrInlineDv": z85(array), "sizeInBytes": len(array), "cardinality": 1}
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    actions = [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}},
        {"remove": {"path": add["path"], "dataChange": True, "deletionTimestamp": 0}},
        {"add": {**add, "deletionVector": vector}},
    ]
    (table / "_delta_log" / f"{1:020d}.json").write_text("\n".join(map(json.dumps, actions)))


def z85(data: bytes) -> str:
    """Encode bytes like Base85, with other signs."""
    python = string.digits + string.ascii_uppercase + string.ascii_lowercase + "!#$%&()*+-;<=>?@^_`{|}~"
    ours = string.digits + string.ascii_lowercase + string.ascii_uppercase + ".-:+=^!/*?&<>()[]{}@%$#"
    return b85encode(data, pad=True).decode().translate(str.maketrans(python, ours))


def test_iceberg_tables_in_an_escaped_folder_are_still_read(tmp_path: Path) -> None:
    """Where they used to be put; the catalog says where each table is."""
    folder = tmp_path / "a b"
    folder.mkdir()
    with IcebergMetadataStore(folder).open("w") as store:
        store.catalog.properties["warehouse"] = folder.as_uri()
        store.write("video", rows(id=["a"]))
    assert (tmp_path / "a%20b").is_dir()
    with IcebergMetadataStore(folder).open("w") as store:
        store.write("video", rows(id=["b"]))
        store.write("clip", store.resolve_update("clip").new)
        assert values(store.read("video")) == ["a", "b"]
    assert [path.name for path in (folder / "metaxy").iterdir()] == ["clip"]
