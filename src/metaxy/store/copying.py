"""Copying features from one store to another: rows as they are, in batches, and none twice."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import narwhals as nw

from metaxy import columns as c
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import DefinitionError, FeatureNotFoundError, InvalidConfigError
from metaxy.storage.port import Scan
from metaxy.store.deleting import latest_per_version
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, count_without_markers, find, readable
from metaxy.store.request import Filters, as_filters
from metaxy.store.sampling import Samples
from metaxy.store.session import Scope
from metaxy.store.verbatim import as_they_are
from metaxy.store.writing import append, existing_table, feature_table
from metaxy.versioning.engine import View
from metaxy.versioning.frames import count_lazy_rows, polars_chunks, to_polars_lazy
from metaxy.versioning.recipe import Latest

if TYPE_CHECKING:
    from rich.progress import Progress

logger = logging.getLogger(__name__)
BATCH_ROWS = 500_000
IDENTITY = (c.METAXY_FEATURE_VERSION, c.METAXY_UPDATED_AT, c.METAXY_DELETED_AT)


@dataclass(frozen=True)
class CopyRequest:
    """What a caller asks of a copy."""

    features: Sequence[FeatureKey]
    filters: Mapping[FeatureKey, Sequence[nw.Expr]] = field(default_factory=dict)
    global_filters: Sequence[nw.Expr] = ()
    with_feature_history: bool = True
    with_sample_history: bool = False
    progress: bool = False
    dry_run: bool = False
    only_own: bool = False  # not what the source sees of other stores
    sample: int | None = None

    @classmethod
    def build(
        cls, scope: Scope, features: Sequence[Any] | None, filters: Mapping[Any, Filters] | None, **rest: Any
    ) -> "CopyRequest":
        """Normalise what the user passed; no features means those of the configured project.

        Raises:
            DefinitionError: if a filter names a feature that is not copied.
        """
        keys = scope.graph.list_features() if features is None else [scope.definition(f).key for f in features]
        by_key = {coerce_to_feature_key(feature): as_filters(given) for feature, given in (filters or {}).items()}
        for key in by_key:
            if key not in keys:
                raise DefinitionError(
                    f"filters name {key}, which is not copied; these are: {', '.join(map(str, keys))}"
                )
        return cls(list(dict.fromkeys(keys)), by_key, **rest)


def copy_features(store: StoreParts, source: StoreParts, scope: Scope, request: CopyRequest) -> dict[str, int]:
    """Copy features; a copy that was interrupted goes on where it stopped when it is started again."""
    counts = {"features_copied": 0, "rows_copied": 0}
    samples = Samples(source, scope, request.sample) if request.sample is not None else None
    bar = _bar() if request.progress else None
    with bar or nullcontext():
        for key in request.features:
            try:
                found = find(source, key, allow_fallback=source.overlays and not request.only_own).checked()
            except FeatureNotFoundError:
                logger.warning("feature %s has no table in %r and was not copied", key, source)
                continue
            copied = copy_table(store, found, scope, scope.definition(key), request, bar, samples)
            logger.info("feature %s: %d rows copied", key, copied)
            counts["features_copied"] += 1
            counts["rows_copied"] += copied
    return counts


def copy_table(
    store: StoreParts,
    found: StoredTable,
    scope: Scope,
    definition: FeatureDefinition,
    request: CopyRequest,
    bar: "Progress | None" = None,
    samples: Samples | None = None,
) -> int:
    """Copy the rows of a table that count to that of a feature, and count those that were not there yet."""
    with readable(f"feature {found.key}"):
        return _Copy(store, found, scope, definition, request, bar, samples).run()


def refuse_nothing(request: CopyRequest) -> None:
    """Refuse to promote no features at all: the current project has none.

    Raises:
        InvalidConfigError: if nothing is to be copied.
    """
    if not request.features:
        raise InvalidConfigError(
            "no features to promote: the current project has none here; name them, or check `project` and entrypoints"
        )


def refuse_other_target(store: StoreParts, to: StoreParts) -> None:
    """Refuse to promote rows to a store that they were not computed over."""
    below = store.fallback_stores
    if (to.name is not None and to.name in below.names) or any(to.is_like(each) for each in below.resolved):
        return
    known = ", ".join(below.names) or "none"
    raise InvalidConfigError(
        f"{store!r} does not fall back on {to!r}, so its rows may stand on others than are there; its fallback stores: "
        f"{known}. Pass force=True to copy them all the same"
    )


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"))
    return Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True))


@dataclass(frozen=True)
class _Copy:
    """The copy of one feature."""

    store: StoreParts
    found: StoredTable
    scope: Scope
    definition: FeatureDefinition
    request: CopyRequest
    bar: "Progress | None"
    samples: Samples | None = None

    def run(self) -> int:
        """Copy the rows that count and are not here yet; returns how many. They stay in a database that has both."""
        rows = self._rows()
        task = self.bar.add_task(str(self.definition.key), total=count_lazy_rows(rows)) if self.bar else None
        before = feature_table(self.store, self.definition.key)
        here = self.store.engine.rebound(rows)
        copied = 0
        for batch in in_batches(rows) if here is None else [here]:
            with self.store.engine.temporary():
                copied += self._append(batch, before)
            if self.bar and task is not None:
                self.bar.advance(task, count_lazy_rows(batch))
        return copied

    def _rows(self) -> nw.LazyFrame[Any]:
        """Read the rows that count, tombstones too: what is deleted there must be deleted here."""
        request, key = self.request, self.definition.key
        latest = latest_per_version(
            self.scope, self.definition, all_versions=request.with_feature_history, include_deleted=True
        )
        if request.with_sample_history:
            latest = Latest(latest.ids, latest.feature_version, one_per_sample=False, include_deleted=True)
        filters = (*request.filters.get(key, ()), *request.global_filters)
        columns = [name for name in self.found.scan.schema if name not in c.STRAY_COLUMNS]
        found = self.found if latest.one_per_sample else self.found.without_twins()
        among = self.samples.among(found) if self.samples else None
        rows = found.rows(self.definition.spec.id_columns, filters=filters, among=among)
        return found.engine.latest(rows, latest, columns, View())

    def _append(self, batch: nw.LazyFrame[Any], before: Scan | None) -> int:
        """Append the rows of a batch that the table did not have before, and count them; a dry run only counts."""
        if before is not None:
            absent = self._absent(self.store.engine.take(batch), before)
            batch = nw.from_native(to_polars_lazy(absent)) if batch.implementation.is_polars() else absent
        count = count_lazy_rows(batch)
        counted = count_without_markers(batch, self.definition.spec) if count else 0
        if count and not self.request.dry_run:
            table = existing_table(self.store, self.definition.key)
            append(self.store, [as_they_are(self.store, self.scope, self.definition, batch, table)])
        return counted

    def _absent(self, rows: nw.LazyFrame[Any], table: Scan) -> nw.LazyFrame[Any]:
        """Leave out the rows that the table has; NULLs are equal."""
        schema = rows.collect_schema()
        columns = [n for n in (*self.definition.spec.id_columns, *IDENTITY) if n in schema and n in table.schema]
        keys = {f"__metaxy_key_{n}": as_text(name) for n, name in enumerate(columns)}
        stored = table.frame.select(**keys)
        return rows.with_columns(**keys).join(stored, on=list(keys), how="anti").drop(list(keys))


def as_text(name: str) -> nw.Expr:
    """Write a column as text that is never NULL, so that NULLs meet in a join."""
    return nw.concat_str(nw.lit("="), nw.col(name).cast(nw.String)).fill_null("")


def in_batches(rows: nw.LazyFrame[Any]) -> Iterator[nw.LazyFrame[Any]]:
    """Collect a lazy frame piece by piece to Polars, without holding all of it where its library can stream."""
    for batch in polars_chunks(rows, BATCH_ROWS, in_order=False):
        yield nw.from_native(batch.lazy())
