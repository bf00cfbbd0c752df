"""Renaming: rows of a feature whose key has changed come under its new key, and nothing is computed again.

All rows of the old table are copied as they are, with all versions and tombstones. Then the latest row of each sample
gets the versions that its feature has under the new key: first in the renamed features, then in those that depend on
them, dependencies first. A row whose provenance was right before is right afterwards; any other stays as stale or
orphaned as it was. Both steps only add what is not there yet, so a renaming that was interrupted can be repeated.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import narwhals as nw

from metaxy import columns as c
from metaxy.dag.plan import FeaturePlan
from metaxy.dag.renaming import Former, before, former_keys
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import DefinitionError, FeatureNotFoundError, RenameError
from metaxy.storage.port import Append, Scan
from metaxy.store.copying import CopyRequest, as_text, copy_table
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, event_time, find_or_none, read_rows, readable
from metaxy.store.rebasing import DATA_VERSIONS, PROVENANCE, VERSIONS, expected_provenance
from metaxy.store.session import Scope
from metaxy.store.system.renames import record_renames, recorded_renames
from metaxy.store.system.tables import refuse_system_key
from metaxy.store.tables import ExpectedRows
from metaxy.store.verbatim import as_they_are, rewritten_at
from metaxy.store.writing import append, feature_table
from metaxy.versioning.codec import by_field_forms
from metaxy.versioning.engine import Engine, View
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows, to_polars_lazy
from metaxy.versioning.polars_engine import PolarsEngine
from metaxy.versioning.recipe import Latest

logger = logging.getLogger(__name__)
WAS, EVENT = f"{c.INTERNAL_PREFIX}was", f"{c.INTERNAL_PREFIX}event"


@dataclass(frozen=True)
class Renamed:
    """What was done to the rows of one feature by a renaming, or would be.

    ``copied`` rows came from the old table as they are; ``rebased`` samples got the versions of the new definitions.
    ``former`` is the old key, None for features that depend on a renamed one.
    """

    feature: FeatureKey
    former: FeatureKey | None
    copied: int
    rebased: int


@dataclass(frozen=True)
class Renaming:
    """Some keys that changed, in one store. ``asked`` maps new keys to old ones, dependencies first.

    ``former`` has the old keys of all features that were renamed since the rows were written, also those that are not
    asked for now.
    """

    store: StoreParts
    scope: Scope
    asked: Former
    former: Former

    @classmethod
    def of(cls, store: StoreParts, scope: Scope, asked: Former) -> "Renaming":
        """Find out which other features were renamed together with those: it is the rows that tell.

        Raises:
            RenameError: if rows of the old table have no version that the feature had before its key changed.
        """
        declared = {key: names[0] for key, names in former_keys(scope.graph).items()}
        known = scope.graph.feature_definitions_by_key
        together = {key: name for key, name in declared.items() if name not in known} | dict(asked)
        choices = [cls(store, scope, asked, together), cls(store, scope, asked, asked)]
        fitting = [each for each in choices if all(map(each.fits, asked))]
        if not fitting:
            choices[0].refuse()
        return fitting[0]

    @cached_property
    def before(self) -> Scope:
        """The scope with the graph as it was."""
        return replace(self.scope, graph=before(self.scope.graph, self.former))

    def version_before(self, key: FeatureKey) -> str:
        """Return the version that a feature had before."""
        return self.before.version(self.former.get(key, key))

    # -- what is there -------------------------------------------------------------------------------------------------

    def source(self, key: FeatureKey) -> StoredTable | None:
        """Return the table of this store that rows of the version before come from, None if there is none."""
        for name in (self.former.get(key, key), key):
            if name in (key, self.asked.get(key)) and (found := find_seen(self.store, name)):
                return found
        return None

    def fits(self, key: FeatureKey) -> bool:
        """Return whether an old table has rows of the version before, or none at all."""
        versions = self._versions(key)
        return not versions or self.version_before(key) in versions

    def _versions(self, key: FeatureKey) -> list[str]:
        return _versions_in(found) if (found := self.source(key)) else []

    def waits(self, key: FeatureKey) -> bool:
        """Return whether there are rows of the version before, which is another one than that of today."""
        version, found = self.version_before(key), self.source(key)
        return found is not None and version != self.scope.version(key) and has_version(found, version)

    def refuse(self) -> None:
        """Say which feature cannot be renamed, as more than its key has changed."""
        key = next(key for key in self.asked if not self.fits(key))
        raise RenameError(
            f"feature {key}: rows of {self.asked[key]} have version {', '.join(self._versions(key))}, but with the old "
            f"key it would have {self.version_before(key)}, so more than the key has changed; take the other changes "
            "back, rename, and make them again"
        )

    # -- what is done --------------------------------------------------------------------------------------------------

    def run(self, *, dry_run: bool, only_once: bool = False) -> list[Renamed]:
        """Copy and rebase, dependencies first; features without rows to rebase are left out.

        What was done is recorded at the end; with ``only_once``, features of which that tells are left alone.
        """
        features = self._features()
        recorded = recorded_renames(self.store, {key: self.scope.version(key) for key in features})
        done = self._done([key for key in features if not (only_once and key in recorded)], dry_run=dry_run)
        if not dry_run:
            self._record([key for key in features if key not in recorded])
        return done

    def _done(self, features: Sequence[FeatureKey], *, dry_run: bool) -> list[Renamed]:
        done = []
        for key in features:
            copied = self._copy(key, dry_run=dry_run) if key in self.asked else 0
            rebased = self._rebased_rows(key, dry_run=dry_run)
            if copied or rebased or key in self.asked:
                logger.info("feature %s: %d rows copied, %d samples rebased", key, copied, rebased)
                done.append(Renamed(key, self.asked.get(key), copied, rebased))
        return done

    def _record(self, features: Sequence[FeatureKey]) -> None:
        """Remember which features have their rows now, so that those that are removed later stay away."""
        carried = {key: self.scope.version(key) for key in features if self._carried(key)}
        record_renames(self.store, carried, self.asked)

    def _carried(self, key: FeatureKey) -> bool:
        found = find_seen(self.store, key)
        return found is not None and self.waits(key) and has_version(found, self.scope.version(key))

    def _rebased_rows(self, key: FeatureKey, *, dry_run: bool) -> int:
        """Rebase a feature unless it depends on renamed ones and lacks another parent: then nothing can be said yet."""
        try:
            return self._rebase(key, dry_run=dry_run)
        except FeatureNotFoundError as error:
            if key in self.asked:
                raise
            logger.warning("feature %s keeps its versions for now: %s", key, error)
            return 0

    def _features(self) -> list[FeatureKey]:
        graph = self.scope.graph
        return graph.topological_sort_features([*self.asked, *graph.get_downstream_features(list(self.asked))])

    def _copy(self, key: FeatureKey, *, dry_run: bool) -> int:
        """Copy all rows of the old table that the new one lacks."""
        old = find_seen(self.store, self.asked[key])
        if old is None or self._came_below(key):
            return 0
        request = CopyRequest([key], with_sample_history=True, dry_run=dry_run)
        return copy_table(self.store, old.checked(), self.scope, self.scope.definition(key), request)

    def _came_below(self, key: FeatureKey) -> bool:
        """Return whether all rows that a store over others sees came along in one of these already."""
        if not self.store.overlays or find_or_none(self.store, self.asked[key], allow_fallback=False):
            return False
        below = _find_in_fallbacks(self.store, key)
        return below is not None and has_version(below, self.scope.version(key))

    def _rebase(self, key: FeatureKey, *, dry_run: bool) -> int:
        """Give the latest rows of the version before the versions that they have now, and count them."""
        source = self.source(key) if dry_run else find_seen(self.store, key)
        if source is None or self.version_before(key) == self.scope.version(key):
            return 0
        with readable(f"feature {key}"), self.store.engine.temporary():
            rows = self._to_rebase(key, source.checked())
            rows = rows if dry_run else source.engine.take(rows, reread=True)
            count = count_lazy_rows(rows)
            if count and not dry_run:
                append(self.store, [self._rebased(key, rows.with_columns(rewritten_at(self.store, source.scan)))])
        return count

    def _to_rebase(self, key: FeatureKey, source: StoredTable) -> nw.LazyFrame[Any]:
        """Return the latest rows of the version before, tombstones too, unless newer ones of the new version exist."""
        spec = self.scope.definition(key).spec
        ids = tuple(spec.id_columns)
        columns = [name for name in source.scan.schema if name not in c.STRAY_COLUMNS]
        latest = Latest(ids, self.version_before(key), include_deleted=True)
        rows = read_rows(source, spec, self.scope, latest, [], columns)
        target = find_seen(self.store, key)
        if target is None:
            return rows
        keys = {f"{c.INTERNAL_PREFIX}key_{n}": as_text(name) for n, name in enumerate(ids)}
        times = [name for name in (c.METAXY_UPDATED_AT, c.METAXY_DELETED_AT) if name in target.scan.schema]
        there = target.engine.latest(
            target.rows(ids), replace(latest, feature_version=self.scope.version(key)), [*ids, *times], View()
        )
        there = there.select(**keys, **{EVENT: event_time(target.scan)})
        older = nw.col(EVENT).is_null() | (nw.col(EVENT) < event_time(source.scan))
        return rows.with_columns(**keys).join(there, on=list(keys), how="left").filter(older).drop([*keys, EVENT])

    def _rebased(self, key: FeatureKey, rows: nw.LazyFrame[Any]) -> Append:
        """Version rows anew: those that were right are right, others stay as they are."""
        definition, table = self.scope.definition(key), feature_table(self.store, key)
        versions = (self.scope.version(key), self.scope.project_version(definition))
        changed = {name: nw.lit(value) for name, value in zip(VERSIONS, versions, strict=True)}
        rows = rows.with_columns(**changed)
        plan = self.scope.graph.get_feature_plan(key)
        parts = self._by_provenance(plan, rows) if plan.feature_deps else [rows]
        writes = [as_they_are(self.store, self.scope, definition, part, table) for part in parts]
        frames = [write.frame for write in writes]
        return replace(writes[0], frame=nw.concat(frames) if len(frames) > 1 else frames[0])

    def _by_provenance(self, plan: FeaturePlan, rows: nw.LazyFrame[Any]) -> Sequence[nw.LazyFrame[Any]]:
        """Split rows into those whose provenance was right, with the one that is right now, and all others."""
        key = plan.feature.key
        earlier = self.before.graph.get_feature_plan(self.former.get(key, key))
        were, keys = expected_provenance(self.store, self.before, earlier, self._parents_before(plan))
        are, _ = expected_provenance(self.store, self.scope, plan)
        engine, (rows, were, are) = _in_one_library(self.store, rows, were, are)
        were = were.select(*keys, nw.col(c.METAXY_PROVENANCE).alias(WAS))
        take = partial(engine.take, reread=True)
        right = take(take(are).join(take(were), on=keys, how="inner"))
        rows = rows.with_columns(nw.col(c.METAXY_PROVENANCE).alias(WAS))
        on = [*keys, WAS]
        others = rows.join(right.select(on), on=on, how="anti").drop(WAS)
        custom = nw.col(c.METAXY_DATA_VERSION) != nw.col(WAS)
        current = rows.with_columns(nw.when(custom).then(nw.col(name)).alias(name) for name in DATA_VERSIONS)
        return current.drop(PROVENANCE).join(right, on=on, how="inner").drop(WAS), others

    def _parents_before(self, plan: FeaturePlan) -> Mapping[FeatureKey, ExpectedRows]:
        """Return the rows that renamed parents had, under their old keys."""
        renamed = [dep.feature for dep in plan.feature_deps if dep.feature in self.former]
        return {self.former[key]: self._parent_before(key) for key in renamed}

    def _parent_before(self, key: FeatureKey) -> ExpectedRows:
        version, spec = self.version_before(key), self.scope.definition(key).spec
        for name in (key, self.former[key]):
            found = _find(self.store, name)
            if found and has_version(found, version):
                rows = read_rows(found, spec, self.scope, Latest(tuple(spec.id_columns), version), [], None)
                schema = rows.collect_schema()
                engine = PolarsEngine() if rows.implementation.is_polars() else found.store.engine
                return ExpectedRows(engine, Scan(rows, schema, by_field=by_field_forms(schema)), repeats=False)
        raise FeatureNotFoundError(f"feature {key} has no rows of version {version} in {self.store!r}", keys=[key])


def _in_one_library(store: StoreParts, *frames: nw.LazyFrame[Any]) -> tuple[Engine, Sequence[nw.LazyFrame[Any]]]:
    """Return frames that can be joined, in Polars if one is: of a store over others, some have rows elsewhere."""
    if any(frame.implementation.is_polars() for frame in frames):
        return PolarsEngine(), [nw.from_native(to_polars_lazy(frame)) for frame in frames]
    return store.engine, frames


def rename(
    store: StoreParts,
    scope: Scope,
    former: Former,
    *,
    drop_old: bool = False,
    dry_run: bool = False,
    only_once: bool = False,
) -> list[Renamed]:
    """Take rows over from old keys to new ones; the old tables stay unless they are to be dropped.

    With ``only_once``, features stay as they are whose rows were taken over before.

    Raises:
        RenameError: if more than a key has changed, or the rows are in another store.
        DefinitionError: if an old key is still one of the graph's.
        FeatureNotFoundError: if there is no table to take rows from.
    """
    for new, old in former.items():
        refuse_system_key(old, "rename")
        refuse_system_key(new, "rename")
        _refuse_still_defined(scope, new, old)
        _refuse_elsewhere(store, scope, new, old)
    done = Renaming.of(store, scope, former).run(dry_run=dry_run, only_once=only_once)
    if drop_old and not dry_run:
        _drop_old(store, scope, former)
    return done


def _drop_old(store: StoreParts, scope: Scope, former: Former) -> None:
    """Drop old tables, but none that a feature of the graph uses: keys may differ by less than names of tables keep."""
    used = [store.storage.describe(key) for key in scope.graph.feature_definitions_by_key]
    for old in former.values():
        if store.storage.describe(old) not in used:
            store.storage.drop(old)


def former_tables(store: StoreParts, scope: Scope) -> dict[FeatureKey, FeatureKey]:
    """Return the features that say which key they had before, and have a table here under that key; parents first."""
    found = {}
    for key, names in former_keys(scope.graph).items():
        if here := [name for name in names if find_seen(store, name)]:
            found[key] = here[0]
    return found


def _refuse_still_defined(scope: Scope, new: FeatureKey, old: FeatureKey) -> None:
    scope.definition(new)
    if old in scope.graph.feature_definitions_by_key:
        raise DefinitionError(
            f"feature {old} cannot be renamed to {new} while the graph still has it: change the key of its class first"
        )


def _refuse_elsewhere(store: StoreParts, scope: Scope, new: FeatureKey, old: FeatureKey) -> None:
    """Refuse to rename what this store has no table of; where a fallback store was renamed already, children follow."""
    if find_seen(store, old) or find_seen(store, new):
        return
    there = _find_in_fallbacks(store, new)
    if there and has_version(there, scope.version(new)):
        return
    if elsewhere := _find_in_fallbacks(store, old):
        raise RenameError(f"feature {old} has its rows in {elsewhere.store!r}: rename it there first, then here")
    raise FeatureNotFoundError(f"neither {old} nor {new} has a table in {store!r}", keys=[old, new])


def find_seen(store: StoreParts, key: FeatureKey) -> StoredTable | None:
    """Return a table of this very store or, of one over others, with the rows that it sees; None if there is none."""
    return find_or_none(store, key, allow_fallback=store.overlays)


def _find(store: StoreParts, key: FeatureKey) -> StoredTable | None:
    found = find_or_none(store, key, allow_fallback=True)
    return found.checked() if found else None


def _find_in_fallbacks(store: StoreParts, key: FeatureKey) -> StoredTable | None:
    for fallback in store.fallback_stores:
        store.keep_open(fallback)
        if found := _find(fallback, key):
            return found
    return None


def taken_over(store: StoreParts, new: FeatureKey, old: FeatureKey) -> bool:
    """Return whether the rows of an old key were taken over: all its versions are under the new one, and one more."""
    before, after = find_seen(store, old), find_seen(store, new)
    return bool(before and after and set(_versions_in(before)) < set(_versions_in(after)))


def _versions_in(found: StoredTable) -> list[str]:
    versions = collect_to_polars(found.scan.frame.select(c.METAXY_FEATURE_VERSION).unique())
    return sorted(versions[c.METAXY_FEATURE_VERSION].drop_nulls().to_list())


def has_version(found: StoredTable, version: str) -> bool:
    """Return whether a table has any row of a feature version."""
    rows = found.scan.frame.filter(nw.col(c.METAXY_FEATURE_VERSION) == version)
    return collect_to_polars(rows.select(c.METAXY_FEATURE_VERSION).head(1)).height > 0
