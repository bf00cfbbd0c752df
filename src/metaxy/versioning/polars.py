"""A recipe in Polars: the same steps, names and rows as the SQL statement, as one lazy plan or at once.

In a plan only the choice of the latest rows looks at data while it runs: it orders only the samples that have several.
An eager update also looks at the order of its tables: samples that stand in the same place need no join.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import polars_hash  # noqa: F401 - registers the `nchash` and `chash` namespaces

from metaxy.columns import METAXY_DELETED_AT, METAXY_PROVENANCE_BY_FIELD, METAXY_UPDATED_AT
from metaxy.hashing import ESCAPE, SEPARATOR, HashAlgorithm, HashSettings
from metaxy.versioning.codec import member_polars
from metaxy.versioning.key_types import alike
from metaxy.versioning.latest import TEXT_ORDER, TIME_ORDER
from metaxy.versioning.recipe import Field, Input, Latest, Recipe

HASHES = {
    HashAlgorithm.MD5: ("nchash", "md5"),
    HashAlgorithm.SHA256: ("chash", "sha2_256"),
    HashAlgorithm.XXHASH32: ("nchash", "xxhash32"),
    HashAlgorithm.XXHASH64: ("nchash", "xxhash64"),
    HashAlgorithm.XXH3_64: ("nchash", "xxh3_64"),
    HashAlgorithm.WYHASH: ("nchash", "wyhash"),
}

End = Callable[[pl.DataFrame, int], pl.DataFrame]  # takes so many rows from one end of a frame


@dataclass(frozen=True)
class PolarsSource:
    """Rows of a table or of the user, and the boolean columns that filters and predicates were turned into."""

    frame: pl.LazyFrame
    keep: str | None = None
    stale: str | None = None


def hashed(text: pl.Expr, settings: HashSettings) -> pl.Expr:
    """Hash a text expression and keep the first characters; integers as decimal text."""
    namespace, function = HASHES[settings.algorithm]
    digest: pl.Expr = getattr(getattr(text, namespace), function)()
    return digest.cast(pl.String).str.slice(0, settings.length)


def escaped(value: pl.Expr) -> pl.Expr:
    """Escape the separator in values that come from rows."""
    clean = value.str.replace_all(ESCAPE, ESCAPE * 2, literal=True)
    clean = clean.str.replace_all(SEPARATOR, ESCAPE + SEPARATOR, literal=True)
    return pl.when(value.str.contains_any([SEPARATOR, ESCAPE])).then(clean).otherwise(value)


def joined(values: Sequence[pl.Expr]) -> pl.Expr:
    """Glue values with the separator; NULL if one of them is NULL."""
    return pl.concat_str(values, separator=SEPARATOR)


def keep_latest(frame: pl.DataFrame, ids: Sequence[str], columns: Sequence[str] = ()) -> pl.DataFrame:
    """Keep the latest row of each sample, in the total order that `latest` defines, and some columns or all.

    It takes the place of the sample's first written row, so that tables with the same samples stay in the same order.
    """
    several = rows_that_may_repeat(frame.select(ids))
    kept = frame.select(columns or frame.columns)
    if several is None:
        return kept
    needed = {*ids, METAXY_DELETED_AT, *TIME_ORDER, *TEXT_ORDER}
    rows = frame.select(c for c in frame.columns if c in needed).with_row_index("__metaxy_row").filter(several)
    place = pl.col("__metaxy_row").max() if _is_newest_first(frame) else pl.col("__metaxy_row").min()
    latest = _latest_of_several(rows, ids, place)
    row = pl.int_range(frame.height, dtype=pl.get_index_type(), eager=True).scatter(
        latest["__metaxy_place"], latest["__metaxy_row"]
    )
    return kept[row.filter((~several).scatter(latest["__metaxy_place"], values=True))]


def _is_newest_first(frame: pl.DataFrame) -> bool:
    """Return whether the first row was written after the last one, as in tables of Delta."""
    if METAXY_UPDATED_AT not in frame.columns:
        return False
    first, last = frame[METAXY_UPDATED_AT].item(0), frame[METAXY_UPDATED_AT].item(-1)
    return bool(first and last and first > last)


def rows_that_may_repeat(ids: pl.DataFrame) -> pl.Series | None:
    """Return which rows have the hash of another one, None if none has: to compare texts costs four times as much."""
    hashes = ids.hash_rows()
    ordered = hashes.sort()
    twice = ordered.filter(ordered == ordered.shift(1)).unique()
    return hashes.is_in(twice.implode()) if len(twice) else None


def _latest_of_several(rows: pl.DataFrame, ids: Sequence[str], place: pl.Expr) -> pl.DataFrame:
    """Compare times first, and texts only where times are equal: to sort by texts costs ten times as much."""
    events = [c for c in (METAXY_DELETED_AT, METAXY_UPDATED_AT) if c in rows.columns]
    event = pl.coalesce(events) if events else pl.lit(None)
    # In one go, so that rows are grouped once.
    rows = rows.with_columns(__metaxy_place=place.over(ids), __metaxy_event=event.max().over(ids))
    rows = rows.filter(event.eq_missing(pl.col("__metaxy_event")))
    if not rows.select(ids).is_duplicated().any():
        return rows
    order = [c for c in (*TIME_ORDER, *TEXT_ORDER) if c in rows.columns]
    rows = rows.sort(order, descending=True, nulls_last=True) if order else rows
    return rows.unique(ids, keep="first", maintain_order=True)


def latest_rows(source: PolarsSource, latest: Latest, columns: Iterable[str]) -> pl.LazyFrame:
    """Pick the rows that count. Columns in → ``columns`` out, and those that filters were turned into."""
    rows = source.frame
    stored = rows.collect_schema().names()
    order = (METAXY_DELETED_AT, METAXY_UPDATED_AT, *TIME_ORDER, *TEXT_ORDER)
    flags = [name for name in (source.keep, source.stale) if name]
    needed = {*columns, *order, *latest.ids, *flags} & set(stored)
    if latest.feature_version is not None:
        rows = rows.filter(pl.col(latest.version_column) == latest.feature_version)
    rows = rows.select(name for name in stored if name in needed)
    if latest.one_per_sample:
        ids = list(latest.ids)
        kept = {*columns, *flags, *latest.ids, METAXY_DELETED_AT}
        schema = {name: dtype for name, dtype in rows.collect_schema().items() if name in kept}
        # Rows must not be filtered before the latest one is known.
        rows = rows.map_batches(
            lambda frame: keep_latest(frame, ids, list(schema)),
            predicate_pushdown=False,
            slice_pushdown=False,
            projection_pushdown=False,
            schema=schema,
        )
    if not latest.include_deleted and METAXY_DELETED_AT in needed:
        rows = rows.filter(pl.col(METAXY_DELETED_AT).is_null())
    return rows.filter(pl.col(source.keep)) if source.keep else rows


def expected_rows(recipe: Recipe, parents: pl.LazyFrame) -> pl.LazyFrame:
    """Compute the rows that the feature should have. Joined rows of the parents, or given ones, in.

    Returns: output columns (``k…``), match keys, field versions (``v…``) and the sample's provenance (``p``).
    """
    rows = _hash_fields(recipe, parents) if recipe.inputs else parents
    given = {f.short for f in recipe.fields if f.given}
    values = [escaped(pl.col(s)) if s in given else pl.col(s) for s in recipe.sample_order]
    return rows.with_columns(p=hashed(joined(values), recipe.hash))


def parent_rows(recipe: Recipe, sources: Sequence[PolarsSource]) -> list[pl.LazyFrame]:
    """Take the rows that go into a recipe: a frame for each parent, or that of the given rows."""
    if not recipe.inputs:
        return [_given_fields(recipe, sources[0])]
    return [_input_rows(step, source, recipe.hash) for step, source in zip(recipe.inputs, sources, strict=True)]


def join_lazily(recipe: Recipe, parents: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """Join the rows of the parents."""
    rows = parents[0]
    for step, frame in zip(recipe.inputs[1:], parents[1:], strict=True):
        rows = _join(rows, frame, step)
    return rows


def join_at_once(recipe: Recipe, parents: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join the rows of the parents; those that stand beside each other already are not searched."""
    rows = parents[0]
    for step, frame in zip(recipe.inputs[1:], parents[1:], strict=True):
        stand = _is_unique(step) and all(_stand_beside(rows[key], frame[key]) for key in step.join)
        rows = rows.hstack(frame.drop(step.join)) if stand else _join(rows.lazy(), frame.lazy(), step).collect()
    return rows


def _join(rows: pl.LazyFrame, frame: pl.LazyFrame, step: Input) -> pl.LazyFrame:
    how: Any = "full" if step.outer else "left" if step.optional else "inner"
    left, right = rows.collect_schema(), frame.collect_schema()
    if all(left[key] == right[key] for key in step.join):
        return rows.join(frame, on=list(step.join), how=how, coalesce=True)
    left_on, right_on = alike(left, right, [(key, key) for key in step.join])
    joined = rows.join(frame, left_on=left_on, right_on=right_on, how=how, coalesce=False)
    others = [f"{key}_right" for key in step.join]
    if step.outer:
        schema = joined.collect_schema()
        both = alike(schema, schema, zip(step.join, others, strict=True))
        joined = joined.with_columns(map(pl.coalesce, *both))
    return joined.drop(others)


def _stand_beside(left: pl.Series, right: pl.Series) -> bool:
    return left.dtype == right.dtype and left.equals(right, null_equal=False)


def _is_unique(step: Input) -> bool:
    """Return whether a parent has one row for each key on which it is joined."""
    if step.group:
        return step.one_row_per_group and set(step.group.keys) <= set(step.join)
    ids = {column.short for column in step.columns if column.stored in step.latest.ids}
    return step.latest.one_per_sample and len(ids) == len(step.latest.ids) and ids <= set(step.join)


def _given_fields(recipe: Recipe, source: PolarsSource) -> pl.LazyFrame:
    frame = source.frame.filter(pl.col(source.keep)) if source.keep else source.frame
    schema = frame.collect_schema()
    columns = [pl.col(c.stored).alias(c.short) for c in recipe.output]
    fields = [_member(schema, METAXY_PROVENANCE_BY_FIELD, f.member).alias(f.short) for f in recipe.fields]
    return frame.select(*columns, *fields)


def _hash_fields(recipe: Recipe, rows: pl.LazyFrame) -> pl.LazyFrame:
    grouped = {v.short for i in recipe.inputs if i.group for v in i.versions}
    values = {}
    for version in (v for i in recipe.inputs for v in i.versions):
        value = pl.col(version.short) if version.short in grouped else escaped(pl.col(version.short))
        values[version.short] = value.fill_null("") if version.short in recipe.optional_versions else value
    fields = [hashed(_field_text(f, values), recipe.hash).alias(f.short) for f in recipe.fields]
    kept = dict.fromkeys([*(c.short for c in recipe.output), *recipe.match])
    return rows.select(*(pl.col(c) for c in kept), *fields)


def _member(schema: pl.Schema, column: str, name: str) -> pl.Expr:
    return member_polars(schema.get(column), column, name)


def _field_text(formula: Field, values: dict[str, pl.Expr]) -> pl.Expr:
    parts: list[pl.Expr] = []
    for text, version in formula.parts():
        parts += [pl.lit(text)] if text else []
        parts += [values[version]] if version else []
    return pl.concat_str(parts)


def _input_rows(step: Input, source: PolarsSource, settings: HashSettings) -> pl.LazyFrame:
    rows = latest_rows(source, step.latest, [*(c.stored for c in step.columns), *(v.column for v in step.versions)])
    schema = source.frame.collect_schema()
    columns = [pl.col(c.stored).alias(c.short) for c in step.columns]
    versions = [_member(schema, v.column, v.member).alias(v.short) for v in step.versions]
    rows = rows.select(*columns, *versions)
    if step.group is None:
        return rows
    keys = list(step.group.keys)
    enums = {c.short for c in step.columns if isinstance(schema[c.stored], pl.Enum)}
    order = [pl.col(name).cast(pl.String) if name in enums else pl.col(name) for name in step.group.order]
    values = [_group_value(v.short, step, order, settings).alias(v.short) for v in step.versions]
    groups = rows.group_by(keys).agg(*values)
    if step.one_row_per_group:
        return groups
    return rows.select(c.short for c in step.columns).join(groups, on=keys, how="left", nulls_equal=True)


def _group_value(short: str, step: Input, order: Sequence[pl.Expr], settings: HashSettings) -> pl.Expr:
    """Hash the values of a group in order; a NULL makes it NULL, except from an optional parent.

    Enums are ordered as texts, as in databases, and not as their categories are.
    """
    text = escaped(pl.col(short)).sort_by(order).str.join(SEPARATOR, ignore_nulls=True)
    value = hashed(text.fill_null(""), settings)
    return value if step.optional else pl.when(pl.col(short).null_count() == 0).then(value)
