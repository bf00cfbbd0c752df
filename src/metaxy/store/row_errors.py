"""Errors of samples as users see them: those that count, as the samples are still expected from the same inputs."""

from contextlib import suppress
from dataclasses import replace
from typing import Final

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_PROVENANCE
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import coerce_to_feature_key
from metaxy.errors import FeatureNotFoundError
from metaxy.store.parts import StoreParts
from metaxy.store.reading import find_or_none
from metaxy.store.request import UpdateRequest
from metaxy.store.resolving import Resolution
from metaxy.store.session import Scope
from metaxy.store.system import tables as t
from metaxy.store.system.row_errors import SAMPLE, features_with_errors, latest, standing, unit_columns, with_ids
from metaxy.versioning.column_types import Types
from metaxy.versioning.frames import collect_to_polars
from metaxy.versioning.key_types import alike

TEXT: Final = "__metaxy_text"
SHOWN: Final = (
    t.COL_ATTEMPT,
    t.COL_ERROR_TYPE,
    t.COL_ERROR_MESSAGE,
    t.COL_RECORDED_AT,
    t.COL_RUN_ID,
    METAXY_PROVENANCE,
    METAXY_FEATURE_VERSION,
)


def errors_of(store: StoreParts, scope: Scope, plan: FeaturePlan, *, all_attempts: bool) -> pl.DataFrame:
    """Return the errors of one feature. Columns out: its IDs, and what is told of each error."""
    errors, types = counting(store, scope, plan), _sample_types(store, scope, plan)
    ids, those = with_ids(errors if all_attempts else latest(errors), types, types or None)
    told = those.select(SHOWN)
    return ids.hstack(told.rename({name: f"error_{name}" for name in ids.columns if name in SHOWN}))


def errors_of_all(store: StoreParts, scope: Scope, *, all_attempts: bool) -> pl.DataFrame:
    """Return the errors of all features that the graph has. Columns out: feature key, IDs as text, and the rest."""
    keys = map(coerce_to_feature_key, features_with_errors(store))
    plans = [scope.graph.get_feature_plan(key) for key in keys if key in scope.graph.feature_definitions_by_key]
    found = [counting(store, scope, plan) for plan in plans]
    rows = pl.concat([t.ROW_ERRORS.empty(), *(errors if all_attempts else latest(errors) for errors in found)])
    return rows.select(t.COL_FEATURE_KEY, t.COL_IDS, *SHOWN)


def counting(store: StoreParts, scope: Scope, plan: FeaturePlan) -> pl.DataFrame:
    """Return the errors of a feature that count, all attempts. Columns out: those of the table.

    Those of a root count until its samples are written, as only who gives its samples knows what they should be.
    """
    errors = standing(store, plan.feature.key, scope.version(plan.feature.key))
    if errors.is_empty() or not plan.feature_deps:
        return errors
    request = UpdateRequest.build(plan, versioning_engine=store.versioning_engine)
    try:
        types = Resolution.of(store, scope, plan, request).sample_types
    except FeatureNotFoundError:  # of a parent: nothing is to be computed
        return errors.clear()
    ids, those = with_ids(errors.unique(SAMPLE), types, types)
    chosen = ids.select(name for name in types if name in plan.feature.id_columns)
    asked = replace(request, ids=nw.from_native(chosen) if chosen.columns else None)
    with store.engine.temporary():
        rows = Resolution.of(store, scope, plan, asked).expected().select(*types, METAXY_PROVENANCE)
        expected = collect_to_polars(rows).unique()
    names = [(name, name) for name in (*types, METAXY_PROVENANCE)]
    samples = ids.with_columns(those[METAXY_PROVENANCE], those[t.COL_IDS].alias(TEXT))
    left_on, right_on = alike(samples.schema, expected.schema, names)
    live = samples.join(expected, left_on=left_on, right_on=right_on, how="semi")
    live = live.select(pl.col(TEXT).alias(t.COL_IDS), METAXY_PROVENANCE)
    return errors.join(live, on=SAMPLE, how="semi", maintain_order="left")


def _sample_types(store: StoreParts, scope: Scope, plan: FeaturePlan) -> Types:
    """Return the types of the IDs of what is computed at once; of no type where nothing tells it."""
    with suppress(FeatureNotFoundError):
        if plan.feature_deps:
            return Resolution.of(store, scope, plan, UpdateRequest.build(plan)).sample_types
    found = find_or_none(store, plan.feature.key, allow_fallback=store.overlays)
    known: Types = found.scan.schema if found else {}
    return {name: known.get(name, nw.Unknown()) for name in unit_columns(plan, known)}
