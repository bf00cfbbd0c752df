"""Many rows at once: out of a database as Arrow, and into its tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl

from metaxy.ext.ibis.compiling import ibis_schema
from metaxy.ext.ibis.tables import Table, Tables
from metaxy.versioning.database import TypesOf


class Bulk:
    """How rows go out of a database and into it; a database overrides what it has a faster way for."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.session = tables.session

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query and return an Arrow table."""
        with self.session.use():
            return self.session.ibis.sql(query, schema=ibis_schema(types())).to_pyarrow()

    def pieces(self, query: str, types: TypesOf, rows: int) -> Iterator[Any]:
        """Run a query and yield Arrow tables of about so many rows, one at least; others wait for the database."""
        table = self.fetch(query, types)
        for start in range(0, max(table.num_rows, 1), rows):
            yield table.slice(start, rows)

    def insert(self, name: str, frame: pl.DataFrame, table: Table) -> None:  # noqa: ARG002 - others need the types
        """Add the rows of a frame to a table of ours, which is given as its bare name."""
        with self.session.use():
            self.session.ibis.insert(name, frame.to_arrow())

    def insert_query(self, name: str, columns: str, query: str) -> None:
        """Add the rows of a query to a table."""
        self.session.execute(f"INSERT INTO {self.tables.qualified(name)} ({columns}) {query}")

    def refuse_values(self, name: str, rows: pl.DataFrame, *, new: bool) -> None:
        """Refuse rows with values that a table, which may be a new one, would keep as others."""

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Surround what puts rows beside the tables, so that errors say how to do without that."""
        yield
