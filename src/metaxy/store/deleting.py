"""Deleting: tombstones that hide samples, or rows removed for good."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import narwhals as nw
import polars as pl
from typing_extensions import TypedDict

from metaxy.columns import METAXY_DELETED_AT, METAXY_FEATURE_VERSION, METAXY_UPDATED_AT, STRAY_COLUMNS
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import RowsBelowWarning, warn_user
from metaxy.storage.port import Append, DeletesAmong, Storage
from metaxy.store.named import NamedRows, named_rows
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, count_without_markers, find, readable
from metaxy.store.request import Filters, as_filters
from metaxy.store.session import Clock, Scope
from metaxy.store.verbatim import as_they_are
from metaxy.store.writing import append, existing_table
from metaxy.versioning.engine import View
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows
from metaxy.versioning.recipe import Latest


@dataclass(frozen=True)
class Deleted:
    """How many rows were hidden or removed, and how many samples stay as they were written since they were named."""

    rows: int
    changed_since: int = 0


class DeletionOptions(TypedDict, total=False):
    """Arguments of `MetadataStore.delete`, beside its filters."""

    rows: Any
    everything: bool
    soft: bool
    with_feature_history: bool
    with_sample_history: bool


@dataclass(frozen=True)
class Deletion:
    """Which rows of a feature are deleted, and how far back; ``rows`` is a frame that names some."""

    definition: FeatureDefinition
    filters: Sequence[nw.Expr] = ()
    rows: Any = None
    soft: bool = True
    with_feature_history: bool = False
    with_sample_history: bool = False

    @classmethod
    def build(
        cls,
        definition: FeatureDefinition,
        filters: Filters,
        *,
        rows: Any = None,
        everything: bool = False,
        **rest: bool,
    ) -> "Deletion":
        """Normalise what the user passed.

        Raises:
            ValueError: if nothing says which rows are meant, or everything and something.
        """
        conditions = as_filters(filters)
        if everything == (bool(conditions) or rows is not None):
            wrong = "everything=True goes with neither filters nor rows" if everything else "say which rows to delete"
            raise ValueError(
                f"feature {definition.key}: {wrong}: pass filters, such as nw.col('id') == 'a', or rows=, a frame with "
                f"{', '.join(definition.spec.id_columns)}; to delete all rows, pass everything=True alone"
            )
        return cls(definition, conditions, rows, **rest)


def delete_rows(store: StoreParts, scope: Scope, deletion: Deletion) -> Deleted:
    """Delete rows of this very store; those that it sees under its own can only be hidden here.

    Raises:
        FeatureNotFoundError: if the feature has no table in this store.
    """
    if not deletion.soft and store.overlays:
        return _remove_above(store, scope, deletion)
    with _selection(store, scope, deletion) as selection:
        return selection.hide() if deletion.soft else selection.remove()


def _remove_above(store: StoreParts, scope: Scope, deletion: Deletion) -> Deleted:
    """Remove rows of this store, and say which samples are still seen, as there are rows of them under it."""
    deleted, key = Deleted(0), deletion.definition.key
    if store.storage.has_table(key):
        with _selection(store, scope, deletion) as selection:
            deleted = selection.remove()
    seen = rows_to_delete(store, scope, replace(deletion, soft=True)).rows
    if seen:
        message = (
            f"feature {key}: {seen} of these samples are still seen, as {', '.join(store.fallback_stores.names)} has "
            f"rows of them, which {store!r} never removes; delete them softly to hide them here"
        )
        warn_user(message, RowsBelowWarning)
    return deleted


def rows_to_delete(store: StoreParts, scope: Scope, deletion: Deletion) -> Deleted:
    """Count the rows that a deletion would hide or remove, where they are.

    Raises:
        FeatureNotFoundError: if the feature has no table in this store.
    """
    with _selection(store, scope, deletion) as selection:
        rows, changed = selection.to_hide() if deletion.soft else selection.to_remove()
        return Deleted(count_without_markers(rows, deletion.definition.spec), changed)


@contextmanager
def _selection(store: StoreParts, scope: Scope, deletion: Deletion) -> "Iterator[_Selection]":
    found = find(store, deletion.definition.key, allow_fallback=deletion.soft and store.overlays).checked()
    with readable(f"feature {found.key}"), found.engine.temporary():
        named = None
        if deletion.rows is not None:
            ids, what = deletion.definition.spec.id_columns, f"the rows to delete of feature {found.key}"
            named = named_rows(found.engine, deletion.rows, ids, found.scan.schema, what)
        yield _Selection(store, found, scope, deletion, named)


@dataclass(frozen=True)
class _Selection:
    """The rows of a table that a deletion is about."""

    store: StoreParts
    found: StoredTable
    scope: Scope
    deletion: Deletion
    named: NamedRows | None

    # -- tombstones ----------------------------------------------------------------------------------------------------

    def hide(self) -> Deleted:
        """Append each row that counts once more, with the time of its deletion; all else stays as it was."""
        rows, changed = self.to_hide()
        marked = rows.with_columns(_deleted_at(self.store.clock).alias(METAXY_DELETED_AT)).select(self._kept_columns)
        tombstones = self.found.engine.take(marked)
        count = count_lazy_rows(tombstones)
        if count:
            append(self.store, [self._fitted(tombstones)])
        return Deleted(count, changed)

    def _fitted(self, tombstones: nw.LazyFrame[Any]) -> Append:
        """Give tombstones the columns of the table that they go to: rows under it may have others."""
        if not self.store.overlays:
            return Append(self.found.key, tombstones, base=self.found.scan)
        definition = self.deletion.definition
        own = existing_table(self.store, self.found.key)
        return as_they_are(self.store, self.scope, definition, tombstones, own)

    def to_hide(self) -> tuple[nw.LazyFrame[Any], int]:
        """Return the rows that count and are meant, and how many samples were written since they were named."""
        latest = self._latest(include_deleted=False)
        if not self.deletion.with_sample_history:
            return self._unchanged(self._rows(latest, self._kept_columns, self.deletion.filters))
        samples, changed = self._samples  # one that was written since stays, though older rows of it are named
        every = Latest(latest.ids, latest.feature_version, one_per_sample=False)
        rows = self._rows(every, self._kept_columns, self.deletion.filters)
        return (rows if samples is None else self.found.engine.among(rows, samples)), changed

    @property
    def _kept_columns(self) -> list[str]:
        return [name for name in self.found.scan.schema if name not in STRAY_COLUMNS]

    # -- rows that are removed -----------------------------------------------------------------------------------------

    def remove(self) -> Deleted:
        """Remove the rows that fulfil the filters, each judged by itself; of the samples that are named, if any are."""
        (rows, changed), (samples, _) = self.to_remove(), self._samples
        count = count_lazy_rows(rows)
        counted = count_without_markers(rows, self.deletion.definition.spec) if count else 0
        if count:
            _remove(self.store.storage, self.found.key, self._condition, samples)
        return Deleted(counted, changed)

    def to_remove(self) -> tuple[nw.LazyFrame[Any], int]:
        """Return the rows that `remove` would remove, and how many samples were written since they were named."""
        samples, changed = self._samples
        rows, condition = self.found.scan.frame, self._condition
        if condition is not None:  # a column first: Polars cannot look for some members of structs while it reads files
            rows = rows.with_columns(__metaxy_keep=condition).filter(nw.col("__metaxy_keep"))
        return (rows if samples is None else self.store.engine.among(rows, samples)), changed

    @cached_property
    def _condition(self) -> nw.Expr | None:
        """The condition on the rows to remove, None for all."""
        conditions = list(self.found.conditions(self.deletion.filters))
        if conditions:  # a query that is not run tells whether its store can compute them
            self._rows(self._latest(include_deleted=False), self._kept_columns, self.deletion.filters)
        if not self.deletion.with_feature_history:
            conditions.append(nw.col(METAXY_FEATURE_VERSION) == self.scope.version(self.found.key))
        return _all(conditions) if conditions else None

    @cached_property
    def _samples(self) -> tuple[nw.LazyFrame[Any] | None, int]:
        """The samples that are meant, None for all; and how many of those named were written since."""
        if self.named is None or not self.named.are_writes:
            return (self.named.samples if self.named else None), 0
        latest = self._latest(include_deleted=not self.deletion.soft)
        same, changed = self._unchanged(self._rows(latest, [*latest.ids, METAXY_UPDATED_AT], ()))
        return same.select(*latest.ids), changed

    # -- latest rows ---------------------------------------------------------------------------------------------------

    def _latest(self, *, include_deleted: bool) -> Latest:
        history = self.deletion.with_feature_history
        return latest_per_version(
            self.scope, self.deletion.definition, all_versions=history, include_deleted=include_deleted
        )

    def _rows(self, latest: Latest, columns: Sequence[str], filters: Sequence[nw.Expr]) -> nw.LazyFrame[Any]:
        among = self.named.samples if self.named else None
        ids = self.deletion.definition.spec.id_columns
        found = self.found if latest.one_per_sample else self.found.without_twins()
        rows = found.rows(ids, filters=tuple(filters), among=among)
        return found.engine.latest(rows, latest, columns, View())

    def _unchanged(self, rows: nw.LazyFrame[Any]) -> tuple[nw.LazyFrame[Any], int]:
        """Leave out rows that are not those that were named, as they were written since; and count them."""
        if self.named is None or not self.named.are_writes:
            return rows, 0
        engine = self.found.engine
        rows = engine.take(rows, reread=True)
        same = engine.among(rows, self.named.frame)
        return same, count_lazy_rows(rows) - count_lazy_rows(same)


def _all(conditions: Sequence[nw.Expr]) -> nw.Expr:
    return nw.all_horizontal(*conditions, ignore_nulls=False)


def _remove(storage: Storage, key: FeatureKey, condition: nw.Expr | None, samples: nw.LazyFrame[Any] | None) -> None:
    if samples is None:
        storage.delete(key, condition)
    elif isinstance(storage, DeletesAmong):
        storage.delete_among(key, condition, samples)
    else:
        storage.delete(key, _all([*([] if condition is None else [condition]), _is_one_of(collect_to_polars(samples))]))


def _is_one_of(samples: pl.DataFrame) -> nw.Expr:
    """Write the condition that the IDs of a row are those of a sample."""
    names = samples.columns
    ids = nw.col(names[0]) if len(names) == 1 else nw.struct(*names)
    values = samples.to_series() if len(names) == 1 else samples.to_struct()
    return ids.is_in(nw.from_native(values.implode(), series_only=True))


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
