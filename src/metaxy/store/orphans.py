"""Cleaning: samples whose parents are gone are deleted, unless so many are that it looks like a mistake."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import polars as pl

from metaxy.columns import METAXY_UPDATED_AT
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import DefinitionError, TooManyOrphansError
from metaxy.store.deleting import Deleted, Deletion, delete_rows, latest_per_version, rows_to_delete
from metaxy.store.parts import StoreParts
from metaxy.store.reading import find, readable
from metaxy.store.request import UpdateRequest
from metaxy.store.resolving import Resolution
from metaxy.store.session import Scope
from metaxy.versioning.engine import View
from metaxy.versioning.frames import as_narwhals, collect_to_polars, count_lazy_rows


def delete_orphaned(
    store: StoreParts, scope: Scope, definition: FeatureDefinition, increment: Any, *, max_share: float, dry_run: bool
) -> Deleted:
    """Hide the orphaned samples of a feature that are still as they were when they were found; None finds them now.

    Raises:
        DefinitionError: if nothing says which samples a root feature should have.
        TooManyOrphansError: if more than this share of all samples would go; none does.
    """
    if not isinstance(max_share, Real) or not 0 <= max_share <= 1:
        raise ValueError(f"max_share is a share from 0 to 1, such as 0.1, not {max_share!r}")
    if increment is None:
        increment = _resolved(store, scope, scope.graph.get_feature_plan(definition.key))
    orphaned = _orphaned(increment, definition.spec.id_columns)
    if orphaned.is_empty():
        return Deleted(0)
    deletion = Deletion(definition, rows=orphaned)
    would_go = rows_to_delete(store, scope, deletion)
    _refuse_most(store, scope, definition, would_go.rows, max_share)
    return would_go if dry_run else delete_rows(store, scope, deletion)


def _resolved(store: StoreParts, scope: Scope, plan: FeaturePlan) -> Any:
    key = plan.feature.key
    if not plan.feature_deps:
        raise DefinitionError(
            f"feature {key} is a root, and nothing in a store says which samples it should have; pass the increment of "
            "resolve_update with samples="
        )
    request = UpdateRequest.build(plan, versioning_engine=store.versioning_engine)
    return Resolution.of(store, scope, plan, request).lazy()


def _orphaned(increment: Any, ids: Sequence[str]) -> pl.DataFrame:
    """Return what names the orphaned samples of an increment, eager or lazy, of any library."""
    frame = getattr(increment, "orphaned", None)
    if frame is None:
        kind = type(increment)
        raise TypeError(
            f"an increment is what resolve_update returns, not a {kind.__module__}.{kind.__qualname__}; to delete rows "
            "of a frame, use delete(feature, rows=frame)"
        )
    rows = as_narwhals(frame)
    known = rows.collect_schema().names()
    return collect_to_polars(rows.select(name for name in (*ids, METAXY_UPDATED_AT) if name in known))


def _refuse_most(store: StoreParts, scope: Scope, definition: FeatureDefinition, going: int, max_share: float) -> None:
    found = find(store, definition.key, allow_fallback=store.overlays)
    latest = latest_per_version(scope, definition, all_versions=False)
    with readable(f"feature {definition.key}"):
        rows = found.engine.latest(found.rows(latest.ids), latest, latest.ids, View())
        current = count_lazy_rows(rows)
    if going > max_share * current:
        raise TooManyOrphansError.of(str(definition.key), going, current, max_share)
