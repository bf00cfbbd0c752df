"""Rows out of SQLite and into it."""

from typing import Any

import polars as pl

from metaxy.ext.ibis.bulk import Bulk
from metaxy.ext.ibis.tables import Table
from metaxy.ext.ibis.values import refuse_finer_times
from metaxy.ext.sqlite.dialect import SQLITE
from metaxy.ext.sqlite.types import read, refuse_lost_values, written
from metaxy.versioning.database import TypesOf


class SQLiteBulk(Bulk):
    """Rows as values of Python, which SQLite takes and gives."""

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query and return an Arrow table."""
        wanted = types()
        with self.session.use() as driver:
            rows = driver.execute(query).fetchall()
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(wanted)
        series = [read(column, dtype, values) for (column, dtype), values in zip(wanted.items(), columns, strict=True)]
        return pl.DataFrame(series).to_arrow()

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
