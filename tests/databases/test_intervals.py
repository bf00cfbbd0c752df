"""Intervals of DuckDB: durations are read as such, and months, which others may have put there, are refused."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import pytest
from tests.factory import define, rows, values
from tests.stores import delta_store, duckdb_store

from metaxy.errors import MetadataSchemaError

DAY = timedelta(1)


def test_a_table_with_months_is_refused_in_one_line(tmp_path: Path) -> None:
    define("video")
    define("clip", "video")
    with duckdb_store(tmp_path).open("w") as store:
        store.write("video", rows(id=["a", "b"], x=[DAY, 400 * DAY]))
        assert values(store.read("video", filters=[nw.col("x") > 399 * DAY])) == ["b"]
    with duckdb.connect(str(tmp_path / "store.duckdb")) as connection:
        connection.execute("UPDATE video SET x = INTERVAL '1 month 1 day' WHERE id = 'a'")
    refused = "^feature video: column 'x' of its table holds intervals with months, .* ALTER TABLE \"video\" ALTER"
    with duckdb_store(tmp_path).open("w") as store, delta_store(tmp_path).open("w") as other:
        verbs: list[Callable[[], Any]] = [
            lambda: store.read("video"),
            lambda: store.read("video", filters=[nw.col("x") == 31 * DAY]),
            lambda: store.resolve_update("clip"),
            lambda: store.resolve_update("video", samples=rows(id=["a"])),
            lambda: store.write("video", rows(id=["c"], x=[DAY])),
            lambda: store.delete("video", nw.col("x") > DAY, soft=False),
            lambda: other.copy_metadata(store, ["video"]),
        ]
        for verb in verbs:
            with pytest.raises(MetadataSchemaError, match=refused):
                verb()
    with duckdb.connect(str(tmp_path / "store.duckdb")) as connection:
        connection.execute('ALTER TABLE "video" ALTER "x" TYPE VARCHAR')
    with duckdb_store(tmp_path) as store:
        assert values(store.read("video"), "x") == ["1 month 1 day", "9600:00:00"]


def test_months_inside_of_columns_do_not_become_durations(tmp_path: Path) -> None:
    define("video")
    with duckdb_store(tmp_path).open("w") as store:
        store.write("video", rows(id=["a", "b"], x=[[DAY], []]))
        assert values(store.read("video"), "x") == [[], [DAY]]
    with duckdb.connect(str(tmp_path / "store.duckdb")) as connection:
        connection.execute("UPDATE video SET x = [INTERVAL '1 year'] WHERE id = 'a'")
    refused = r"^column 'x' holds intervals with months, .*; cast it to text$"
    with duckdb_store(tmp_path) as store, pytest.raises(MetadataSchemaError, match=refused):
        values(store.read("video"), "x")


def test_durations_inside_of_columns_are_collected_by_narwhals(tmp_path: Path) -> None:
    define("video")
    with duckdb_store(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"], x=[[DAY]], y=[{"z": DAY}]))
        found = store.read("video").collect("polars").to_native()
        assert found.select("x", "y").rows() == [([DAY], {"z": DAY})]


def test_durations_that_duckdb_does_not_give_back_are_refused(tmp_path: Path) -> None:
    define("video")
    longest = 106_751 * DAY
    with duckdb_store(tmp_path).open("w") as store:
        for column in ([longest + DAY], [-longest - DAY], [[longest + DAY]], [{"z": longest + DAY}]):
            with pytest.raises(MetadataSchemaError, match=r"^column 'x' holds a duration of more than 292 years"):
                store.write("video", rows(id=["a"], x=column))
        store.write("video", rows(id=["a", "b"], x=[longest, -longest]))
        assert values(store.read("video"), "x") == sorted([longest, -longest], key=repr)
