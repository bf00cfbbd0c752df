"""Casts to the types of a table: those that would change a value are refused, and such a value is shown."""

from typing import Any

import narwhals as nw

from metaxy.storage.evolution import Fit, Types, lossy
from metaxy.versioning.frames import collect_to_polars


def refuse_lossy_casts(rows: nw.LazyFrame[Any], fit: Fit, where: str) -> None:
    """Refuse rows that do not fit their table.

    Raises:
        MetadataSchemaError: naming the first column, both types, and a value that storing it would change.
    """
    for name, types in fit.refused.items():
        raise lossy(where, name, *types, _first(rows, name, ~nw.col(name).is_null()))
    for name, types in fit.tried.items():
        changed = _changed(rows, name, types)
        if changed is not None:
            raise lossy(where, name, *types, changed)


def _changed(rows: nw.LazyFrame[Any], name: str, types: Types) -> Any:
    """Return a value that is another one after a cast there and back, None if there is none."""
    source, target = types
    differs = nw.col(name).cast(target).cast(source) != nw.col(name)
    try:
        return _first(rows, name, differs)
    except Exception:  # each library has its own error for values out of range
        extremes = collect_to_polars(rows.select(low=nw.col(name).min(), high=nw.col(name).max())).row(0)
        return next((value for value in extremes if value is not None and not _fits(value, types)), extremes[0])


def _fits(value: Any, types: Types) -> bool:
    """Return whether one value is still the same after a cast there and back."""
    source, target = types
    one = nw.from_dict({"value": [value]}, schema={"value": source}, backend="polars")["value"]
    try:
        return bool((one.cast(target).cast(source) == one).all())
    except Exception:  # out of range
        return False


def _first(rows: nw.LazyFrame[Any], name: str, condition: nw.Expr) -> Any:
    found = collect_to_polars(rows.filter(condition).select(name).head(1))
    return next(iter(found.to_series().to_list()), None)
