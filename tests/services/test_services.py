"""The servers that tests stand on do what the tests take for granted, seen by the clients that users have."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from tests.services import running, s3

ON_UNIX = sys.platform != "win32"  # there are no wheels of the database servers for Windows


def test_buckets_of_two_tests_are_apart() -> None:
    one, two = s3.new_bucket(), s3.new_bucket()
    s3.client().put_object(Bucket=one, Key="a/b", Body=b"data")
    assert s3.objects(one) == ["a/b"]
    assert s3.objects(two) == []


RUN = """
from pathlib import Path
from tests.services import running, s3
running.begin()
print(running.address("s3")["endpoint"], flush=True)
input()
"""


def test_servers_end_with_the_run_whichever_way_it_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(running.VARIABLE)
    for name in ("TMPDIR", "TEMP"):
        monkeypatch.setenv(name, str(tmp_path))
    command = [sys.executable, "-c", RUN]
    with subprocess.Popen(
        command, cwd=running.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        urlopen(f"{endpoint}/moto-api/").close()
        process.kill()
    with suppress(URLError, ConnectionError):
        while True:  # until the server has ended
            urlopen(f"{endpoint}/moto-api/").close()


def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(running.VARIABLE, str(tmp_path))
    with pytest.raises(running.ServiceError, match=r"does not start:(?s:.)*FileNotFoundError"):
        running.address("s3")


if ON_UNIX:
    import clickhouse_connect
    import pyarrow as pa
    from clickhouse_connect.driver.exceptions import DatabaseError
    from clickhouse_connect.driver.external import ExternalData
    from tests.services import clickhouse, postgres

    ICU = [(True, "a")] if sys.platform == "linux" else []  # where its packages are found

    @pytest.mark.parametrize(("icu", "first"), [(False, "B"), *ICU])
    def test_text_is_ordered_by_bytes_or_as_people_do(icu: bool, first: str) -> None:
        with postgres.connect(postgres.new_database(icu=icu)) as connection:
            query = "SELECT word FROM (VALUES ('a'), ('B')) AS words (word) ORDER BY word LIMIT 1"
            assert connection.execute(query).fetchone() == (first,)

    def test_databases_of_two_tests_are_apart() -> None:
        one, two = postgres.new_database(), postgres.new_database()
        with postgres.connect(one) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS x")
        with postgres.connect(two) as connection:
            assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)

    @pytest.fixture
    def client() -> Any:
        client = clickhouse_connect.get_client(**clickhouse.new_database())
        yield client
        client.close()

    def test_clickhouse_stores_what_clients_send(client: Any) -> None:
        client.command(
            "CREATE TABLE t (id String, m Map(String, String), x Nullable(Int64)) ENGINE = MergeTree ORDER BY id"
        )
        client.insert("t", [["it's;\n", {"k": "v"}, None]], column_names=["id", "m", "x"])
        client.insert_arrow("t", pa.table({"id": ["b"], "x": [1]}))
        rows = client.query("SELECT id, m, x FROM t ORDER BY id").result_rows
        assert rows == [("b", {}, 1), ("it's;\n", {"k": "v"}, None)]
        assert client.query("SELECT x FROM t WHERE id = {id:String}", parameters={"id": "b"}).result_rows == [(1,)]

    def test_clickhouse_settings_are_those_of_one_request(client: Any) -> None:
        query = "SELECT b.y FROM (SELECT 1 AS x) AS a LEFT JOIN (SELECT 2 AS x, 3 AS y) AS b USING (x)"
        assert client.query(query, settings={"join_use_nulls": 1}).result_rows == [(None,)]
        assert client.query(query).result_rows == [(0,)]  # as a server does by default

    def test_clickhouse_takes_tables_with_a_request(client: Any) -> None:
        given = ExternalData(file_name="e.csv", data=b"1,a\n2,b\n", fmt="CSV", structure="x Int32, word String")
        assert client.query("SELECT sum(x), max(word) FROM e", external_data=given).result_rows == [(3, "b")]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"password": "wrong"}, "AUTHENTICATION_FAILED"),
            ({"database": "nowhere"}, "UNKNOWN_DATABASE"),
            ({"username": clickhouse.READER}, "READONLY"),
        ],
    )
    def test_clickhouse_refuses(change: dict[str, str], message: str) -> None:
        given = {**clickhouse.new_database(), **change}
        with pytest.raises(DatabaseError, match=message):
            clickhouse_connect.get_client(**given).command("CREATE TABLE t (x Int8) ENGINE = Memory")
