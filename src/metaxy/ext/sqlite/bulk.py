"""Rows out of SQLite and into it."""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from metaxy.ext.ibis.bulk import Bulk
from metaxy.ext.ibis.tables import Table
from metaxy.ext.ibis.values import refuse_finer_times
from metaxy.ext.sqlite.dialect import SQLITE
from metaxy.ext.sqlite.types import read, refuse_lost_values, written
from metaxy.versioning.column_types import Types
from metaxy.versioning.database import TypesOf


class SQLiteBulk(Bulk):
    """Rows as values of Python, which SQLite takes and gives."""

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query and return an Arrow table."""
        wanted = types()
        with self.session.use() as driver:
            rows = driver.execute(query).fetchall()
        return _arrow(rows, wanted)

    def pieces(self, query: str, types: TypesOf, rows: int) -> Iterator[Any]:
        """Run a query and yield Arrow tables of so many rows."""
        wanted = types()
        with self.session.use() as driver:
            cursor = driver.execute(query)
            yield _arrow(cursor.fetchmany(rows), wanted)
            while found := cursor.fetchmany(rows):
                yield _arrow(found, wanted)

    def refuse_values(self, name: str, rows: pl.DataFrame, *, new: bool) -> None:  # noqa: ARG002
        """Refuse times that are finer than those of ours."""
        refuse_finer_times(rows, "SQLite")

    def insert(self, name: str, frame: pl.DataFrame, table: Table) -> None:  # noqa: ARG002 - SQLite takes any
        """Add rows with one prepared statement."""
        refuse_lost_values(frame)
        values = [written(frame[column]) for column in frame.columns]
        places = ", ".join("?" * len(values))
        statement = f"INSERT INTO {SQLITE.quote(name)} ({SQLITE.names(frame.columns)}) VALUES ({places})"
        with self.session.use() as driver:
            driver.executemany(statement, zip(*values, strict=True))


def _arrow(rows: Sequence[tuple[Any, ...]], types: Types) -> Any:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(types)
    series = [read(column, dtype, values) for (column, dtype), values in zip(types.items(), columns, strict=True)]
    return pl.DataFrame(series).to_arrow()
