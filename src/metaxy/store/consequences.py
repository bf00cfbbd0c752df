"""What a change of definitions will compute, counted before anything is: each feature on what its parents should have.

A parent that changes as well is not computed yet: its expected rows stand in for its table. Where these are not known,
because user code makes them or a person gives them, nothing is known of what follows from it.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

import narwhals as nw

from metaxy.dag.plan import FeaturePlan
from metaxy.dag.view import Work
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import FeatureNotFoundError, MetaxyError
from metaxy.store.parts import StoreParts
from metaxy.store.pending_renames import pending
from metaxy.store.reading import find
from metaxy.store.request import UpdateRequest
from metaxy.store.resolving import Resolution
from metaxy.store.session import Scope
from metaxy.store.tables import ExpectedRows
from metaxy.versioning.engine import View
from metaxy.versioning.frames import count_lazy_rows
from metaxy.versioning.recipe import Latest
from metaxy.wording import text_of


class Consequences:
    """Counts the samples that features with other versions or samples will have to compute; nothing is written.

    Args:
        changed: Features of the scope's graph; only these are followed, and those between them.
    """

    def __init__(self, store: StoreParts, scope: Scope, changed: Collection[FeatureKey]) -> None:
        self._store = store
        self._scope = scope
        self._changed = changed
        self._expected: dict[FeatureKey, ExpectedRows] = {}
        self._unknown: dict[FeatureKey, str] = {}

    def count(self) -> Iterator[tuple[FeatureKey, Work]]:
        """Yield each changed feature, parents first, with its samples by kind, or why these are not known."""
        for key in self._scope.graph.topological_sort_features():
            if key in self._changed:
                plan = self._scope.graph.get_feature_plan(key)
                yield key, self._renamed(key) or (self._work(plan) if plan.feature_deps else self._given(plan))

    def _renamed(self, key: FeatureKey) -> Work | None:
        """Say where rows that are still right wait under old keys: they are taken over, and not computed."""
        former = pending(self._store, self._scope, key)
        if not former:
            return None
        named = ", ".join(f"{new} was renamed from {old}" for new, old in former.items())
        self._unknown[key] = f"{named}, and its rows are to be taken over first"
        return Work(unknown=self._unknown[key])

    def _given(self, plan: FeaturePlan) -> Work:
        """Say of a root that its samples are given; what follows from it is known once they were."""
        key = plan.feature.key
        try:
            found = find(self._store, key, allow_fallback=True)
        except FeatureNotFoundError:
            rows = 0
        else:
            latest = Latest(tuple(plan.feature.id_columns), self._scope.version(key))
            ids = list(plan.feature.id_columns)
            rows = count_lazy_rows(found.engine.latest(found.rows(latest.ids), latest, ids, View()))
        if not rows:
            self._unknown[key] = f"{key} has no rows of this version yet"
        return Work(unknown="it is written, not computed")

    def _work(self, plan: FeaturePlan) -> Work:
        key = plan.feature.key
        blind = [self._unknown[dep.feature] for dep in plan.feature_deps if dep.feature in self._unknown]
        if blind:
            self._unknown[key] = blind[0]
            return Work(unknown=blind[0])
        parents = {
            dep.feature: with_unmade(plan, dep, self._expected[dep.feature])
            for dep in plan.feature_deps
            if dep.feature in self._expected
        }
        try:
            request = UpdateRequest.build(plan, payload="ignore", versioning_engine=self._store.versioning_engine)
            resolution = Resolution.of(self._store, self._scope, plan, request, parents)
            tally = resolution.tally()
        except MetaxyError as error:  # such as columns that only the function of a parent will make
            if error.kind == "unreachable":  # which is no matter of this feature
                raise
            self._unknown[key] = f"{key}: {text_of(error)}"
            return Work(unknown=text_of(error))
        if any(dep.expands for dep in plan.feature_deps):
            self._unknown[key] = f"how many samples {key} makes of each is known when it is computed"
        else:
            self._expected[key] = resolution.as_parent()
        return Work(new=tally.new, stale=tally.stale, orphaned=tally.orphaned)


def with_unmade(plan: FeaturePlan, dep: FeatureDep, expected: ExpectedRows) -> ExpectedRows:
    """Add the columns that a feature takes from a parent whose function has yet to make them, as NULL.

    Versions do not depend on them. Where samples do, by filters, IDs or groups, they are left out: then what misses
    them says so.
    """
    rename, schema = dep.rename or {}, dict(expected.scan.schema)
    taken = [*rename, *(name for name in dep.select or () if name not in rename.values())]
    unmade = [name for name in dict.fromkeys(taken) if name not in schema]
    decisive = {*plan.feature.id_columns, *plan.get_input_id_columns_for_dep(dep)}
    if not unmade or dep.sql_filters or decisive.intersection(dep.renamed(unmade)):
        return expected
    frame = expected.scan.frame.with_columns(*(nw.lit(None, nw.String()).alias(name) for name in unmade))
    return replace(expected, scan=replace(expected.scan, frame=frame, schema=frame.collect_schema()))
