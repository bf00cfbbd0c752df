"""One session of a database: opened, asked by one thread at a time, with errors in one line."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ibis.backends.sql import SQLBackend
from ibis.common.exceptions import IbisError

from metaxy.errors import (
    InvalidConfigError,
    MetadataStoreError,
    StoreConnectionError,
    StoreLockedError,
    StoreNotOpenError,
)
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.compiling import with_metaxy_rules
from metaxy.ext.ibis.listing import correct_narwhals
from metaxy.masking import hide_in
from metaxy.storage.port import AccessMode
from metaxy.wording import first_line


class Session:
    """An Ibis connection, and how statements of ours run in it.

    A database overrides `connect`, and where it can do better `execute`, `transaction`, `place` and `take_turns`.
    """

    errors: tuple[type[Exception], ...] = (IbisError, OSError)
    schema: str | None = None  # the one that all tables are in, if it has a name

    def __init__(self, address: Address, display: str = "") -> None:
        self.address = address
        self.display = display or str(address)
        self.lock = threading.RLock()
        self._ibis: Any = None

    def connect(self, mode: AccessMode) -> Any:
        """Return a new Ibis connection."""
        raise NotImplementedError

    def open(self, mode: AccessMode) -> None:
        """Connect.

        Raises:
            StoreConnectionError: in one line and without secrets, if that is not possible.
            StoreLockedError: if another process has an embedded database locked.
            InvalidConfigError: if what Ibis connects to is no database.
        """
        try:
            backend = self.connect(mode)
        except (StoreConnectionError, StoreLockedError):
            raise
        except Exception as error:  # each driver has errors of its own
            raise StoreConnectionError(f"cannot open {self.display}: {self.reason(error)}") from error
        if not isinstance(backend, SQLBackend):
            raise InvalidConfigError(
                f"{self.display}: the backend {backend.name!r} of Ibis runs no SQL, so it cannot keep features; name a "
                "database, or use a store of files, such as DeltaMetadataStore"
            )
        correct_narwhals()
        backend.compiler = with_metaxy_rules(backend.compiler)
        self._ibis = backend

    def close(self) -> None:
        """Disconnect."""
        if self._ibis is not None:
            try:
                self._ibis.disconnect()
            finally:
                self._ibis = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._ibis is not None

    @property
    def ibis(self) -> Any:
        """The Ibis connection."""
        if self._ibis is None:
            raise StoreNotOpenError(f"{self.display} is closed; use `with store:`")
        return self._ibis

    @property
    def driver(self) -> Any:
        """The connection of the database's own driver."""
        return getattr(self.ibis, "con", None)

    @property
    def place(self) -> Any:
        """What is the same for all sessions that can read each other's tables, None if nobody can tell."""
        return None

    def reason(self, error: Exception) -> str:
        """Return what an error of the driver says, in one line; neither this nor the error shows secrets any more."""
        return first_line(hide_in(error, self.address.secrets.hide))

    @contextmanager
    def one_line_errors(self) -> Iterator[None]:
        """Turn errors of the driver into one line of ours."""
        try:
            yield
        except self.errors as error:
            raise MetadataStoreError(f"{self.display}: {self.reason(error)}") from error

    @contextmanager
    def use(self) -> Iterator[Any]:
        """Give the driver's connection to this thread alone; errors in the block become one line of ours."""
        with self.lock, self.one_line_errors():
            yield self.driver

    def execute(self, statement: str) -> None:
        """Run a statement of ours."""
        with self.use():
            result = self.ibis.raw_sql(statement)
            if hasattr(result, "close") and result is not self.driver:
                result.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run statements together; here one after the other, as Ibis knows no transactions."""
        with self.lock:
            yield

    def take_turns(self, table: str) -> None:
        """Let writers that create or change a table take turns, until the transaction ends."""

    def create_schema(self) -> None:
        """Create the schema that tables go into, where a database has schemas and it is missing."""
