"""Lists and structs that a database keeps as text of JSON."""

import json
from typing import Any

import narwhals as nw
import polars as pl


def to_json(value: pl.Expr) -> pl.Expr:
    """Write a nested column as JSON; NULL stays NULL."""
    whole = pl.struct(value.alias("v")).struct.json_encode()  # {"v":…}
    return pl.when(value.is_not_null()).then(whole.str.slice(5, whole.str.len_chars() - 6))


def from_json(text: pl.Series, dtype: nw.dtypes.DType) -> pl.Series:
    """Read a nested column from JSON."""
    wanted = nw.Schema({"c": dtype}).to_polars()["c"]
    if not isinstance(dtype, nw.Map):
        return text.str.json_decode(wanted)
    # JSON has objects, Polars decodes lists of entries
    values = [None if value is None else list(json.loads(value).items()) for value in text]
    entries: list[Any] = [None if v is None else [{"key": k, "value": x} for k, x in v] for v in values]
    return pl.Series(text.name, entries).cast(wanted)
