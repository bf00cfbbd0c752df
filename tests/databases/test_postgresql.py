"""What PostgreSQL needs, found by running it: byte order, plans without statistics, names, tables of others, errors."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import ibis
import narwhals as nw
import polars as pl
import psycopg
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.services import postgres

from metaxy import columns as c
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import (
    InvalidConfigError,
    MetadataSchemaError,
    MetadataStoreError,
    MetaxyColumnMissingWarning,
    PolarsMaterializationWarning,
    StoreConnectionError,
)
from metaxy.ext.postgresql import PostgreSQLMetadataStore
from metaxy.hashing import HashAlgorithm

Address = dict[str, Any]


def store_in(database: Address, **options: Any) -> PostgreSQLMetadataStore:
    return PostgreSQLMetadataStore(connection_params=database, **{"auto_create_tables": True, **options})


def complaint(do: Callable[[], Any], kind: type[Exception] = MetadataStoreError) -> str:
    with pytest.raises(kind) as caught:
        do()
    message = str(caught.value)
    assert "\n" not in message
    assert postgres.PASSWORD not in message
    return message


# -- where the rows are ------------------------------------------------------------------------------------------------


def test_a_copy_between_schemas_stays_in_the_server(database: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    define("video")
    with postgres.connect(database) as connection:
        connection.execute('CREATE SCHEMA "Production"')
    with store_in(database) as source, store_in({**database, "schema": "Production"}).open("w") as target:
        with store_in(database).open("w") as writer:
            writer.write("video", rows(id=range(10), n=range(10)))
        monkeypatch.setattr(target.connection.bulk, "insert", lambda *_: pytest.fail("rows are sent to the server"))
        options: dict[str, Any] = {"global_filters": [nw.col("n") > 2]}
        assert target.copy_metadata(source, ["video"], **options)["rows_copied"] == 7
        assert target.copy_metadata(source, ["video"], **options)["rows_copied"] == 0
        assert values(target.read("video")) == [*range(3, 10)]


def test_a_schema_is_created_with_its_first_table(database: Address) -> None:
    """So a preview in a schema of its own takes no more than its name."""
    define("video")
    branch = store_in({**database, "schema": "a branch"}, name="branch")
    assert repr(branch).endswith("schema=a branch)")
    with postgres.connect(database) as connection:
        schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'a branch'"
        with branch:
            assert not branch.has_feature("video")
        assert connection.execute(schemas).fetchone() == (0,)
        with branch.open("w"):
            branch.write("video", rows(id=range(3), n=range(3)))
            assert values(branch.read("video")) == [*range(3)]
        assert connection.execute(schemas).fetchone() == (1,)
        with (
            pytest.raises(MetadataStoreError),
            store_in({**database, "schema": "c"}, auto_create_tables=False).open("w") as none,
        ):
            none.write("video", rows(id=[1], n=[1]))
        with branch.open("w"):
            branch.write("video", rows(id=[3], n=[3]))


def test_a_copy_between_databases_goes_through_the_client(database: Address) -> None:
    define("video")
    with store_in(postgres.new_database()).open("w") as source, store_in(database).open("w") as target:
        source.write("video", rows(id=range(10)))
        assert target.copy_metadata(source, ["video"])["rows_copied"] == 10
        assert values(target.read("video")) == [*range(10)]


def test_bytes_decide_the_order_of_text_in_every_locale() -> None:
    database = postgres.new_database(icu=True)
    define("part", ids=["id", "n"])
    spec = LineageRelationship.aggregation(on=["id"])
    define("whole", FeatureDep(feature="part", lineage=spec), ids=["id"])
    parts = rows(["1", "2", "3", "4"], id=["x"] * 4, n=["a", "B", "ä", "_"])
    with store_in(database).open("w") as store:
        [[unordered]] = store.connection.session.driver.execute("SELECT 'a' < 'B'").fetchall()
        assert unordered  # by bytes it would be the other way round
        store.write("part", parts)
        native = values(store.resolve_update("whole").new, c.METAXY_PROVENANCE)
        assert native == values(store.resolve_update("whole", versioning_engine="polars").new, c.METAXY_PROVENANCE)
        assert values(store.read("part", filters="n < 'a'"), "n") == ["B", "_"]
        assert values(store.read("part", filters="lower(n) > 'a' AND upper(n) > '_'"), "n") == ["ä"]
        store.connection.ibis.compiler.of_unicode = None  # as on a server before 18 that has no ICU
        with pytest.raises(MetadataSchemaError, match="cannot lower text as other stores do"):
            store.read("part", filters="lower(n) = 'a'").collect()


def test_large_joins_are_hashed_even_without_statistics(database: Address) -> None:
    define("video")
    define("clip", "video")
    with store_in(database).open("w") as store:
        store.write("video", rows(id=range(2000)))
        store.write("clip", store.resolve_update("clip").new)
        store.connection.execute("DELETE FROM pg_statistic")
        lazy = store.resolve_update("clip", lazy=True).stale.to_native()
        plan = store.connection.session.driver.execute("EXPLAIN " + lazy.op().query).fetchall()
        text = "\n".join(str(line) for [line] in plan)
        assert "Nested Loop" not in text
        assert "Hash Full Join" in text or "Merge Full Join" in text


def test_each_hash_is_computed_once(database: Address) -> None:
    define("video", fields=["x", "y"])
    define("clip", "video", fields=["x", "y"])
    with store_in(database).open("w") as store:
        store.write("video", rows({"x": "1", "y": "2"}, id=range(10)))
        store.connection.execute("SET track_functions = 'all'")
        store.connection.execute(
            "CREATE FUNCTION counted(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN md5(t); END $$"
        )
        lazy = store.resolve_update("clip", lazy=True).new.to_native()
        store.connection.execute(
            "SELECT count(*), min(metaxy_provenance) FROM (" + lazy.op().query.replace("md5(", "counted(") + ") q"
        )
        store.connection.execute("SELECT pg_stat_force_next_flush()")
        [[calls]] = store.connection.session.driver.execute(
            "SELECT calls FROM pg_stat_user_functions WHERE funcname = 'counted'"
        ).fetchall()
        assert calls == 30  # two fields and the sample, ten times


def test_new_tables_have_statistics(database: Address) -> None:
    define("video")
    with store_in(database).open("w") as store:
        store.write("video", rows(id=range(100)))
        [[count]] = store.connection.session.driver.execute(
            "SELECT reltuples FROM pg_class WHERE relname='video'"
        ).fetchall()
    assert count == 100


def test_the_session_does_not_depend_on_the_server(database: Address) -> None:
    with postgres.connect(database) as connection:
        name = database["database"]
        connection.execute(f"ALTER DATABASE {name} SET TimeZone = 'Asia/Tokyo'")
        connection.execute(f"ALTER DATABASE {name} SET DateStyle = 'German'")
    define("video")
    with store_in(database, statement_timeout=60).open("w") as store:
        store.write("video", rows(id=["a"], day=[pl.Series(["2020-02-01"]).str.to_date()[0]]))
        written = everything(store, "video")
        assert str(written["day"][0]) == "2020-02-01"
        assert abs((written[c.METAXY_UPDATED_AT][0] - store.clock.now()).total_seconds()) < 600
        assert store.connection.session.driver.execute("SHOW statement_timeout").fetchall() == [("1min",)]


def test_names_that_would_be_cut_are_refused(database: Address) -> None:
    define("v" * 64)
    define("video")
    with store_in(database).open("w") as store:
        assert "64 bytes" in complaint(lambda: store.write("v" * 64, rows(id=["a"])))
        message = complaint(lambda: store.write("video", rows(id=["a"], **{"é" * 32: [1]})), MetadataSchemaError)
        assert "64 bytes" in message
        assert not store.has_feature("video")
        store.write("video", rows(id=["a"], **{"n" * 63: [1]}))
        assert values(store.read("video"), "n" * 63) == [1]


# -- tables of others --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonb", "json", "text"])
def test_versions_by_field_may_be_json_or_text(database: Address, kind: str) -> None:
    define("video")
    with postgres.connect(database) as connection:
        versions = ", ".join(f"{name} {kind}" for name in c.BY_FIELD_COLUMNS)
        texts = ", ".join(f"{s.name} varchar" for s in c.SYSTEM_COLUMNS if s.kind == "text")
        times = ", ".join(f"{s.name} timestamptz" for s in c.SYSTEM_COLUMNS if s.kind == "timestamp")
        connection.execute(f"CREATE TABLE video (id varchar, extra jsonb, {versions}, {texts}, {times}, own uuid)")
    with store_in(database, auto_create_tables=False).open("w") as store:
        store.write("video", rows(id=["a", "b"], extra=[{"n": 1}, None]))
        assert not store.resolve_update("video", samples=rows(id=["a", "b"]))
        assert ids(store.resolve_update("video", samples=rows(["2", "1"], id=["a", "b"]))) == ([], ["a"], [])
        assert values(store.read("video"), "id", "extra") == [("a", {"n": 1}), ("b", None)]
        store.write("video", store.read("video", columns=["id", "extra", c.METAXY_PROVENANCE_BY_FIELD]))
        store.delete("video", nw.col("id") == "a")
        assert values(store.read("video")) == ["b"]


def test_algorithms_that_it_lacks_are_left_to_polars_with_a_warning(database: Address) -> None:
    define("video")
    define("clip", "video")
    with store_in(database, hash_algorithm=HashAlgorithm.XXHASH32).open("w") as store:
        store.write("video", rows(id=["a"]))
        with pytest.warns(PolarsMaterializationWarning, match="has no xxhash32; versions are computed with Polars"):
            store.write("clip", store.resolve_update("clip").new)
        with pytest.warns(PolarsMaterializationWarning):
            assert not store.resolve_update("clip")


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_connections_that_fail_are_explained_without_secrets(database: Address) -> None:
    wrong: dict[str, tuple[Address, str]] = {
        "password": ({"password": "hunter2"}, "password authentication failed"),
        "host": ({"host": "127.0.0.1", "port": 1}, "refused"),
        "database": ({"database": "nowhere"}, "does not exist"),
    }
    for changed, words in wrong.values():
        store = store_in({**database, **changed})
        message = complaint(store.open("w").__enter__, StoreConnectionError)
        assert words in message
        assert "hunter2" not in message
    with pytest.raises(InvalidConfigError, match="needs connection_string or connection_params"):
        PostgreSQLMetadataStore()
    assert "hunter2" not in repr(PostgreSQLMetadataStore("postgresql://me:hunter2@host/db"))


def test_a_user_who_may_only_read(database: Address) -> None:
    define("video")
    define("clip", "video")
    with store_in(database).open("w") as store:
        store.write("video", rows(id=["a"]))
    with postgres.connect(database) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'reads'")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    with store_in({**database, "user": "reader", "password": "reads"}).open("w") as store:
        assert ids(store.resolve_update("clip")) == (["a"], [], [])
        assert "permission denied" in complaint(lambda: store.write("video", rows(id=["b"])))
        assert "permission denied" in complaint(lambda: store.write("clip", store.resolve_update("clip").new))
        assert values(store.read("video")) == ["a"]
        assert not store.has_feature("clip")


def test_samples_without_the_right_to_temporary_tables(database: Address) -> None:
    define("video")
    with store_in(database).open("w") as store:
        store.write("video", rows(id=["a"]))
    with postgres.connect(database) as connection:
        connection.execute(f"REVOKE TEMPORARY ON DATABASE {database['database']} FROM PUBLIC")
        connection.execute("DROP ROLE IF EXISTS modest")
        connection.execute("CREATE ROLE modest LOGIN PASSWORD 'reads'")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO modest")
    samples = rows(id=["a", "b"])
    with store_in({**database, "user": "modest", "password": "reads"}) as store:
        message = complaint(lambda: store.resolve_update("video", samples=samples))
        assert "grant TEMPORARY on the database" in message
        assert ids(store.resolve_update("video", samples=samples, versioning_engine="polars")) == (["b"], [], [])


def test_structs_are_refused_if_they_may_not_become_json(database: Address) -> None:
    define("video")
    frame = rows(id=["a"], box=[{"x": 1}])
    with store_in(database, auto_cast_struct_for_jsonb=False).open("w") as store:
        assert "column 'box' is a Struct" in complaint(lambda: store.write("video", frame), MetadataSchemaError)
        assert not store.has_feature("video")
        store.write("video", rows(id=["a"]))
        assert "column 'box' is a Struct" in complaint(lambda: store.write("video", frame), MetadataSchemaError)
        assert "box" not in everything(store, "video").columns
        assert not store.resolve_update("video", samples=rows(id=["a"]))


def test_a_connection_that_is_lost_in_the_middle_of_a_write(database: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    define("video")
    define("clip", "video")
    with store_in(database).open("w") as store:
        store.write("video", rows(id=["a"]))
        insert, done = store.connection.bulk.insert, list[str]()

        def lost(table: str, frame: pl.DataFrame, columns: Any) -> None:
            insert(table, frame, columns)
            done.append(table)
            with postgres.connect(database) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [store.connection.session.driver.info.backend_pid])

        monkeypatch.setattr(store.connection.bulk, "insert", lost)
        frames = {"video": rows(id=["b"]), "clip": rows(id=["b"])}
        with pytest.warns(MetaxyColumnMissingWarning):
            message = complaint(lambda: store.write_multi(frames), StoreConnectionError)
        assert "open the store again" in message
        assert done == ["clip"]
    with store_in(database) as again:
        assert values(again.read("video")) == ["a"]
        assert not again.has_feature("clip")


@pytest.mark.parametrize("what", ["fetch", "execute", "write"])
def test_ctrl_c_ends_the_statement_and_leaves_the_store_usable(database: Address, what: str) -> None:
    define("video")
    with store_in(database).open("w") as store, postgres.connect(database) as other:
        connection = store.connection
        pid = connection.session.driver.info.backend_pid

        def interrupt() -> None:
            while not other.execute(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event IN ('PgSleep', 'advisory')", [pid]
            ).fetchall():
                pass
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        def write() -> None:
            with connection.session.transaction():
                store.write("video", rows(id=["a"]))
                connection.execute("SELECT pg_sleep(600)")

        statements: dict[str, Callable[[], Any]] = {
            "fetch": lambda: connection.fetch("SELECT 1 AS n FROM pg_sleep(600)", lambda: {"n": nw.Int64()}),
            "execute": lambda: connection.execute("SELECT pg_sleep(600)"),
            "write": write,
        }
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            statements[what]()
        thread.join()
        assert not store.has_feature("video")
        store.write("video", rows(id=["b"]))
        assert values(store.read("video")) == ["b"]


KILLED = """
import json, sys
from metaxy.ext.postgresql import PostgreSQLMetadataStore
with PostgreSQLMetadataStore(connection_params=json.loads(sys.argv[1])) as store:
    print(store.connection.session.driver.info.backend_pid, flush=True)
    store.connection.execute("SELECT pg_sleep(600)")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only there a server hears that its client is gone")
def test_the_statement_of_a_client_that_was_killed_is_ended(database: Address) -> None:
    running = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
    command = [sys.executable, "-c", KILLED, json.dumps(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child, postgres.connect(database) as other:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        while not other.execute(f"{running} AND wait_event = 'PgSleep'", [pid]).fetchall():
            pass
        child.kill()
        patience = time.monotonic() + 300
        while other.execute(running, [pid]).fetchall():  # the server looks every five seconds
            assert time.monotonic() < patience


def test_statements_that_take_too_long_are_ended(database: Address) -> None:
    define("video")
    with store_in(database, statement_timeout=0.3).open("w") as store:
        message = complaint(lambda: store.connection.execute("SELECT pg_sleep(600)"))
        assert "statement timeout" in message
        store.write("video", rows(id=["a"]))
        assert values(store.read("video")) == ["a"]


def test_a_frame_of_another_connection_is_copied(database: Address) -> None:
    define("video")
    other = ibis.memtable(rows(id=["a"]).to_arrow())
    with store_in(database).open("w") as store:
        store.write("video", other)
        assert values(store.read("video")) == ["a"]


def test_psycopg_is_what_ibis_uses(database: Address) -> None:
    with store_in(database) as store:
        assert isinstance(store.conn.con, psycopg.Connection)
        assert store.conn.list_tables() == []


def test_a_search_path_is_refused_with_the_way_to_name_a_schema() -> None:
    url, parameters = "postgresql://h/db?search_path=x", {"search_path": "x"}
    for store in (PostgreSQLMetadataStore(url), PostgreSQLMetadataStore(connection_params=parameters)):
        with pytest.raises(StoreConnectionError, match="takes no search_path; name the schema behind"), store.open():
            pass
