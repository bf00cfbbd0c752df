"""Casts of Polars at any depth: those of its own leave keys of maps alone, and do not check values in lists."""

from typing import Any

import polars as pl

from metaxy.versioning.codec import map_polars


def recast(value: pl.Expr, given: Any, wanted: Any) -> pl.Expr:
    """Cast a column; a struct becomes the map of its members, those that are NULL too.

    >>> column = pl.Series([{1: 2}], dtype=pl.Map(pl.Int8, pl.Int8))
    >>> column.to_frame("c").select(recast(pl.col("c"), column.dtype, pl.Map(pl.Int64, pl.Int8)))["c"].to_list()
    [{1: 2}]
    """
    if given == wanted:
        return value
    if isinstance(given, pl.Struct) and isinstance(wanted, pl.Struct):
        own = {name: (inner, dtype) for name, inner, dtype in members_of(value, given)}
        absent = (pl.lit(None), pl.Null())
        members = [recast(*own.get(field.name, absent), field.dtype).alias(field.name) for field in wanted.fields]
        return pl.when(value.is_not_null()).then(pl.struct(members))
    if isinstance(given, pl.Struct) and isinstance(wanted, pl.Map):
        values = {name: recast(inner, dtype, wanted.value) for name, inner, dtype in members_of(value, given)}
        return pl.when(value.is_not_null()).then(map_polars(values, wanted))
    if isinstance(given, pl.Map) and isinstance(wanted, pl.Map):
        key, inner = pl.element().struct.field("key"), pl.element().struct.field("value")
        entry = pl.struct(key=recast(key, given.key, wanted.key), value=recast(inner, given.value, wanted.value))
        return value.map.entries().list.eval(entry).cast(wanted)
    if isinstance(given, (pl.List, pl.Array)) and isinstance(wanted, (pl.List, pl.Array)):
        items = value.arr.to_list() if isinstance(given, pl.Array) else value
        cast = items.list.eval(recast(pl.element(), given.inner, wanted.inner))
        return cast.list.to_array(wanted.size) if isinstance(wanted, pl.Array) else cast
    return value.cast(wanted)


def members_of(value: pl.Expr, dtype: pl.Struct) -> list[tuple[str, pl.Expr, Any]]:
    """Take a struct apart into names, members and their types; Polars reads some names, such as ``*``, as patterns."""
    numbered = value.struct.rename_fields([str(n) for n in range(len(dtype.fields))])
    return [(f.name, numbered.struct.field(str(n)), f.dtype) for n, f in enumerate(dtype.fields)]
