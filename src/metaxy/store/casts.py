"""Casts to the types of a table: those that would change a value are refused, and such a value is shown."""

from contextlib import suppress
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.storage.evolution import Fit, is_lossless, lossy
from metaxy.versioning.frames import Frame, collect_to_polars
from metaxy.versioning.polars_casts import recast

EXACT = 2**53  # up to here each integer is a float


def refuse_lossy_casts(rows: nw.LazyFrame[Any], fit: Fit, where: str) -> None:
    """Refuse rows that do not fit their table."""
    for name, (source, target) in fit.refused.items():
        raise lossy(where, name, source, target, _first(rows, name, ~nw.col(name).is_null()))
    for name, (source, target) in fit.tried.items():
        changed = _changed(rows, name, source, fit.casts[name])
        if changed is not None:
            raise lossy(where, name, source, target, changed)


def keeps_values(frame: Frame, name: str, target: Any) -> bool:
    """Return whether no value of a column would be another one in a type."""
    source = frame.collect_schema()[name]
    if is_lossless(source, target):
        return True
    rows = frame.lazy()
    if source.is_integer():  # not cast there and back, as some databases take the largest for one that is too large
        return _first(rows, name, (nw.col(name) > EXACT) | (nw.col(name) < -EXACT)) is None
    return _changed(rows, name, source, target) is None


def _changed(rows: nw.LazyFrame[Any], name: str, source: Any, target: Any) -> Any:
    """Return a value that is another one after a cast there and back, None if there is none."""
    if not source.is_nested():
        differs = nw.col(name).cast(target).cast(source) != nw.col(name)
        with suppress(Exception):  # each library has its own error for values out of range
            return _first(rows, name, differs)
    column = collect_to_polars(rows.select(name)).to_series()
    return _first_changed(column, nw.Schema({name: target}).to_polars()[name])


def _first_changed(column: pl.Series, target: pl.DataType) -> Any:
    """Look for such a value by halves, as an error does not say which value it is about."""
    if _keeps(column, target):
        return None
    if len(column) == 1:
        return column.to_list()[0]
    half = len(column) // 2
    found = _first_changed(column[:half], target)
    return _first_changed(column[half:], target) if found is None else found


def _keeps(column: pl.Series, target: pl.DataType) -> bool:
    there, back = recast(pl.col("c"), column.dtype, target), recast(pl.col("c"), target, column.dtype)
    try:
        kept = column.to_frame("c").select(there.alias("c")).select(back.alias("c")).to_series()
    except pl.exceptions.PolarsError:  # out of range
        return False
    return kept.equals(column)


def _first(rows: nw.LazyFrame[Any], name: str, condition: nw.Expr) -> Any:
    found = collect_to_polars(rows.filter(condition).select(name).head(1))
    return next(iter(found.to_series().to_list()), None)
