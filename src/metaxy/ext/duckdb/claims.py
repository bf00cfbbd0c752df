"""Claims in a DuckDB file: one process has it open at a time, and threads of it get in each other's way."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from metaxy.ext.duckdb.connection import DuckDBConnection
from metaxy.storage.sql_claims import SqlClaims


class DuckDBClaims(SqlClaims):
    """Claims in one file.

    Args:
        connection: the database.
        table: the quoted name of the table.
        exists: whether there is one of that name.
        writing: gives the database to a thread alone.
        may_create: whether the table is created if it is missing.
    """

    texts = "SELECT unnest(CAST(? AS VARCHAR[])) AS ids"

    def __init__(
        self,
        connection: DuckDBConnection,
        table: str,
        exists: Callable[[], bool],
        writing: AbstractContextManager[Any],
        *,
        may_create: bool,
    ) -> None:
        super().__init__(connection.place, table, may_create=may_create)
        self.connection = connection
        self._exists, self._writing = exists, writing

    def repeat(self, work: Callable[[], None]) -> None:
        """Do work that stores all or nothing, again where another store of this process was in its way."""
        with self._writing:
            self.connection.change(work)

    def transaction(self) -> AbstractContextManager[None]:
        """Run statements together or not at all."""
        return self.connection.transaction()

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement; each ? stands for a parameter."""
        with self.connection.one_line_errors():
            self.connection.cursor.execute(statement, parameters)

    def rows(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement that returns rows."""
        with self.connection.one_line_errors():
            return self.connection.cursor.execute(statement, parameters).fetchall()

    def exists(self) -> bool:
        """Return whether the table exists."""
        return self._exists()
