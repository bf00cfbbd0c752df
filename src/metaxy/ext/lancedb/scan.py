"""Reading tables of Lance: lazily, only the columns and, as far as Lance can tell, the rows that are asked for."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import lance
import narwhals as nw
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from metaxy.ext.lancedb.predicates import predicate_sql

# What names of columns have in the place of what Lance does not take, or takes for a path into a struct.
ESCAPED = {".": "%2E", "`": "%60", "%": "%25"}
PLAIN = {escape: sign for sign, escape in ESCAPED.items()}
TO_ESCAPE = re.compile(r"[.`]|%(?=2E|60|25)")
TO_RESTORE = re.compile(r"%(?:2E|60|25)")
ROW_ID = "_rowid"  # what Lance calls a row; it changes when files are merged


def readable_schema(table: lance.LanceDataset) -> pa.Schema:
    """Return a table's columns as they are read: blobs are bytes, wherever Lance keeps them."""
    schema: pa.Schema = table.scanner(blob_handling="all_binary").projected_schema
    return schema


def readable_types(table: lance.LanceDataset) -> nw.Schema:
    """Return the types of a table's columns, as they are read."""
    return nw.from_native(pl.DataFrame(readable_schema(table).empty_table())).schema


def scan_table(
    table: lance.LanceDataset, errors: Callable[[str], AbstractContextManager[None]], *, with_row_id: bool = False
) -> pl.LazyFrame:
    """Return all rows of one version of a table, lazily.

    Columns out: those of the table, and ``_rowid`` if asked for.
    """
    stored = pl.DataFrame(readable_schema(table).empty_table()).schema
    schema = {shown_name(name): dtype for name, dtype in stored.items()}

    def batches(
        columns: list[str] | None, condition: pl.Expr | None, limit: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = list(schema) if columns is None else [name for name in columns if name != ROW_ID]
        read = table.scanner(
            columns=[stored_name(name) for name in wanted],
            filter=None if condition is None else predicate_sql(condition, schema),
            limit=limit if condition is None else None,
            batch_size=batch_size,
            with_row_id=with_row_id,
            blob_handling="all_binary",
        )
        with errors(table.uri):
            for batch in read.to_batches():
                found = pl.DataFrame(batch)
                found = found.rename(dict(zip(found.columns, map(shown_name, found.columns), strict=True)))
                found = found if condition is None else found.filter(condition)
                yield found if columns is None else found.select(columns)

    shown = {**schema, ROW_ID: pl.UInt64()} if with_row_id else schema
    return register_io_source(batches, schema=shown, is_pure=True)


def stored_name(name: str) -> str:
    """Return what a column is called in a table of Lance: itself, unless it has a point or a backtick.

    >>> stored_name("size"), stored_name("a.b"), stored_name("100%")
    ('size', 'a%2Eb', '100%')
    """
    return TO_ESCAPE.sub(lambda found: ESCAPED[found.group()], name)


def shown_name(stored: str) -> str:
    """Return what users call a column of a table of Lance.

    >>> shown_name("a%2Eb"), shown_name("100%")
    ('a.b', '100%')
    """
    return TO_RESTORE.sub(lambda found: PLAIN[found.group()], stored)
