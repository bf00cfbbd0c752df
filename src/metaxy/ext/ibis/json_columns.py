"""Lists, structs and maps that a database keeps as JSON, without loss.

Numbers that databases or readers of JSON change are written as text: NaN and infinities, -0.0, and what has many zeros.
So are decimals; bytes are written in base64, and keys of maps always as text.
"""

import json
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.versioning.polars_casts import members_of

PLAIN_NUMBERS = (1e-15, 1e15)  # others, if they are not 0, are written as text


def to_json(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Write a nested column as JSON; NULL stays NULL."""
    if isinstance(dtype, pl.Struct):
        return _object(value, dtype)
    if isinstance(dtype, pl.Map):
        key, inner = pl.element().struct.field("key"), pl.element().struct.field("value")
        entry = pl.concat_str(_quoted(key, dtype.key), pl.lit(":"), _item(inner, dtype.value))
        return _enclosed("{", value.map.entries().list.eval(entry).list.join(","), "}")
    if isinstance(dtype, (pl.List, pl.Array)):
        items = value.arr.to_list() if isinstance(dtype, pl.Array) else value
        return _enclosed("[", items.list.eval(_item(pl.element(), dtype.inner)).list.join(","), "]")
    return _leaf(value, dtype)


def _object(value: pl.Expr, dtype: pl.Struct) -> pl.Expr:
    if not dtype.fields:
        return _enclosed("{", value.is_not_null().replace_strict({True: "", False: None}), "}")
    pairs = [
        pl.concat_str(pl.lit(json.dumps(name, ensure_ascii=False) + ":"), _item(member, inner))
        for name, member, inner in members_of(value, dtype)
    ]
    return pl.when(value.is_not_null()).then(_enclosed("{", pl.concat_str(pairs, separator=","), "}"))


def _enclosed(start: str, text: pl.Expr, end: str) -> pl.Expr:
    return pl.concat_str(pl.lit(start), text, pl.lit(end))


def _item(value: pl.Expr, dtype: Any) -> pl.Expr:
    return to_json(value, dtype).fill_null("null")


def _leaf(value: pl.Expr, dtype: Any) -> pl.Expr:
    if dtype.is_float():
        size, (least, largest) = value.abs(), PLAIN_NUMBERS
        plain = size.is_between(least, largest) | ((value == 0) & (1 / value > 0))
        text = value.cast(pl.String)
        return pl.when(plain).then(text).otherwise(_enclosed('"', text, '"'))
    return value.cast(pl.String) if dtype.is_integer() or dtype == pl.Boolean else _quoted(value, dtype)


def _quoted(value: pl.Expr, dtype: Any) -> pl.Expr:
    """Write a flat value as text in quotation marks."""
    if dtype.is_numeric() or dtype == pl.Boolean:
        return _enclosed('"', value.cast(pl.String), '"')
    if dtype == pl.Binary:
        return _enclosed('"', value.bin.encode("base64"), '"')
    whole = pl.struct(value.alias("v")).struct.json_encode()  # {"v":…}
    return pl.when(value.is_not_null()).then(whole.str.slice(5, whole.str.len_chars() - 6))


def from_json(text: pl.Series, dtype: nw.dtypes.DType) -> pl.Series:
    """Read a nested column from JSON."""
    wanted = nw.Schema({"c": dtype}).to_polars()["c"]
    carrier = _carrier(wanted)
    try:
        carried = text.str.json_decode(carrier)
    except pl.exceptions.ComputeError:  # numbers that Polars cannot read, as they are too long
        carried = text.map_elements(_shortened, pl.String).str.json_decode(carrier)
    return carried.to_frame("c").select(_decoded(pl.col("c"), wanted)).to_series().alias(text.name)


def _shortened(text: str) -> str:
    """Write numbers as text that are too long for Polars."""
    digits = 18
    short = json.loads(text, parse_float=str, parse_int=lambda number: int(number) if len(number) <= digits else number)
    return json.dumps(short, ensure_ascii=False)


def _carrier(dtype: Any) -> Any:
    """Return the type as which JSON is decoded first: text where Polars would be too strict or not exact."""
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _carrier(field.dtype) for field in dtype.fields})
    if isinstance(dtype, pl.Map):
        return pl.Map(pl.String, _carrier(dtype.value))
    if isinstance(dtype, (pl.List, pl.Array)):
        return pl.List(_carrier(dtype.inner))
    return pl.String() if dtype.is_float() or dtype.is_decimal() or dtype == pl.Binary else dtype


def _decoded(value: pl.Expr, dtype: Any) -> pl.Expr:
    """Turn what was decoded as its carrier into what it is."""
    if _carrier(dtype) == dtype:
        return value
    if isinstance(dtype, pl.Struct):
        members = [_decoded(member, inner).alias(name) for name, member, inner in members_of(value, dtype)]
        return pl.when(value.is_not_null()).then(pl.struct(members))
    if isinstance(dtype, pl.Map):
        key, inner = pl.element().struct.field("key"), pl.element().struct.field("value")
        entry = pl.struct(_of_text(key, dtype.key).alias("key"), _decoded(inner, dtype.value).alias("value"))
        return value.map.entries().list.eval(entry).cast(dtype)
    if isinstance(dtype, (pl.List, pl.Array)):
        return value.list.eval(_decoded(pl.element(), dtype.inner)).cast(dtype)
    return _of_text(value, dtype)


def _of_text(text: pl.Expr, dtype: Any) -> pl.Expr:
    """Turn the text of a flat value into the value."""
    if dtype == pl.Binary:
        return text.str.decode("base64")
    if dtype == pl.Boolean:
        return text == "true"
    if dtype.is_temporal():
        return _enclosed('"', text, '"').str.json_decode(dtype)
    return text.cast(dtype)
