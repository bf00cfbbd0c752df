"""A DuckDB database that runs out of memory: one more try with one thread, one line, and all threads afterwards."""

from pathlib import Path

import pytest

from metaxy.errors import MetadataStoreError
from metaxy.ext.duckdb import DuckDBMetadataStore

TOO_MUCH = "SELECT list(range) FROM range(20_000_000)"  # one value, which nothing can spill


def test_a_statement_that_needs_too_much_is_tried_with_one_thread(tmp_path: Path) -> None:
    config = {"memory_limit": "50MB", "threads": "2"}
    store = DuckDBMetadataStore(tmp_path / "x.duckdb", config=config, auto_create_tables=True)
    with store.open("w"):
        store.connection.execute("CALL enable_logging('QueryLog', storage = 'memory')")
        with pytest.raises(MetadataStoreError, match="Out of Memory") as raised:
            store.connection.fetch(TOO_MUCH)
        assert "\n" not in str(raised.value)
        ran = store.connection.fetch("SELECT message FROM duckdb_logs()").column("message").to_pylist()
        tries = [text for text in ran if text.startswith(("SET threads", "SELECT list"))]
        assert [text.split("(")[0] for text in tries] == [
            "SELECT list",
            "SET threads = 1",
            "SELECT list",
            "SET threads = 2",
        ]
        assert store.connection.fetch("SELECT current_setting('threads')").to_pydict().popitem()[1] == [2]
