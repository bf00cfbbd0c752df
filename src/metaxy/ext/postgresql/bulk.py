"""Rows out of PostgreSQL and into it, as the text of COPY: Arrow parses what comes, Polars writes what goes."""

import io
import sys
from collections.abc import Iterator
from typing import Any

import narwhals as nw
import polars as pl
from psycopg.copy import QueuedLibpqWriter

from metaxy.errors import MetadataStoreError
from metaxy.ext.ibis.bulk import Bulk
from metaxy.ext.ibis.json_columns import from_json, to_json
from metaxy.ext.ibis.tables import Table
from metaxy.ext.ibis.values import refuse_finer_times, refuse_nul
from metaxy.ext.postgresql.dialect import POSTGRESQL
from metaxy.ext.postgresql.types import is_text
from metaxy.versioning.column_types import Types
from metaxy.versioning.database import TypesOf

COPY_ROWS = 10_000


class PostgreSQLBulk(Bulk):
    """Rows as the text of COPY."""

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query by COPY, as text that Arrow parses in parallel."""
        [table] = self.pieces(query, types, sys.maxsize)
        return table

    def pieces(self, query: str, types: TypesOf, rows: int) -> Iterator[Any]:
        """Run a query by COPY and yield Arrow tables of so many rows; the server sends each row by itself."""
        wanted = types()
        columns = ", ".join(outgoing(f"q.{POSTGRESQL.quote(name)}", dtype) for name, dtype in wanted.items())
        texts = POSTGRESQL.names(name for name, dtype in wanted.items() if is_text(dtype))
        forced = f", FORCE_QUOTE ({texts})" if texts else ""
        statement = f"COPY (SELECT {columns} FROM ({query}) AS q) TO STDOUT (FORMAT csv{forced})"
        buffer, count, is_first = io.BytesIO(), 0, True
        with (
            self.session.use() as driver,
            driver.cursor() as cursor,
            cursor.copy(statement.encode()) as copy,
        ):
            for count, row in enumerate(copy, 1):
                buffer.write(row)
                if count % rows == 0:
                    yield arrow(buffer, wanted)
                    buffer, is_first = io.BytesIO(), False
        if is_first or count % rows:
            yield arrow(buffer, wanted)

    def insert(self, name: str, frame: pl.DataFrame, table: Table) -> None:
        """Add rows by COPY.

        Raises:
            MetadataSchemaError: naming the column, if a text has a NUL character.
        """
        try:
            self._copy(name, frame, table)
        except MetadataStoreError:
            refuse_nul(frame, "PostgreSQL")
            raise

    def _copy(self, name: str, frame: pl.DataFrame, table: Table) -> None:
        lists = {column for column, kind in table.sql_types.items() if kind.endswith("[]")}
        text = frame.select(incoming(column, dtype, as_array=column in lists) for column, dtype in frame.schema.items())
        names = POSTGRESQL.names(frame.columns)
        statement = f"COPY {POSTGRESQL.quote(name)} ({names}) FROM STDIN (FORMAT csv, NULL '\\N')"
        with self.session.use() as driver, driver.cursor() as cursor:
            sender = QueuedLibpqWriter(cursor)  # the next rows are written while the server takes those before
            with cursor.copy(statement.encode(), writer=sender) as copy:
                for part in text.iter_slices(COPY_ROWS):
                    written = part.write_csv(include_header=False, quote_style="non_numeric", null_value="\\N")
                    copy.write(written.encode())

    def refuse_values(self, name: str, rows: pl.DataFrame, *, new: bool) -> None:  # noqa: ARG002
        """Refuse times that are finer than those of PostgreSQL."""
        refuse_finer_times(rows, "PostgreSQL", pl.Time)


def outgoing(value: str, dtype: nw.dtypes.DType) -> str:
    """Write a value as text that Arrow can parse."""
    if isinstance(dtype, nw.Datetime):
        return f"CAST(extract(epoch FROM {value}) * 1000000 AS bigint)"
    if isinstance(dtype, nw.Binary):
        return f"encode({value}, 'hex')"
    if isinstance(dtype, nw.List):
        inner: Any = dtype.inner
        value = f"CAST({value} AS text[])" if inner.is_float() else value  # JSON of -0.0 is read as 0
    return f"CAST(to_json({value}) AS text)" if dtype.is_nested() else value


def arrow(buffer: io.BytesIO, types: Types) -> Any:
    """Parse text to Arrow; then what Arrow cannot parse."""
    import pyarrow as pa
    import pyarrow.csv as csv

    schema = nw.Schema(types)
    if not buffer.tell():
        return pl.DataFrame(schema=schema.to_polars()).to_arrow()
    size = buffer.tell()
    buffer.seek(0)
    parsed = {name: _parsed(dtype) for name, dtype in types.items()}
    table = csv.read_csv(
        buffer,
        read_options=csv.ReadOptions(column_names=list(types), block_size=min(max(size, 1), 1 << 26)),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=parsed,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    for index, (name, dtype) in enumerate(types.items()):
        if isinstance(dtype, nw.Datetime):
            table = table.set_column(index, name, table[name].cast(pa.timestamp("us", dtype.time_zone)))
        elif dtype.is_nested() or isinstance(dtype, (nw.Binary, nw.Time)):
            table = table.set_column(index, name, _decoded(table[name], dtype))
    return table


def _parsed(dtype: nw.dtypes.DType) -> Any:
    """Return the Arrow type that a column is parsed as."""
    import pyarrow as pa

    if isinstance(dtype, nw.Datetime):
        return pa.int64()
    if is_text(dtype) or dtype.is_nested() or isinstance(dtype, (nw.Binary, nw.Time)):
        return pa.string()
    return nw.Schema({"c": dtype}).to_arrow().field("c").type


def _decoded(column: Any, dtype: nw.dtypes.DType) -> Any:
    text = pl.Series("c", column)
    if isinstance(dtype, nw.Binary):
        return text.str.decode("hex").to_arrow()
    if isinstance(dtype, nw.Time):
        return text.str.to_time("%H:%M:%S%.f").to_arrow()
    return from_json(text, dtype).to_arrow()


def incoming(name: str, dtype: pl.DataType, *, as_array: bool) -> pl.Expr:
    """Write a column as PostgreSQL reads it in CSV."""
    value = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        utc = value.dt.convert_time_zone("UTC") if dtype.time_zone else value
        return utc.dt.strftime("%Y-%m-%d %H:%M:%S%.6f" + ("+00" if dtype.time_zone else ""))
    if dtype == pl.Binary:
        return pl.concat_str(pl.lit("\\x"), value.bin.encode("hex")).alias(name)
    if as_array:
        return _array(value.arr.to_list() if isinstance(dtype, pl.Array) else value).alias(name)
    if dtype.is_nested():
        return to_json(value, dtype).alias(name)
    return value


def _array(value: pl.Expr) -> pl.Expr:
    """Write a list as the text of an array."""
    item = pl.element().cast(pl.String)
    for mark in ("\\", '"'):
        item = item.str.replace_all(mark, "\\" + mark, literal=True)
    quoted = (
        pl.when(pl.element().is_null()).then(pl.lit("NULL")).otherwise(pl.concat_str(pl.lit('"'), item, pl.lit('"')))
    )
    return pl.concat_str(pl.lit("{"), value.list.eval(quoted).list.join(","), pl.lit("}"))
