"""One SQLite file: opened, asked and written to."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import narwhals as nw

from metaxy.errors import MetadataStoreError, StoreConnectionError, StoreLockedError
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection, Traits
from metaxy.ext.ibis.session import Session
from metaxy.ext.sqlite.bulk import SQLiteBulk
from metaxy.ext.sqlite.claims import SQLiteClaims
from metaxy.ext.sqlite.compiler import SQLiteBackend
from metaxy.ext.sqlite.dialect import SQLITE
from metaxy.ext.sqlite.functions import add_functions
from metaxy.ext.sqlite.tables import SQLiteTables
from metaxy.masking import mask_address
from metaxy.storage.damage import refuse_short_sqlite
from metaxy.storage.files import at_home
from metaxy.storage.interrupting import interruptible
from metaxy.storage.port import HUGE, AccessMode, Capabilities
from metaxy.storage.retrying import retried

OLDEST = (3, 39, 0)  # the first with FULL JOIN
WAL_ATTEMPTS = 10
STEPS = 1000  # of SQLite between two looks for Ctrl-C
TRAITS = Traits(
    Capabilities(
        by_field="json", has_map=False, has_decimal=False, transactions=True, unsupported=(*HUGE, nw.Duration)
    ),
    computes=True,
    deepest=5,
    claims=SQLiteClaims,
)


def connection_to(address: Address, lock_timeout: float = 10.0) -> IbisConnection:
    """Return a connection to a file; writers take turns, readers see the last state that was stored."""
    tables = SQLiteTables(SQLiteSession(address, lock_timeout), SQLITE)
    return IbisConnection(SQLITE, SQLiteBulk(tables), TRAITS)


class SQLiteSession(Session):
    """One SQLite file."""

    def __init__(self, address: Address, lock_timeout: float) -> None:
        file = _file_of(address)  # absolute, as functions of users may change the working directory
        self.file = file if file == ":memory:" else str(Path(file).absolute())
        self.lock_timeout = lock_timeout
        self._stopped = False
        super().__init__(address, mask_address(file))

    def connect(self, mode: AccessMode) -> Any:
        """Open the file; one that does not exist is created, also for reading."""
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreConnectionError(f"SQLite {sqlite3.sqlite_version} is too old; use 3.39 or newer")
        try:
            session = self._open(mode)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise self._locked() from error
            raise
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
        address = path.as_uri()
        if mode == "r" and path.exists():
            try:
                return self._session(f"{address}?mode=ro", uri=True)
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    raise
                if all(os.access(each, os.W_OK) for each in (path, path.parent)):
                    return self._session(f"{address}?mode=rw", uri=True)  # nobody else has it open: this makes its log
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

    @contextmanager
    def one_line_errors(self) -> Iterator[None]:
        """Turn errors of SQLite into one line of ours, and let Ctrl-C end what runs."""
        try:
            with interruptible(self._stop):
                yield
        except (sqlite3.Error, OverflowError) as error:
            if "locked" in str(error):
                raise self._locked() from error
            raise MetadataStoreError(f"{self.display}: {self.reason(error)}") from error
        finally:
            self._stopped = False

    def _locked(self) -> StoreLockedError:
        return StoreLockedError(
            f"{self.display} is locked by another process that writes to it (waited {self.lock_timeout:g} s); "
            "wait longer with `lock_timeout` or `mx --wait SECONDS`, or use a store for many writers, such as "
            "PostgreSQL or Delta"
        )

    def _stop(self) -> None:
        self._stopped = True
        self.driver.interrupt()  # sooner than after so many steps, if one of them is slow

    def execute(self, statement: str) -> None:
        """Run a statement of ours."""
        with self.use() as driver:
            driver.execute(statement).close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run statements together or not at all; other writers wait. One inside of another is a part of it."""
        with self.lock:
            if self.driver.in_transaction:
                yield
                return
            try:
                self.execute("BEGIN IMMEDIATE")
                yield
                self.execute("COMMIT")
            except BaseException:
                if self.driver.in_transaction:
                    self.driver.execute("ROLLBACK")
                raise


def _file_of(address: Address) -> str:
    if address.url is not None:
        rest = address.url.partition("://")[2]
        return at_home(rest.removeprefix("/")) or ":memory:"
    return at_home(str(address.parameters.get("database") or ":memory:"))
