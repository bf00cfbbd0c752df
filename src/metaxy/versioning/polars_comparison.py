"""The second part of a recipe in Polars: expected rows against stored ones, and a status for each that changed."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl

from metaxy.columns import METAXY_DELETED_AT, METAXY_PROVENANCE, METAXY_UPDATED_AT
from metaxy.versioning.frames import to_polars_lazy
from metaxy.versioning.key_types import alike
from metaxy.versioning.payload import differs_polars
from metaxy.versioning.polars import PolarsSource, latest_rows
from metaxy.versioning.recipe import (
    BEGUN,
    BROKEN,
    DRIFTED,
    FAILED,
    NEW,
    ORPHANED,
    STALE,
    WRITTEN,
    Column,
    Current,
    Recipe,
)
from metaxy.versioning.sources import Failed

OF_CHILDREN = ("own", "stale", "live", "mark", "event")

End = Callable[[pl.DataFrame, int], pl.DataFrame]  # takes so many rows from one end of a frame


def stored_rows(current: Current, source: PolarsSource, columns: Sequence[Column]) -> pl.LazyFrame:
    """Reduce the current rows to what is compared: keys (``c…``), provenance, flag; and ``columns`` (``o…``)."""
    stale = pl.col(source.stale).fill_null(value=False) if source.stale else pl.lit(value=False)
    keys = [pl.col(key).alias(f"c{n}") for n, key in enumerate(current.keys)]
    payload = [pl.col(c.stored).alias(c.short) for c in columns]
    provenance, needed = pl.col(METAXY_PROVENANCE), [*current.keys, *(c.stored for c in columns), METAXY_PROVENANCE]
    if not current.collapse:
        rows = latest_rows(source, current.latest, needed)
        return rows.select(*keys, *payload, low=provenance, high=provenance, stale=stale)
    latest, known = replace(current.latest, include_deleted=True), source.frame.collect_schema()
    times = [pl.col(name) for name in (METAXY_DELETED_AT, METAXY_UPDATED_AT) if name in known]
    needed += [*current.own, METAXY_DELETED_AT, METAXY_UPDATED_AT, *([source.keep] if source.keep else [])]
    lives = [pl.col(METAXY_DELETED_AT).is_null()] if METAXY_DELETED_AT in known else []
    lives += [pl.col(source.keep).fill_null(value=False)] if source.keep else []
    marked = [pl.col(name).is_null() for name in current.own if METAXY_DELETED_AT in known]
    marked += [pl.col(METAXY_DELETED_AT).is_not_null() if marked else pl.lit(value=False)]
    return latest_rows(replace(source, keep=None), latest, needed).select(
        *keys,
        *payload,
        own=provenance,
        stale=stale,
        live=pl.all_horizontal(lives) if lives else pl.lit(value=True),
        mark=pl.when(pl.all_horizontal(marked)).then(provenance),
        event=pl.coalesce(times) if times else pl.lit(None),
    )


def with_older(recipe: Recipe, stored: pl.LazyFrame, expected: pl.LazyFrame) -> pl.LazyFrame:
    """Say which children that live have ``older`` copies of columns of their parents, if that is asked."""
    if not (recipe.pairs and recipe.current and recipe.current.collapse):
        return stored
    pairs = [(f"c{n}", key) for n, key in enumerate(recipe.match)]
    left_on, right_on = alike(stored.collect_schema(), expected.collect_schema(), pairs)
    copied = expected.select(*dict.fromkeys([*recipe.match, *(pair.expected for pair in recipe.pairs)]))
    rows = stored.join(copied, left_on=left_on, right_on=right_on, how="left", coalesce=False, maintain_order="left")
    older = pl.col("live") & _drifts(recipe, rows.collect_schema())
    return rows.with_columns(older=older).drop(copied.collect_schema().names())


def parents_of(recipe: Recipe, stored: pl.LazyFrame) -> pl.LazyFrame:
    """Bring the children of each parent that was computed to one row, others stay as they are.

    A parent is ``here`` if a child lives. One without children that was computed has the provenance that was recorded,
    unless something happened to its children later; one whose children are being written is stale, or new.
    """
    current = recipe.current
    if current is None or not current.collapse:
        return stored
    live, mark, own = pl.col("live"), pl.col("mark"), pl.col("own")
    begun, event, none = (mark == BEGUN).any(), pl.col("event"), ~mark.is_in([BEGUN, WRITTEN])
    parents = stored.group_by(current.short_keys, maintain_order=True).agg(
        low=pl.coalesce(own.filter(live).min(), mark.max()),
        high=pl.coalesce(own.filter(live).max(), mark.max()),
        stale=(live & (pl.col("stale") | own.is_null())).any() | begun,
        here=live.any(),
        **({"behind": pl.col("older").any()} if recipe.pairs else {}),
        computed=none.any() & (event.filter(none).max() >= event.max()),
    )
    return parents.filter(pl.col("here") | pl.col("computed")).drop("computed")


def with_children(recipe: Recipe, compared: pl.LazyFrame, stored: pl.LazyFrame) -> pl.LazyFrame:
    """Put children in place of the parents that are gone or drifted. Compared rows, and all stored ones, in.

    The children that are lost are all of a parent that is gone and, where some carry the one provenance expected, the
    others. Those of a parent that drifted are the ones with older copies of its columns.
    """
    current = recipe.current
    if current is None or not current.collapse:
        return compared
    keys, status, p = current.short_keys, pl.col("status"), pl.col("p")
    parents = compared.filter((status == ORPHANED) | (status == STALE) & (pl.col("low") != pl.col("high")))
    parents = parents.group_by(keys).agg(status=status.first(), p=p.first(), several=p.n_unique() > 1)
    children = stored.filter("live").join(parents.filter(~pl.col("several")), on=keys, nulls_equal=True)
    kept = (pl.col("own") == p).any().over(keys)
    lost = children.filter((status == ORPHANED) | kept & (pl.col("own") != p))
    lost = lost.with_columns(status=ORPHANED).drop("p", "several", *OF_CHILDREN, "older", strict=False)
    parts = [compared.filter(~status.is_in([ORPHANED, DRIFTED])), lost]
    if recipe.drifts:
        older = stored.filter("older").drop(*OF_CHILDREN, "older")
        parts.append(compared.filter(status == DRIFTED).join(older, on=keys))
    return pl.concat(parts, how="diagonal")


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
    gone = pl.when(pl.col("here")).then(ORPHANED) if "here" in stored.collect_schema() else pl.lit(ORPHANED)
    differs = pl.col("stale") | pl.col("low").ne_missing(pl.col("p")) | pl.col("high").ne_missing(pl.col("p"))
    status = (
        pl.when(pl.col("mx_expected").is_null())
        .then(gone)
        .when(broken)
        .then(BROKEN)
        .when(pl.col("mx_stored").is_null())
        .then(NEW)
        .when(differs)
        .then(STALE)
    )
    if recipe.payload and recipe.pairs:
        status = status.when(_drifts(recipe, rows.collect_schema())).then(recipe.payload.status)
    return rows.with_columns(status=status).filter(pl.col("status").is_not_null())


def _drifts(recipe: Recipe, schema: pl.Schema) -> pl.Expr:
    """Write whether a compared column differs, or does so in a child of a parent."""
    if "behind" in schema:
        return pl.col("behind")
    return pl.any_horizontal([differs_polars(pair, schema) for pair in recipe.pairs])


def with_failed(recipe: Recipe, changed: pl.LazyFrame, failed: Failed | None) -> pl.LazyFrame:
    """Give samples that failed another status or, if only they are wanted, leave out others."""
    if failed is None:
        return changed
    samples = to_polars_lazy(failed.frame)
    names = samples.collect_schema().names()
    pairs = zip([*recipe.match, "p"], names, strict=True)
    left_on, right_on = alike(changed.collect_schema(), samples.collect_schema(), pairs)
    samples = samples.with_columns(mx_failed=pl.lit(value=True))
    rows = changed.join(samples, left_on=left_on, right_on=right_on, how="left", coalesce=False, maintain_order="left")
    status = pl.col("status")
    is_failed = status.is_in([NEW, STALE]) & pl.col("mx_failed").is_not_null()
    if failed.only:
        return rows.filter(is_failed | (status == BROKEN)).drop(*names, "mx_failed")
    return rows.with_columns(pl.when(is_failed).then(FAILED).otherwise(status).alias("status")).drop(
        *names, "mx_failed"
    )


def changed_rows(recipe: Recipe, expected: pl.DataFrame, stored: pl.DataFrame | None) -> pl.DataFrame:
    """Compare rows that are at hand. Expected and stored columns in → those of changed rows and ``status`` out.

    Only keys, provenance and the payload that is compared meet; the rest is gathered by row number.
    """
    if stored is None:
        return compare(recipe, expected.lazy(), None).collect()
    meeting = [*dict.fromkeys([*recipe.match, "p", *(pair.expected for pair in recipe.pairs)])]
    narrow = expected.select(meeting).with_row_index("row")
    if not recipe.repeats:  # so that each sample is one row on both sides
        narrow, stored = _without_same(recipe, narrow, stored, pl.DataFrame.head, pl.DataFrame.tail)
        narrow, stored = _without_same(recipe, narrow, stored, pl.DataFrame.tail, pl.DataFrame.head)
    changed = compare(recipe, narrow.lazy(), stored.lazy()).collect()
    changed = changed.drop([pair.stored for pair in recipe.pairs], strict=False)  # read again, with all others
    rest = expected.select(pl.exclude(meeting).gather(changed["row"]))
    return changed.drop("row").hstack(rest)


def _without_same(
    recipe: Recipe, expected: pl.DataFrame, stored: pl.DataFrame, near: End, far: End
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Leave out samples that agree, and stand at the same place from the near end of both frames: they need no join."""
    keys = recipe.match
    height, names = min(expected.height, stored.height), [f"c{n}" for n in range(len(keys))]
    first, other = near(expected.select(keys), min(height, 1)), near(stored.select(names), min(height, 1))
    if first.dtypes != other.dtypes or first.rows() != other.rows():
        return expected, stored
    agree = [pl.col(key) == pl.col(name) for key, name in zip(keys, names, strict=True)]
    agree += [pl.col("p") == pl.col("low"), pl.col("p") == pl.col("high"), ~pl.col("stale")]
    beside = pl.concat([near(expected, height), near(stored, height)], how="horizontal")
    agree += [~_drifts(recipe, beside.schema)] if recipe.pairs else []
    differ = beside.select(~pl.all_horizontal(agree).fill_null(value=False)).to_series()

    def left(frame: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([near(frame, height).filter(differ), far(frame, frame.height - height)])

    return left(expected), left(stored)


def add_stored(recipe: Recipe, changed: pl.DataFrame, current: Current, source: PolarsSource) -> pl.DataFrame:
    """Read the stored columns of orphaned and drifted rows, of which there are few.

    Columns in: ``status`` and ``c…``. Columns out: ``o…``, too.
    """
    lost = pl.col("status").is_in([ORPHANED, DRIFTED])
    if current.collapse:
        lost |= (pl.col("status") == STALE) & (pl.col("low") != pl.col("high"))
    keys, samples = current.short_keys, changed.filter(lost)
    few = not current.collapse and (samples["status"] == DRIFTED).all()
    columns = recipe.payload.columns(current) if recipe.payload and few else current.columns
    if samples.is_empty():
        schema = source.frame.collect_schema()
        return changed.with_columns(pl.lit(None, schema[c.stored]).alias(c.short) for c in current.columns)
    if set(current.keys) <= set(current.latest.ids):  # then all rows of a sample are lost, or none
        wanted, names = samples.lazy().select(keys), list(current.keys)
        frame = source.frame.join(wanted, left_on=names, right_on=keys, how="semi", nulls_equal=True)
        source = replace(source, frame=frame)
    stored = stored_rows(current, source, columns)
    if current.collapse:
        return with_children(recipe, changed.lazy(), with_older(recipe, stored, changed.lazy())).collect()
    stored = stored.select(*keys, *(c.short for c in columns))
    rows = changed.lazy().join(stored, on=keys, how="left", nulls_equal=True).collect()
    schema = source.frame.collect_schema()
    return rows.with_columns(pl.lit(None, schema[c.stored]).alias(c.short) for c in current.columns if c not in columns)


def count_samples(recipe: Recipe, expected: pl.LazyFrame) -> pl.LazyFrame:
    """Count the samples that expected rows are; rows are only compared where several may be one sample."""
    samples = expected.select(recipe.match).unique() if recipe.repeats else expected
    return samples.select(pl.len())


def count(recipe: Recipe, compared: pl.LazyFrame) -> pl.LazyFrame:
    """Count the samples of each status. Compared rows in → ``status`` and ``n`` out."""
    samples = pl.struct(recipe.match).n_unique() if recipe.repeats else pl.len()
    orphaned = pl.col("status").first() == ORPHANED  # stored rows are counted, and have no expected columns
    return compared.group_by("status").agg(n=pl.when(orphaned).then(pl.len()).otherwise(samples))
