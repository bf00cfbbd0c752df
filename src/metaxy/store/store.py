"""The metadata store: a thin conductor of a storage, an engine, the active graph and the active configuration."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any, Literal, overload

import narwhals as nw
from typing_extensions import Unpack

from metaxy._old_names import with_old_names
from metaxy.dag.graph import current_graph
from metaxy.definitions.keys import coerce_to_feature_key
from metaxy.store.config import VersioningEngineOptions
from metaxy.store.external import sync_external_features
from metaxy.store.fallback import FallbackStoreList
from metaxy.store.given import given_frame
from metaxy.store.pending_renames import settle, warn_of_pending
from metaxy.store.reading import StoredTable, Wanted, checked_moment, find, find_or_none, read_feature, shown_schema
from metaxy.store.replacing import Replacement
from metaxy.store.request import Filters, PayloadCheck, UpdateOptions, UpdateRequest, as_filters, ignore_old_options
from metaxy.store.resolving import Resolution
from metaxy.store.session import dependents_first
from metaxy.store.system.rows import append_rows, read_system_rows
from metaxy.store.system.tables import is_system_key
from metaxy.store.upkeep import StoreUpkeep
from metaxy.store.writing import OnDuplicate, WriteOptions, write_frames
from metaxy.versioning.increment import Increment, LazyIncrement, input_progress


@with_old_names
class MetadataStore(StoreUpkeep):
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
            feature: anything that names a feature.
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
    ) -> None:
        """Append rows to a feature; nothing is stored if anything is wrong with them.

        Frames: IDs, user columns and ``metaxy_provenance_by_field`` → the feature's table.

        Args:
            feature: anything that names a feature.
            df: a Polars, Pandas, PyArrow, DuckDB, Ibis or Narwhals frame.
            materialization_id: id of the run that writes.
            preserve_feature_version: keep the feature and project versions that the frame has.
            on_duplicate: what to do with different rows of one sample: refuse them, or keep the last.
            replaces: the parents whose children these are, all of them, as rows of `resolve_update`: in the same
                append, children that they have no more are deleted, and a parent without children counts as computed.

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

    def write_multi(self, metadata: Mapping[Any, Any], materialization_id: str | None = None) -> None:
        """Append rows to several features, dependents first, after a check of all; with transactions, all or none."""
        scope = self.session.scope("w")
        frames = dependents_first(scope.graph, metadata)
        for key in frames:
            settle(self, scope, key)
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
        **ignored: Any,
    ) -> Increment | LazyIncrement:
        """Say which samples are new, stale or orphaned: what should be, against what is.

        Frames: parents' latest rows, or ``samples`` → new and stale (their columns, and the four versions to write) and
        orphaned (stored rows).

        Args:
            feature: anything that names a feature.
            samples: the expected rows, with ``metaxy_provenance_by_field``; required for root features.
            filters: conditions per feature, on the latest rows of parents or of the feature itself.
            global_filters: conditions on all of them.
            target_filters: conditions on the rows of the feature itself.
            lazy: return views that are computed when collected.
            versioning_engine: where to compute, instead of the store's setting.
            skip_comparison: call all expected samples new.
            staleness_predicates: stored rows that fulfil one are stale whatever their version.
            one_row_per_group: one row per group of an aggregation, instead of one per row of the parent.
            as_of: compare the state at this time: what was written or deleted later does not count.
            ids: a frame with IDs, or with some of the ID columns, or a list where there is one: only these samples, and
                those parents, are looked at. In an expansion, the IDs of the parent.
            previous: say of new and stale samples which fields changed since their newest row, of whatever feature
                version, in ``metaxy_changed_fields``, and what the columns of that row hold, in ``metaxy_previous``.
            payload: whether columns of equal versions are compared, too: ``warn``, the default for ``samples``, shows
                what differs as ``increment.drifted`` or ``behind``, ``stale`` makes it stale, ``ignore`` does not look.
            ignored: ``target_version`` and ``project_version`` of metaxy 0.1, which have no effect, with a warning.

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
            payload=payload,
        )
        with self.engine.temporary() if ids is not None and not lazy else nullcontext():
            resolution = Resolution.of(self, scope, plan, request)
            return resolution.lazy() if lazy else resolution.changes()

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

    # -- information --------------------------------------------------------------------------------------------------

    def has_feature(self, feature: Any, *, check_fallback: bool = False) -> bool:
        """Return whether the feature has a table here or, if asked, in a fallback store."""
        return self._found(feature, check_fallback=check_fallback) is not None

    def find_store_for_feature(self, feature_key: Any, *, check_fallback: bool = True) -> "MetadataStore | None":
        """Return the store that has the feature's table, None if none has; fallback stores are opened for that."""
        found = self._found(feature_key, check_fallback=check_fallback)
        return found.store if found else None

    def _found(self, feature: Any, *, check_fallback: bool) -> "StoredTable[MetadataStore] | None":
        self.session.require("r")
        return find_or_none(self, coerce_to_feature_key(feature), allow_fallback=check_fallback)

    def read_feature_schema_from_store(self, feature: Any) -> nw.Schema:
        """Return the columns of a feature's table in this store, with their types as `read` shows them.

        Raises:
            FeatureNotFoundError: if the feature has no table here.
        """
        scope = self.session.scope("r")
        definition = scope.definition(feature)
        return shown_schema(find(self, definition.key, allow_fallback=False).scan, definition.spec, scope)

    def get_store_metadata(self, feature_key: Any, *, check_fallback: bool = True) -> dict[str, Any]:
        """Say what this store is and, under ``resolved_from``, which store has a feature, if any has."""
        return self._metadata_of(self.find_store_for_feature(feature_key, check_fallback=check_fallback), feature_key)

    def _metadata_of(self, holder: "MetadataStore | None", feature_key: Any) -> dict[str, Any]:
        """Say the same where it is known which store has the feature, if any has."""
        found = {"resolved_from": holder.get_store_info(feature_key)} if holder else {}
        return {"name": self.name, "display": self.display(), **found}

    def calculate_input_progress(self, lazy_increment: LazyIncrement, feature_key: Any) -> float | None:
        """Return which part of the expected samples is not new, in percent; None where nothing is expected.

        Samples are counted by the ID columns that all parents share. An eager `Increment` has ``progress`` for free.
        """
        plan = current_graph().get_feature_plan(coerce_to_feature_key(feature_key))
        return input_progress(lazy_increment, plan.input_id_columns)
