"""Upkeep of a store: delete, drop and optimize, copy and rebase."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import narwhals as nw
from typing_extensions import Unpack

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.keys import coerce_to_feature_key
from metaxy.storage.port import Optimizable
from metaxy.store.column_renames import rename_column
from metaxy.store.copying import CopyRequest, copy_features, refuse_nothing, refuse_other_target
from metaxy.store.deleting import Deleted, Deletion, DeletionOptions, delete_rows, rows_to_delete
from metaxy.store.external import sync_external_features
from metaxy.store.orphans import delete_orphaned
from metaxy.store.parts import StoreParts
from metaxy.store.pending_renames import settle, warn_of_old_table
from metaxy.store.reading import find
from metaxy.store.rebasing import rebase, target_scope
from metaxy.store.renaming import Renamed, former_tables, rename
from metaxy.store.request import Filters, as_filters
from metaxy.store.system.row_errors import forget
from metaxy.store.system.tables import is_system_key, refuse_system_key
from metaxy.store.tidiness import KEEP
from metaxy.store.unknown_tables import UnknownTable, unknown_tables


class StoreUpkeep(StoreParts):
    """The verbs that look after rows that are there; those of every day are in `MetadataStore`."""

    # -- deleting ------------------------------------------------------------------------------------------------------

    def delete(
        self,
        feature: Any,
        filters: Filters = None,
        *,
        rows: Any = None,
        everything: bool = False,
        soft: bool = True,
        with_feature_history: bool = False,
        with_sample_history: bool = False,
    ) -> Deleted:
        """Delete the samples whose latest rows fulfil all filters, or are among rows; features that depend on it stay.

        Frames: all ID columns, and ``metaxy_updated_at`` where it means rows and not only samples → nothing. Samples
        that were written after such rows stay, and are counted.

        Args:
            filters: conditions on the latest rows or, for a hard delete, on each row.
            rows: a frame of any library and size that names what to delete, such as ``increment.orphaned``; with
                filters, both must hold.
            everything: all rows; nothing else may be said then.
            soft: append tombstones instead of removing rows.
            with_feature_history: in all feature versions, not only in the current one.
            with_sample_history: let the filters look at all rows of a sample, not only at the latest.

        Returns: how many ``rows`` were hidden or removed, and how many samples had ``changed_since``.

        Raises:
            ValueError: if nothing says what to delete.
            FeatureNotFoundError: if the feature has no table in this store.
            MetadataSchemaError: if the frame lacks IDs, or some are NULL or of other types than those of the feature.
        """
        scope = self.session.scope("w")
        refuse_system_key(coerce_to_feature_key(feature), "delete from")
        deletion = Deletion.build(
            scope.definition(feature),
            filters,
            rows=rows,
            everything=everything,
            soft=soft,
            with_feature_history=with_feature_history,
            with_sample_history=with_sample_history,
        )
        deleted = delete_rows(self, scope, deletion)
        if not soft and deleted.rows:
            warn_of_old_table(self, scope, deletion.definition.key)
        return deleted

    def count_rows_to_delete(self, feature: Any, filters: Filters = None, **options: Unpack[DeletionOptions]) -> int:
        """Count the rows that `delete` would hide or remove with the same arguments; nothing is deleted.

        Raises:
            ValueError: if nothing says what to delete.
            FeatureNotFoundError: if the feature has no table in this store.
        """
        scope = self.session.scope("r")
        return rows_to_delete(self, scope, Deletion.build(scope.definition(feature), filters, **options)).rows

    def delete_orphaned(
        self, feature: Any, increment: Any = None, *, max_share: float = 0.5, dry_run: bool = False
    ) -> Deleted:
        """Delete the samples of a feature whose parents, or whose own samples, are gone, by tombstones.

        Those that were written since the increment stay, and are counted. As a folder that is not mounted looks as if
        all of its samples were gone, nothing is deleted if more than a part of the feature would be.

        Args:
            increment: what `resolve_update` returned; without, the orphaned samples are found now, which for a root
                feature nothing can.
            max_share: which part of the feature's samples may go, from 0 to 1.
            dry_run: only count the samples that would go.

        Returns: how many ``rows`` were hidden, and how many samples had ``changed_since``.

        Raises:
            TooManyOrphansError: if more samples would go; none does.
            DefinitionError: if a root feature comes without an increment.
        """
        scope = self.session.scope("r" if dry_run else "w")
        refuse_system_key(coerce_to_feature_key(feature), "delete from")
        if scope.needs_sync:
            sync_external_features(self)
        definition = scope.definition(feature)
        if increment is None and scope.graph.has_renames:
            settle(self, scope, definition.key)
        return delete_orphaned(self, scope, definition, increment, max_share=max_share, dry_run=dry_run)

    def drop_feature_metadata(self, feature: Any) -> None:
        """Remove the table of a feature from this store, with all versions, and forget the errors of its samples.

        Nothing happens if it has none.
        """
        self.session.require("w")
        refuse_system_key(key := coerce_to_feature_key(feature), "drop")
        self.storage.drop(key)
        forget(self, key)
        self.seen_versions = {seen for seen in self.seen_versions if seen[0] != key}

    def forget_errors(self, feature: Any) -> None:
        """Let the errors recorded of a feature's samples count no more, as after the cause was removed."""
        self.session.scope("w")
        forget(self, coerce_to_feature_key(feature))

    def unknown_tables(self) -> list[UnknownTable]:
        """Return the tables of features that the graph does not have, with counts of their rows.

        System tables, and tables that are none of a feature, are left out.

        Raises:
            MetadataStoreError: if the storage cannot list its tables.
        """
        return unknown_tables(self, self.session.scope("r"))

    def rename_feature(self, old: Any, new: Any, *, drop_old: bool = False, dry_run: bool = False) -> list[Renamed]:
        """Take the rows of a feature whose key has changed over to its new key, so that nothing is computed again.

        All rows are copied as they are, with history and tombstones. The latest ones get the versions of the new
        definition, and so do those of features that depend on it; samples that were stale or orphaned stay so. It can
        be repeated at any time: what is there already is not added again.

        Args:
            old: the key that the feature had; the graph has no such feature any more.
            new: the feature, with its new key.
            drop_old: remove the old table afterwards.

        Returns: what was done to each feature, dependencies first.

        Raises:
            RenameError: if more than the key has changed since the rows were written.
            FeatureNotFoundError: if neither key has a table here.
        """
        scope = self.session.scope("r" if dry_run else "w")
        former = {coerce_to_feature_key(new): coerce_to_feature_key(old)}
        return rename(self, scope, former, drop_old=drop_old, dry_run=dry_run)

    def rename_features(self, *, drop_old: bool = False, dry_run: bool = False) -> list[Renamed]:
        """Do as `rename_feature` for all features that say ``renamed_from`` and have a table under such a key.

        Raises:
            RenameError: if more than the keys has changed since the rows were written.
        """
        scope = self.session.scope("r" if dry_run else "w")
        return rename(self, scope, former_tables(self, scope), drop_old=drop_old, dry_run=dry_run)

    def rename_column(self, feature: Any, old: str, new: str, *, dry_run: bool = False) -> int:
        """Give a column of a feature another name in this store; no version changes, so nothing becomes stale.

        Where rows were already written under the new name, those of the old one join them.

        Returns: how many rows have a value that gets the new name; none, if that was done before.

        Raises:
            FeatureNotFoundError: if the feature has no table in this store.
            MetadataSchemaError: if it has no such column, names or values do not allow it, or rows that this store
                sees under its own have the column too.
        """
        scope = self.session.scope("r" if dry_run else "w")
        refuse_system_key(coerce_to_feature_key(feature), "rename a column of")
        return rename_column(self, scope, scope.definition(feature), old, new, dry_run=dry_run)

    def optimize(self, feature: Any, *, keep: timedelta = KEEP) -> None:
        """Make a feature's table quick to read again: small files are merged, replaced ones removed; no row changes.

        It is safe beside readers and writers. Databases look after their tables themselves: nothing happens there.

        Args:
            feature: anything that names a feature, or a system table.
            keep: how long files stay that no longer belong to the table; readers that take longer may miss them.

        Raises:
            FeatureNotFoundError: if the feature has no table in this store.
        """
        self.session.require("w")
        if keep < timedelta(0):
            raise ValueError(f"keep is a duration, not {keep!r}")
        found = find(self, coerce_to_feature_key(feature), allow_fallback=False)
        if isinstance(self.storage, Optimizable):
            ids = () if is_system_key(found.key) else self.session.scope("w").definition(found.key).spec.id_columns
            self.storage.optimize(found.key, keep, ids)

    # -- copying -------------------------------------------------------------------------------------------------------

    def copy_metadata(
        self,
        from_store: StoreParts,
        features: Sequence[Any] | None = None,
        *,
        filters: Mapping[Any, Filters] | None = None,
        global_filters: Filters = None,
        with_feature_history: bool = True,
        with_sample_history: bool = False,
        progress: bool = False,
        dry_run: bool = False,
        sample: int | None = None,
    ) -> dict[str, int]:
        """Copy features from another store, row by row as they are, with tombstones, times and ids of runs.

        Rows that are here already are not copied again, so an interrupted copy can be repeated. Features without a
        table there are skipped.

        Args:
            from_store: the store to copy from; it must be open.
            features: what to copy, all features of the current project by default.
            filters: conditions per feature, on the rows that would be copied.
            global_filters: conditions on the rows of all features.
            with_feature_history: rows of all feature versions.
            with_sample_history: all rows of each sample, not only its latest in each version.
            dry_run: only count the rows that would be copied.
            sample: copy only so many samples of the roots, chosen by the hash of their IDs, and what was computed of
                them: always the same ones, in all features.

        Returns: ``features_copied`` and ``rows_copied``.

        Raises:
            ValueError: if ``sample`` is below one.
        """
        if sample is not None and sample < 1:
            raise ValueError(f"sample is how many samples are copied, from 1 on, or None for all, not {sample!r}")
        scope = self.session.scope("r" if dry_run else "w")
        from_store.session.require("r")
        request = CopyRequest.build(
            scope,
            features,
            filters,
            global_filters=as_filters(global_filters),
            with_feature_history=with_feature_history,
            with_sample_history=with_sample_history,
            progress=progress,
            dry_run=dry_run,
            sample=sample,
        )
        return copy_features(self, from_store, scope, request)

    def promote(
        self,
        to: StoreParts,
        features: Sequence[Any] | None = None,
        *,
        force: bool = False,
        progress: bool = False,
        dry_run: bool = False,
    ) -> dict[str, int]:
        """Copy what this store added to the rows that it sees under its own to the store that has these.

        All of its rows are copied as they are, with history and tombstones; rows that are there already are not copied
        again. Open the other store for writing first, and this one after it.

        Args:
            to: the store that this one falls back on; it must be open for writing.
            features: what to copy, all features of the current project by default.
            force: copy to another store, too.
            dry_run: only count the rows that would be copied; ``to`` is open for reading then.

        Raises:
            ValueError: if this store does not fall back on the other one, or the current project has no features.

        Returns: ``features_copied`` and ``rows_copied``.
        """
        scope = to.session.scope("r" if dry_run else "w")
        self.session.require("r")
        if not force:
            refuse_other_target(self, to)
        request = CopyRequest.build(
            scope, features, None, with_sample_history=True, progress=progress, dry_run=dry_run, only_own=True
        )
        if features is None:
            refuse_nothing(request)
        return copy_features(to, self, scope, request)

    def rebase(
        self,
        feature: Any,
        df: Any,
        *,
        to_feature_version: str | None = None,
        graph: FeatureGraph | None = None,
        same_inputs: bool = False,
    ) -> nw.LazyFrame[Any]:
        """Give rows of one feature version the provenance of another, where their content is still right.

        Frames: rows of the feature → the same rows with new provenance and versions, data versions only where the user
        set them; rows without parents are left out, and children that were begun and not finished. Write the result
        with ``preserve_feature_version=True``. Parents that have no children are new then.

        Args:
            feature: anything that names a feature with dependencies.
            df: its rows, as `read` returns them.
            to_feature_version: the version to rebase on, the current one or one that was pushed; by default the former.
            graph: the graph that has this version; the active one, or the one that was pushed with it, by default.
            same_inputs: only rows whose provenance is the same there: the code of the feature is what it was, and what
                its parents were computed to is, too, though by other code.

        Raises:
            ValueError: if the feature is a root, or no graph has this version.
        """
        scope = target_scope(self, self.session.scope("r"), feature, to_feature_version, graph)
        return rebase(self, scope, feature, df, same_inputs=same_inputs)
