"""The metadata store: a thin conductor of a storage, an engine, the active graph and the active configuration."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any, Literal, overload

import narwhals as nw
from typing_extensions import Unpack

from metaxy._old_names import with_old_names
from metaxy.definitions.keys import coerce_to_feature_key
from metaxy.store.claim import Claim
from metaxy.store.claims import LEASE, Claiming, Status, this_worker
from metaxy.store.computing import StoreComputing
from metaxy.store.config import VersioningEngineOptions
from metaxy.store.data_versions import DataVersion, versioned_frames, with_data_versions
from metaxy.store.external import sync_external_features
from metaxy.store.fallback import FallbackStoreList
from metaxy.store.given import given_frame
from metaxy.store.pending_renames import settle, warn_of_pending
from metaxy.store.reading import Wanted, checked_moment, read_feature
from metaxy.store.replacing import Replacement
from metaxy.store.request import (
    ErrorHandling,
    Filters,
    PayloadCheck,
    UpdateOptions,
    UpdateRequest,
    as_filters,
    ignore_old_options,
)
from metaxy.store.resolving import Resolution
from metaxy.store.session import Scope, dependents_first
from metaxy.store.system.rows import append_rows, read_system_rows
from metaxy.store.system.tables import is_system_key
from metaxy.store.writing import OnDuplicate, WriteOptions, write_frames
from metaxy.versioning.increment import Increment, LazyIncrement


@with_old_names
class MetadataStore(StoreComputing):
    """Reads and writes features, and resolves what must be computed.

    A store is a context manager: ``with store:`` opens it for reading, ``with store.open("w"):`` for writing. It may be
    shared between threads, and pickled while it is closed.

    Args:
        storage: where tables live.
        engine: what computes versions natively.
        name: label of the store.
        hash_algorithm: how samples are hashed; md5 by default.
        versioning_engine: ``auto``: the database where all rows are in it, else Polars; or ``native``, or ``polars``.
        fallback_stores: stores, or names of configured stores, to read features from that have no table here.
        fallback: ``rows``: this store sees the rows of its fallback stores under its own; or ``tables``, where it has
            none.
        auto_create_tables: whether missing tables are created; the configuration decides by default.
        materialization_id: what ``metaxy_materialization_id`` gets by default.
        schema_evolution: ``add`` lets tables grow by new columns, ``strict`` refuses them.
        claims_store: the store that keeps claims to samples of this one, where it cannot itself; see `claim`.
        auto_optimize: whether writes also `optimize` tables with 100 small files, or as many as this says.
    """

    fallback_stores: "FallbackStoreList[MetadataStore]"

    # -- reading -------------------------------------------------------------------------------------------------------

    @overload
    def read(
        self,
        feature: Any,
        *,
        feature_version: str | None = None,
        filters: Filters = None,
        ids: Any = None,
        columns: Sequence[str] | None = None,
        allow_fallback: bool = True,
        with_feature_history: bool = False,
        with_sample_history: bool = False,
        include_soft_deleted: bool = False,
        as_of: datetime | None = None,
        with_store_info: Literal[False] = False,
    ) -> nw.LazyFrame[Any]: ...
    @overload
    def read(
        self,
        feature: Any,
        *,
        feature_version: str | None = None,
        filters: Filters = None,
        ids: Any = None,
        columns: Sequence[str] | None = None,
        allow_fallback: bool = True,
        with_feature_history: bool = False,
        with_sample_history: bool = False,
        include_soft_deleted: bool = False,
        as_of: datetime | None = None,
        with_store_info: Literal[True],
    ) -> "tuple[nw.LazyFrame[Any], MetadataStore]": ...
    def read(
        self,
        feature: Any,
        *,
        feature_version: str | None = None,
        filters: Filters = None,
        ids: Any = None,
        columns: Sequence[str] | None = None,
        allow_fallback: bool = True,
        with_feature_history: bool = False,
        with_sample_history: bool = False,
        include_soft_deleted: bool = False,
        as_of: datetime | None = None,
        with_store_info: bool = False,
    ) -> "nw.LazyFrame[Any] | tuple[nw.LazyFrame[Any], MetadataStore]":
        """Read the latest rows of a feature, lazily.

        Frames: the feature's table → its columns, or ``columns``, one row per sample. With all history of samples and
        features, a table can be read whose feature the graph does not have.

        Args:
            feature_version: rows of this version instead of the current one; needs ``with_feature_history``.
            filters: conditions on the latest rows; all must hold.
            ids: a frame with IDs, or with some of the ID columns, or a list where there is one: only these samples.
            columns: what to return, in this order.
            allow_fallback: whether to look into fallback stores: if this one has no table, or under its rows.
            with_feature_history: rows of all feature versions.
            with_sample_history: all rows of each sample.
            include_soft_deleted: deleted samples too.
            as_of: the state at this time: what was written or deleted later does not count.
            with_store_info: return the store that has the rows as well.

        Raises:
            FeatureNotFoundError: if no store has a table for the feature.
            HashSettingsMismatchError: if it has rows, but under other hash settings.
        """
        wanted = Wanted(
            feature_version=feature_version,
            filters=as_filters(filters),
            columns=columns,
            allow_fallback=allow_fallback,
            with_feature_history=with_feature_history,
            with_sample_history=with_sample_history,
            include_soft_deleted=include_soft_deleted,
            as_of=checked_moment(as_of),
            ids=ids,
        )
        scope = self.session.scope("r")
        if is_system_key(key := coerce_to_feature_key(feature)):
            if ids is not None:
                raise ValueError(f"{key} is a system table, whose rows are no samples; use filters instead of ids")
            rows = self.in_own_library(read_system_rows(self, key, wanted.filters, columns))
            return (rows, self) if with_store_info else rows
        if scope.needs_sync:
            sync_external_features(self)
        if not with_feature_history and scope.graph.has_renames:
            warn_of_pending(self, scope, key)
        rows, found = read_feature(self, scope, key, wanted)
        return (rows, found.store) if with_store_info else rows

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(
        self,
        feature: Any,
        df: Any,
        materialization_id: str | None = None,
        preserve_feature_version: bool = False,
        *,
        on_duplicate: OnDuplicate = "error",
        replaces: Any = None,
        data_version: DataVersion | None = None,
    ) -> None:
        """Append rows to a feature; nothing is stored if anything is wrong with them.

        Frames: IDs, user columns and ``metaxy_provenance_by_field`` → the feature's table.

        Args:
            df: a Polars, Pandas, PyArrow, DuckDB, Ibis or Narwhals frame.
            preserve_feature_version: keep the feature and project versions that the frame has.
            on_duplicate: what to do with different rows of one sample: refuse them, or keep the last.
            replaces: the parents whose children these are, all of them, as rows of `resolve_update`: in the same
                append, children that they have no more are deleted, and a parent without children counts as computed.
            data_version: versions of these results, of all fields or by field: a column that has them, the versions, or
                a function of the rows. Where they are equal, what was made of the rows before is not stale.

        Raises:
            DefinitionError: if ``replaces`` is given for a feature that is no expansion.
            MetadataSchemaError: if columns are missing, IDs or versions are NULL, or types do not fit.
            TableNotFoundError: if the table is missing and the store may not create it.
        """
        scope = self.session.scope("w")
        if is_system_key(key := coerce_to_feature_key(feature)):
            append_rows(self, key, df)
            return
        settle(self, scope, key)
        df = with_data_versions(df, scope.definition(key), data_version)
        options = WriteOptions(materialization_id, preserve_feature_version, on_duplicate)
        if replaces is not None:
            Replacement.build(self, scope, key, replaces, options).write_all(df)
            return
        write_frames(self, scope, {key: df}, options)

    @contextmanager
    def replacing(self, feature: Any, parents: Any, materialization_id: str | None = None) -> Iterator[Replacement]:
        """Write all children of some parents in several parts, each by `write` of what this yields.

        Only once the block ends without an error are these parents computed: then children that were not written in
        it are deleted. After a crash they are all to be computed again, whatever was written.

        Frames: ``parents`` as for ``replaces`` of `write`, parts as `write` takes them.

        Raises:
            DefinitionError: if the feature is no expansion.
            MetadataSchemaError: if columns are missing, a part has children of other parents, or children were written
                meanwhile by something else, such as `write` of the store itself.
        """
        scope = self.session.scope("w")
        settle(self, scope, coerce_to_feature_key(feature))
        replacement = Replacement.build(self, scope, feature, parents, WriteOptions(materialization_id))
        yield replacement
        replacement.finish()

    def write_multi(
        self,
        metadata: Mapping[Any, Any],
        materialization_id: str | None = None,
        *,
        data_version: Mapping[Any, DataVersion] | None = None,
    ) -> None:
        """Append rows to several features, dependents first, after a check of all; with transactions, all or none.

        ``data_version`` is by feature what that of `write` is.
        """
        scope = self.session.scope("w")
        frames = dependents_first(scope.graph, metadata)
        for key in frames:
            settle(self, scope, key)
        frames = versioned_frames(scope, frames, data_version)
        write_frames(self, scope, frames, WriteOptions(materialization_id))

    # -- updates -------------------------------------------------------------------------------------------------------

    @overload
    def resolve_update(
        self, feature: Any, *, lazy: Literal[False] = False, **options: Unpack[UpdateOptions]
    ) -> Increment: ...
    @overload
    def resolve_update(
        self, feature: Any, *, lazy: Literal[True], **options: Unpack[UpdateOptions]
    ) -> LazyIncrement: ...
    @overload
    def resolve_update(
        self, feature: Any, *, lazy: bool, **options: Unpack[UpdateOptions]
    ) -> Increment | LazyIncrement: ...
    def resolve_update(
        self,
        feature: Any,
        *,
        samples: Any = None,
        filters: Mapping[Any, Filters] | None = None,
        global_filters: Filters = None,
        target_filters: Filters = None,
        lazy: bool = False,
        versioning_engine: VersioningEngineOptions | None = None,
        skip_comparison: bool = False,
        staleness_predicates: Filters = None,
        one_row_per_group: bool = False,
        as_of: datetime | None = None,
        ids: Any = None,
        previous: bool = False,
        payload: PayloadCheck | None = None,
        errors: ErrorHandling = "retry",
        max_attempts: int | None = None,
        failed_before: datetime | None = None,
        **ignored: Any,
    ) -> Increment | LazyIncrement:
        """Say which samples are new, stale or orphaned: what should be, against what is.

        Frames: parents' latest rows, or ``samples`` → new and stale (with versions to write), orphaned (stored rows).

        Args:
            samples: the expected rows, with ``metaxy_provenance_by_field``; required for root features.
            filters: conditions per feature, on the latest rows of parents or of the feature itself.
            global_filters: conditions on all of them.
            target_filters: conditions on the rows of the feature itself.
            lazy: return views that are computed when collected.
            versioning_engine: where to compute, instead of the store's setting.
            skip_comparison: call all expected samples new.
            staleness_predicates: stored rows that fulfil one are stale whatever their version.
            one_row_per_group: one row per group of an aggregation, instead of one per row of the parent.
            as_of: compare the state at this time: what came later does not count.
            ids: only these samples, as for `read`, are looked at; in an expansion, the IDs of the parent.
            previous: say which fields changed since the newest row (``metaxy_changed_fields``, ``metaxy_previous``).
            payload: whether columns of equal versions are compared, too: ``warn``, the default for ``samples``, shows
                what differs as ``increment.drifted`` or ``behind``, ``stale`` makes it stale, ``ignore`` does not look.
            errors: ``skip`` leaves out samples of which an error was recorded, ``only`` gives just these.
            max_attempts: leave out samples of which so many errors were recorded.
            failed_before: leave out samples of which an error was recorded at this time or later.
            ignored: ``target_version`` and ``project_version`` of metaxy 0.1, which have no effect.

        Raises:
            FeatureNotFoundError: if a required parent has no table.
            HashSettingsMismatchError: if a table has rows, but under other hash settings.
            RenameError: if rows are still under an old key, and the store is not open for writing.
        """
        ignore_old_options(ignored)
        scope = self.session.scope("r")
        if scope.needs_sync:
            sync_external_features(self)
        plan = scope.graph.get_feature_plan(feature)
        if as_of is None and scope.graph.has_renames:
            settle(self, scope, plan.feature.key)
        request = UpdateRequest.build(
            plan,
            samples=samples,
            filters=filters,
            global_filters=global_filters,
            target_filters=target_filters,
            versioning_engine=versioning_engine or self.versioning_engine,
            skip_comparison=skip_comparison,
            staleness_predicates=staleness_predicates,
            one_row_per_group=one_row_per_group,
            as_of=checked_moment(as_of),
            ids=ids,
            previous=previous,
            errors=errors,
            max_attempts=max_attempts,
            failed_before=checked_moment(failed_before, "failed_before"),
            payload=payload,
        )
        with self.engine.temporary() if not lazy and (ids is not None or request.minds_errors) else nullcontext():
            resolution = Resolution.of(self, scope, plan, request)
            return resolution.lazy() if lazy else resolution.changes()

    def claim(
        self,
        feature: Any,
        *,
        limit: int = 100,
        lease: timedelta = LEASE,
        worker: str | None = None,
        first: Status = "new",
        order_by: str | Sequence[str] = (),
        wait: bool = False,
        **options: Unpack[UpdateOptions],
    ) -> Claim:
        """Take samples that are new or stale, and that no other live worker holds; the store is opened for that.

        Frames: as for `resolve_update` → ``claim.samples``, with ``metaxy_status``: ``new`` or ``stale``.

        Args:
            feature: anything that names a feature; of an expansion, parents are claimed.
            limit: how many samples at most; near the end, each worker gets a fair share of what is left.
            lease: after which time without a sign of life another worker may take them.
            worker: what to call this worker; its machine and process by default.
            first: whether ``new`` or ``stale`` samples come first.
            order_by: columns of the samples by which each kind is ordered.
            wait: whether to wait while others hold all samples that are left: they may not finish them.
            options: as for `resolve_update`.

        Raises:
            InvalidConfigError: if the store cannot keep claims, and names none that does as ``claims_store``.
        """
        scope = Scope.current(self.hash_algorithm)
        by, columns = worker or this_worker(), (order_by,) if isinstance(order_by, str) else tuple(order_by)
        plan = scope.graph.get_feature_plan(feature)
        return Claiming(self, scope, plan, self.resolve_update, options, limit, lease, by, first, columns, wait).take()

    def compute_provenance(self, feature: Any, df: Any) -> Any:
        """Add the version columns to rows that the user joined from the parents.

        Frames: any columns, and ``metaxy_data_version_by_field__<parent key, joined by _>`` for each parent → the same
        columns without those of the parents' versions, and the four version columns. Eager in, eager out; lazy in, lazy
        out. A root has no parents: all its rows get the same versions, made of code versions, in place of their own.

        Raises:
            MetadataSchemaError: if a parent's data versions are missing or NULL.
        """
        scope = self.session.scope("r")
        plan = scope.graph.get_feature_plan(feature)
        frame = given_frame(df, f"the frame for feature {plan.feature.key}")
        resolution = Resolution.of_joined(self.engine, scope, plan, frame)
        computed = resolution.changes().new if isinstance(frame, nw.DataFrame) else resolution.lazy().new
        return computed if isinstance(df, (nw.DataFrame, nw.LazyFrame)) else computed.to_native()
