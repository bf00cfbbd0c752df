"""Samples that are there, but could not be read: nobody knows their versions now, so they stay as they are.

They say so in the column ``metaxy_error``, and have no versions: neither new, nor stale, nor orphaned.
"""

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_ERROR
from metaxy.store.given import given_frame
from metaxy.versioning.frames import Frame, collect_to_polars, wrapped_frame
from metaxy.versioning.recipe import Recipe

WHAT = "the samples that could not be read"


def run_once(samples: Any) -> Any:
    """Run a plan of Polars whose rows say which samples could not be read: they are asked for more than once."""
    native = nw.to_native(samples, pass_through=True)
    if not isinstance(native, pl.LazyFrame) or METAXY_ERROR not in native.collect_schema():
        return samples
    return native.collect()


def unread_samples(samples: Any, ids: Sequence[str]) -> pl.DataFrame | None:
    """Return the IDs of samples that could not be read, None if all could.

    Columns in: ``metaxy_error``, if there is any, and the IDs. Columns out: the IDs.
    """
    unread = _unread(samples, ids)
    if unread is None:
        return None
    found = collect_to_polars(given_frame(unread.select(*ids), WHAT))
    return found if found.height else None


def reasons(samples: Any, ids: Sequence[str]) -> list[tuple[dict[str, Any], str]]:
    """Return the IDs of samples that could not be read, each with why."""
    unread = _unread(samples, ids)
    if unread is None:
        return []
    rows = collect_to_polars(unread.select(*ids, METAXY_ERROR))
    return [({name: row[name] for name in ids}, str(row[METAXY_ERROR])) for row in rows.iter_rows(named=True)]


def _unread(samples: Any, ids: Sequence[str]) -> Frame | None:
    """Return the rows of samples that could not be read, None where no column says so, or IDs are missing."""
    frame = wrapped_frame(samples, WHAT)
    names = frame.collect_schema().names()
    if METAXY_ERROR not in names or not set(ids) <= set(names):
        return None
    return frame.filter(~nw.col(METAXY_ERROR).is_null())


def without_unread(broken: pl.DataFrame, recipe: Recipe, unread: pl.DataFrame | None) -> pl.DataFrame:
    """Leave out of flat rows without versions those of samples that say why."""
    named = recipe.match_by_name
    if unread is None or not set(unread.columns) <= named.keys():
        return broken
    keys = unread.select(pl.col(name).cast(broken.schema[named[name]]).alias(named[name]) for name in unread.columns)
    return broken.join(keys, on=keys.columns, how="anti")
