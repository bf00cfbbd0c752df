"""Files that are cut, empty or lost: every verb says so in one line, and nothing is written to what cannot be read."""

import fcntl
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import duckdb
import narwhals as nw
import pytest
from tests.factory import define, rows, values
from tests.stores import STORES

from metaxy.errors import FeatureNotFoundError, MetadataStoreError
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.ext.duckdb.damage import seems_short
from metaxy.storage.damage import FIRST_WRITE, beginning, first_write, lost_its_log, refuse_short_sqlite
from metaxy.store.store import MetadataStore


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def hollow(file: Path) -> None:
    file.write_bytes(b"{}\n")


def scramble(file: Path) -> None:
    file.write_bytes(b"?" * file.stat().st_size)


def lose(place: Path) -> None:
    shutil.rmtree(place) if place.is_dir() else place.unlink()


Damage = Callable[[Path], None]
LOG = "delta/video.delta/_delta_log"
METADATA = "iceberg/metaxy/video/metadata"
# What is done to the newest file of a pattern.
DAMAGES: dict[str, list[tuple[str, Damage]]] = {
    "delta": [
        *(("delta/video.delta/*/*.parquet", how) for how in (cut, shorten, empty, scramble)),
        *((f"{LOG}/*.json", how) for how in (cut, empty, hollow)),
        (LOG, lose),
    ],
    "iceberg": [
        *(("iceberg/metaxy/video/data/**/*.parquet", how) for how in (cut, empty)),
        *((f"{METADATA}/*.metadata.json", how) for how in (cut, empty)),
        *((f"{METADATA}/snap-*.avro", how) for how in (shorten, empty)),
        *(("iceberg/catalog.db", how) for how in (shorten, empty, lose)),
    ],
    "lancedb": [
        *(("lancedb/video.lance/data/*.lance", how) for how in (cut, empty, scramble)),
        *(("lancedb/video.lance/_versions/*.manifest", how) for how in (cut, empty)),
        ("lancedb/video.lance/_versions", lose),
    ],
    "duckdb": [("store.duckdb", how) for how in (cut, shorten, empty, scramble)],
    "sqlite": [("store.sqlite", how) for how in (cut, shorten, scramble)],  # an empty file is an empty database
    "ducklake": [
        ("lake/main/video/**/*.parquet", cut),
        *(("catalog.sqlite", how) for how in (shorten, empty, lose)),
    ],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_one_line_and_what_is_left_is_not_touched(name: str, tmp_path: Path) -> None:
    for number, (pattern, damage) in enumerate(DAMAGES[name]):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        fill(STORES[name](folder))
        whole = contents(folder)
        damage(max(folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns))
        left = contents(folder)
        for verb in (read, update, write, delete):
            # A lazy frame is collected by its library, whose error of one line names the file.
            own = (duckdb.Error,) if name == "ducklake" and verb is read else ()
            with pytest.raises((MetadataStoreError, *own)) as caught:
                verb(STORES[name](folder))
            message = str(caught.value)
            assert not isinstance(caught.value, FeatureNotFoundError), (pattern, verb)
            assert len(message.splitlines()) == 1, message
            assert 20 < len(message) < 1000
            assert contents(folder).items() >= left.items(), (pattern, verb)
        restore(folder, whole)
        if ".avro" not in pattern:  # which Polars remembers, as nobody writes such a file twice
            read(STORES[name](folder))


def fill(store: MetadataStore) -> None:
    with store.open("w"):
        for start in (0, 500):
            store.write("video", rows(id=range(start, start + 500), text=[f"{n}" * 9 for n in range(500)]))


def read(store: MetadataStore) -> None:
    with store:
        assert len(values(store.read("video"))) == 1000


def update(store: MetadataStore) -> None:
    with store:
        store.resolve_update("clip")


def write(store: MetadataStore) -> None:
    with store.open("w"):
        store.write("video", rows(id=[-1], text=["late"]))


def delete(store: MetadataStore) -> None:
    with store.open("w"):
        store.delete("video", nw.col("text") == "0" * 9)


def contents(folder: Path) -> dict[Path, bytes]:
    """Read all files but the locks and logs that databases make to be opened."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix not in (".wal", ".sqlite-wal")}


def restore(folder: Path, whole: dict[Path, bytes]) -> None:
    for path in contents(folder):
        path.unlink()
    for path, content in whole.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


HEADLESS = {
    "delta": ("delta/video.delta", "_delta_log", "part-0.parquet"),
    "lancedb": ("lancedb/video.lance", "_versions", "data/0.lance"),
}


@pytest.mark.parametrize("name", HEADLESS)
def test_what_a_killed_first_write_leaves_is_no_damage(name: str, tmp_path: Path) -> None:
    place, log, file = HEADLESS[name]
    orphan = tmp_path / place / file
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"half of a file")
    mark = tmp_path / place / FIRST_WRITE
    with STORES[name](tmp_path).open("w") as store:
        with pytest.raises(MetadataStoreError, match=f"no {log}; restore it"):
            store.has_feature("video")
        mark.touch()
        assert not store.has_feature("video")
        fill(store)
        read(store)
        assert not mark.exists()


@pytest.mark.parametrize(("name", "file"), [("sqlite", "store.sqlite"), ("iceberg", "iceberg/catalog.db")])
def test_a_first_transaction_that_was_killed_is_no_damage(name: str, file: str, tmp_path: Path) -> None:
    """Pages of it are missing in the file, and its journal says that all of them go."""
    database = tmp_path / file
    database.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(database, isolation_level=None)) as first:
        for statement in (
            "PRAGMA cache_size=1",
            "BEGIN",
            "CREATE TABLE t (x)",
            "INSERT INTO t VALUES (zeroblob(99999))",
        ):
            first.execute(statement)
        journal = database.with_name(f"{database.name}-journal").read_bytes()
        first.execute("COMMIT")
    database.write_bytes(database.read_bytes()[:4096])
    database.with_name(f"{database.name}-journal").write_bytes(journal)
    fill(STORES[name](tmp_path))
    read(STORES[name](tmp_path))


def test_a_first_write_that_ends_while_another_looks_is_no_damage(tmp_path: Path) -> None:
    """Whoever saw no log, and then files whose mark is gone, looks at the log again: it is there by then."""
    log, files = tmp_path / "log" / "0.json", tmp_path / "part-0.parquet"
    with first_write(tmp_path, "log/*.json"):
        files.touch()
        assert not lost_its_log(tmp_path, "log/*.json", "part-*")
        log.parent.mkdir()
        log.touch()
    assert not (tmp_path / FIRST_WRITE).exists()
    assert not lost_its_log(tmp_path, "log/*.json", "part-*")
    log.unlink()
    assert lost_its_log(tmp_path, "log/*.json", "part-*")


def test_a_commit_that_is_being_written_is_no_damage(tmp_path: Path) -> None:
    store = STORES["delta"](tmp_path)
    fill(store)
    log = tmp_path / "delta" / "video.delta" / "_delta_log"
    (log / f"{1:020}.json#1").touch()  # as its writer calls it until it is whole
    (log / f"{2:020}.json#1").symlink_to("nowhere")  # as a name that is gone before its size is asked for
    with store:
        read(store)


@pytest.mark.parametrize("name", HEADLESS)
def test_a_table_without_its_log_can_be_dropped(name: str, tmp_path: Path) -> None:
    place, log, _ = HEADLESS[name]
    store = STORES[name](tmp_path)
    fill(store)
    lose(tmp_path / place / log)
    with store.open("w"):
        store.drop_feature_metadata("video")
        assert not store.has_feature("video")
        fill(store)
        read(store)


def test_a_file_that_duckdb_made_shorter_is_not_damaged(tmp_path: Path) -> None:
    """It gives back what it no longer uses, and still counts it in the header of the file."""
    define("large")
    path = tmp_path / "store.duckdb"
    make = partial(DuckDBMetadataStore, path, auto_create_tables=True)
    fill(make())
    with make().open("w") as store:
        store.write("large", rows(id=range(100_000), text=[f"{n}" * 5 for n in range(100_000)]))
    long = path.stat().st_size
    with make().open("w") as store:
        store.drop_feature_metadata("large")
    assert path.stat().st_size < long
    read(make())
    fill(make(table_prefix="other_"))
    read(make())


def test_looking_at_a_file_keeps_the_locks_that_this_process_has_on_it(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    file.write_bytes(b"SQLite format 3\0" + bytes(84))
    take = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with file.open("r+b") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        assert beginning(file, 16) == b"SQLite format 3\0"
        refuse_short_sqlite(file)
        assert not seems_short(file)
        other = subprocess.run([sys.executable, "-c", take, str(file)], capture_output=True, check=False)
    assert b"BlockingIOError" in other.stderr
