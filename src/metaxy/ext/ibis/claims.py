"""Claims in a database behind Ibis, by the connection of its own driver."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from metaxy.ext.ibis.connection import IbisConnection
from metaxy.storage.sql_claims import SqlClaims


class IbisClaims(SqlClaims):
    """Claims of one session, in a table of its database.

    Args:
        connection: the database.
        name: the name of the table.
        may_create: whether it is created if it is missing.
    """

    def __init__(self, connection: IbisConnection, name: str, may_create: bool) -> None:
        super().__init__(connection.session.display, connection.tables.qualified(name), may_create=may_create)
        self.name = name
        self.tables, self.session, self.dialect = connection.tables, connection.session, connection.dialect

    def transaction(self) -> AbstractContextManager[None]:
        """Run statements together or not at all."""
        return self.session.transaction()

    def written(self, statement: str) -> Any:
        """Write a statement as the driver takes it."""
        return statement

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement; each ? stands for a parameter."""
        with self.session.use() as driver:
            driver.execute(self.written(statement), parameters)

    def rows(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement that returns rows."""
        with self.session.use() as driver:
            found: list[tuple[Any, ...]] = driver.execute(self.written(statement), parameters).fetchall()
            return found

    def exists(self) -> bool:
        """Return whether the table exists."""
        return self.tables.find(self.name) is not None

    def take_turns(self) -> None:
        """Let those that create the table take turns, until the transaction ends."""
        self.session.take_turns(self.name)

    def created(self) -> None:
        """Index a new table; so it is sure that a sample is there once."""
        index = self.dialect.quote(f"{self.name}_samples")
        self.run(f"CREATE UNIQUE INDEX {index} ON {self.table} (feature_key, metaxy_feature_version, ids)")
