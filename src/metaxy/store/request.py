"""The request for an update, normalised and checked once; and the filters that all verbs take."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import narwhals as nw
import polars as pl
from typing_extensions import TypedDict

from metaxy.columns import METAXY_PROVENANCE_BY_FIELD
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.filters import parse_filter_string
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import DefinitionError, IgnoredOptionWarning, warn_user
from metaxy.store.config import VersioningEngineOptions
from metaxy.store.drift import warn_of_aggregation
from metaxy.store.given import given_frame
from metaxy.store.named import given_ids
from metaxy.store.unread import run_once, unread_samples
from metaxy.versioning.frames import Frame
from metaxy.versioning.recipe import DRIFTED, STALE
from metaxy.wording import did_you_mean

if TYPE_CHECKING:
    from metaxy.store.data_versions import DataVersion
    from metaxy.workers.executors import Executor
    from metaxy.workers.function import RowsOf

Filter: TypeAlias = nw.Expr | str
Filters: TypeAlias = Filter | Iterable[Filter] | None
PayloadCheck: TypeAlias = Literal["ignore", "warn", "stale"]


def as_filters(filters: Filters) -> tuple[nw.Expr, ...]:
    """Return filters as expressions, none for None.

    Raises:
        FilterParseError: if a text is no filter.
        TypeError: if one is neither text nor expression.

    >>> len(as_filters("size > 3")), len(as_filters([nw.col("size") > 3, "size < 9"]))
    (1, 2)
    """
    if filters is None:
        return ()
    if isinstance(filters, (str, Mapping, nw.Expr)) or not isinstance(filters, Iterable):
        return (_as_filter(filters),)
    return tuple(map(_as_filter, filters))


def _as_filter(given: object) -> nw.Expr:
    if isinstance(given, str):
        return parse_filter_string(given)
    if isinstance(given, nw.Expr):
        return given
    kind = type(given)
    raise TypeError(
        "a filter is a Narwhals expression such as nw.col('size') > 3, or a text such as 'size > 3', not a "
        f"{kind.__module__}.{kind.__qualname__}"
    )


ErrorHandling: TypeAlias = Literal["retry", "skip", "only"]


class SampleOptions(TypedDict, total=False):
    """Arguments that say which samples are to be computed, wherever that is asked."""

    samples: Any
    filters: Mapping[Any, Filters] | None
    global_filters: Filters
    target_filters: Filters
    versioning_engine: VersioningEngineOptions | None
    skip_comparison: bool
    staleness_predicates: Filters
    one_row_per_group: bool
    ids: Any
    previous: bool
    errors: ErrorHandling
    max_attempts: int | None
    failed_before: datetime | None


class UpdateOptions(SampleOptions, total=False):
    """Arguments of `MetadataStore.resolve_update`."""

    as_of: datetime | None
    payload: PayloadCheck | None


class ProcessArguments(SampleOptions, total=False):
    """Arguments of `MetadataStore.process`: its own, and those that it passes on to `MetadataStore.resolve_update`."""

    batch_size: int | None
    workers: int
    executor: "Executor | None"
    retries: int
    timeout: float | None
    on_error: Literal["record", "raise"]
    limit: int | None
    progress: bool | Callable[[str], object]
    rows: "RowsOf | None"
    first: Literal["new", "stale"]
    order_by: str | Sequence[str]
    orphaned: Literal["keep", "soft_delete", "delete"]
    materialization_id: str | None
    data_version: "DataVersion | None"
    payload: PayloadCheck
    claim: bool
    lease: timedelta


IGNORED: Final = frozenset({"target_version", "project_version"})  # what code of metaxy 0.1 passes, to no effect there


def ignore_old_options(names: Iterable[str]) -> None:
    """Warn of options of `MetadataStore.resolve_update` that had no effect in metaxy 0.1.

    Raises:
        TypeError: for any other name.
    """
    for name in names:
        if name not in IGNORED:
            known = UpdateOptions.__annotations__
            raise TypeError(f"resolve_update has no option {name!r}.{did_you_mean(name, known)}")
        message = f"{name} of resolve_update has no effect, and had none in metaxy 0.1: leave it out"
        warn_user(message, IgnoredOptionWarning)


@dataclass(frozen=True)
class UpdateRequest:
    """What a caller asks of an update, with defaults filled in."""

    samples: Frame | None = None
    unread: pl.DataFrame | None = None
    filters: Mapping[FeatureKey, Sequence[nw.Expr]] = field(default_factory=dict)
    global_filters: Sequence[nw.Expr] = ()
    target_filters: Sequence[nw.Expr] = ()
    versioning_engine: VersioningEngineOptions = "auto"
    skip_comparison: bool = False
    staleness_predicates: Sequence[nw.Expr] = ()
    one_row_per_group: bool = False
    as_of: datetime | None = None
    ids: Frame | None = None
    previous: bool = False
    errors: ErrorHandling = "retry"
    max_attempts: int | None = None
    failed_before: datetime | None = None
    payload: PayloadCheck = "ignore"
    allow_fallback: bool = True

    def __post_init__(self) -> None:
        """Refuse options for samples that failed which say nothing, or contradict each other."""
        if self.errors not in get_args(ErrorHandling):
            raise ValueError(f"errors={self.errors!r} is none of {', '.join(map(repr, get_args(ErrorHandling)))}")
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ValueError(f"max_attempts is a number from 1 on, or None, not {self.max_attempts!r}")
        for name in ("max_attempts", "failed_before"):
            if getattr(self, name) is not None and self.errors == "skip":
                raise ValueError(f"{name} goes with errors='retry' or 'only': errors='skip' tries no sample again")

    @classmethod
    def build(
        cls,
        plan: FeaturePlan,
        *,
        samples: Any = None,
        filters: Mapping[Any, Filters] | None = None,
        global_filters: Filters = None,
        target_filters: Filters = None,
        staleness_predicates: Filters = None,
        ids: Any = None,
        payload: PayloadCheck | None = None,
        **rest: Any,
    ) -> "UpdateRequest":
        """Normalise what the user passed; unless it is said otherwise, the payload of samples is compared, too.

        Raises:
            DefinitionError: if a filter names a feature that takes no part, or a root feature has no samples.
            ValueError: if ``payload`` is something else.
        """
        if payload not in (None, *get_args(PayloadCheck)):
            raise ValueError(f"payload={payload!r} is none of 'ignore', 'warn' and 'stale'")
        if samples is None and payload is not None:
            warn_of_aggregation(plan, payload)
        key = plan.feature.key
        known = {key, *plan.parent_features_by_key}
        by_key = {coerce_to_feature_key(feature): as_filters(given) for feature, given in (filters or {}).items()}
        for feature in by_key:
            if feature not in known:
                names = ", ".join(sorted(map(str, known)))
                raise DefinitionError(
                    f"feature {key}: filters name {feature}, which takes no part; use one of: {names}"
                )
        if samples is None and not plan.feature_deps:
            raise DefinitionError(
                f"feature {key} is a root: pass `samples=`, a frame with {', '.join(plan.feature.id_columns)} and "
                f"{METAXY_PROVENANCE_BY_FIELD}"
            )
        samples = None if samples is None else run_once(samples)
        return cls(
            samples=None if samples is None else given_frame(samples, f"the samples for feature {key}"),
            unread=None if samples is None else unread_samples(samples, plan.feature.id_columns),
            filters=by_key,
            global_filters=as_filters(global_filters),
            target_filters=as_filters(target_filters),
            staleness_predicates=as_filters(staleness_predicates),
            ids=None if ids is None else given_ids(ids, plan.feature.id_columns, f"the ids for feature {key}"),
            payload=payload or ("ignore" if samples is None else "warn"),
            **rest,
        )

    @property
    def drift(self) -> int | None:
        """The status of samples in which only the payload differs, None if that is not looked at."""
        return {"warn": DRIFTED, "stale": STALE}.get(self.payload)

    def id_columns(self, spec: FeatureSpec) -> tuple[str, ...]:
        """Return the ID columns by which samples are chosen, none where all are asked for."""
        known = () if self.ids is None else self.ids.columns
        return tuple(name for name in spec.id_columns if name in known)

    @property
    def minds_errors(self) -> bool:
        """Whether it matters which samples failed before."""
        return self.errors != "retry" or self.max_attempts is not None or self.failed_before is not None

    def filters_of(self, key: FeatureKey) -> tuple[nw.Expr, ...]:
        """Return the conditions on the rows of one feature, without those that only the feature itself has."""
        return (*self.filters.get(key, ()), *self.global_filters)
