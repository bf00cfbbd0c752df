"""Reading what a statement of DuckDB returns."""

from typing import Any

import duckdb


def first_row(result: duckdb.DuckDBPyConnection) -> tuple[Any, ...] | None:
    """Return the first of the few rows of a result, None if it has none.

    All are read: while a result is open, DuckDB 2 refuses other work on its connection.
    """
    rows = result.fetchall()
    return rows[0] if rows else None
