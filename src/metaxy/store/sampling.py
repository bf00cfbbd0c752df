"""A sample of a store: so many samples of the roots, and all that was computed of them, down the graph.

Roots that have the same ID columns share one choice: the IDs of the smallest hashes. So the same rows come out however
often one asks, whichever features are wanted, and on whatever store the same IDs are.
"""

from collections.abc import Iterator
from functools import reduce
from typing import Any, Final

import narwhals as nw
import polars as pl

from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import FeatureKey
from metaxy.hashing import HashAlgorithm, HashSettings
from metaxy.store.named import as_names
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, find_or_none
from metaxy.store.session import Scope
from metaxy.versioning.engine import View
from metaxy.versioning.frames import collect_to_polars, polars_chunks
from metaxy.versioning.polars import escaped, hashed, joined
from metaxy.versioning.recipe import Latest

CHUNK: Final = 500_000
ORDER: Final = "__metaxy_order"
HASH: Final = HashSettings(HashAlgorithm.MD5, 32)


class Samples:
    """Chooses samples of the features of a store; ``size`` of each kind of root.

    What belongs to a group of which some samples are chosen is chosen, too: it was computed of others as well.
    """

    def __init__(self, store: StoreParts, scope: Scope, size: int) -> None:
        self._store = store
        self._scope = scope
        self._size = size
        self._of_roots: dict[tuple[str, ...], pl.DataFrame] = {}
        self._known: dict[FeatureKey, pl.DataFrame] = {}

    def among(self, found: StoredTable) -> nw.LazyFrame[Any]:
        """Return, where the table is read, the values of some of its columns that chosen rows have."""
        names = self._keys(found.key, found)
        given = nw.from_native(names.drop_nulls())
        frame = as_names(given, names.columns, found.scan.schema, f"the sampled IDs of feature {found.key}")
        return found.engine.take(frame)

    def _keys(self, key: FeatureKey, found: StoredTable) -> pl.DataFrame:
        """Choose by the parents, the roots by the hash of their IDs."""
        if key not in self._known:
            plan = self._scope.graph.get_feature_plan(key)
            frames = list(self._of_parents(plan, found))
            ids = tuple(plan.feature.id_columns)
            self._known[key] = self._met(found, ids, frames) if frames else self._chosen(ids)
        return self._known[key]

    def _of_parents(self, plan: FeaturePlan, found: StoredTable) -> Iterator[pl.DataFrame]:
        """Yield what chosen rows of each parent share with their children; optional parents choose nothing."""
        for dep in plan.required_deps or plan.feature_deps[:1]:
            parent = find_or_none(self._store, dep.feature, allow_fallback=True)
            shared = [name for name in plan.get_input_id_columns_for_dep(dep) if name in found.scan.schema]
            if parent is not None and shared:
                stored = {new: old for old, new in (dep.rename or {}).items()}
                rows = self._rows(parent, [stored.get(name, name) for name in shared])
                yield rows.rename(dict(zip(rows.columns, shared, strict=True))).unique()

    def _rows(self, found: StoredTable, columns: list[str]) -> pl.DataFrame:
        """Read columns of the chosen rows of a table, of all versions of its feature."""
        ids = tuple(self._scope.definition(found.key).id_columns)
        rows = found.rows(ids, among=self.among(found))
        return collect_to_polars(found.engine.latest(rows, Latest(ids, None), columns, View())).select(columns)

    def _met(self, found: StoredTable, ids: tuple[str, ...], frames: list[pl.DataFrame]) -> pl.DataFrame:
        """Return what is chosen by all parents: values of the columns that they share, or else IDs."""
        if all(set(frame.columns) == set(frames[0].columns) for frame in frames):
            return reduce(_semi, frames)
        columns = list(dict.fromkeys([*ids, *(name for frame in frames for name in frame.columns)]))
        self._known[found.key] = frames[0]  # by which the rows are read that the others choose from
        return reduce(_semi, [self._rows(found, columns), *frames[1:]]).select(ids).unique()

    def _chosen(self, ids: tuple[str, ...]) -> pl.DataFrame:
        """Choose among the samples of all roots that have these IDs."""
        names = tuple(sorted(ids))
        if names not in self._of_roots:
            best = pl.DataFrame()
            for rows in self._samples_of_roots(names):
                order = hashed(joined([escaped(pl.col(name).cast(pl.String)) for name in names]), HASH)
                each = rows.drop_nulls().unique().with_columns(order.alias(ORDER))
                both = pl.concat([best, each], how="vertical_relaxed") if len(best) else each
                best = both.unique().sort(ORDER).head(self._size)
            self._of_roots[names] = best.drop(ORDER)
        return self._of_roots[names]

    def _samples_of_roots(self, names: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        for key, definition in self._scope.graph.feature_definitions_by_key.items():
            is_root = not definition.spec.deps and tuple(sorted(definition.id_columns)) == names
            found = find_or_none(self._store, key, allow_fallback=True) if is_root else None
            if found is not None:
                rows = found.engine.latest(found.rows(names), Latest(names, None), names, View())
                yield from (chunk.select(names) for chunk in polars_chunks(rows, CHUNK, in_order=False))


def _semi(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows that others have, whose columns may be of other types of numbers."""
    shared = [name for name in others.columns if name in rows.columns]
    same = others.select(pl.col(name).cast(rows.schema[name]) for name in shared)
    return rows.join(same, on=shared, how="semi")
