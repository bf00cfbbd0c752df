"""Rows as the text of COPY: what goes out is parsed by Arrow, what goes in is written by Polars."""

import io
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.ext.ibis.documents import from_json, to_json
from metaxy.ext.postgresql.columns import is_text
from metaxy.versioning.column_types import Types


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
