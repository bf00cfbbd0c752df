"""One SQLite file: opened, asked and written to."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.errors import MetadataStoreError, StoreConnectionError, StoreLockedError
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection, Table
from metaxy.ext.ibis.values import refuse_finer_times
from metaxy.ext.sqlite.columns import (
    narwhals_type,
    read,
    refuse_lost_names,
    refuse_lost_values,
    sql_type,
    written,
)
from metaxy.ext.sqlite.compiler import SQLiteBackend
from metaxy.ext.sqlite.dialect import SQLITE
from metaxy.ext.sqlite.functions import add_functions
from metaxy.masking import mask_address
from metaxy.storage.damage import refuse_short_sqlite
from metaxy.storage.interrupting import interruptible
from metaxy.storage.port import HUGE, AccessMode, Capabilities
from metaxy.storage.retrying import retried
from metaxy.versioning.database import TypesOf

OLDEST = (3, 39, 0)  # the first with FULL JOIN
WAL_ATTEMPTS = 10
STEPS = 1000  # of SQLite between two looks for Ctrl-C


class SQLiteConnection(IbisConnection):
    """One SQLite file; writers take turns, readers see the last state that was stored."""

    errors = (sqlite3.Error,)
    computes = True
    deepest = 5
    by_field_type = "TEXT"  # SQLite stores numbers in columns of a type that it does not know
    capabilities = Capabilities(
        by_field="json", has_map=False, has_decimal=False, transactions=True, lacks=(*HUGE, nw.Duration)
    )

    def __init__(self, address: Address, lock_timeout: float = 10.0) -> None:
        self.file = _file_of(address)
        self.lock_timeout = lock_timeout
        self._stopped = False
        super().__init__(SQLITE, mask_address(self.file), address.secrets)

    def connect(self, mode: AccessMode) -> Any:
        """Open the file; one that does not exist is created, also for reading."""
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreConnectionError(f"SQLite {sqlite3.sqlite_version} is too old; use 3.39 or newer")
        session = self._open(mode)
        try:
            add_functions(session)
            session.set_progress_handler(lambda: self._stopped, STEPS)
            backend = SQLiteBackend.from_connection(session)
        except BaseException:
            session.close()
            raise
        return backend

    def _open(self, mode: AccessMode) -> sqlite3.Connection:
        if self.file == ":memory:":
            return self._session(self.file, uri=False)
        path = Path(self.file)
        refuse_short_sqlite(path)
        address = path.absolute().as_uri()
        if mode == "r" and path.exists():
            try:
                return self._session(f"{address}?mode=ro", uri=True)
            except sqlite3.OperationalError:
                if Path(f"{self.file}-wal").exists():
                    raise
                return self._session(f"{address}?mode=ro&immutable=1", uri=True)  # nobody can write to this folder
        session = self._session(address, uri=True)
        # SQLite does not wait by itself while another process turns this on.
        retried(lambda: session.execute("PRAGMA journal_mode = WAL"), lambda e: "locked" in str(e), WAL_ATTEMPTS)
        return session

    def _session(self, address: str, *, uri: bool) -> sqlite3.Connection:
        session = sqlite3.connect(
            address, uri=uri, timeout=self.lock_timeout, isolation_level=None, check_same_thread=False
        )
        try:
            session.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            session.close()
            raise
        return session

    @property
    def place(self) -> Any:
        """The file."""
        return None if self.file == ":memory:" else Path(self.file).resolve()

    @property
    def session(self) -> sqlite3.Connection:
        """The connection of the driver."""
        session: sqlite3.Connection = self.ibis.con
        return session

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """Turn errors of SQLite into one line of ours, and let Ctrl-C end what runs."""
        try:
            with interruptible(self._stop):
                yield
        except (sqlite3.Error, OverflowError) as error:
            if "locked" in str(error):
                raise StoreLockedError(
                    f"{self.display} is locked by another process that writes to it (waited {self.lock_timeout:g} s); "
                    "raise `lock_timeout`, or use a store for many writers, such as PostgreSQL or Delta"
                ) from error
            raise MetadataStoreError(f"{self.display}: {self.reason(error)}") from error
        finally:
            self._stopped = False

    def _stop(self) -> None:
        self._stopped = True
        self.session.interrupt()  # sooner than after so many steps, if one of them is slow

    def execute(self, statement: str) -> None:
        """Run a statement of ours."""
        with self.lock, self.complaining():
            self.session.execute(statement).close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run statements together or not at all; other writers wait."""
        with self.lock:
            try:
                self.execute("BEGIN IMMEDIATE")
                yield
                self.execute("COMMIT")
            except BaseException:
                if self.session.in_transaction:
                    self.session.execute("ROLLBACK")
                raise

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query and return an Arrow table."""
        wanted = types()
        with self.lock, self.complaining():
            rows = self.session.execute(query).fetchall()
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(wanted)
        series = [read(name, dtype, values) for (name, dtype), values in zip(wanted.items(), columns, strict=True)]
        return pl.DataFrame(series).to_arrow()

    def refuse_values(self, table: str, rows: pl.DataFrame, *, new: bool) -> None:  # noqa: ARG002
        """Refuse times that are finer than those of ours."""
        refuse_finer_times(rows, "SQLite")

    def insert(self, table: str, frame: pl.DataFrame, columns: Table) -> None:  # noqa: ARG002 - SQLite takes any
        """Add rows with one prepared statement."""
        refuse_lost_values(frame)
        values = [written(frame[name]) for name in frame.columns]
        places = ", ".join("?" * len(values))
        statement = f"INSERT INTO {SQLITE.quote(table)} ({SQLITE.names(frame.columns)}) VALUES ({places})"
        with self.lock, self.complaining():
            self.session.executemany(statement, zip(*values, strict=True))

    def find(self, name: str) -> Table | None:
        """Return a table, None if there is none of that name."""
        with self.lock, self.complaining():
            rows = self.session.execute("SELECT name, type FROM pragma_table_info(?)", [name]).fetchall()
        types = dict(rows)
        return Table(types, nw.Schema({c: narwhals_type(kind) for c, kind in types.items()})) if types else None

    def create(
        self, name: str, types: Mapping[str, str], *, order: Sequence[str] = (), temporary: bool = False
    ) -> None:
        """Create a table."""
        refuse_lost_names(types)
        super().create(name, types, order=order, temporary=temporary)

    def add_column(self, table: str, column: str, kind: str) -> None:
        """Add a column to a table."""
        refuse_lost_names([column])
        super().add_column(table, column, kind)

    def sql_type(self, dtype: nw.dtypes.DType) -> str:
        """Write the type of a new column."""
        return sql_type(dtype)

    def retype(self, table: str, column: str, dtype: nw.dtypes.DType, kind: str) -> None:  # noqa: ARG002 - it is JSON
        """Put a column with another type in its place: SQLite changes no types."""
        place, old, new = (SQLITE.quote(name) for name in (table, column, "metaxy_retyped"))
        for statement in (
            f"ALTER TABLE {place} ADD COLUMN {new} {self.sql_type(dtype)}",
            f"UPDATE {place} SET {new} = {old} WHERE {old} IS NOT NULL",
            f"ALTER TABLE {place} DROP COLUMN {old}",
            f"ALTER TABLE {place} RENAME COLUMN {new} TO {old}",
        ):
            self.execute(statement)


def _file_of(address: Address) -> str:
    if address.url is not None:
        rest = address.url.partition("://")[2]
        return rest.removeprefix("/") or ":memory:"
    return str(address.parameters.get("database") or ":memory:")
