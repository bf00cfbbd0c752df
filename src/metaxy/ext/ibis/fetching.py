"""Ibis expressions that are collected through the store's connection: one thread at a time, with types of ours."""

from collections.abc import Iterator
from typing import Any

import ibis.expr.operations as ops
import polars as pl

from metaxy.ext.ibis.compiling import narwhals_types


class Fetching:
    """Goes before an Ibis backend among the bases of a class; `owner` is the connection that opened it."""

    owner: Any

    def to_pyarrow(self, expr: Any, /, *, params: Any = None, limit: Any = None, **_: Any) -> Any:
        """Collect an expression as Arrow."""
        table = expr.as_table()
        found = self.owner.fetch(self._query(expr, params, limit), lambda: narwhals_types(table.schema()))
        return found if table is expr else expr.__pyarrow_result__(found)

    def _query(self, expr: Any, params: Any = None, limit: Any = None) -> str:
        self._run_pre_execute_hooks(expr)  # type: ignore[attr-defined] # of the backend
        op = expr.op()
        query: str = op.query if isinstance(op, ops.SQLQueryResult) and limit is None else ""
        return query or self._text(expr.as_table(), params, limit)

    def _text(self, table: Any, params: Any, limit: Any) -> str:
        query: str = self.compile(table, params=params, limit=limit)  # type: ignore[attr-defined] # of the backend
        return query

    def to_polars(self, expr: Any, /, **options: Any) -> Any:
        """Collect an expression as Polars."""
        found = self.to_pyarrow(expr.as_table(), **options)
        frame = pl.DataFrame(found)
        return frame if expr.as_table() is expr else expr.__polars_result__(frame)

    def to_polars_pieces(self, table: Any, rows: int) -> Iterator[pl.DataFrame]:
        """Collect a table as Polars, about so many rows at a time, without holding all of them."""
        for piece in self.owner.pieces(self._query(table), lambda: narwhals_types(table.schema()), rows):
            yield pl.DataFrame(piece)

    def execute(self, expr: Any, /, **options: Any) -> Any:
        """Collect an expression as Pandas."""
        return expr.__pandas_result__(self.to_pyarrow(expr.as_table(), **options).to_pandas())

    def to_pyarrow_batches(self, expr: Any, /, *, chunk_size: int = 1_000_000, **options: Any) -> Any:
        """Collect an expression as Arrow, in batches."""
        return self.to_pyarrow(expr.as_table(), **options).to_reader(max_chunksize=chunk_size)
