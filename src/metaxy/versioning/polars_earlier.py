"""The row that each changed sample had before, in Polars; looked up for changed samples only."""

from dataclasses import replace

import polars as pl

from metaxy.columns import METAXY_PROVENANCE_BY_FIELD
from metaxy.versioning.codec import member_polars
from metaxy.versioning.key_types import alike
from metaxy.versioning.latest import TEXT_ORDER, TIME_ORDER
from metaxy.versioning.polars import PolarsSource, latest_rows
from metaxy.versioning.recipe import NEW, STALE, Earlier, Recipe


def add_earlier(recipe: Recipe, changed: pl.LazyFrame, source: PolarsSource | None) -> pl.LazyFrame:
    """Say which fields of changed samples changed (``f…``), and what their earlier row was (``was``, ``b…``).

    ``source`` is the table of the feature; without one, no sample had a row, and all fields changed.
    """
    earlier = recipe.earlier
    if earlier is None:
        return changed
    if source is None:
        return changed.with_columns(pl.lit(1, pl.Int32).alias(f) for f in earlier.flags).with_columns(
            was=pl.lit(0, pl.Int32)
        )
    live = _live_rows(recipe, earlier, changed, source)
    pairs = [(key, f"e{n}") for n, key in enumerate(recipe.match)]
    left_on, right_on = alike(changed.collect_schema(), live.collect_schema(), pairs)
    flags = [
        pl.col(f"q{n}").ne_missing(pl.col(field.short)).cast(pl.Int32).alias(flag)
        for n, (field, flag) in enumerate(zip(recipe.fields, earlier.flags, strict=True))
    ]
    met = changed.join(live, left_on=left_on, right_on=right_on, how="left", coalesce=False)
    dropped = [*(other for _, other in pairs), *(f"q{n}" for n in range(len(flags)))]
    return met.with_columns(flags).drop(dropped)


def _live_rows(recipe: Recipe, earlier: Earlier, changed: pl.LazyFrame, source: PolarsSource) -> pl.LazyFrame:
    """Pick the newest row of each changed sample: keys (``e…``), versions by field (``q…``), payload (``b…``)."""
    schema = source.frame.collect_schema()
    wanted = changed.filter(pl.col("status").is_in([NEW, STALE])).select(recipe.match)
    pairs = zip(earlier.keys, recipe.match, strict=True)
    left_on, right_on = alike(schema, wanted.collect_schema(), pairs)
    source = replace(source, frame=source.frame.join(wanted, left_on=left_on, right_on=right_on, how="semi"))
    needed = [*earlier.keys, *(c.stored for c in earlier.columns), METAXY_PROVENANCE_BY_FIELD]
    order = [name for name in (*TIME_ORDER, *TEXT_ORDER) if name in schema]
    rows = latest_rows(source, earlier.latest, [*needed, *order])
    if earlier.several:
        ids = list(earlier.latest.ids)
        down = [True] * len(order) + [False] * len(ids)
        rows = rows.sort([*order, *ids], descending=down, nulls_last=down)
        rows = rows.unique(list(earlier.keys), keep="first", maintain_order=True)
    versions = [
        member_polars(schema[METAXY_PROVENANCE_BY_FIELD], METAXY_PROVENANCE_BY_FIELD, f.member) for f in recipe.fields
    ]
    return rows.select(
        *(pl.col(key).alias(f"e{n}") for n, key in enumerate(earlier.keys)),
        *(version.alias(f"q{n}") for n, version in enumerate(versions)),
        *(pl.col(c.stored).alias(c.short) for c in earlier.columns),
        was=pl.lit(1, pl.Int32),
    )


def count_changed_fields(recipe: Recipe, compared: pl.LazyFrame, source: PolarsSource | None) -> pl.LazyFrame:
    """Count in how many samples each field changed: one row, with a column for each field if that was asked."""
    if (earlier := recipe.earlier) is None:
        return pl.LazyFrame()
    recipe = replace(recipe, earlier=replace(earlier, columns=()))
    changed = add_earlier(recipe, compared, source).filter(pl.col("status").is_in([NEW, STALE]))
    samples = changed.unique(recipe.match) if recipe.repeats else changed
    return samples.select(pl.col(flag).sum() for flag in earlier.flags)
