"""One DuckDB database: opened with patience, extended without downloads, one cursor per thread."""

import math
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import narwhals as nw

from metaxy.errors import (
    MetadataSchemaError,
    MetadataStoreError,
    StoreConnectionError,
    StoreLockedError,
    StoreNotOpenError,
)
from metaxy.ext.duckdb import attaching
from metaxy.ext.duckdb.damage import refuse_short_file, seems_short
from metaxy.ext.duckdb.dialect import DUCKDB
from metaxy.ext.duckdb.expressions import correct_narwhals
from metaxy.ext.duckdb.extensions import ExtensionSpec, load
from metaxy.ext.duckdb.functions import CASE_MACROS, add_functions
from metaxy.ext.duckdb.results import first_row
from metaxy.ext.duckdb.turns import Turns, holder_of
from metaxy.ext.duckdb.types import shielded, with_known_types
from metaxy.masking import Secrets, hide_in, mask_address
from metaxy.storage.files import anchored
from metaxy.storage.interrupting import interruptible
from metaxy.storage.nested_types import first_with
from metaxy.storage.port import HUGE, AccessMode
from metaxy.storage.retrying import retried
from metaxy.storage.temporaries import Temporaries
from metaxy.versioning.frames import Frame, collect_to_arrow, with_durations
from metaxy.wording import first_line

REMOTE = ("md:", "s3://", "gs://", "gcs://", "r2://", "az://", "http://", "https://")
LOCKED = ("Could not set lock on file", "being used by another process")  # on POSIX, on Windows
ELSEWHERE = "{} is open for reading elsewhere in this process; close that store first"
STARTED = time.time()
CONFLICT = re.compile("write-write conflict|Conflict on|Transaction conflict")  # with another store of this process
BATCH_ROWS = 122_880  # the rows of a DuckDB row group
DEEP_ROWS = 50_000  # in smaller tables, planning takes longer than finding the latest rows in either way
DEEP = 2.5  # rows to a sample; what DuckDB takes for distinct is often too little by half
ROWS = re.compile(r'"Estimated Cardinality": "~?(\d+)')
UNIQUE = re.compile(r"\[Approx Unique: (\d+)\]")
Result = TypeVar("Result")
SESSION = ("SET TimeZone = 'UTC'", "SET python_enable_replacements = false", *CASE_MACROS)  # of each cursor


class DuckDBConnection:
    """Implements the `Database` port of the SQL engine over one DuckDB database."""

    dialect = DUCKDB
    implementation = nw.Implementation.DUCKDB
    session: Sequence[str] = SESSION
    reads_frames = True

    def __init__(
        self,
        database: str,
        config: Mapping[str, str],
        extensions: Sequence[ExtensionSpec],
        lock_timeout: float,
    ) -> None:
        self._given = database
        self.database: str = anchored(database)  # functions of users may change the working directory
        self.config = dict(config)
        self.extensions = list(extensions)
        self.lock_timeout = lock_timeout
        statements = [each.init_sql for each in extensions]
        self.secrets = Secrets.of({"database": database, "config": config, "init_sql": statements})
        self.turns = Turns(self._own_file())
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._threads = threading.local()
        self._alone = threading.Lock()
        self._loaded = Temporaries()
        self._use: tuple[str, ...] = ()  # of each cursor, where the file is read through another database
        self._lodging: Path | None = None  # the file, as that database has it
        self._guests: dict[Path, Turns] = {}  # files that are attached to this database
        self._marker = ""  # a function that only this database has

    @property
    def place(self) -> str:
        """Where the tables are, for messages."""
        return mask_address(self._given)

    def message(self, error: Exception) -> str:
        """Say what an error says, in one line; neither this nor the error shows secrets any more."""
        return first_line(hide_in(error, self.secrets.hide))

    # -- opening -----------------------------------------------------------------------------------------------------

    @property
    def is_remote(self) -> bool:
        """Whether the database is not a file of this machine."""
        return self.database.startswith(REMOTE)

    def _own_file(self) -> Path | None:
        """Return the file that one process can open at a time."""
        return None if self.is_remote or self.database.startswith(":memory:") else Path(self.database)

    def open(self, mode: AccessMode) -> None:
        """Connect; a file that does not exist yet is created, also for reading."""
        in_memory = self.database.startswith(":memory:")
        exists = self.is_remote or (not in_memory and _is_there(self.database))
        if not exists and not in_memory:
            _create(Path(self.database), self.config)
        # What this process has open was looked at when it opened it.
        short = exists and not self.is_remote and not self.turns.is_open and seems_short(Path(self.database))
        self._use = ()
        self._connection = self._connect(read_only=mode == "r" and exists and not self.database.startswith("md:"))
        self._threads = threading.local()
        if mode == "w" and (file := self._own_file()):
            _remove_spilled(file.with_name(f"{file.name}.tmp"))
        try:
            if short:
                refuse_short_file(Path(self.database), self._connection)
            self._prepare(self._connection)
        except BaseException as error:
            self.close()
            if isinstance(error, duckdb.Error):
                raise StoreConnectionError(f"{self.place}: {self.message(error)}") from error
            raise

    def settings(self) -> dict[str, Any]:
        """Return the settings of a new connection; nothing is downloaded unless the user says so."""
        return {"autoinstall_known_extensions": "false", **self.config}

    def _connect(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        def attempt(last: bool) -> duckdb.DuckDBPyConnection | None:
            connection = self._tried(read_only=read_only, last=last)
            if connection is not None:
                self.turns.opened(reads=read_only)
            return connection

        if read_only and not self.lock_timeout and not self.turns.has_come(polite=True):
            raise StoreLockedError(f"{self.place} is busy: other processes wait for it")
        return self._in_turn(self.turns, attempt)

    def _in_turn(self, turns: Turns, attempt: Callable[[bool], Result | None]) -> Result:
        """Do what opens a file once it is not wanted by who came earlier, and again until it is not None.

        ``attempt`` is told whether it is the last one.
        """
        deadline = time.monotonic() + self.lock_timeout
        with turns:
            while True:
                ends = time.monotonic() >= deadline  # then it is tried once, whoever waits
                with attaching.ALONE:
                    result = attempt(ends) if ends or turns.has_come() else None
                if result is not None:
                    return result
                turns.wait()

    def _lodged(self, *, read_only: bool) -> duckdb.DuckDBPyConnection | None:
        """Connect through the database that has this file attached, if one has."""
        file = self._own_file()
        connection = attaching.lodge(file) if file else None
        if file is None or connection is None:
            return None
        if not read_only:
            connection.close()
            attaching.unlodge(file)
            raise StoreLockedError(ELSEWHERE.format(self.place))
        self._lodging = file
        self._use = (f"USE {DUCKDB.quote(attaching.attached_name(file))}",)
        connection.execute(*self._use)
        return connection

    def _tried(self, *, read_only: bool, last: bool) -> duckdb.DuckDBPyConnection | None:
        """Connect; None if another process has the file locked, and there will be other attempts."""
        try:
            if lodged := self._lodged(read_only=read_only):
                return lodged
            return duckdb.connect(self.database, read_only=read_only, config=self.settings())
        except duckdb.ConnectionException as error:
            # This process has the file open in the other mode, which does no harm to a reader.
            if not read_only:
                raise StoreLockedError(ELSEWHERE.format(self.place)) from error
            return self._tried(read_only=False, last=last)
        except duckdb.IOException as error:
            if not is_locked(error):
                raise StoreConnectionError(f"cannot open {self.place}: {self.message(error)}") from error
            if last:
                raise self._locked(self.place, error) from error
            return None
        except duckdb.Error as error:
            raise StoreConnectionError(f"cannot open {self.place}: {self.message(error)}") from error

    def _locked(self, place: str, error: duckdb.Error) -> StoreLockedError:
        return StoreLockedError(
            f"{place} is locked by {holder_of(str(error))} (waited {self.lock_timeout:g} s); wait longer with "
            "`lock_timeout` or `mx --wait SECONDS`, or use a store for many writers, such as PostgreSQL or Delta"
        )

    # -- files of others -----------------------------------------------------------------------------------------------

    def hosted(self, other: "DuckDBConnection") -> str | None:
        """Return what stands before the names of another store's tables here, None if they cannot be read here.

        Its file is attached, unless it is the same, or this process has it open elsewhere.

        Raises:
            StoreLockedError: if another process writes to it for too long.
        """
        file = other._own_file()
        if file is None or not _is_there(str(file)):
            return None
        if (own := self._own_file()) and file == own:
            return ""
        if file not in self._guests:
            turns = Turns(file)
            if not self._in_turn(turns, lambda last: self._try_to_attach(file, turns, other.place, last=last)):
                return None
        return f"{DUCKDB.quote(attaching.attached_name(file))}."

    def _try_to_attach(self, file: Path, turns: Turns, place: str, *, last: bool) -> bool | None:
        """Attach a file; None if another process has it locked, and there will be other attempts."""
        if file in self._guests:  # another thread was first
            return True
        here = attaching.is_in(self.cursor, attaching.attached_name(file))
        if not here and (turns.is_open or attaching.is_attached(file)):
            return False
        assert self._connection is not None  # noqa: S101 - its cursor was used
        try:
            attaching.attach(self._connection, file)
        except duckdb.Error as error:
            if not is_locked(error):
                return False  # opening it says why
            if last:
                raise self._locked(place, error) from error
            return None
        turns.opened()
        self._guests[file] = turns
        return True

    def _may_close(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Let go of the files of others; returns whether nobody else in this process is connected through this."""
        left = [attaching.leave(connection, file) for file in self._guests]
        while self._guests:
            self._guests.popitem()[1].closed()
        return all(left)

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        correct_narwhals()
        add_functions(connection)
        for statement in SESSION:
            connection.execute(statement)
        for extension in self.extensions:
            load(connection, extension)
        self._marker = f"mx_here_{uuid.uuid4().hex}"  # others may have it open, with the one of the last time
        connection.create_function(self._marker, lambda: "here", [], "VARCHAR")

    def close(self) -> None:
        """Disconnect; cursors of all threads end with it."""
        if self._connection is not None:
            with attaching.ALONE:
                if self._may_close(self._connection):
                    self._connection.close()
                self._connection = None
                if self._lodging:
                    attaching.unlodge(self._lodging)
                    self._lodging = None
                self.turns.closed()

    # -- statements --------------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The cursor of this thread."""
        if self._connection is None:
            raise StoreNotOpenError(f"{self.place} is closed; use `with store:`")
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._threads, "cursor", None)
        if cursor is None:
            cursor = self._threads.cursor = self._connection.cursor()
            for statement in (*self.session, *self._use):
                cursor.execute(statement)
        return cursor

    @contextmanager
    def one_line_errors(self) -> Iterator[None]:
        """Turn errors of DuckDB into one line of ours, and let Ctrl-C end what runs."""
        with interruptible(self.cursor.interrupt):
            try:
                yield
            except duckdb.Error as error:
                raise MetadataStoreError(f"{self.place}: {self.message(error)}") from error

    def execute(self, statement: str) -> duckdb.DuckDBPyConnection:
        """Run a statement of ours."""
        with self.one_line_errors():
            return self.cursor.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run statements together or not at all; one inside of another is a part of it."""
        if self._is_changing:
            yield
            return
        try:
            self.execute("BEGIN TRANSACTION")
            self._threads.changes = True
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # it has ended already where COMMIT failed
                self.cursor.execute("ROLLBACK")
            raise
        finally:
            self._threads.changes = False

    @property
    def _is_changing(self) -> bool:
        return getattr(self._threads, "changes", False)

    def change(self, work: Callable[[], None]) -> None:
        """Do work that changes tables, and that changes nothing if it fails; again, if another store was in its way."""
        if self._is_changing:  # the whole transaction is to be done again
            work()
        else:
            retried(work, lambda error: CONFLICT.search(str(error)) is not None)

    def is_deep(self, table: str, keys: Sequence[str]) -> bool:
        """Ask the statistics that DuckDB keeps of a large table, and never trust them with more than speed."""
        rows = 0 if self.is_remote else self._rows(table)
        if rows < DEEP_ROWS:
            return False
        statistics = ", ".join(f"stats({DUCKDB.quote(key)})" for key in keys)
        found = first_row(self.cursor.execute(f"SELECT {statistics} FROM {table} LIMIT 1")) or ()
        distinct = [int(match[1]) for text in found if (match := UNIQUE.search(str(text)))]
        return len(distinct) == len(keys) and rows >= DEEP * math.prod(distinct)

    def _rows(self, table: str) -> int:
        """Return about how many rows a table has, without reading one."""
        match = ROWS.search(str(self.cursor.execute(f"EXPLAIN (FORMAT json) SELECT NULL FROM {table}").fetchall()))
        return int(match[1]) if match else 0

    def relation(self, query: str, types: object = None) -> nw.LazyFrame[Any]:  # noqa: ARG002 - DuckDB knows them
        """Return a query as a lazy frame."""
        frame: nw.LazyFrame[Any] = nw.from_native(self.cursor.sql(query))
        return frame

    def fetch(self, query: str, types: object = None) -> Any:  # noqa: ARG002 - DuckDB knows them
        """Run a query and return an Arrow table; a relation converts its rows in parallel, a cursor does not."""
        with self.one_line_errors():
            try:
                rows = self.cursor.sql(query).to_arrow_table()
            except duckdb.OutOfMemoryException:
                with self._one_thread():
                    rows = self.cursor.sql(query).to_arrow_table()
            return with_durations(rows) if "interval" in str(rows.schema) else rows

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """Let DuckDB spill in peace: near its limit, one thread may hold what another one needs, and both give up."""
        with self._alone:
            threads = first_row(self.cursor.execute("SELECT current_setting('threads')")) or (1,)
            self.cursor.execute("SET threads = 1")
            try:
                yield
            finally:
                self.cursor.execute(f"SET threads = {int(threads[0])}")

    def query_of(self, frame: nw.LazyFrame[Any]) -> str:
        """Return the SQL of a lazy frame."""
        sql: str = frame.to_native().sql_query()
        return sql

    def owns(self, frame: Frame) -> bool:
        """Return whether a frame lives in this very database: only here the marker function exists."""
        native = frame.to_native()
        if not isinstance(native, duckdb.DuckDBPyRelation):
            return False
        try:
            native.query("mx_relation", f"SELECT {self._marker}() FROM (SELECT 1)").fetchall()
            self.cursor.sql(native.sql_query())  # fails for rows that another thread registered with its own cursor
        except duckdb.Error:
            return False
        return True

    def rebound(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any] | None:
        """Return a frame of another connection to this database as one of this, None if it is of another database."""
        return self.relation(self.query_of(frame)) if self.owns(frame) else None

    def load(self, frame: Frame) -> nw.LazyFrame[Any]:
        """Register a frame from elsewhere as a view of this thread; Arrow data is scanned where it lies."""
        if huge := first_with(frame.collect_schema(), HUGE):  # Arrow has no such integers
            column, dtype = huge
            raise MetadataSchemaError(f"column {column!r} of {dtype} cannot be given to DuckDB; cast it to a decimal")
        name = f"mx_given_{uuid.uuid4().hex}"
        table = with_known_types(collect_to_arrow(frame))
        # DuckDB scans one batch per thread: slices of one large batch, which copy nothing, let all threads work.
        sliced = type(table).from_batches(table.to_batches(max_chunksize=BATCH_ROWS), schema=table.schema)
        self.cursor.register(name, sliced)
        self._loaded.remember(lambda: self.cursor.unregister(name))
        return self.relation(f"SELECT {shielded(table.schema)} FROM {name}")

    def embeddable(self, frame: nw.LazyFrame[Any], *, reread: bool = False) -> nw.LazyFrame[Any]:
        """Return the frame, as statements may nest; or a temporary table, which spills to disk like any other."""
        if not reread or frame.to_native().type == "TABLE_RELATION":
            return frame
        name = f"mx_computed_{uuid.uuid4().hex}"
        self.execute(f"CREATE TEMP TABLE {name} AS {self.query_of(frame)}")
        self._loaded.remember(lambda: self.cursor.execute(f"DROP TABLE IF EXISTS temp.{name}"))
        return self.relation(f"SELECT * FROM {name}")

    def temporary(self) -> AbstractContextManager[None]:
        """Let go of what this thread loads in the block; otherwise it is kept until the thread or the store ends."""
        return self._loaded.forgetting()


def is_locked(error: duckdb.Error) -> bool:
    """Return whether DuckDB says that another process has a file locked."""
    return any(sign in str(error) for sign in LOCKED)


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # its folder may not be entered; connecting says so
        return False


def _create(path: Path, config: Mapping[str, Any]) -> None:
    """Put an empty database in place as a whole: other processes, and who comes after a kill, never see half of one."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        duckdb.connect(str(draft), config={**config, "threads": "1"}).close()
        os.link(draft, path)
    except (OSError, duckdb.Error):
        pass  # somebody was faster, or this disk has no links; whatever else it is, connecting says so
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _remove_spilled(folder: Path) -> None:
    """Remove what killed processes spilled: nobody else has the file open, and of ours nothing is so old."""
    with suppress(OSError):
        for file in folder.glob("duckdb_temp_*"):
            if file.stat().st_mtime < STARTED:
                file.unlink()
        folder.rmdir()  # unless there are others
