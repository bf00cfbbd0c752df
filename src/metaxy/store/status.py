"""Is a feature up to date? Counts per feature, made in the store, several features at a time."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import narwhals as nw
from pydantic import BaseModel, ConfigDict

from metaxy.columns import is_system_column
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import CoercibleToFeatureKey, FeatureKey, coerce_to_feature_key
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import FeatureNotFoundError
from metaxy.store.claims import held_samples
from metaxy.store.drift import looks_at_copies
from metaxy.store.external import sync_external_features
from metaxy.store.footprint import Footprint, footprint_of
from metaxy.store.pending_renames import warn_of_pending
from metaxy.store.request import Filters, UpdateRequest, as_filters
from metaxy.store.resolving import Resolution
from metaxy.store.row_errors import counting
from metaxy.store.session import Scope
from metaxy.store.status_page import status_page
from metaxy.store.store import MetadataStore
from metaxy.store.system.row_errors import features_with_errors, latest
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows
from metaxy.versioning.increment import LazyIncrement, Tally
from metaxy.wording import first_of

StatusCategory: TypeAlias = Literal["missing", "root_feature", "needs_update", "up_to_date", "error"]

ICONS: Final[dict[StatusCategory, str]] = {
    "missing": "✗",
    "root_feature": "○",
    "needs_update": "⚠",
    "up_to_date": "✓",
    "error": "!",
}
WORKERS: Final = 4
PREVIEW_ROWS: Final = 5
SHOWN: Final = 80  # characters of a value
NAMED: Final = 3  # parents that are named


class FeatureMetadataStatus(BaseModel):
    """How many rows a feature has, and how many samples are new, stale and orphaned.

    ``store_row_count`` counts rows of the current version. Where nothing is expected, ``missing_input`` names the
    parents that have no rows: then all that is stored is orphaned or, where ``has_input`` is false, nothing can be
    said. The progress is the part of the expected samples that were computed at least once, in per cent.
    ``changed_fields`` says in how many new and stale samples each field changed, None if that was not asked. Under the
    keys in ``renamed_from`` there are rows that are still right, see `rename_features`. ``failed_count`` samples, which
    are new or stale, have an error that counts, see `read_errors`. ``behind_count`` samples have older values of
    columns of their parents, None if that was not asked or cannot be said; they make no update needed.
    ``claimed_count`` samples are being computed by workers that claimed them, see `read_claims`.
    The ``footprint`` is empty if it was not asked.
    Of an expansion, new and stale samples are parents, which ``parent_columns`` tell apart, and all else are rows.
    """

    model_config = ConfigDict(frozen=True)

    feature_key: FeatureKey
    target_version: str
    metadata_exists: bool
    store_row_count: int
    missing_count: int
    stale_count: int
    orphaned_count: int
    needs_update: bool
    is_root_feature: bool = False
    has_input: bool = True
    missing_input: tuple[FeatureKey, ...] = ()
    store_metadata: dict[str, Any] = {}
    progress_percentage: float | None = None
    changed_fields: dict[str, int] | None = None
    renamed_from: tuple[FeatureKey, ...] = ()
    failed_count: int = 0
    behind_count: int | None = None
    claimed_count: int = 0
    parent_columns: tuple[str, ...] = ()
    footprint: Footprint = Footprint()

    @property
    def status_category(self) -> StatusCategory:
        """The one word for all of it; what has no table is missing, and what has no input yet is not up to date."""
        if not self.metadata_exists:
            return "missing"
        if self.is_root_feature:
            return "root_feature"
        return "needs_update" if self.needs_update or not self.has_input else "up_to_date"

    def format_status_line(self) -> str:
        """Return the status as one line of text."""
        start = f"{ICONS[self.status_category]} {self.feature_key}: {self.store_row_count} rows"
        failed = f", {self.failed_count} failed before" if self.failed_count else ""
        failed += f", {self.behind_count} behind" if self.behind_count else ""
        failed += f", {self.claimed_count} claimed" if self.claimed_count else ""
        if self.is_root_feature:
            return f"{start} (root){failed}"
        joint, unit = (" and ", " parents") if self.parent_columns else (", ", "")
        changed = f"{self.missing_count} new{joint}{self.stale_count} stale{unit}"
        counts = f"{changed}, {self.orphaned_count} orphaned{failed}"
        return f"{start}, {counts}" + (f" ({no_input(self.missing_input)})" if self.missing_input else "")

    def _repr_html_(self) -> str:
        return FeatureMetadataStatusWithIncrement(self, None)._repr_html_()


class FullFeatureMetadataRepresentation(BaseModel):
    """A status as plain data; counts are None for root features, and where there is no input."""

    feature_key: str
    status: StatusCategory
    needs_update: bool
    metadata_exists: bool
    store_rows: int
    missing_input: list[str] | None = None
    missing: int | None = None
    stale: int | None = None
    orphaned: int | None = None
    target_version: str = ""
    is_root_feature: bool = False
    sample_details: list[str] | None = None
    store_metadata: dict[str, Any] | None = None
    error_message: str | None = None
    progress_percentage: float | None = None
    changed_fields: dict[str, int] | None = None
    renamed_from: list[str] | None = None
    failed: int | None = None
    behind: int | None = None
    claimed: int | None = None
    parent_columns: list[str] | None = None
    last_write: datetime | None = None
    size_bytes: int | None = None

    @classmethod
    def of_error(cls, key: FeatureKey, error: Exception, message: str) -> "FullFeatureMetadataRepresentation":
        """Say that a feature could not be looked at."""
        exists = not isinstance(error, FeatureNotFoundError)
        return cls(
            feature_key=str(key),
            status="error",
            needs_update=False,
            metadata_exists=exists,
            store_rows=0,
            error_message=message,
        )

    def _repr_html_(self) -> str:
        return status_page("", [self.model_dump()])


class FeatureMetadataStatusWithIncrement(NamedTuple):
    """A status, and the samples behind its numbers; None for root features and where there is no input."""

    status: FeatureMetadataStatus
    lazy_increment: LazyIncrement | None

    @property
    def status_category(self) -> StatusCategory:
        """The one word for the status."""
        return self.status.status_category

    def sample_details(self, *, limit: int = PREVIEW_ROWS) -> list[str]:
        """Show the first samples of each kind, as text."""
        if self.lazy_increment is None:
            return []
        counts = (self.status.missing_count, self.status.stale_count, self.status.orphaned_count)
        behind = self.status.behind_count or 0
        return format_sample_previews(self.lazy_increment, *counts, limit=limit, behind_count=behind)

    def to_representation(self, *, verbose: bool = False) -> FullFeatureMetadataRepresentation:
        """Return the status as plain data, with samples if ``verbose``."""
        status = self.status
        known = status.has_input and not status.is_root_feature
        return FullFeatureMetadataRepresentation(
            feature_key=str(status.feature_key),
            status=status.status_category,
            needs_update=status.needs_update,
            metadata_exists=status.metadata_exists,
            store_rows=status.store_row_count,
            missing_input=list(map(str, status.missing_input)) or None,
            missing=status.missing_count if known else None,
            stale=status.stale_count if known else None,
            orphaned=status.orphaned_count if known else None,
            target_version=status.target_version,
            is_root_feature=status.is_root_feature,
            sample_details=(self.sample_details() or None) if verbose else None,
            store_metadata=status.store_metadata or None,
            progress_percentage=status.progress_percentage,
            changed_fields=status.changed_fields,
            renamed_from=list(map(str, status.renamed_from)) or None,
            failed=status.failed_count or None,
            behind=status.behind_count,
            claimed=status.claimed_count or None,
            parent_columns=list(status.parent_columns) or None,
            **status.footprint._asdict(),
        )

    def _repr_html_(self) -> str:
        return self.to_representation()._repr_html_()


def no_input(parents: Sequence[object]) -> str:
    """Say that nothing can be computed, as these parents have no rows."""
    return f"no input from {first_of(parents, NAMED)}"


def format_sample_previews(
    lazy_increment: LazyIncrement,
    missing_count: int,
    stale_count: int,
    orphaned_count: int,
    limit: int = PREVIEW_ROWS,
    *,
    behind_count: int = 0,
) -> list[str]:
    """Show the first samples of each kind that occurs, as text: one line each, without Metaxy's own columns."""
    kinds = (
        ("New", missing_count, lazy_increment.new),
        ("Stale", stale_count, lazy_increment.stale),
        ("Orphaned", orphaned_count, lazy_increment.orphaned),
        ("Behind", behind_count, lazy_increment.behind),
    )
    return [
        "\n".join([f"{kind} samples ({count}):", *map(_sample_line, collect_to_polars(frame.head(limit)).to_dicts())])
        for kind, count, frame in kinds
        if count and frame is not None
    ]


def _sample_line(row: Mapping[str, Any]) -> str:
    return "  " + ", ".join(f"{name}={_short(value)}" for name, value in row.items() if not is_system_column(name))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """What to look at; the same for all features."""

    use_fallback: bool = True
    global_filters: Filters = None
    target_filters: Filters = None
    staleness_predicates: Filters = None
    compute_progress: bool = False
    changed_fields: bool = False
    behind: bool = False
    footprint: bool = False  # when the table was last written, and how large it is

    @property
    def own_filters(self) -> list[nw.Expr]:
        """The conditions on the rows of the feature itself."""
        return [*as_filters(self.global_filters), *as_filters(self.target_filters)]


def get_feature_metadata_status(
    feature_key: CoercibleToFeatureKey,
    metadata_store: MetadataStore,
    *,
    use_fallback: bool = True,
    global_filters: Filters = None,
    target_filters: Filters = None,
    staleness_predicates: Filters = None,
    compute_progress: bool = False,
    changed_fields: bool = False,
    behind: bool = False,
    footprint: bool = False,
) -> FeatureMetadataStatusWithIncrement:
    """Count what a feature of the active graph has and what it needs, in one statement.

    Args:
        use_fallback: Whether to look into fallback stores, too.
        global_filters: Conditions on the rows of the feature and of its parents.
        target_filters: Conditions on the rows of the feature.
        staleness_predicates: Rows that fulfil one are stale whatever their version.
        compute_progress: Say which part of the expected samples was computed at least once.
        changed_fields: Count in how many missing and stale samples each field changed since their newest row.
        behind: Count samples whose versions are right, but which have older values of columns that they copy.
        footprint: Say when the table was last written, and how large it is where the storage knows.

    Raises:
        UnknownFeatureError: if the active graph has no such feature (also a ValueError).
    """
    options = StatusOptions(
        use_fallback=use_fallback,
        global_filters=global_filters,
        target_filters=target_filters,
        staleness_predicates=staleness_predicates,
        compute_progress=compute_progress,
        changed_fields=changed_fields,
        behind=behind,
        footprint=footprint,
    )
    return _status(metadata_store, coerce_to_feature_key(feature_key), options)


def feature_statuses(
    store: MetadataStore, keys: Sequence[FeatureKey], options: StatusOptions
) -> Iterator[FeatureMetadataStatusWithIncrement | Exception]:
    """Yield the status of each feature in the given order, or the error that it met; several are counted at a time."""
    failing = _failing(store) if keys else None
    held = _held(store) if keys else {}

    def look(key: FeatureKey) -> FeatureMetadataStatusWithIncrement | Exception:
        try:
            return _status(store, key, options, failing, held)
        except Exception as error:  # one broken feature must not hide the others
            return error

    with ThreadPoolExecutor(WORKERS) as pool:
        # Threads do not see the active graph and configuration of this one by themselves.
        for running in [pool.submit(copy_context().run, look, key) for key in keys]:
            yield running.result()


def _failing(store: MetadataStore) -> Collection[str] | None:
    """Return the features with errors, asked once for all; None if that fails, which each feature then says itself."""
    try:
        return features_with_errors(store)
    except Exception:  # whatever a store raises
        return None


def _held(store: MetadataStore) -> Mapping[tuple[str, str], int]:
    """Return how many samples workers have; none if who keeps the claims cannot be asked: that is no matter of rows."""
    try:
        return held_samples(store)
    except Exception:  # whatever a store raises
        return {}


def _status(
    store: MetadataStore,
    key: FeatureKey,
    options: StatusOptions,
    failing: Collection[str] | None = None,
    held: Mapping[tuple[str, str], int] | None = None,
) -> FeatureMetadataStatusWithIncrement:
    """Count; ``failing`` are the features with errors, where that is known, ``held`` the samples that are claimed."""
    scope = store.session.scope("r")
    if scope.needs_sync:
        sync_external_features(store)
    plan = scope.graph.get_feature_plan(key)
    former = warn_of_pending(store, scope, key)
    resolution = _resolution(store, scope, plan, options) if plan.feature_deps else None
    tally = resolution.tally() if resolution else None
    here = tally is not None and resolution is not None and resolution.current is not None
    rows = tally.stored if tally and here else _stored_rows(store, plan, options)
    increment = resolution.without_earlier().views() if resolution else None
    expected = not plan.feature_deps or bool(tally and tally.expected)
    has_input = expected or bool(tally and tally.orphaned)
    status = FeatureMetadataStatus(
        feature_key=key,
        target_version=scope.version(key),
        metadata_exists=rows is not None,
        store_row_count=rows or 0,
        missing_count=tally.new if tally else 0,
        stale_count=tally.stale if tally else 0,
        orphaned_count=tally.orphaned if tally else 0,
        needs_update=any(tally[:3]) if tally else False,
        is_root_feature=not plan.feature_deps,
        has_input=has_input,
        missing_input=() if expected else _parents_without_rows(store, plan, options),
        store_metadata=store._metadata_of(store, key)
        if here
        else store.get_store_metadata(key, check_fallback=options.use_fallback),
        progress_percentage=_progress(store, plan, tally, increment) if options.compute_progress else None,
        changed_fields=tally.changed_fields if tally else None,
        renamed_from=tuple(former.values()),
        failed_count=latest(counting(store, scope, plan)).height if failing is None or str(key) in failing else 0,
        behind_count=tally.drifted if tally else None,
        claimed_count=(_held(store) if held is None else held).get((str(key), scope.version(key)), 0),
        parent_columns=resolution.parent_columns if resolution else (),
        footprint=footprint_of(store, key, allow_fallback=_sees_fallback(store, plan, options))
        if options.footprint
        else Footprint(),
    )
    return FeatureMetadataStatusWithIncrement(status, increment)


def _stored_rows(store: MetadataStore, plan: FeaturePlan, options: StatusOptions) -> int | None:
    """Count the current rows of a feature; None where there is no table.

    What is computed anew here does not count, although it may be read from a fallback store: all of it is new.
    """
    return _rows_of(store, plan.feature, options.own_filters, fallback=_sees_fallback(store, plan, options))


def _sees_fallback(store: MetadataStore, plan: FeaturePlan, options: StatusOptions) -> bool:
    return options.use_fallback and (store.overlays or not plan.feature_deps)


def _rows_of(store: MetadataStore, spec: FeatureSpec, filters: Sequence[nw.Expr], *, fallback: bool) -> int | None:
    try:
        rows = store.read(spec.key, filters=filters, columns=spec.id_columns, allow_fallback=fallback)
    except FeatureNotFoundError:
        return None
    return count_lazy_rows(rows)


def _parents_without_rows(store: MetadataStore, plan: FeaturePlan, options: StatusOptions) -> tuple[FeatureKey, ...]:
    """Return the parents that have no rows; all of them where only what they have together is nothing."""
    filters = as_filters(options.global_filters)
    specs = list(plan.parent_features_by_key.values())
    empty = [spec.key for spec in specs if not _rows_of(store, spec, filters, fallback=options.use_fallback)]
    return tuple(empty or (spec.key for spec in specs))


def _resolution(store: MetadataStore, scope: Scope, plan: FeaturePlan, options: StatusOptions) -> Resolution | None:
    """Resolve what must be computed; None where a required parent has no table."""
    request = UpdateRequest.build(
        plan,
        global_filters=options.global_filters,
        target_filters=options.target_filters,
        staleness_predicates=options.staleness_predicates,
        versioning_engine=store.versioning_engine,
        allow_fallback=options.use_fallback,
        previous=options.changed_fields,
        payload="warn" if options.behind and looks_at_copies(plan) else "ignore",
    )
    try:
        return Resolution.of(store, scope, plan, request)
    except FeatureNotFoundError:
        return None


def _progress(
    store: MetadataStore, plan: FeaturePlan, tally: Tally | None, increment: LazyIncrement | None
) -> float | None:
    if tally is None or increment is None or not tally.expected:
        return None
    if set(plan.input_id_columns) == set(plan.feature.id_columns):  # each input is one sample, and they are counted
        return 100 * (tally.expected - tally.new) / tally.expected
    return store.calculate_input_progress(increment, plan.feature.key)
