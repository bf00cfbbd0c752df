"""One DuckDB database with a DuckLake attached."""

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from metaxy.errors import InvalidConfigError, MetadataStoreError, StoreLockedError
from metaxy.ext.duckdb.attaching import is_in
from metaxy.ext.duckdb.connection import LOCKED, SESSION, DuckDBConnection
from metaxy.ext.duckdb.dialect import DUCKDB
from metaxy.ext.duckdb.extensions import ExtensionSpec, is_genuine, load_installed
from metaxy.ext.duckdb.results import first_row
from metaxy.ext.duckdb.turns import Turns
from metaxy.ext.ducklake.attachment import DuckLakeAttachmentManager
from metaxy.ext.ducklake.config import (
    DuckDBCatalogConfig,
    LocalStorageConfig,
    MotherDuckCatalogConfig,
    SQLiteCatalogConfig,
)
from metaxy.masking import hide_in
from metaxy.storage.damage import refuse_lost_catalog, refuse_short_sqlite
from metaxy.storage.retrying import retried
from metaxy.wording import first_line

Given = tuple[str, Mapping[str, str], Sequence[ExtensionSpec], float]  # what a connection to DuckDB takes
UNSIGNED = "allow_unsigned_extensions"
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
    "Failed to probe DuckLake metadata: Current transaction is aborted",  # the catalog was locked meanwhile
)
_PREAMBLE = re.compile(r'.*?Failed to attach DuckLake MetaData "[^"]*" at path \+ "[^"]*"')


class LakeConnection(DuckDBConnection):
    """One DuckDB database with a DuckLake attached, which is where unqualified names lead."""

    def __init__(self, given: Given, lake: DuckLakeAttachmentManager) -> None:
        super().__init__(_instance(given[0], lake), *given[1:])
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
        found = first_row(connection.execute(query, [self.lake.config.alias]))
        if not found:
            return set()
        return {lake for lake in self._lakes(connection).values() if f"metadata_path={found[0]}" in lake}

    def _lakes(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        """Return where lakes are, by the names of their secrets; stores of one lake may have one each."""
        query = "SELECT name, secret_string FROM duckdb_secrets() WHERE type = 'ducklake'"
        return {name: text.partition(";")[2] for name, text in connection.execute(query).fetchall()}

    def hosted(self, other: DuckDBConnection) -> str | None:
        """Return what stands before the names of another lake's tables here, None if they cannot be read here.

        It is attached for reading. Of a DuckDB file a process has one handle, so a catalog in one is left alone.
        """
        if not isinstance(other, LakeConnection):
            return None
        if other.lake.config == self.lake.config:
            return ""
        guest = other.lake.for_reading()
        if isinstance(guest.config.catalog, (DuckDBCatalogConfig, MotherDuckCatalogConfig)):
            return None
        known = self.lake.statements()
        statements = [each for each in guest.statements() if each not in known and each != guest.use_sql]
        if {_secret(each) for each in known} & {_secret(each) for each in statements} - {None}:
            return None  # theirs would take the place of ours
        try:
            if not is_in(self.cursor, guest.name):
                for name in guest.extensions:
                    load_installed(self.cursor, name)
                for statement in statements:
                    self.cursor.execute(statement)
        except duckdb.Error:
            return None  # opening it says why
        return f"{DUCKDB.quote(guest.name)}."

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


def _instance(database: str, lake: DuckLakeAttachmentManager) -> str:
    """Name the DuckDB database; DuckDB attaches a file once in a process, so all who use it as a catalog share one."""
    catalog = lake.config.catalog
    if database != ":memory:" or not isinstance(catalog, DuckDBCatalogConfig):
        return database
    path = str(Path(catalog.uri).absolute())
    return f":memory:metaxy_{hashlib.sha256(path.encode()).hexdigest()}"


def _secret(statement: str) -> str | None:
    """Return the name of the secret that a statement creates."""
    found = re.match(r'CREATE OR REPLACE SECRET "?(\w+)', statement)
    return found[1].lower() if found else None


def _cause(error: Exception) -> Exception:
    return error.__cause__ if isinstance(error.__cause__, duckdb.Error) else error


def _is_in_the_way(error: Exception) -> bool:
    """Return whether a statement failed because of what another process does at the same time."""
    cause = _cause(error)
    return isinstance(cause, duckdb.Error) and any(words in str(cause) for words in IN_THE_WAY)
