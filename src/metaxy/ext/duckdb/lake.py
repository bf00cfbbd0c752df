"""Feature tables in a DuckLake: DuckDB computes, a catalog and Parquet files hold the rows of many writers."""

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import InvalidConfigError, MetadataStoreError, StoreLockedError, first_line
from metaxy.ext.duckdb.connection import LOCKED, SESSION, DuckDBConnection
from metaxy.ext.duckdb.dialect import DUCKDB
from metaxy.ext.duckdb.extensions import ExtensionSpec, is_genuine, load_installed
from metaxy.ext.duckdb.storage import DuckDBStorage
from metaxy.ext.duckdb.turns import Turns
from metaxy.ext.ducklake.attachment import DuckLakeAttachmentManager
from metaxy.ext.ducklake.config import DuckDBCatalogConfig, LocalStorageConfig, SQLiteCatalogConfig
from metaxy.masking import hide_in
from metaxy.storage.damage import refuse_lost_catalog, refuse_short_sqlite
from metaxy.storage.files import partition_columns
from metaxy.storage.port import Append, Scan
from metaxy.storage.retrying import retried

UNSIGNED = "allow_unsigned_extensions"
SMALL = 2**24  # bytes; files are merged until they have far more
ATTEMPTS = 1000  # `lock_timeout` ends them
IN_THE_WAY = (  # what catalogs say about a writer that will soon be done
    *LOCKED,
    "database is locked",
    "Transaction conflict",
    "conflict on",
    "Exceeded the maximum retry count",
    "could not serialize access",
    "deadlock detected",
    "already exists",  # two created the catalog
)
_PREAMBLE = re.compile(r'.*?Failed to attach DuckLake MetaData "[^"]*" at path \+ "[^"]*"')


class LakeConnection(DuckDBConnection):
    """One DuckDB database with a DuckLake attached, which is where unqualified names lead."""

    def __init__(
        self,
        database: str,
        config: Mapping[str, str],
        extensions: Sequence[ExtensionSpec],
        lock_timeout: float,
        lake: DuckLakeAttachmentManager,
    ) -> None:
        super().__init__(_instance(database, lake), config, extensions, lock_timeout)
        self.lake = lake
        self.session = (*SESSION, lake.use_sql)
        catalog = lake.config.catalog
        self._catalog_turns = Turns(Path(catalog.uri) if isinstance(catalog, DuckDBCatalogConfig) else None)
        self._skips_signatures = False

    @property
    def place(self) -> str:
        """Where the tables are, for messages."""
        return f"DuckLake {self.lake.place}"

    def message(self, error: Exception) -> str:
        """Say what an error says, in one line and without secrets."""
        said = first_line(hide_in(error, lambda text: self.lake.secrets.hide(self.secrets.hide(text))))
        return _PREAMBLE.sub("", said)

    # -- opening -------------------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Return the settings of a new connection.

        To check the signature of an extension takes longer than all else, so this is done once per process: afterwards,
        the same files are loaded without it, and then the check is turned on again.
        """
        settings = super().settings()
        private = self.database.startswith(":memory:") and UNSIGNED not in settings
        self._skips_signatures = private and all(map(is_genuine, self.lake.extensions))
        return {**settings, UNSIGNED: "true"} if self._skips_signatures else settings

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        for name in self.lake.extensions:
            load_installed(connection, name)
        if self._skips_signatures:
            connection.execute(f"SET {UNSIGNED} = false")
        super()._prepare(connection)
        with self._catalog_turns:
            deadline = time.monotonic() + self.lock_timeout
            self.change(lambda: self._attach_in_turn(connection, deadline))
        self._catalog_turns.opened()

    def close(self) -> None:
        """Disconnect; the catalog is let go of."""
        super().close()
        self._catalog_turns.closed()

    def _attach_in_turn(self, connection: duckdb.DuckDBPyConnection, deadline: float) -> None:
        """Attach the lake once its catalog is not wanted by who came earlier."""
        while not self._catalog_turns.has_come() and time.monotonic() < deadline:
            self._catalog_turns.wait()
        try:
            self._attach(connection)
        except duckdb.Error as error:
            if _is_in_the_way(error):
                self._catalog_turns.wait()
            raise

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Attach the lake; while another process creates its catalog, or has it locked, this fails."""
        self._refuse_damage()
        known = self._attached(connection)
        self.lake.configure(connection)
        if known and self._lakes(connection)[self.lake.secret_name.lower()] not in known:
            raise InvalidConfigError(
                f"{self.place}: another DuckLake is attached to {self.database} as {self.lake.config.alias!r} in this "
                "process; choose another `alias`"
            )

    def _refuse_damage(self) -> None:
        """Refuse a catalog on disk that is cut, or that is new beside the files of another one."""
        catalog, files = self.lake.config.catalog, self.lake.config.storage
        if not isinstance(catalog, (DuckDBCatalogConfig, SQLiteCatalogConfig)):
            return
        if isinstance(files, LocalStorageConfig):
            refuse_lost_catalog(Path(catalog.uri), Path(files.path), "**/ducklake-*.parquet")
        if isinstance(catalog, SQLiteCatalogConfig):
            refuse_short_sqlite(Path(catalog.uri))

    def _attached(self, connection: duckdb.DuckDBPyConnection) -> set[str]:
        """Return which lakes may bear our alias in this database, by the path of its catalog; none if it is free."""
        query = "SELECT path FROM duckdb_databases() WHERE database_name = ?"
        found = connection.execute(query, [self.lake.config.alias]).fetchone()
        if not found:
            return set()
        return {lake for lake in self._lakes(connection).values() if f"metadata_path={found[0]}" in lake}

    def _lakes(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        """Return where lakes are, by the names of their secrets; stores of one lake may have one each."""
        query = "SELECT name, secret_string FROM duckdb_secrets() WHERE type = 'ducklake'"
        return {name: text.partition(";")[2] for name, text in connection.execute(query).fetchall()}

    # -- reading -------------------------------------------------------------------------------------------------------

    def is_deep(self, table: str, keys: Sequence[str]) -> bool:  # noqa: ARG002
        """Return False: to count the rows of a lake, DuckDB may have to look at its files."""
        return False

    # -- writing -------------------------------------------------------------------------------------------------------

    def change(self, work: Callable[[], None]) -> None:
        """Do work that changes nothing if it fails; again, for as long as another writer is in its way.

        Raises:
            StoreLockedError: if that takes too long.
        """
        deadline = time.monotonic() + self.lock_timeout
        try:
            retried(work, lambda error: _is_in_the_way(error) and time.monotonic() < deadline, ATTEMPTS)
        except (duckdb.Error, MetadataStoreError) as error:
            if not _is_in_the_way(error):
                raise
            raise StoreLockedError(
                f"{self.place}: other processes were in the way for {self.lock_timeout:g} s; raise `lock_timeout`, or "
                f"use a catalog for many writers, such as PostgreSQL ({self.message(_cause(error))})"
            ) from error


class LakeStorage(DuckDBStorage):
    """Implements the storage port; tables are partitioned by feature version, and can be tidied."""

    connection: LakeConnection
    lacks = (nw.Duration,)  # Parquet files would keep its milliseconds
    orders_nan = False  # DuckLake leaves out what has no other value than the one that `!=` names, apart from NaN

    def append(self, writes: Sequence[Append]) -> None:
        """Add rows to tables, all in one transaction."""
        super().append([replace(write, frame=_storable(write.frame)) for write in writes])

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
        found = self.connection.execute(f"SELECT count(*) - count(DISTINCT {folder}) {files}").fetchone()
        return int(found[0]) if found else 0


def _storable(frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Turn types that lakes lack into those they have; other columns stay as they are."""
    rows = frame.to_native()
    if all(map(_is_storable, rows.types)):
        return frame
    columns = (_as_stored(DUCKDB.quote(name), kind) for name, kind in zip(rows.columns, rows.types, strict=True))
    storable: nw.LazyFrame[Any] = nw.from_native(rows.project(", ".join(columns)))
    return storable


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


def _instance(database: str, lake: DuckLakeAttachmentManager) -> str:
    """Name the DuckDB database; DuckDB attaches a file once in a process, so all who use it as a catalog share one."""
    catalog = lake.config.catalog
    if database != ":memory:" or not isinstance(catalog, DuckDBCatalogConfig):
        return database
    path = str(Path(catalog.uri).absolute())
    return f":memory:metaxy_{hashlib.sha256(path.encode()).hexdigest()}"


def _cause(error: Exception) -> Exception:
    return error.__cause__ if isinstance(error.__cause__, duckdb.Error) else error


def _is_in_the_way(error: Exception) -> bool:
    """Return whether a statement failed because of what another process does at the same time."""
    cause = _cause(error)
    return isinstance(cause, duckdb.Error) and any(words in str(cause) for words in IN_THE_WAY)
