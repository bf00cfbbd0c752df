"""Errors of samples: what was recorded when they could not be computed, and which of it counts still.

A record belongs to a sample as it should be: feature version, IDs and expected provenance. Nothing is ever deleted or
changed: it counts until a row of the sample is written later, or its inputs or its definition change.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_DELETED_AT, METAXY_FEATURE_VERSION, METAXY_PROVENANCE, METAXY_UPDATED_AT
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError
from metaxy.masking import Secrets
from metaxy.store.given import given_frame
from metaxy.store.named import narrowed
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, find_or_none
from metaxy.store.session import Scope
from metaxy.store.system import tables as t
from metaxy.store.system.id_texts import ids_of_texts, texts_of_ids
from metaxy.store.system.rows import append_rows, scans_seen
from metaxy.store.writing import Fence
from metaxy.versioning.column_types import Types
from metaxy.versioning.frames import collect_to_polars
from metaxy.versioning.key_types import alike
from metaxy.versioning.recipe import BEGUN
from metaxy.wording import did_you_mean

MESSAGE_LENGTH: Final = 500
READ_LENGTH: Final = 20_000  # of a message, before secrets in it are looked for
FEW: Final = 200  # samples that a condition may name
SAMPLE: Final = (t.COL_IDS, METAXY_PROVENANCE)
GIVEN: Final = (METAXY_PROVENANCE, t.COL_ERROR_TYPE, t.COL_ERROR_MESSAGE)
WRITTEN: Final = "__metaxy_written_at"
PLACE: Final = "__metaxy_place"
TICK: Final = timedelta(microseconds=1)


def unit_columns(plan: FeaturePlan, known: Iterable[str]) -> list[str]:
    """Return the columns that name what is computed at once: a sample or, in an expansion, a parent.

    ``known`` are the columns of expected rows: IDs that no parent has as its own may be among them.
    """
    ids = list(plan.feature.id_columns)
    parents = list(dict.fromkeys(c for dep in plan.feature_deps for c in plan.get_input_id_columns_for_dep(dep)))
    if not parents or set(ids) <= set(parents):
        return ids
    return ids if set(ids) <= {*parents, *known} and not plan.feature.expands else parents


# -- recording ---------------------------------------------------------------------------------------------------------


def record(store: StoreParts, scope: Scope, plan: FeaturePlan, given: Any, fence: Fence | None = None) -> None:
    """Add errors of samples; each gets the number of its attempt.

    Raises:
        MetadataSchemaError: if columns are missing, or NULL.
    """
    errors = _checked(store, plan, given)
    if errors.is_empty():
        return
    key, version, now = plan.feature.key, scope.version(plan.feature.key), store.clock.now().replace(tzinfo=None)
    # Later than what is there, even if that came from a machine whose clock is ahead.
    after = pl.max_horizontal(pl.lit(now), pl.col(WRITTEN) + TICK)
    written = write_times(store, key, version, errors[t.COL_IDS], None)
    errors = errors.join(written, on=t.COL_IDS, how="left").with_columns(after.alias(t.COL_RECORDED_AT))
    few = errors[t.COL_IDS].to_list() if errors.height <= FEW else None
    standing_before = standing(store, key, version, texts=few, written=written)
    before = standing_before.group_by(SAMPLE).agg(attempt=pl.len().cast(pl.Int64))
    errors = errors.join(before, on=SAMPLE, how="left").with_columns(pl.col(t.COL_ATTEMPT).fill_null(0) + 1)
    constants = {t.COL_FEATURE_KEY: pl.lit(str(key)), METAXY_FEATURE_VERSION: pl.lit(version)}
    with store.engine.temporary():
        append_rows(store, t.ROW_ERRORS.key, errors.drop(WRITTEN).with_columns(**constants), fence)


def _checked(store: StoreParts, plan: FeaturePlan, given: Any) -> pl.DataFrame:
    """Return the errors of a frame, one of each sample. Columns out: ids, provenance, type, message and run id."""
    what = f"the errors of feature {plan.feature.key}"
    frame = collect_to_polars(given_frame(given, what, collect=True))
    ids = unit_columns(plan, frame.columns)
    if taken := [name for name in ids if name in GIVEN]:
        raise MetadataSchemaError(f"{what}: ID column {taken[0]!r} has the name of what is told of errors; rename it")
    for name in [*ids, *GIVEN]:
        if name not in frame.columns:
            raise MetadataSchemaError(
                f"{what} lack column {name!r}.{did_you_mean(name, frame.columns)} They need: "
                f"{', '.join([*ids, *GIVEN])}, as samples of an increment have them"
            )
    if nulls := frame[METAXY_PROVENANCE].null_count():
        raise MetadataSchemaError(f"{what}: column {METAXY_PROVENANCE!r} is NULL in {nulls} rows")
    try:
        texts = texts_of_ids(frame, ids)
    except MetadataSchemaError as error:
        raise MetadataSchemaError(f"{what}: {error}") from None
    run = [t.COL_RUN_ID] if t.COL_RUN_ID in set(frame.columns) - set(ids) else []
    rows = frame.select(texts.alias(t.COL_IDS), pl.col(*GIVEN, *run).cast(pl.String))
    rows = rows.unique(SAMPLE, keep="last", maintain_order=True)
    hide = _secrets(store).hide
    return rows.with_columns(_shown(rows[name], hide) for name in (t.COL_ERROR_TYPE, t.COL_ERROR_MESSAGE))


def _shown(column: pl.Series, hide: Callable[[str], str]) -> pl.Series:
    """Cut texts to one line of bounded length, without secrets; many samples may fail alike."""
    texts = {text: one_line(hide(text[:READ_LENGTH])) for text in column.drop_nulls().unique()}
    return pl.Series(column.name, [texts.get(text, "") for text in column], pl.String)


def _secrets(store: StoreParts) -> Secrets:
    """Find what of the options of a store, and of those under it, must not be told."""
    options = []
    for each in (store, *store.fallback_stores.resolved):
        places, named = each._arguments
        options.append({"database": list(places), **{n: v for n, v in named.items() if n != "fallback_stores"}})
    return Secrets.of(options)


def one_line(text: str) -> str:
    r"""Return a message as one line of bounded length, without signs that are none.

    >>> one_line("no frame 7\n  in a.mp4\0"), len(one_line("x" * 501))
    ('no frame 7 in a.mp4', 500)
    """
    plain = text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)
    line = " ".join(plain.split())
    return line if len(line) <= MESSAGE_LENGTH else f"{line[: MESSAGE_LENGTH - 1]}…"


def forget(store: StoreParts, key: FeatureKey) -> None:
    """Let the errors that were recorded of a feature count no more; nothing is added where there are none."""
    last = _recorded(store, key)[t.COL_RECORDED_AT].max()
    if isinstance(last, datetime):
        now = max(store.clock.now().replace(tzinfo=None), last + TICK)
        no_version = ""  # tables of ClickHouse are sorted by it, and keep no NULL there
        row = {t.COL_FEATURE_KEY: [str(key)], t.COL_RECORDED_AT: now, METAXY_FEATURE_VERSION: no_version}
        with store.engine.temporary():
            append_rows(store, t.ROW_ERRORS.key, pl.DataFrame(row))


# -- reading -----------------------------------------------------------------------------------------------------------


def features_with_errors(store: StoreParts) -> list[str]:
    """Return the keys of features of which errors were recorded, whether or not they count."""
    tables = [
        collect_to_polars(scan.frame.select(t.COL_FEATURE_KEY).unique()) for scan in scans_seen(store, t.ROW_ERRORS.key)
    ]
    return sorted({key for table in tables for key in table.to_series()})


def standing(
    store: StoreParts,
    key: FeatureKey,
    version: str,
    moment: datetime | None = None,
    texts: Sequence[str] | None = None,
    written: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return the errors of a feature version after which their samples were not written. Columns out: the table's.

    Whether the samples should still be computed from the same inputs is not looked at. ``texts`` are the IDs of those
    that matter, if not all do, and ``written`` says when these were written, if that is known.
    """
    rows = _recorded(store, key, version, moment, texts)
    rows = rows.filter(pl.col(t.COL_IDS).is_not_null())
    if rows.is_empty():
        return rows
    if written is None:
        written = write_times(store, key, version, rows[t.COL_IDS], moment)
    rows = rows.join(written, on=t.COL_IDS, how="left", maintain_order="left")
    later = (pl.col(t.COL_RECORDED_AT) > pl.col(WRITTEN)).fill_null(value=True)
    return rows.filter(later).drop(WRITTEN).sort(t.COL_RECORDED_AT, t.COL_ATTEMPT)


def latest(errors: pl.DataFrame) -> pl.DataFrame:
    """Keep the last error of each sample, with the number of all as ``attempt``."""
    counted = errors.with_columns(pl.len().over(SAMPLE).cast(pl.Int64).alias(t.COL_ATTEMPT))
    return counted.unique(SAMPLE, keep="last", maintain_order=True)


def with_ids(errors: pl.DataFrame, types: Types, ids: Iterable[str] | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the IDs of errors as columns, and beside them the errors; ``types`` are those of samples.

    Errors of samples that cannot be among such ones, or have other IDs, are left out of both.
    """
    found, places = ids_of_texts(errors[t.COL_IDS].to_list(), types, ids)
    known = {name: dtype for name, dtype in types.items() if name in found.columns}
    fitting = narrowed(found.with_columns(pl.Series(PLACE, places, pl.UInt32)), nw.Schema(known).to_polars())
    return fitting.drop(PLACE), errors[fitting[PLACE]]


def write_times(
    store: StoreParts, key: FeatureKey, version: str, texts: pl.Series, moment: datetime | None
) -> pl.DataFrame:
    """Say when samples were written, or deleted, last. Columns out: ids, as text, and the time, in UTC."""
    none = pl.DataFrame(schema={t.COL_IDS: pl.String, WRITTEN: t.TIMESTAMP})
    found = find_or_none(store, key, allow_fallback=store.overlays)
    if found is None or texts.is_empty():
        return none
    found = found.checked().as_of(moment)
    wanted, those = with_ids(texts.unique().to_frame(t.COL_IDS), found.scan.schema)
    if wanted.is_empty() or not set(wanted.columns) <= set(found.scan.schema):
        return none
    with found.engine.temporary():
        rows = _rows_of(found, version, wanted)
    left_on, right_on = alike(wanted.schema, rows.schema, [(name, name) for name in wanted.columns])
    named = wanted.with_columns(those[t.COL_IDS].alias(PLACE))
    met = named.join(rows, left_on=left_on, right_on=right_on, how="inner")
    return met.group_by(pl.col(PLACE).alias(t.COL_IDS)).agg(pl.col(WRITTEN).max())


def _rows_of(found: StoredTable, version: str, ids: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of some samples in one feature version: IDs and time; that a write has begun is none."""
    times = [name for name in (METAXY_DELETED_AT, METAXY_UPDATED_AT) if name in found.scan.schema]
    is_row = (nw.col(METAXY_FEATURE_VERSION) == version) & (nw.col(METAXY_PROVENANCE) != BEGUN)
    rows = found.scan.frame.filter(is_row).select(*ids.columns, *times)
    own = collect_to_polars(found.engine.among(rows, found.engine.take(nw.from_native(ids))))
    moments = [_plain(pl.col(name), own.schema[name]) for name in times]
    return own.select(*ids.columns, pl.coalesce(moments).alias(WRITTEN))


def _plain(time: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return a time of a table in UTC, without a zone."""
    zoned = isinstance(dtype, pl.Datetime) and dtype.time_zone
    return (time.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else time).cast(t.TIMESTAMP)


def _recorded(
    store: StoreParts,
    key: FeatureKey,
    version: str | None = None,
    moment: datetime | None = None,
    texts: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Return what was recorded of a feature since its errors were forgotten, by a store and those under it."""
    wanted = nw.col(t.COL_FEATURE_KEY) == str(key)
    if version is not None:
        wanted &= (nw.col(METAXY_FEATURE_VERSION) == version) | nw.col(t.COL_IDS).is_null()
    if texts is not None:
        wanted &= nw.col(t.COL_IDS).is_in(texts) | nw.col(t.COL_IDS).is_null()
    found = [
        collect_to_polars(scan.frame.filter(wanted).select(*t.ROW_ERRORS_SCHEMA))
        for scan in scans_seen(store, t.ROW_ERRORS.key)
    ]
    rows = pl.concat([t.ROW_ERRORS.empty(), *(frame.cast(t.ROW_ERRORS_SCHEMA) for frame in found)])
    if moment is not None:
        rows = rows.filter(pl.col(t.COL_RECORDED_AT) <= moment.replace(tzinfo=None))
    forgotten = rows.filter(pl.col(t.COL_IDS).is_null())[t.COL_RECORDED_AT].max()
    return rows if forgotten is None else rows.filter(pl.col(t.COL_RECORDED_AT) > forgotten)
