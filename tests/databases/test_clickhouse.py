"""What ClickHouse needs, found by running it: defaults, tables of others, blocks, errors, the embedded engine."""

import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.services import clickhouse

from metaxy import columns as c
from metaxy.dag.graph import FeatureGraph
from metaxy.errors import InvalidConfigError, MetadataSchemaError, MetadataStoreError, StoreConnectionError
from metaxy.ext.clickhouse import ClickHouseMetadataStore
from metaxy.versioning.frames import collect_to_polars

Address = dict[str, Any]


@pytest.fixture
def database() -> Address:
    """An empty database, as parameters for a connection."""
    return dict(clickhouse.new_database())


def store_in(database: Address, **options: Any) -> ClickHouseMetadataStore:
    return ClickHouseMetadataStore(connection_params=database, **{"auto_create_tables": True, **options})


def complaint(do: Callable[[], Any], kind: type[Exception] = MetadataStoreError) -> str:
    with pytest.raises(kind) as caught:
        do()
    message = str(caught.value)
    assert "\n" not in message
    assert clickhouse.PASSWORD not in message
    return message


def asked(database: Address, query: str) -> list[tuple[Any, ...]]:
    """Ask the server as somebody else does, with its default settings."""
    client = clickhouse_connect.get_client(**database)
    try:
        return [tuple(row) for row in client.query(query).result_rows]
    finally:
        client.close()


# -- tables ------------------------------------------------------------------------------------------------------------


def test_new_tables_are_sorted_by_version_ids_and_time(database: Address) -> None:
    define("video", ids=["id", "n"])
    with store_in(database).open("w") as store:
        store.write("video", rows(id=["a"], n=[1], text=["x"]))
    [[engine, key]] = asked(
        database, "SELECT engine, sorting_key FROM system.tables WHERE name = 'video' AND database = currentDatabase()"
    )
    assert engine == "MergeTree"
    assert key == "metaxy_feature_version, id, n, metaxy_updated_at"
    types = dict(
        asked(database, "SELECT name, type FROM system.columns WHERE table = 'video' AND database = currentDatabase()")
    )
    assert types["id"] == "String"
    assert types["text"] == "Nullable(String)"
    assert types[c.METAXY_PROVENANCE_BY_FIELD] == "Map(String, String)"
    assert types[c.METAXY_CREATED_AT] == "Nullable(DateTime64(6, 'UTC'))"


OWN_TABLES = {
    "map": ("Map(String, String)", "LowCardinality(String)"),
    "map of values that may be missing": ("Map(String, Nullable(String))", "Nullable(String)"),
    "map of short lists": ("Map(LowCardinality(String), String)", "String"),
    "json": ("JSON", "String"),
    "tuple": ("Tuple(x Nullable(String), y Nullable(String))", "String"),
    "text": ("String", "String"),
}


@pytest.mark.parametrize("name", OWN_TABLES)
def test_tables_of_others(database: Address, name: str) -> None:
    define("video", fields=["x", "y"])
    define("clip", "video", fields=["x"])
    by_field, text = OWN_TABLES[name]
    versions = ", ".join(f"{column} {by_field}" for column in c.BY_FIELD_COLUMNS)
    texts = ", ".join(f"{s.name} Nullable(String)" for s in c.SYSTEM_COLUMNS if s.kind == "text")
    times = ", ".join(f"{s.name} Nullable(DateTime64(6))" for s in c.SYSTEM_COLUMNS if s.kind == "timestamp")
    own = "tags Array(String), box Nested(left Int64, right Int64), kind Enum('a' = 1, 'b' = 2), own UUID"
    client = clickhouse_connect.get_client(**database)
    client.command(
        f"CREATE TABLE video (id {text}, {own}, {versions}, {texts}, {times}) ENGINE = MergeTree ORDER BY own"
    )
    client.close()
    with store_in(database, auto_create_tables=False).open("w") as store:
        first = rows({"x": "1", "y": "2"}, id=["a", "b"], tags=[["t"], []], kind=["a", "b"])
        store.write("video", first)
        assert not store.resolve_update("video", samples=first)
        changed = pl.concat([rows({"x": "1", "y": "2"}, id=["a"]), rows({"x": "1", "y": "3"}, id=["b"])])
        assert ids(store.resolve_update("video", samples=changed)) == ([], ["b"], [])
        seen = collect_to_polars(store.read("video")).sort("id")
        assert seen[c.METAXY_PROVENANCE_BY_FIELD].to_list() == [{"x": "1", "y": "2"}] * 2
        assert seen["tags"].to_list() == [["t"], []]
        assert seen["kind"].to_list() == ["a", "b"]
        assert ids(store.resolve_update("clip")) == (["a", "b"], [], [])
        store.write("video", store.read("video", columns=["id", c.METAXY_PROVENANCE_BY_FIELD]))
        store.delete("video", nw.col("id") == "a")
        assert values(store.read("video")) == ["b"]


def test_nothing_that_a_column_cannot_hold_becomes_a_default(database: Address) -> None:
    define("video")
    with store_in(database).open("w") as store:
        store.write("video", rows(id=["a"]))
        store.connection.execute("ALTER TABLE video ADD COLUMN size Int64")
        message = complaint(lambda: store.write("video", rows(id=["b"], size=pl.Series([None], dtype=pl.Int64))))
        assert "size" in message
        assert values(store.read("video")) == ["a"]


def test_structs_become_maps_only_where_that_is_wanted(database: Address) -> None:
    define("video")
    frame = rows(id=["a"], sizes=[{"left": 1, "right": 2, "up": None}])
    with store_in(database).open("w") as store:
        store.write("video", rows(id=["b"]))
        store.connection.execute("ALTER TABLE video ADD COLUMN sizes Map(String, Int64)")
        store.write("video", frame)
        assert "0.5" in complaint(lambda: store.write("video", rows(id=["c"], sizes=[{"left": 0.5}])))
    with store_in(database, auto_cast_struct_for_map=False).open("w") as store:
        assert "'sizes' is Struct" in complaint(lambda: store.write("video", frame))
        sizes = collect_to_polars(store.read("video")).sort("id")["sizes"]
    assert [dict(entries) for entries in sizes.to_list()] == [{"left": 1, "right": 2}, {}]


def test_nested_columns_of_users_keep_their_nulls(database: Address) -> None:
    define("video")
    frame = rows(id=["a", "b"], boxes=[[{"left": 1.5}], None], day=[None, None], raw=[b"\xff\x00", None])
    with store_in(database).open("w") as store:
        store.write("video", frame.with_columns(pl.Series("at", ["10:11:12.000001", None]).str.to_time()))
        seen = collect_to_polars(store.read("video")).sort("id")
    assert seen["boxes"].to_list() == [[{"left": 1.5}], None]
    assert seen["raw"].to_list() == [b"\xff\x00", None]
    assert [str(time) for time in seen["at"]] == ["10:11:12.000001", "None"]


# -- statements --------------------------------------------------------------------------------------------------------


def test_statements_do_not_depend_on_the_defaults_of_the_server(database: Address) -> None:
    define("video")
    define("clip", "video")
    with store_in(database).open("w") as store:
        store.write("video", rows(id=["a", "b", ""]))
        store.write("clip", store.resolve_update("clip").new)
        store.write("video", rows("2", id=["b", "c"]))
        store.delete("video", nw.col("id") == "a")
        lazy = store.resolve_update("clip", lazy=True)
        assert ids(lazy) == (["c"], ["b"], ["a"])
        assert [values(frame) for frame in (lazy.new, lazy.stale, lazy.orphaned)] == [["c"], ["b"], ["a"]]
    assert asked(database, "SELECT toString(getSetting('join_use_nulls'))") == [("false",)]


def test_what_an_update_leaves_out_stays_there_for_others(database: Address) -> None:
    """Servers remember which blocks a condition left empty, and may take it for another one."""
    define("video")
    define("clip", "video")
    with store_in(database).open("w") as store:
        store.write("video", rows(id=["a", "b"]))
        store.write("clip", store.resolve_update("clip").new)
        define("video", fields=[{"key": "default", "code_version": "2"}])
        define("clip", "video")
        deleted = pl.lit("2026-01-01").str.to_datetime(time_zone="UTC")
        store.write("video", rows(id=["a"]).with_columns(metaxy_deleted_at=deleted))
        assert ids(store.resolve_update("clip")) == ([], [], [])
        version = FeatureGraph.get_active().get_feature_version("video")
    stored = f"SELECT id FROM video WHERE {c.METAXY_FEATURE_VERSION} = '{version}' LIMIT 1"
    assert asked(database, stored) == [("a",)]


def test_an_insert_is_one_block_whatever_the_server_prefers(database: Address) -> None:
    define("video")
    small = {"max_insert_block_size": 100, "min_insert_block_size_rows": 100, "min_insert_block_size_bytes": 1}
    with store_in({**database, "settings": small}).open("w") as store:
        store.write("video", rows(id=[]))
        store.connection.execute("SYSTEM STOP MERGES video")
        store.write("video", rows(id=[str(n) for n in range(5000)]))
        store.write("video", store.read("video"))
    parts = "SELECT rows FROM system.parts WHERE table = 'video' AND active AND database = currentDatabase()"
    assert asked(database, parts) == [(5000,), (5000,)]


def test_rows_travel_compressed(database: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    define("video")
    sent: list[bytes] = []
    with store_in(database).open("w") as store:
        send = store.connection.session.driver.raw_insert

        def watched(table: str, insert_block: bytes, **options: Any) -> Any:
            sent.append(insert_block)
            return send(table, insert_block=insert_block, **options)

        monkeypatch.setattr(store.connection.session.driver, "raw_insert", watched)
        store.write("video", rows(id=[str(n) for n in range(5000)]))
        stored = collect_to_polars(store.read("video", with_sample_history=True))
    assert len(sent) == 1
    assert len(sent[0]) < stored.estimated_size() / 4


def test_a_statement_that_takes_too_long_is_ended(database: Address) -> None:
    with store_in(database, statement_timeout=1).open("w") as store:
        message = complaint(
            lambda: store.connection.execute("SELECT max(cityHash64(number)) FROM numbers(1000000000000)")
        )
        assert "Timeout exceeded" in message
        assert store.conn.list_tables() == []


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_connections_that_fail_are_explained_without_secrets(database: Address) -> None:
    wrong: dict[str, tuple[Address, str]] = {
        "password": ({"password": "hunter2"}, "Authentication failed"),
        "host": ({"host": "127.0.0.1", "port": 1}, "refused"),
        "database": ({"database": "nowhere"}, "nowhere"),
    }
    for changed, words in wrong.values():
        message = complaint(store_in({**database, **changed}).open("w").__enter__, StoreConnectionError)
        assert words in message
        assert "hunter2" not in message
    with pytest.raises(InvalidConfigError, match="needs connection_string or connection_params"):
        ClickHouseMetadataStore()
    assert "hunter2" not in repr(ClickHouseMetadataStore("clickhouse://me:hunter2@host/db"))


def test_a_user_who_may_only_read(database: Address) -> None:
    define("video")
    define("clip", "video")
    with store_in(database).open("w") as store:
        store.write("video", rows(id=["a"]))
    with store_in({**database, "username": clickhouse.READER}).open("w") as store:
        assert ids(store.resolve_update("clip")) == (["a"], [], [])
        for write in (
            lambda: store.write("video", rows(id=["b"])),
            lambda: store.write("clip", store.resolve_update("clip").new),
            lambda: store.delete("video", nw.col("id") == "a", soft=False),
        ):
            assert "readonly" in complaint(write)
        assert values(store.read("video")) == ["a"]
        assert not store.has_feature("clip")
        samples = rows(id=["c"])
        assert 'versioning_engine="polars"' in complaint(lambda: store.resolve_update("video", samples=samples))
        assert ids(store.resolve_update("video", samples=samples, versioning_engine="polars")) == (["c"], [], ["a"])


def test_a_connection_that_is_lost_in_the_middle_of_a_write(database: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    define("video")
    with store_in(database).open("w") as store:
        store.write("video", rows(id=["a"]))
        send = store.connection.session.driver.raw_insert

        def cut(table: str, insert_block: bytes, **options: Any) -> Any:
            return send(table, insert_block=insert_block[: len(insert_block) // 2], **options)

        monkeypatch.setattr(store.connection.session.driver, "raw_insert", cut)
        complaint(lambda: store.write("video", rows(id=[str(n) for n in range(20_000)])), MetadataSchemaError)
        monkeypatch.undo()
        assert values(store.read("video")) == ["a"]
        store.write("video", rows(id=["b"]))
        assert everything(store, "video").height == 2


# -- addresses ---------------------------------------------------------------------------------------------------------

URLS = {
    "clickhouse://me:p%40ss@host/db": "clickhouse+native://me:p%40ss@host:9000/db",
    "clickhouse://host:8443/db": "clickhouse+native://default@host:9440/db?secure=True",
    "clickhouse://me@host:1234/db?secure=true": "clickhouse+native://me@host:9440/db?secure=True",
    "clickhouse+http://host:1234/db?protocol=https": "clickhouse+native://default@host:9440/db?secure=True",
    "clickhouse://host": "clickhouse+native://default@host:9000/default",
}


@pytest.mark.parametrize("url", URLS)
def test_the_address_for_sqlalchemy(url: str) -> None:
    assert ClickHouseMetadataStore(url).sqlalchemy_url == URLS[url]


# -- embedded ----------------------------------------------------------------------------------------------------------

EMBEDDED = """
import subprocess, sys
from pathlib import Path
from tests.factory import define, ids, rows, values
from metaxy.errors import StoreConnectionError
from metaxy.ext.clickhouse import ClickHouseMetadataStore
from metaxy.dag.graph import FeatureGraph

folder = Path(sys.argv[1])
define("video")
define("clip", "video")

def store(name):
    return ClickHouseMetadataStore(f"chdb://{folder / name}", auto_create_tables=True)

if len(sys.argv) > 2:
    try:
        store("one").open("w").__enter__()
    except StoreConnectionError as error:
        print(error)
    sys.exit()
for number in range(2):
    with store("one").open("w") as one:
        one.write("video", rows(str(number), id=["a", "b"]))
        update = one.resolve_update("clip", samples=None)
        print(ids(update))
        one.write("clip", [update.new, update.stale][number])
        print(ids(one.resolve_update("video", samples=rows("9", id=["a", "c"]))))
        if number:
            try:
                store("two").open("w").__enter__()
            except StoreConnectionError as error:
                print(error)
            sys.stdout.flush()
            subprocess.run([sys.executable, "-c", CODE, str(folder), "again"])
with store("two").open("w") as two:
    two.write("video", rows(id=["z"]))
    print(values(two.read("video")))
"""


def test_the_engine_may_be_embedded(tmp_path: Path) -> None:
    code = f"CODE = {EMBEDDED!r}\n{EMBEDDED}"
    command = [sys.executable, "-c", code, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=root, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    busy = "another process has this folder open, or it cannot be written; chdb lets one process at a time use a folder"
    place = f"cannot open chdb://{tmp_path}"
    assert lines == [
        "(['a', 'b'], [], [])",
        "(['c'], ['a'], ['b'])",
        "([], ['a', 'b'], [])",
        "(['c'], ['a'], ['b'])",
        f"{place}/two: this process has another folder of chdb open; close that store first",
        f"{place}/one: {busy}",
        "['z']",
    ]


# -- what the server computes ------------------------------------------------------------------------------------------

NESTED = {
    "counts": ("Map(String, Int64)", "map('a', 1, 'b', 9223372036854775807)", {"a": 1, "b": 2**63 - 1}),
    "names": ("Map(Int64, String)", "map(-1, 'it''s \"x\"')", {-1: 'it\'s "x"'}),
    "days": ("Map(Date, Decimal(10, 2))", "map(toDate('2026-01-01'), 1.5)", {date(2026, 1, 1): Decimal("1.50")}),
    "sizes": ("Map(String, Float64)", "map('a', inf, 'b', 1e50)", {"a": float("inf"), "b": 1e50}),
    "deep": ("Map(String, Map(String, UInt64))", "map('a', map('b', 18446744073709551615))", {"a": {"b": 2**64 - 1}}),
    "tags": ("Array(Nullable(String))", "['it''s', '\"x\"', NULL]", ["it's", '"x"', None]),
    "box": (
        "Tuple(left Int64, `in side` Array(Date32))",
        "(1, ['2026-01-01'])",
        {"left": 1, "in side": [date(2026, 1, 1)]},
    ),
}


def test_nested_columns_of_the_server_become_what_they_hold(database: Address) -> None:
    define("video")
    columns = ", ".join(f"{name} {kind}" for name, (kind, _, _) in NESTED.items())
    given = ", ".join(value for _, value, _ in NESTED.values())
    with store_in(database).open("w") as store:
        store.connection.execute(f"CREATE TABLE source (id String, {columns}, p Map(String, String)) ENGINE = Memory")
        store.connection.execute(f"INSERT INTO source SELECT 'a', {given}, map('default', '1')")
        source = store.connection.ibis.table("source")
        frame = source.rename({c.METAXY_PROVENANCE_BY_FIELD: "p"})
        store.write("video", frame)
        store.write("video", frame.mutate(id=frame["id"].upper()))  # this one meets a table
        seen = collect_to_polars(store.read("video")).select(*NESTED).to_dicts()
    assert seen == [{name: value for name, (_, _, value) in NESTED.items()}] * 2


def test_a_query_that_fails_in_the_server_leaves_no_table(database: Address) -> None:
    define("video")
    with store_in(database).open("w") as store:
        failing = "SELECT 'a' AS id, throwIf(1, 'out of luck') AS n, map('default', '1') AS metaxy_provenance_by_field"
        assert "out of luck" in complaint(lambda: store.write("video", store.connection.ibis.sql(failing)))
        assert not store.has_feature("video")
    assert asked(database, "SELECT count() FROM system.tables WHERE database = currentDatabase()") == [(0,)]


def test_filters_do_not_look_into_lists_that_are_text(database: Address) -> None:
    define("video")
    lists = nw.col("x").list
    with store_in(database).open("w") as store:
        store.write("video", rows(id=["a"], x=[["b", "c"]]))
        for condition in (lists.len() == 2, lists.contains("b"), lists.get(0) == "b", lists.unique().list.len() > 0):
            assert complaint(lambda: values(store.read("video", filters=condition))) == (  # noqa: B023
                "ClickHouse keeps lists as text, and a filter cannot look into them; collect the rows, then filter"
            )
            complaint(lambda: store.delete("video", condition, soft=False))  # noqa: B023
        assert values(store.read("video"), "x") == [["b", "c"]]
