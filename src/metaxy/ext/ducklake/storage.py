"""Feature tables in a DuckLake: DuckDB computes, a catalog and Parquet files hold the rows of many writers."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import narwhals as nw

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import TableNotFoundError
from metaxy.ext.duckdb.dialect import DUCKDB
from metaxy.ext.duckdb.results import first_row
from metaxy.ext.duckdb.storage import DuckDBStorage
from metaxy.ext.ducklake.attachment import DuckLakeAttachmentManager
from metaxy.ext.ducklake.connection import Given, LakeConnection
from metaxy.storage.files import partition_columns
from metaxy.storage.port import Append, Claims, Scan

SMALL = 2**24  # bytes; files are merged until they have far more


def lake_storage(
    given: Given, lake: DuckLakeAttachmentManager, *, table_prefix: str, creates_tables: bool
) -> "LakeStorage":
    """Return the storage for a lake that is attached to a DuckDB database."""
    return LakeStorage(LakeConnection(given, lake), table_prefix=table_prefix, creates_tables=creates_tables)


class LakeStorage(DuckDBStorage):
    """Implements the storage port; tables are partitioned by feature version, and can be tidied."""

    connection: LakeConnection
    unsupported = (nw.Duration,)  # Parquet files would keep its milliseconds
    orders_nan = False  # DuckLake leaves out what has no other value than the one that `!=` names, apart from NaN

    def append(self, writes: Sequence[Append]) -> None:
        """Add rows to tables, all in one transaction."""
        super().append([replace(write, frame=storable(write.frame)) for write in writes])

    def claims(self, key: FeatureKey) -> Claims | None:  # noqa: ARG002
        """Return None: each change of a lake is a commit, and leaves files behind."""
        return None

    def _create(self, table: str, write: Append, query: str) -> None:
        columns = partition_columns(write.frame.columns)
        if not columns:
            super()._create(table, write, query)
            return
        self.connection.execute(f"CREATE TABLE {table} AS FROM ({query}) LIMIT 0")
        self.connection.execute(f"ALTER TABLE {table} SET PARTITIONED BY ({DUCKDB.names(columns)})")
        self.connection.execute(f"INSERT INTO {table} {query}")

    def optimize(self, key: FeatureKey, keep: timedelta, ids: Sequence[str] = ()) -> None:  # noqa: ARG002 - no indexes
        """Move small writes from the catalog into files, merge small files, forget states of the lake older than this.

        DuckLake keeps states of all tables together, so the older ones of other tables are forgotten, too.
        """
        lake, table = DUCKDB.literal(self.connection.lake.name), DUCKDB.literal(self.table_name(key))
        before = f"now() - to_microseconds({keep // timedelta(microseconds=1)})"  # of each call, as it comes to it
        for call in (
            f"ducklake_flush_inlined_data({lake}, table_name => {table})",
            f"ducklake_merge_adjacent_files({lake}, {table})",
            f"ducklake_rewrite_data_files({lake}, {table})",
            f"ducklake_expire_snapshots({lake}, older_than => {before})",
            f"ducklake_cleanup_old_files({lake}, older_than => {before})",
        ):
            self._change(f"CALL {call}")

    def pieces(self, key: FeatureKey, scan: Scan) -> int:  # noqa: ARG002 - the catalog knows
        """Count the small files that share a folder with another one."""
        lake, table = DUCKDB.literal(self.connection.lake.name), DUCKDB.literal(self.table_name(key))
        folder = r"regexp_replace(data_file, '[^/\\]*$', '')"
        files = f"FROM ducklake_list_files({lake}, {table}) WHERE data_file_size_bytes < {SMALL}"
        found = first_row(self.connection.execute(f"SELECT count(*) - count(DISTINCT {folder}) {files}"))
        return int(found[0]) if found else 0

    def size(self, key: FeatureKey) -> int | None:
        """Return the bytes of the files that the current state of a table is made of, None of a view."""
        if not self.is_base_table(key):
            return None
        lake, table = DUCKDB.literal(self.connection.lake.name), DUCKDB.literal(self.table_name(key))
        sizes = f"SELECT sum(data_file_size_bytes) FROM ducklake_list_files({lake}, {table})"
        found = first_row(self.connection.execute(sizes))
        return int(found[0]) if found and found[0] is not None else None

    def commit_token(self, key: FeatureKey) -> str:
        """Return the last state of the lake, which any table may have changed, and which table this is."""
        lake, table = DUCKDB.literal(self.connection.lake.name), DUCKDB.literal(self.table_name(key))
        state = f"{DUCKDB.quote(self.connection.lake.name)}.current_snapshot()"
        which = f"(SELECT max(table_uuid) FROM ducklake_table_info({lake}) WHERE table_name = {table})"
        found = first_row(self.connection.execute(f"SELECT CAST({which} AS VARCHAR), id FROM {state}"))
        if not found or found[0] is None:
            raise TableNotFoundError(f"{self.connection.place} has no table {self.table_name(key)!r}")
        return f"{found[0]}:{found[1]}"


def storable(frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Turn types that lakes lack into those they have; other columns stay as they are."""
    rows = frame.to_native()
    if all(map(_is_storable, rows.types)):
        return frame
    columns = (_as_stored(DUCKDB.quote(name), kind) for name, kind in zip(rows.columns, rows.types, strict=True))
    kept: nw.LazyFrame[Any] = nw.from_native(rows.project(", ".join(columns)))
    return kept


def _as_stored(column: str, kind: Any) -> str:
    return column if _is_storable(kind) else f"CAST({column} AS {_stored_type(kind)}) AS {column}"


def _is_storable(kind: Any) -> bool:
    if kind.id in ("list", "struct", "map"):
        return all(_is_storable(part) for _, part in kind.children)
    return kind.id not in ("array", "time_ns")


def _stored_type(kind: Any) -> str:
    """Name the type of a lake's column for a type of DuckDB.

    Lakes have lists for arrays, and microseconds for the nanoseconds of times of the day; DuckDB ends the process where
    it writes these to Parquet.
    """
    if kind.id == "struct":
        return f"STRUCT({', '.join(f'{DUCKDB.quote(name)} {_stored_type(part)}' for name, part in kind.children)})"
    if kind.id == "map":
        return f"MAP({', '.join(_stored_type(part) for _, part in kind.children)})"
    if kind.id in ("list", "array"):
        return f"{_stored_type(kind.children[0][1])}[]"
    return "TIME" if kind.id == "time_ns" else str(kind)
