"""Rows out of ClickHouse and into it, as Arrow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl

from metaxy.errors import MetadataStoreError
from metaxy.ext.clickhouse.dialect import CLICKHOUSE
from metaxy.ext.clickhouse.types import fetched, incoming, outgoing, refuse_dates_beyond, refuse_nulls
from metaxy.ext.ibis.bulk import Bulk
from metaxy.ext.ibis.tables import Table
from metaxy.ext.ibis.values import refuse_finer_times
from metaxy.versioning.column_types import Types
from metaxy.versioning.database import TypesOf

NULLABLE_TUPLES = "enable_nullable_tuple_type"  # a setting of servers that know them
# What JSON of values is such that nothing is lost.
JSON_SETTINGS = {
    "date_time_output_format": "'iso'",
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_decimals": 1,
    "output_format_json_quote_denormals": 1,  # NaN and infinities
}


class ClickHouseBulk(Bulk):
    """Rows as streams of Arrow."""

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query and return an Arrow table."""
        wanted = types()
        with self.session.use() as driver:
            table = driver.query_arrow(_outgoing(driver, query, wanted), use_strings=True)
        return fetched(table.rename_columns(list(wanted)), wanted)

    def pieces(self, query: str, types: TypesOf, rows: int) -> Iterator[Any]:
        """Run a query and yield Arrow tables of so many rows or, where the server sends smaller blocks, less."""
        import pyarrow as pa

        wanted, is_empty = types(), True
        with self.session.use() as driver:
            stream = driver.query_arrow_stream(_outgoing(driver, query, wanted), use_strings=True)
            with stream:
                for block in stream:
                    is_empty = is_empty and not block.num_rows
                    table = pa.Table.from_batches([block]) if isinstance(block, pa.RecordBatch) else block
                    table = fetched(table.rename_columns(list(wanted)), wanted)
                    yield from (table.slice(start, rows) for start in range(0, table.num_rows, rows))
        if is_empty:  # of which the server sends no block, so that nothing says the columns
            yield self.fetch(f"SELECT * FROM ({query}) AS mx_none LIMIT 0", lambda: wanted)

    def refuse_values(self, name: str, rows: pl.DataFrame, *, new: bool) -> None:
        """Refuse dates and times that ClickHouse would change, and NULL for columns that cannot hold it."""
        refuse_dates_beyond(rows)
        refuse_finer_times(rows, "ClickHouse")
        found = None if new else self.tables.find(name)
        if found is not None:
            refuse_nulls(rows, found.sql_types)

    def insert(self, name: str, frame: pl.DataFrame, table: Table) -> None:
        """Add rows as Arrow, in one block: all of them are seen, or none."""
        if frame.is_empty():
            return
        rows = incoming(frame, table.sql_types).to_arrow()
        place = f"{self.tables.qualified(name)} ({CLICKHOUSE.names(frame.columns)})"
        with self.session.use() as driver:
            driver.raw_insert(place, insert_block=_stream(rows), settings=_one_block(len(frame)), fmt="ArrowStream")

    def insert_query(self, name: str, columns: str, query: str) -> None:
        """Add the rows of a query, in one block."""
        settings = ", ".join(f"{name} = {value}" for name, value in {**_one_block(1 << 40), **JSON_SETTINGS}.items())
        self.session.execute(f"INSERT INTO {self.tables.qualified(name)} ({columns}) {query} SETTINGS {settings}")

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Surround what puts rows beside the tables, so that errors say how to do without that."""
        try:
            yield
        except MetadataStoreError as error:
            if any(code in str(error) for code in ("READONLY", "ACCESS_DENIED")):
                hint = "rows from elsewhere are put beside the tables, which needs CREATE TABLE and INSERT"
                raise MetadataStoreError(f'{error}; {hint}; versioning_engine="polars" does without') from error
            raise


def _outgoing(driver: Any, query: str, wanted: Types) -> str:
    """Write a query whose columns are such that they can be fetched."""
    nullable_tuples = NULLABLE_TUPLES in driver.server_settings
    # Names of users here would be seen in the query, where they may mean a table.
    values = (
        outgoing(f"mx_q.{CLICKHOUSE.quote(name)}", dtype, nullable_tuples=nullable_tuples)
        for name, dtype in wanted.items()
    )
    columns = ", ".join(f"{value} AS mx_{n}" for n, value in enumerate(values))
    return f"SELECT {columns} FROM ({query}) AS mx_q"


def _one_block(rows: int) -> dict[str, int]:
    """Settings that keep the rows of an insert together, as only a block is written wholly or not at all."""
    return {
        "max_insert_block_size": rows,
        "min_insert_block_size_rows": rows,
        "min_insert_block_size_bytes": 0,
        "max_insert_threads": 1,
    }


def _stream(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")  # an eighth of the bytes, as most columns repeat themselves
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written
