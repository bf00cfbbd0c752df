"""Opening: modes, nesting, what a second process meets, and what opening does not need."""

import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.factory import define, rows, values
from tests.stores import StoreFactory, duckdb_store

from metaxy.config import MetaxyConfig
from metaxy.errors import (
    InvalidConfigError,
    StoreConnectionError,
    StoreLockedError,
    StoreNotOpenError,
    TableNotFoundError,
)
from metaxy.ext.duckdb import DuckDBMetadataStore, ExtensionSpec
from metaxy.hashing import HashAlgorithm
from metaxy.store.store import MetadataStore

VERBS: dict[str, Callable[[MetadataStore], Any]] = {
    "read": lambda store: store.read("video"),
    "has_feature": lambda store: store.has_feature("video"),
    "find_store_for_feature": lambda store: store.find_store_for_feature("video"),
    "resolve_update": lambda store: store.resolve_update("video", samples=rows(id=["a"])),
    "compute_provenance": lambda store: store.compute_provenance("clip", pl.DataFrame()),
    "write": lambda store: store.write("video", rows(id=["a"])),
    "write_multi": lambda store: store.write_multi({"video": rows(id=["a"])}),
    "delete": lambda store: store.delete("video", everything=True),
}
WRITING_VERBS = ("write", "write_multi", "delete")


@pytest.fixture(autouse=True)
def features() -> None:
    define("video")
    define("clip", "video")


# -- modes -------------------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_a_closed_store_refuses_every_verb(make: StoreFactory) -> None:
    store = make()
    for act in VERBS.values():
        with pytest.raises(StoreNotOpenError, match=r"closed; use `with store\.open"):
            act(store)


def test_a_store_open_for_reading_refuses_to_write(make: StoreFactory) -> None:
    store = make()
    for verb in WRITING_VERBS:
        with store, pytest.raises(StoreNotOpenError, match=r'open for reading only; use `with store\.open\("w"\)'):
            VERBS[verb](store)
        with store:
            assert not store.has_feature("video")


def test_rows_outlive_the_block(make: StoreFactory) -> None:
    store = make()
    with store.open("w"):
        store.write("video", rows(id=["a"]))
    with store:
        assert values(store.read("video")) == ["a"]
    with make() as again:
        assert values(again.read("video")) == ["a"]


@pytest.mark.three_stores
def test_opening_yields_the_store(make: StoreFactory) -> None:
    store = make()
    with store as entered:
        assert entered is store
    with store.open("w") as entered:
        assert entered is store


@pytest.mark.three_stores
def test_an_unknown_mode_is_refused(make: StoreFactory) -> None:
    with pytest.raises(ValueError, match="'a'"), make().open("a"):  # type: ignore[arg-type] # what users may try
        pass


@pytest.mark.three_stores
def test_db12_a_reading_block_inside_does_not_stop_writes(store: MetadataStore) -> None:
    with store:
        store.write("video", rows(id=["a"]))
    store.write("video", rows(id=["b"]))
    assert values(store.read("video")) == ["a", "b"]


def test_db12_a_writing_block_inside_a_reading_one_writes(make: StoreFactory) -> None:
    store = make()
    with store.open("w"):
        store.write("video", rows(id=["a"]))
    with store:
        assert values(store.read("video")) == ["a"]
        with store.open("w"):
            store.write("video", rows(id=["b"]))
        assert values(store.read("video")) == ["a", "b"]
    with pytest.raises(StoreNotOpenError):
        store.read("video")


def test_an_error_inside_closes_the_store(make: StoreFactory) -> None:
    store = make()
    with suppress(ZeroDivisionError), store.open("w"):
        store.write("video", rows(id=["a"]))
        raise ZeroDivisionError
    with pytest.raises(StoreNotOpenError):
        store.has_feature("video")
    with store:
        assert values(store.read("video")) == ["a"]


# -- configuration -----------------------------------------------------------------------------------------------------


def test_db15_only_metaxy_variables_configure_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE", "TABLE_PREFIX", "ROOT_PATH", "LAYOUT", "NAME"):
        monkeypatch.setenv(name, "evil")
    monkeypatch.setenv("METAXY_STORES__DEV__CONFIG__LOCK_TIMEOUT", "3")
    stores: Any = {
        "dev": {"type": "metaxy.ext.duckdb.DuckDBMetadataStore", "config": {"database": str(tmp_path / "a.duckdb")}},
        "lake": {"type": "metaxy.ext.delta.DeltaMetadataStore", "config": {"root_path": str(tmp_path / "lake")}},
    }
    config = MetaxyConfig(stores=stores)
    store = config.get_store("dev", expected_type=DuckDBMetadataStore)
    assert store.database == str(tmp_path / "a.duckdb")
    assert store.storage.describe(define("video").key) == {"table_name": "video"}
    assert store.connection.lock_timeout == 3
    lake = config.get_store("lake")
    assert lake.display() == f"DeltaMetadataStore(path={tmp_path / 'lake'})"
    assert lake.storage.describe(define("a/b").key) == {"uri": f"{tmp_path / 'lake'}/a/b.delta"}


@pytest.mark.parametrize("engine", ["auto", "native", "polars"])
def test_db23_the_engine_of_a_lake_can_be_configured(tmp_path: Path, engine: str) -> None:
    define("clip", "video")
    lake = {"root_path": str(tmp_path / "lake"), "versioning_engine": engine}
    stores: Any = {"lake": {"type": "metaxy.ext.delta.DeltaMetadataStore", "config": lake}}
    with MetaxyConfig(stores=stores).get_store("lake").open("w") as store:
        assert store.versioning_engine == engine
        store.write("video", rows(id=["a"]))
        assert values(store.resolve_update("clip").new) == ["a"]


def test_missing_tables_are_only_created_where_that_is_allowed(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path, auto_create_tables=False)
    with store.open("w"), pytest.raises(TableNotFoundError, match="auto_create_tables"):
        store.write("video", rows(id=["a"]))
    with MetaxyConfig(auto_create_tables=True).use():
        store = DuckDBMetadataStore(tmp_path / "store.duckdb")
    with store.open("w"):
        store.write("video", rows(id=["a"]))
        assert store.has_feature("video")


# -- DuckDB: what opening needs ----------------------------------------------------------------------------------------

DUCKDB_ALGORITHMS = ("md5", "sha256", "xxhash32", "xxhash64", "xxh3_64", "wyhash")


@pytest.mark.parametrize("algorithm", DUCKDB_ALGORITHMS)
def test_db18_duckdb_needs_no_network_and_no_extension(tmp_path: Path, algorithm: str) -> None:
    extensions = tmp_path / "extensions"
    forbidden = {"enable_external_access": "false", "extension_directory": str(extensions)}
    store = duckdb_store(tmp_path, config=forbidden, hash_algorithm=HashAlgorithm(algorithm))
    with store.open("w"):
        store.write("video", rows(id=["a"]))
        store.write("clip", store.resolve_update("clip").new)
        assert not store.resolve_update("clip")
    assert not extensions.exists()


def test_db18_an_extension_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = {"extension_directory": str(tmp_path / "extensions"), "custom_extension_repository": str(tmp_path)}
    store = duckdb_store(tmp_path, config=config, extensions=[ExtensionSpec("no_such_extension")])
    with pytest.raises(StoreConnectionError, match="no_such_extension") as caught, store.open("w"):
        pass
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreNotOpenError):
        store.has_feature("video")


@pytest.mark.parametrize("extension", ["a b", "a; DROP TABLE video", ""])
def test_names_of_extensions_are_checked(tmp_path: Path, extension: str) -> None:
    with pytest.raises(InvalidConfigError, match="is no name of a DuckDB extension"):
        duckdb_store(tmp_path, extensions=[extension])


@pytest.mark.parametrize("prefix", ["my-env.", "1st", "x; DROP TABLE victim; --", 'a"b', "é", "a\n"])
def test_db17_hostile_prefixes_are_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(InvalidConfigError, match="table_prefix"):
        duckdb_store(tmp_path, table_prefix=prefix)


@pytest.mark.parametrize("prefix", ["select", "Ab_1__", "_"])
def test_db17_prefixes_are_quoted(tmp_path: Path, prefix: str) -> None:
    with duckdb_store(tmp_path, table_prefix=prefix).open("w") as store:
        store.write("video", rows(id=["a"]))
        store.delete("video", everything=True, soft=False)
        store.write("video", rows(id=["b"]))
        assert values(store.read("video")) == ["b"]
    with duckdb_store(tmp_path) as store:
        assert not store.has_feature("video")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.duckdb").write_text("no database at all, but long enough to have a header " * 200)
    with pytest.raises(StoreConnectionError, match=r"store\.duckdb") as caught, duckdb_store(tmp_path).open("w"):
        pass
    assert "\n" not in str(caught.value)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    store = DuckDBMetadataStore(tmp_path / "nowhere" / "a.duckdb")
    with pytest.raises(StoreConnectionError, match=r"nowhere") as caught, store.open("w"):
        pass
    assert "\n" not in str(caught.value)


def test_a_file_in_the_home_directory_has_nothing_left_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    store = DuckDBMetadataStore("~/store.duckdb", auto_create_tables=True)
    for name in ("a", "b"):
        with store.open("w"):
            store.write("video", rows(id=[name]))
    assert [each.name for each in tmp_path.iterdir()] == ["store.duckdb"]
    with duckdb_store(tmp_path) as same:
        assert values(same.read("video")) == ["a", "b"]


# -- DuckDB: who else has the file open --------------------------------------------------------------------------------

HOLDER = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "r")
print("open", flush=True)
sys.stdin.readline()
connection.close()
print("closed", flush=True)
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Let another process open the file of the store; it leaves when it is told to."""
    with duckdb_store(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
    holders: list[subprocess.Popen[str]] = []

    def hold(mode: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "store.duckdb"), mode]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        return holder

    yield hold
    for holder in holders:
        holder.communicate("leave\n" if holder.poll() is None else None)


@pytest.mark.parametrize("mode", ["r", "w"])
def test_a_file_that_another_process_writes_to_is_refused_in_one_line(
    tmp_path: Path, held: Callable[[str], "subprocess.Popen[str]"], mode: Any
) -> None:
    holder = held("w")
    store = duckdb_store(tmp_path, lock_timeout=0.1)
    with pytest.raises(StoreLockedError) as caught, store.open(mode):
        pass
    message = str(caught.value)
    assert "\n" not in message
    for word in (
        str(tmp_path / "store.duckdb"),
        "0.1 s",
        "lock_timeout",
        "PostgreSQL",
        "Delta",
        f"process {holder.pid} (",
    ):
        assert word in message
    with pytest.raises(StoreNotOpenError):
        store.has_feature("video")


@pytest.mark.parametrize("mode", ["r", "w"])
def test_a_file_that_another_process_leaves_in_time_is_opened(
    tmp_path: Path,
    held: Callable[[str], "subprocess.Popen[str]"],
    mode: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    holder = held("w")
    met = []

    def leave(seconds: float) -> None:
        met.append(seconds)
        holder.communicate("leave\n")

    monkeypatch.setattr(time, "sleep", leave)  # the store met the lock: instead of waiting, let the writer leave
    with duckdb_store(tmp_path, lock_timeout=60).open(mode) as store:
        assert values(store.read("video")) == ["a"]
    assert len(met) == 1


def test_two_processes_may_read(tmp_path: Path, held: Callable[[str], "subprocess.Popen[str]"]) -> None:
    held("r")
    with duckdb_store(tmp_path, lock_timeout=0) as store:
        assert values(store.read("video")) == ["a"]


@pytest.mark.parametrize(("first", "second"), ["rr", "ww", "wr"])
def test_two_stores_of_one_process_share_a_file(tmp_path: Path, first: Any, second: Any) -> None:
    with duckdb_store(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
    one, two = duckdb_store(tmp_path), duckdb_store(tmp_path)
    with one.open(first), two.open(second):
        assert values(one.read("video")) == values(two.read("video")) == ["a"]


def test_a_store_goes_on_hashing_when_the_one_that_opened_the_file_first_is_gone(tmp_path: Path) -> None:
    first, second = (duckdb_store(tmp_path, hash_algorithm=HashAlgorithm.XXHASH64) for _ in range(2))
    with ExitStack() as block:
        block.enter_context(first.open("w"))
        with second.open("w"):
            block.close()
            del first
            gc.collect()
            second.write("video", rows(id=["a"]))
            assert values(second.read("video"), "metaxy_provenance") == ["1323722550367049"]


def test_writing_to_a_file_that_is_read_elsewhere_in_the_process_is_refused(tmp_path: Path) -> None:
    with duckdb_store(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
    with duckdb_store(tmp_path), pytest.raises(StoreLockedError, match="elsewhere in this process") as caught:  # noqa: SIM117
        with duckdb_store(tmp_path, lock_timeout=0).open("w"):
            pass
    assert "\n" not in str(caught.value)


def test_a_database_in_memory_lives_as_long_as_the_block() -> None:
    store = DuckDBMetadataStore(":memory:", auto_create_tables=True)
    with store.open("w"):
        store.write("video", rows(id=["a"]))
        assert values(store.read("video")) == ["a"]
    with store:
        assert not store.has_feature("video")


@pytest.mark.three_stores
def test_options_that_no_store_has_are_refused(make: Callable[..., MetadataStore]) -> None:
    wrong = {
        "auto_optimize": ("often", -1, 1.5),
        "hash_algorithm": ("md6",),
        "schema_evolution": ("sometimes",),
        "versioning_engine": ("fast",),
    }
    for name, given in wrong.items():
        for value in given:
            with pytest.raises(InvalidConfigError, match=rf"Store\(.*: {name} is {value!r}; input should be"):
                make(**{name: value})
