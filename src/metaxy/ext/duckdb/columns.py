"""Columns of any name in Narwhals expressions.

Narwhals hands column names to ``duckdb.ColumnExpression``, which takes ``a.b`` for a column of a table, and cannot read
a quotation mark at all. Until one of the two quotes names, Narwhals' DuckDB modules get a function that does.
"""

import importlib
from typing import Any

import duckdb

USERS = ("utils", "dataframe", "expr", "namespace")  # modules of `narwhals._duckdb` that name columns
MISREAD = frozenset('."')


def column(*names: Any) -> duckdb.Expression:
    """Return a column as an expression; two names are a table and its column."""
    if len(names) == 1 and MISREAD & set(names[0]):
        quoted = names[0].replace('"', '""')
        return duckdb.SQLExpression(f'"{quoted}"')
    return duckdb.ColumnExpression(*names)


def read_names_literally() -> None:
    """Let Narwhals find DuckDB columns with dots and quotation marks in their names, in this process."""
    for name in USERS:
        module: Any = importlib.import_module(f"narwhals._duckdb.{name}")
        if getattr(module, "col", None) is duckdb.ColumnExpression:
            module.col = column
