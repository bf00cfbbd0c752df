"""Deleting: tombstones that hide samples, or rows removed for good."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw

from metaxy.columns import METAXY_DELETED_AT, METAXY_FEATURE_VERSION, METAXY_UPDATED_AT, STRAY_COLUMNS
from metaxy.definitions.definition import FeatureDefinition
from metaxy.storage.port import Append
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, find, readable
from metaxy.store.scope import Scope
from metaxy.store.session import Clock
from metaxy.store.writing import append
from metaxy.versioning.engine import View
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows
from metaxy.versioning.recipe import Latest


@dataclass(frozen=True)
class Deletion:
    """Which rows of a feature are deleted, and how far back."""

    definition: FeatureDefinition
    filters: Sequence[nw.Expr] = ()
    with_feature_history: bool = False
    with_sample_history: bool = False


def delete_rows(store: StoreParts, scope: Scope, deletion: Deletion, *, soft: bool) -> None:
    """Delete rows of this very store; those of its fallback stores are not its own.

    Raises:
        FeatureNotFoundError: if the feature has no table in this store.
    """
    found = find(store, deletion.definition.key, allow_fallback=False).checked()
    with readable(f"feature {found.key}"):
        if soft:
            _append_tombstones(store, found, scope, deletion)
            return
        deletion = replace(deletion, filters=found.conditions(deletion.filters))
        store.storage.delete(deletion.definition.key, _condition(scope, deletion))


def count_rows_to_delete(store: StoreParts, scope: Scope, deletion: Deletion, *, soft: bool) -> int:
    """Count the rows that a deletion would hide or remove, where they are.

    Raises:
        FeatureNotFoundError: if the feature has no table in this store.
    """
    found = find(store, deletion.definition.key, allow_fallback=False).checked()
    if soft:
        rows = _rows_to_hide(found, scope, deletion)
    else:
        condition = _condition(scope, replace(deletion, filters=found.conditions(deletion.filters)))
        rows = found.scan.frame if condition is None else found.scan.frame.filter(condition)
    with readable(f"feature {found.key}"):
        return count_lazy_rows(rows)


def _rows_to_hide(found: StoredTable, scope: Scope, deletion: Deletion) -> nw.LazyFrame[Any]:
    """Read the rows that count and fulfil the filters, with the columns that are written."""
    ids = deletion.definition.spec.id_columns
    latest = latest_per_version(scope, deletion.definition, all_versions=deletion.with_feature_history)
    if deletion.with_sample_history:
        latest = Latest(latest.ids, latest.feature_version, one_per_sample=False)
    rows = found.rows(ids, filters=tuple(deletion.filters))
    return found.store.engine.latest(rows, latest, _kept_columns(found), View())


def _kept_columns(found: StoredTable) -> list[str]:
    return [name for name in found.scan.schema if name not in STRAY_COLUMNS]


def _append_tombstones(store: StoreParts, found: StoredTable, scope: Scope, deletion: Deletion) -> None:
    """Append each row that counts once more, with the time of its deletion; all else stays as it was."""
    live = _rows_to_hide(found, scope, deletion)
    marked = live.with_columns(_deleted_at(store.clock).alias(METAXY_DELETED_AT)).select(_kept_columns(found))
    tombstones = store.engine.take(marked)
    if collect_to_polars(tombstones.select(METAXY_DELETED_AT).head(1)).height:
        append(store, [Append(deletion.definition.key, tombstones, base=found.scan)])


def latest_per_version(
    scope: Scope, definition: FeatureDefinition, *, all_versions: bool, include_deleted: bool = False
) -> Latest:
    """Pick the latest row of each sample in the current feature version, or in each that the table has."""
    ids = tuple(definition.spec.id_columns)
    if all_versions:
        return Latest((*ids, METAXY_FEATURE_VERSION), None, include_deleted=include_deleted)
    return Latest(ids, scope.version(definition.key), include_deleted=include_deleted)


def _deleted_at(clock: Clock) -> nw.Expr:
    """Write the time of a deletion: now, but after the row's write, which may carry the time of a faster clock."""
    now = nw.lit(clock.now()).cast(nw.Datetime("us", "UTC"))
    written = nw.col(METAXY_UPDATED_AT).cast(nw.Datetime("us", "UTC"))
    return nw.max_horizontal(now, written.dt.offset_by("1us"))


def _condition(scope: Scope, deletion: Deletion) -> Any:
    """Write the condition on the rows to remove, None for all; each row is judged by itself."""
    conditions = list(deletion.filters)
    if not deletion.with_feature_history:
        conditions.append(nw.col(METAXY_FEATURE_VERSION) == scope.version(deletion.definition.key))
    return nw.all_horizontal(*conditions, ignore_nulls=False) if conditions else None
