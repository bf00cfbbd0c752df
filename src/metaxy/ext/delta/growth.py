"""Tables whose structs gain members inside of lists and maps.

Delta adds columns and members by itself, but can neither delete from files that lack members there, nor merge them.
"""

from collections.abc import Mapping

import narwhals as nw
import polars as pl

from metaxy.ext.delta.scan import OpenTable, scan_table
from metaxy.storage.nested_types import grown, grows_inside
from metaxy.versioning.polars_casts import recast


def fitting(table: OpenTable, rows: pl.LazyFrame) -> tuple[OpenTable, pl.LazyFrame]:
    """Let all files of a table and new rows have the same members inside of lists and maps."""
    given, known = rows.collect_schema(), pl.Schema(table.schema())
    different = [n for n, dtype in known.items() if n in given and dtype.is_nested() and dtype != given[n]]
    if not different:
        return table, rows
    have, want = (_narwhals({name: types[name] for name in different}) for types in (given, known))
    wanted = {name: grown(want[name], have[name]) for name in different}
    types = nw.Schema(wanted).to_polars()
    growing = {name: types[name] for name in different if grows_inside(want[name], have[name])}
    return _rewritten(table, growing) if growing else table, _with_types(rows, types)


def _rewritten(table: OpenTable, types: Mapping[str, pl.DataType]) -> OpenTable:
    """Write a table anew with other types; and again, if another writer added rows in between, which stay."""
    rows, before = _with_types(scan_table(table), types), table.version()
    rows.sink_delta(table, mode="overwrite", delta_write_options={"schema_mode": "merge"})
    table.update_incremental()
    return table if table.version() == before + 1 else _rewritten(table, types)


def _with_types(rows: pl.LazyFrame, types: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    schema = rows.collect_schema()
    return rows.with_columns(recast(pl.col(n), schema[n], dtype).alias(n) for n, dtype in types.items())


def _narwhals(types: Mapping[str, pl.DataType]) -> nw.Schema:
    return nw.from_native(pl.LazyFrame(schema=types)).collect_schema()
