"""DuckLake: its catalogs and places of files, the statements that attach it, and what is refused."""

import threading
from collections import Counter
from collections.abc import Callable
from contextvars import copy_context
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.faults.children import children, finish, tell
from tests.services import postgres, s3

from metaxy.errors import InvalidConfigError, MetadataSchemaError, MetaxyError, StoreConnectionError
from metaxy.ext.duckdb import DuckDBMetadataStore, DuckLakeConfig

Lake = dict[str, Any]


def on_duckdb(folder: Path) -> Lake:
    return {"catalog": {"type": "duckdb", "uri": str(folder / "c.ducklake")}, "storage": local(folder)}


def on_sqlite(folder: Path) -> Lake:
    return {"catalog": {"type": "sqlite", "uri": str(folder / "c.sqlite")}, "storage": local(folder)}


def on_postgresql(folder: Path) -> Lake:
    return {"catalog": postgresql(), "storage": local(folder)}


def on_s3(folder: Path) -> Lake:
    storage = {
        "type": "s3",
        "secret_name": "bucket",
        "key_id": s3.CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "secret": s3.CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        "endpoint": s3.endpoint(),
        "region": "us-east-1",
        "url_style": "path",
        "bucket": s3.new_bucket(),
    }
    return {**on_sqlite(folder), "storage": storage}


def local(folder: Path) -> Lake:
    return {"type": "local", "path": str(folder / "files")}


def postgresql(**changes: Any) -> Lake:
    return {"type": "postgres", "secret_name": "catalog", **postgres.new_database(), **changes}


def store_on(lake: Lake, **options: Any) -> DuckDBMetadataStore:
    return DuckDBMetadataStore(":memory:", ducklake=lake, **{"auto_create_tables": True, **options})


@pytest.mark.parametrize("place", [on_duckdb, on_sqlite, on_postgresql, on_s3])
def test_features_live_in_every_catalog_and_place(tmp_path: Path, place: Callable[[Path], Lake]) -> None:
    define("video")
    define("clip", "video")
    lake = place(tmp_path)
    with store_on(lake).open("w") as store:
        store.write("video", rows(["1", "a\\", "3"], id=["a", "b", "c"]))
        store.write("clip", store.resolve_update("clip").new)
        store.write("video", rows("2", id=["b"], note=["new column"]))
        store.delete("video", nw.col("id") == "c", soft=False)
        assert store.resolve_update("clip").stale.to_native().num_rows == 1
    with store_on(lake) as again:
        assert values(again.read("video"), "id", "note") == [("a", None), ("b", "new column")]
        assert ids(again.resolve_update("clip")) == ([], ["b"], ["c"])


def test_a_catalog_in_postgresql_keeps_claims(tmp_path: Path) -> None:
    define("video")
    samples = rows(id=["a", "b", "c"])
    lake = on_postgresql(tmp_path)
    one, two = store_on(lake), store_on(lake)
    with one.claim("video", samples=samples, limit=2) as claim:
        assert list(two.claim("video", samples=samples).samples["id"]) == ["c"]
        claim.write(claim.samples)
    with one:
        assert values(one.read("video")) == ["a", "b"]
    with pytest.raises(InvalidConfigError, match="claims_store"):
        store_on(on_sqlite(tmp_path)).claim("video", samples=samples)


def test_two_stores_of_a_process_share_a_catalog(tmp_path: Path) -> None:
    define("video")
    lake = on_duckdb(tmp_path)
    with store_on(lake, name="dev").open("w") as store, store_on(lake, name="prod").open("w") as other:
        store.write("video", rows(id=["a"]))
        assert values(other.read("video")) == ["a"]


def test_threads_with_stores_of_their_own_lose_nothing(tmp_path: Path) -> None:
    define("video")
    lake = on_sqlite(tmp_path)
    with store_on(lake, lock_timeout=120).open("w") as store:
        store.write("video", rows(id=["first"]))
    failed: list[Exception] = []

    def append(name: str) -> None:
        try:
            with store_on(lake, lock_timeout=120).open("w") as mine:
                for number in range(3):
                    mine.write("video", rows(id=[f"{name}{number}"]))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=copy_context().run, args=(append, name)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with store_on(lake) as store:
        found = values(store.read("video"))
    assert sorted(found) == ["a0", "a1", "a2", "b0", "b1", "b2", "first"]


APPENDER = """
from metaxy.ext.duckdb import DuckDBMetadataStore
lake = eval(sys.argv[1])
store = DuckDBMetadataStore(":memory:", ducklake=lake, auto_create_tables=True, lock_timeout=600.0)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    with store.open("w"):
        store.write("video", rows(id=[f"{sys.argv[3]}-{number}"], **{f"of_{sys.argv[3]}": [number]}))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("place", "appends"), [(on_sqlite, 10), (on_postgresql, 50)])
def test_every_row_of_four_processes_is_there_once(tmp_path: Path, place: Callable[[Path], Lake], appends: int) -> None:
    """They race to create catalog and table, each with a column of its own; writers in SQLite are slow together."""
    lake = place(tmp_path)
    with children(4, APPENDER, lake, appends) as started:
        for child in started:
            tell(child)
        for child in started:
            finish(child)
    define("video")
    with store_on(lake) as store:
        found = Counter(everything(store, "video")["id"])
    assert found == Counter(f"{writer}-{number}" for writer in range(4) for number in range(appends))


@pytest.mark.parametrize("place", [on_duckdb, on_sqlite])
def test_optimizing_merges_small_files(tmp_path: Path, place: Callable[[Path], Lake]) -> None:
    define("video")
    with store_on(place(tmp_path)).open("w") as store:
        for number in range(4):
            store.write("video", rows(id=[str(number)]))
        assert len(list((tmp_path / "files").rglob("*.parquet"))) >= 4
        store.optimize("video", keep=timedelta(0))
        assert values(store.read("video")) == ["0", "1", "2", "3"]
        mine = [file for file in (tmp_path / "files").rglob("*.parquet") if "metaxy_feature_version=" in str(file)]
        assert len(mine) == 1


def test_one_alias_stands_for_one_lake(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    shared = ":memory:shared"
    with (
        DuckDBMetadataStore(shared, ducklake=on_sqlite(one)).open("w"),
        pytest.raises(InvalidConfigError, match="another DuckLake is attached"),
    ):
        DuckDBMetadataStore(shared, ducklake=on_sqlite(two)).open("w").__enter__()


def test_a_folder_of_another_lake_is_refused(tmp_path: Path) -> None:
    with store_on(on_sqlite(tmp_path)).open("w"):
        pass
    with pytest.raises(StoreConnectionError, match="does not match existing data path"):
        store_on({**on_sqlite(tmp_path), "storage": local(tmp_path / "other")}).open("w").__enter__()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "hidden-word"}, "password authentication failed"),
        ({"port": 1}, "Connection refused"),
        ({"database": "nowhere"}, "does not exist"),
    ],
)
def test_catalogs_out_of_reach_are_told_in_a_line_without_secrets(tmp_path: Path, change: Lake, words: str) -> None:
    store = store_on({"catalog": postgresql(**change), "storage": local(tmp_path)}, lock_timeout=0)
    with pytest.raises(StoreConnectionError, match=words) as caught:
        store.open("w").__enter__()
    assert "\n" not in str(caught.value)
    for secret in ("hidden-word", postgres.PASSWORD):
        assert secret not in str(caught.value) + repr(store) + "".join(store.preview_ducklake_sql())


def test_a_missing_bucket_is_told_in_a_line(tmp_path: Path) -> None:
    define("video")
    lake = on_s3(tmp_path)
    lake["storage"]["bucket"] = "nowhere"
    with store_on(lake).open("w") as store, pytest.raises(MetaxyError) as caught:
        store.write("video", rows(id=["a"]))
    assert "\n" not in str(caught.value)
    assert s3.CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)


@pytest.mark.parametrize(
    "lake",
    [
        {"catalog": {"type": "sqlite", "uri": "c"}},
        {"catalog": {"type": "sqlite", "uri": "c"}, "storage": {"type": "local", "path": "f"}, "alias": 'a"; DROP'},
        {"catalog": {"type": "postgres", "secret_name": "a b"}, "storage": {"type": "local", "path": "f"}},
        {"catalog": {"type": "postgres", "secret_name": "a", "host": "h"}, "storage": {"type": "local", "path": "f"}},
        {"catalog": {"type": "sqlite", "uri": "c"}, "storage": {"type": "s3", "secret_name": "a"}},
    ],
)
def test_wrong_configurations_are_refused_in_a_line(lake: Lake) -> None:
    with pytest.raises(InvalidConfigError, match="ducklake") as caught:
        store_on(lake)
    assert "\n" not in str(caught.value)


def test_motherduck_is_configured_by_statements() -> None:
    storage = {"type": "s3", "secret_name": "b", "key_id": "me", "secret": "hidden-word", "bucket": "it's"}
    lake = {"catalog": {"type": "motherduck", "database": 'my "lake"', "region": "eu-central-1"}, "storage": storage}
    assert DuckDBMetadataStore("md:", ducklake=lake).preview_ducklake_sql() == [
        "SET s3_region = 'eu-central-1'",
        """CREATE DATABASE IF NOT EXISTS "my ""lake\""" (TYPE DUCKLAKE, DATA_PATH 's3://it''s/')""",
        """CREATE OR REPLACE SECRET "b" IN MOTHERDUCK (TYPE S3, KEY_ID '***', SECRET '***')""",
        'USE "my ""lake"""',
    ]
    alone = DuckLakeConfig.model_validate({"catalog": {"type": "motherduck", "database": "lake"}})
    assert DuckDBMetadataStore("md:", ducklake=alone).preview_ducklake_sql() == ['USE "lake"']


def test_without_a_lake_there_is_nothing_to_preview() -> None:
    with pytest.raises(RuntimeError, match="has no DuckLake"):
        DuckDBMetadataStore(":memory:").preview_ducklake_sql()


def test_a_failed_insert_keeps_its_cause_by_which_writers_try_again(tmp_path: Path) -> None:
    define("video")
    store = DuckDBMetadataStore(tmp_path / "a.duckdb", auto_create_tables=True)
    with store.open("w"):
        store.write("video", rows(id=["a"]))
        store.connection.execute("CREATE UNIQUE INDEX once ON video (id)")
        with pytest.raises(MetadataSchemaError, match=r"feature video: .*Duplicate key") as caught:
            store.write("video", rows(id=["a"]))
        assert isinstance(caught.value.__cause__, duckdb.Error)


def test_attach_options_without_a_value_are_left_out(tmp_path: Path) -> None:
    given = {"read_only": None, "encrypted": True, "data_inlining_row_limit": None}
    [attach] = [
        s for s in store_on({**on_duckdb(tmp_path), "attach_options": given}).preview_ducklake_sql() if "ATTACH" in s
    ]
    assert attach.endswith(' AS "ducklake" (DATA_INLINING_ROW_LIMIT 0, ENCRYPTED true)')
