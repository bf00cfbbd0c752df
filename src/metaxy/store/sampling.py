"""A sample of a store: so many samples of the roots, and all that was computed of them, down the graph.

Roots that have the same ID columns share one choice: the IDs of the smallest hashes. So the same rows come out however
often one asks, whichever features are wanted, and on whatever store the same IDs are. A feature none of whose parents
has a table counts as a root.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, Final

import narwhals as nw
import polars as pl

from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey
from metaxy.hashing import HashAlgorithm, HashSettings
from metaxy.store.named import as_names
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, find_or_none
from metaxy.store.session import Scope
from metaxy.versioning.engine import View
from metaxy.versioning.frames import collect_to_polars, polars_chunks
from metaxy.versioning.key_types import type_family
from metaxy.versioning.polars import escaped, hashed, joined
from metaxy.versioning.recipe import Latest

CHUNK: Final = 500_000
ORDER: Final = "__metaxy_order"
LARGEST: Final = 2**62  # that Polars counts to
HASH: Final = HashSettings(HashAlgorithm.MD5, 32)


class Samples:
    """Chooses samples of the features of a store; ``size`` of each kind of root.

    What belongs to a group of which some samples are chosen is chosen, too: it was computed of others as well.
    """

    def __init__(self, store: StoreParts, scope: Scope, size: int) -> None:
        self._store = store
        self._scope = scope
        self._size = min(size, LARGEST)
        self._of_roots: dict[tuple[tuple[str, str], ...], pl.DataFrame] = {}
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
            frames = [self._shared(*link) for link in self._links(plan, found)]
            ids = tuple(plan.feature.id_columns)
            if not frames:
                self._known[key] = self._chosen(found, ids)
            elif plan.required_deps:
                self._known[key] = self._met(found, ids, frames)
            else:
                self._known[key] = _any_of(frames)
        return self._known[key]

    def _links(self, plan: FeaturePlan, found: StoredTable) -> Iterator[tuple[FeatureDep, StoredTable, list[str]]]:
        """Yield the parents that choose, and their columns here; optional ones do only where there are no others."""
        for dep in plan.required_deps or plan.feature_deps:
            shared = [name for name in plan.get_input_id_columns_for_dep(dep) if name in found.scan.schema]
            parent = find_or_none(self._store, dep.feature, allow_fallback=True) if shared else None
            if parent is not None:
                yield dep, parent, shared

    def _shared(self, dep: FeatureDep, parent: StoredTable, shared: Sequence[str]) -> pl.DataFrame:
        """Return what chosen rows of a parent share with their children."""
        stored = {new: old for old, new in (dep.rename or {}).items()}
        rows = self._rows(parent, [stored.get(name, name) for name in shared])
        return rows.rename(dict(zip(rows.columns, shared, strict=True))).unique()

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

    def _chosen(self, found: StoredTable, ids: tuple[str, ...]) -> pl.DataFrame:
        """Choose among the samples of all roots that have these IDs, of the same types."""
        kind = _kind(found, ids)
        if kind not in self._of_roots:
            names = [name for name, _ in kind]
            best: pl.DataFrame | None = None
            for rows in self._samples_of_roots(kind):
                order = hashed(joined([escaped(_as_text(name, rows.schema[name])) for name in names]), HASH)
                each = rows.drop_nulls().with_columns(order.alias(ORDER))
                both = each if best is None else pl.concat([best, each], how="vertical_relaxed")
                best = both.unique(ORDER).sort(ORDER).head(self._size)
            types = nw.Schema({name: found.scan.schema[name] for name in names}).to_polars()
            self._of_roots[kind] = pl.DataFrame(schema=types) if best is None else best.drop(ORDER)
        return self._of_roots[kind]

    def _samples_of_roots(self, kind: tuple[tuple[str, str], ...]) -> Iterator[pl.DataFrame]:
        names = tuple(name for name, _ in kind)
        for key, definition in self._scope.graph.feature_definitions_by_key.items():
            is_alike = set(definition.id_columns) == set(names)
            found = find_or_none(self._store, key, allow_fallback=True) if is_alike else None
            if found is None or _kind(found, names) != kind or self._follows(found):
                continue
            rows = found.engine.latest(found.rows(names), Latest(names, None), names, View())
            yield from (chunk.select(names) for chunk in polars_chunks(rows, CHUNK, in_order=False))

    def _follows(self, found: StoredTable) -> bool:
        """Return whether parents choose its samples."""
        deps = self._scope.definition(found.key).spec.deps
        return bool(deps) and any(self._links(self._scope.graph.get_feature_plan(found.key), found))


def _kind(found: StoredTable, ids: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return ID columns with what their values can be compared with."""
    return tuple((name, type_family(found.scan.schema[name])) for name in sorted(ids))


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """Write IDs alike, whichever store they are read from."""
    value = pl.col(name)
    if isinstance(dtype, pl.Binary):
        return value.bin.encode("hex")
    if isinstance(dtype, pl.Datetime):
        return value.cast(pl.Datetime("us")).cast(pl.String)
    return value.cast(pl.String).str.strip_suffix(".0") if dtype.is_float() else value.cast(pl.String)


def _any_of(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return what one parent or another chose, as far as they share the same columns."""
    alike = [frame.select(frames[0].columns) for frame in frames if set(frame.columns) == set(frames[0].columns)]
    return pl.concat(alike, how="vertical_relaxed").unique()


def _semi(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows that others have, whose columns may be of other types of numbers."""
    shared = [name for name in others.columns if name in rows.columns]
    same = others.select(pl.col(name).cast(rows.schema[name], strict=False) for name in shared)
    return rows.join(same, on=shared, how="semi")
