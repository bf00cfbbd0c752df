"""Questions to ``metaxy-system/feature_versions``: each is a lazy frame in, a small frame out, asked in the store.

Rows only tell which feature was recorded when, for which version of its project. Rows of one project that follow each
other in time with the same project version are one entry of its history: pushes of A, B, A are three entries.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_DEFINITION_VERSION, METAXY_FEATURE_VERSION, METAXY_PROJECT_VERSION
from metaxy.store.system.tables import COL_FEATURE_KEY, COL_PROJECT, COL_RECORDED_AT, COL_TAGS, FEATURE_VERSIONS
from metaxy.versioning.frames import collect_to_polars

SNAPSHOT_COLUMNS = pl.Schema(
    {
        METAXY_PROJECT_VERSION: pl.String(),
        COL_RECORDED_AT: pl.Datetime("us"),
        "feature_count": pl.Int64(),
        COL_PROJECT: pl.String(),
        COL_TAGS: pl.String(),
    }
)
IDENTITY = (COL_PROJECT, METAXY_PROJECT_VERSION, COL_FEATURE_KEY)
# A feature is recorded again when one of these changes. The version of a project does not tell: a feature gets another
# version when its parent in another project does.
STATE: Final = (METAXY_DEFINITION_VERSION, METAXY_FEATURE_VERSION)


@dataclass(frozen=True)
class LastPush:
    """The version of a project that was pushed last."""

    project_version: str
    recorded_at: datetime
    tags: str


def last_push(rows: nw.LazyFrame[Any], project: str) -> LastPush | None:
    """Return what was pushed last for a project, None if nothing was."""
    columns = (METAXY_PROJECT_VERSION, COL_RECORDED_AT, COL_TAGS)
    mine = rows.filter(nw.col(COL_PROJECT) == project).select(*columns)
    newest = mine.sort(COL_RECORDED_AT, METAXY_PROJECT_VERSION, COL_TAGS, descending=True, nulls_last=True).head(1)
    found = collect_to_polars(newest).cast({COL_RECORDED_AT: pl.Datetime("us")})
    return LastPush(*found.row(0)) if found.height else None


def recorded_state(rows: nw.LazyFrame[Any], project: str, project_version: str) -> dict[str, tuple[str, ...]]:
    """Return what was recorded last of each feature of one version of a project: the values of `STATE`."""
    known = newest(of_version(rows, project_version, project), IDENTITY, (*IDENTITY, *STATE))
    return dict(zip(known[COL_FEATURE_KEY], known.select(STATE).rows(), strict=True))


def of_version(rows: nw.LazyFrame[Any], project_version: str, project: str | None) -> nw.LazyFrame[Any]:
    """Keep the rows of one project version."""
    rows = rows.filter(nw.col(METAXY_PROJECT_VERSION) == project_version)
    return rows if project is None else rows.filter(nw.col(COL_PROJECT) == project)


def newest(rows: nw.LazyFrame[Any], by: tuple[str, ...], columns: tuple[str, ...]) -> pl.DataFrame:
    """Keep the row of each group that was recorded last: racing pushes may have recorded a feature twice."""
    wanted = rows.select(*dict.fromkeys((*columns, COL_RECORDED_AT)))
    last = wanted.with_columns(mx_last=nw.col(COL_RECORDED_AT).max().over(*by))
    found = collect_to_polars(last.filter(nw.col(COL_RECORDED_AT) == nw.col("mx_last")).drop("mx_last"))
    types = pl.Schema({name: FEATURE_VERSIONS.schema[name] for name in found.columns})
    return found.cast(types).sort(found.columns).unique(by, keep="last").sort(by).select(columns)


def snapshots(rows: nw.LazyFrame[Any], project: str | None) -> pl.DataFrame:
    """Return the history, newest first: one row per entry, with the tags that were recorded last."""
    if project is not None:
        rows = rows.filter(nw.col(COL_PROJECT) == project)
    version = [COL_PROJECT, METAXY_PROJECT_VERSION]
    tags = rows.group_by(*version, COL_RECORDED_AT).agg(nw.col(COL_TAGS).max())
    found = collect_to_polars(
        _entries(rows).join(tags, left_on=[*version, "mx_until"], right_on=[*version, COL_RECORDED_AT], how="inner")
    )
    newest_first = found.sort("mx_until", *version, descending=True)
    return newest_first.select(list(SNAPSHOT_COLUMNS)).cast(SNAPSHOT_COLUMNS)


def _entries(rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Collapse the rows of each entry. Columns out: project and version, recorded_at, mx_until, feature_count."""
    order = (COL_RECORDED_AT, METAXY_PROJECT_VERSION, COL_FEATURE_KEY)
    recorded = rows.select(COL_PROJECT, *order).unique()
    current = nw.col(METAXY_PROJECT_VERSION)
    before = current.shift(1).over(COL_PROJECT, order_by=order)
    begins = (before.is_null() | (before != current)).cast(nw.Int64)
    marked = recorded.with_columns(mx_begins=begins)
    numbered = marked.with_columns(mx_entry=nw.col("mx_begins").cum_sum().over(COL_PROJECT, order_by=order))
    entries = numbered.group_by(COL_PROJECT, METAXY_PROJECT_VERSION, "mx_entry")
    return entries.agg(
        nw.col(COL_RECORDED_AT).max().alias("mx_until"),
        nw.col(COL_RECORDED_AT).min().alias(COL_RECORDED_AT),
        nw.col(COL_FEATURE_KEY).n_unique().alias("feature_count"),
    )


VERSION_COLUMNS: Final = (METAXY_FEATURE_VERSION, COL_RECORDED_AT, METAXY_PROJECT_VERSION, COL_PROJECT)


def versions_of(
    rows: nw.LazyFrame[Any], feature: str, project: str | None, columns: tuple[str, ...] = VERSION_COLUMNS
) -> pl.DataFrame:
    """Return the versions that a feature had, newest first: one row each, with the last time it was recorded."""
    mine = rows.filter(nw.col(COL_FEATURE_KEY) == feature)
    mine = mine if project is None else mine.filter(nw.col(COL_PROJECT) == project)
    by = (COL_PROJECT, METAXY_FEATURE_VERSION)
    return newest(mine, by, columns).sort(COL_RECORDED_AT, METAXY_FEATURE_VERSION, descending=True)
