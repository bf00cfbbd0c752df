"""The second part of a recipe in Polars: expected rows against stored ones, and a status for each that changed."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl

from metaxy.columns import METAXY_PROVENANCE
from metaxy.versioning.key_types import alike
from metaxy.versioning.polars import PolarsSource, latest_rows
from metaxy.versioning.recipe import BROKEN, NEW, ORPHANED, STALE, Column, Current, Recipe

End = Callable[[pl.DataFrame, int], pl.DataFrame]  # takes so many rows from one end of a frame


def stored_rows(
    current: Current, source: PolarsSource, columns: Sequence[Column], *, counted: bool = False
) -> pl.LazyFrame:
    """Reduce the current rows to what is compared: keys (``c…``), provenance, flag; and ``columns`` (``o…``).

    ``counted`` adds ``rows``, the number of stored rows that each of them is.
    """
    rows = latest_rows(source, current.latest, [*current.keys, *(c.stored for c in columns), METAXY_PROVENANCE])
    stale = pl.col(source.stale).fill_null(value=False) if source.stale else pl.lit(value=False)
    keys = [pl.col(key).alias(f"c{n}") for n, key in enumerate(current.keys)]
    payload = [pl.col(c.stored).alias(c.short) for c in columns]
    provenance = pl.col(METAXY_PROVENANCE)
    if not current.collapse:
        one = {"rows": pl.lit(1)} if counted else {}
        return rows.select(*keys, *payload, low=provenance, high=provenance, stale=stale, **one)
    names, kept = list(current.keys), ["low", "high", "stale", *(["rows"] if counted else [])]
    return (
        rows.sort(list(current.latest.ids))
        .with_columns(
            __metaxy_low=provenance.min().over(names),
            __metaxy_high=provenance.max().over(names),
            __metaxy_stale=(stale | provenance.is_null()).any().over(names),
            __metaxy_rows=pl.len().over(names),
        )
        .unique(names, keep="first", maintain_order=True)
        .select(*keys, *payload, **{name: pl.col(f"__metaxy_{name}") for name in kept})
    )


def compare(recipe: Recipe, expected: pl.LazyFrame, stored: pl.LazyFrame | None) -> pl.LazyFrame:
    """Give each changed row its status. Expected and stored columns in → both and ``status`` out."""
    broken = pl.any_horizontal([pl.col(name).is_null() for name in (*recipe.match, "p")])
    if stored is None:
        return expected.with_columns(status=pl.when(broken).then(BROKEN).otherwise(NEW))
    keys = list(recipe.match)
    stored = stored.with_columns(mx_stored=pl.lit(value=True))
    expected = expected.with_columns(mx_expected=pl.lit(value=True))
    pairs = [(key, f"c{n}") for n, key in enumerate(keys)]
    left_on, right_on = alike(expected.collect_schema(), stored.collect_schema(), pairs)
    rows = expected.join(stored, left_on=left_on, right_on=right_on, how="full", coalesce=False)
    differs = pl.col("stale") | pl.col("low").ne_missing(pl.col("p")) | pl.col("high").ne_missing(pl.col("p"))
    status = (
        pl.when(pl.col("mx_expected").is_null())
        .then(ORPHANED)
        .when(broken)
        .then(BROKEN)
        .when(pl.col("mx_stored").is_null())
        .then(NEW)
        .when(differs)
        .then(STALE)
    )
    return rows.with_columns(status=status).filter(pl.col("status").is_not_null())


def changed_rows(recipe: Recipe, expected: pl.DataFrame, stored: pl.DataFrame | None) -> pl.DataFrame:
    """Compare rows that are at hand. Expected and stored columns in → those of changed rows and ``status`` out.

    Only keys and provenance meet; the rest of the changed rows is gathered by row number.
    """
    if stored is None:
        return compare(recipe, expected.lazy(), None).collect()
    meeting = [*recipe.match, "p"]
    narrow = expected.select(meeting).with_row_index("row")
    if not recipe.repeats:  # so that each sample is one row on both sides
        narrow, stored = _without_same(recipe.match, narrow, stored, pl.DataFrame.head, pl.DataFrame.tail)
        narrow, stored = _without_same(recipe.match, narrow, stored, pl.DataFrame.tail, pl.DataFrame.head)
    changed = compare(recipe, narrow.lazy(), stored.lazy()).collect()
    rest = expected.select(pl.exclude(meeting).gather(changed["row"]))
    return changed.drop("row").hstack(rest)


def _without_same(
    keys: Sequence[str], expected: pl.DataFrame, stored: pl.DataFrame, near: End, far: End
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Leave out samples that agree, and stand at the same place from the near end of both frames: they need no join."""
    height, names = min(expected.height, stored.height), [f"c{n}" for n in range(len(keys))]
    first, other = near(expected.select(keys), min(height, 1)), near(stored.select(names), min(height, 1))
    if first.dtypes != other.dtypes or first.rows() != other.rows():
        return expected, stored
    agree = [pl.col(key) == pl.col(name) for key, name in zip(keys, names, strict=True)]
    agree += [pl.col("p") == pl.col("low"), pl.col("p") == pl.col("high"), ~pl.col("stale")]
    beside = pl.concat([near(expected, height), near(stored, height)], how="horizontal")
    differ = beside.select(~pl.all_horizontal(agree).fill_null(value=False)).to_series()

    def left(frame: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([near(frame, height).filter(differ), far(frame, frame.height - height)])

    return left(expected), left(stored)


def add_stored(changed: pl.DataFrame, current: Current, source: PolarsSource) -> pl.DataFrame:
    """Read the stored columns of orphaned rows, of which there are few: ``status`` and ``c…`` in → ``o…`` too out."""
    lost = changed.filter(pl.col("status") == ORPHANED)
    if lost.is_empty():
        schema = source.frame.collect_schema()
        return changed.with_columns(pl.lit(None, schema[c.stored]).alias(c.short) for c in current.columns)
    keys = [f"c{n}" for n in range(len(current.keys))]
    if set(current.keys) <= set(current.latest.ids):  # then all rows of a sample are lost, or none
        wanted, names = lost.lazy().select(keys), list(current.keys)
        frame = source.frame.join(wanted, left_on=names, right_on=keys, how="semi", nulls_equal=True)
        source = replace(source, frame=frame)
    stored = stored_rows(current, source, current.columns).select(*keys, *(c.short for c in current.columns))
    return changed.lazy().join(stored, on=keys, how="left", nulls_equal=True).collect()


def count_samples(recipe: Recipe, expected: pl.LazyFrame) -> pl.LazyFrame:
    """Count the samples that expected rows are; rows are only compared where several may be one sample."""
    samples = expected.select(recipe.match).unique() if recipe.repeats else expected
    return samples.select(pl.len())


def count(recipe: Recipe, compared: pl.LazyFrame) -> pl.LazyFrame:
    """Count the samples of each status. Compared rows in → ``status`` and ``n`` out."""
    samples = pl.struct(recipe.match).n_unique() if recipe.repeats else pl.len()
    orphaned = pl.col("status").first() == ORPHANED  # stored rows are one per sample, and have no expected columns
    return compared.group_by("status").agg(n=pl.when(orphaned).then(pl.len()).otherwise(samples))
