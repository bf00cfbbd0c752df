"""Filters and predicates of users as boolean columns, so that they see the latest rows in every engine.

A filter must apply after the latest row of each sample is known. It is therefore turned into a column of the base
relation, where Narwhals can express it, and rows are dropped by that column later. A filter that reads only ID columns
keeps or drops all rows of a sample alike, so it is applied at once; in an expansion those of the parents, as rows that
say how far a parent was computed have no others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.columns import INTERNAL_PREFIX
from metaxy.versioning.conditions import reads_only
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.key_types import alike
from metaxy.versioning.sources import Asked

KEEP = f"{INTERNAL_PREFIX}keep"
KEEP_RENAMED = f"{INTERNAL_PREFIX}keep_renamed"
STALE_FLAG = f"{INTERNAL_PREFIX}stale"


@dataclass(frozen=True)
class WithPredicates:
    """A relation with the boolean columns that were added to it."""

    frame: nw.LazyFrame[Any]
    keep: str | None = None
    stale: str | None = None


def among_sql(columns: Sequence[str], query: str, dialect: Dialect) -> str:
    """Write the condition that a row ``mx_t`` is equal to one of a query in some columns.

    >>> among_sql(["id", "n"], "SELECT 1, 2", Dialect("ansi", {}))
    '(mx_t."id", mx_t."n") IN (SELECT "id", "n" FROM (SELECT 1, 2) AS mx_g)'
    """
    ours, others = dialect.names(columns, "mx_t"), dialect.names(columns)
    return f"({ours}) IN (SELECT {others} FROM ({query}) AS mx_g)"


def among_polars(rows: pl.LazyFrame, others: pl.LazyFrame) -> pl.LazyFrame:
    """Keep the rows that are equal to one of the others in all columns of these; they stay in their order."""
    left, right = rows.collect_schema(), others.collect_schema()
    left_on, right_on = alike(left, right, [(name, name) for name in right])
    return rows.join(others, left_on=left_on, right_on=right_on, how="semi", maintain_order="left")


def add_predicates(frame: nw.LazyFrame[Any], ids: Sequence[str], asked: Asked) -> WithPredicates:
    """Apply filters on IDs to a relation with all rows of all samples, and turn the others into columns."""
    names = frame.collect_schema()
    at_once = [f for f in asked.filters if reads_only(f, names, asked.whole or ids)]
    if at_once:
        frame = frame.filter(*at_once)
    later = [f for f in asked.filters if not any(f is other for other in at_once)]
    if asked.renamed_filters:
        old = {after: before for before, after in asked.rename.items()}
        flag = nw.all_horizontal(*asked.renamed_filters, ignore_nulls=False)
        frame = frame.rename(dict(asked.rename)).with_columns(flag.alias(KEEP_RENAMED)).rename(old)
        later.append(nw.col(KEEP_RENAMED))
    if later:
        frame = frame.with_columns(nw.all_horizontal(*later, ignore_nulls=False).alias(KEEP))
    if asked.stale:
        frame = frame.with_columns(nw.any_horizontal(*asked.stale, ignore_nulls=True).alias(STALE_FLAG))
    return WithPredicates(frame, KEEP if later else None, STALE_FLAG if asked.stale else None)
