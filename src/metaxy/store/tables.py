"""The tables of an update: those of a feature and its parents, or samples; and the recipe that fits them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_PROVENANCE_BY_FIELD
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import (
    EmptySamplesWarning,
    FeatureNotFoundError,
    MetadataSchemaError,
    PolarsMaterializationWarning,
    VersioningEngineMismatchError,
    warn_user,
)
from metaxy.storage.port import Scan
from metaxy.store.named import as_names
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, find, find_or_none, read_rows, refuse_other_hash_settings
from metaxy.store.request import UpdateRequest
from metaxy.store.session import Scope
from metaxy.store.unknown_tables import without_table
from metaxy.store.untyped import says_nothing, with_placeholders
from metaxy.versioning.build import Basis, TableShape, build_given_recipe, build_recipe
from metaxy.versioning.codec import by_field_forms
from metaxy.versioning.column_types import Types
from metaxy.versioning.computing import with_widest_integers
from metaxy.versioning.conditions import checked_conditions
from metaxy.versioning.engine import Engine
from metaxy.versioning.frames import as_lazy, collect_to_polars, is_in_database
from metaxy.versioning.key_types import refuse_nested_ids
from metaxy.versioning.polars import rows_that_may_repeat
from metaxy.versioning.polars_engine import PolarsEngine
from metaxy.versioning.recipe import Input, Latest, Recipe
from metaxy.versioning.sources import Asked, Rows


@dataclass(frozen=True)
class ExpectedRows:
    """Rows that a parent should have, in place of its table: so a change is followed before anything is computed.

    ``repeats``: several of them may be one sample.
    """

    engine: Engine
    scan: Scan
    repeats: bool


@dataclass(frozen=True)
class Inputs:
    """What goes into a recipe. ``untyped`` are columns of samples that something else stands in for."""

    recipe: Recipe
    rows: Sequence[Rows]
    untyped: Mapping[str, pl.DataType]


@dataclass(frozen=True)
class Tables:
    """The tables that were found for one request. They are looked up once, and their rows are not read."""

    store: StoreParts
    scope: Scope
    plan: FeaturePlan
    request: UpdateRequest
    current: StoredTable | None
    parents: Mapping[FeatureKey, StoredTable]
    expected: Mapping[FeatureKey, ExpectedRows]

    @classmethod
    def find(
        cls,
        store: StoreParts,
        scope: Scope,
        plan: FeaturePlan,
        request: UpdateRequest,
        expected: Mapping[FeatureKey, ExpectedRows],
    ) -> "Tables":
        """Look up the table of a feature, and those of its parents unless samples or expected rows were given.

        Raises:
            FeatureNotFoundError: if a required parent has no table.
        """
        current = _find(store, plan.feature.key, request, allow_fallback=request.allow_fallback and store.overlays)
        parents = {} if request.samples is not None else dict(_find_parents(store, plan, request, expected))
        parents |= {key: StoredTable(store, key, given.scan) for key, given in expected.items()}
        return cls(store, scope, plan, request, current, parents, expected)

    @cached_property
    def no_samples(self) -> bool:
        """Whether nothing is expected, as samples say nothing, or no parent has a table."""
        samples = self.request.samples
        return not self.parents and (samples is None or says_nothing(samples, self.plan.feature))

    @property
    def samples_at_hand(self) -> bool:
        """Whether the samples live in this process, where they stay when the store is closed."""
        samples = self.request.samples
        return samples is not None and not is_in_database(samples)

    @property
    def samples_are_none(self) -> bool:
        """Whether an eager frame of samples has no rows, so that nothing is saved by computing later."""
        samples = self.request.samples
        return isinstance(samples, nw.DataFrame) and not len(samples)

    def repeats_samples(self) -> bool:
        """Return whether samples that are at hand may occur twice; those of a database are counted by their update."""
        samples = self.request.samples
        if self.no_samples or not isinstance(samples, nw.DataFrame):
            return False
        return rows_that_may_repeat(collect_to_polars(samples.select(self.plan.feature.id_columns))) is not None

    # -- recipe and rows -----------------------------------------------------------------------------------------------

    def inputs(self) -> Inputs:
        """Take the recipe that was built of the same before, or build it, and name the rows that go into it."""
        request, plan = self.request, self.plan
        basis = Basis(
            self.scope.hash,
            tuple([(key, self._shape(key, found)) for key, found in self.parents.items()]),
            self._shape(plan.feature.key, self.current) if self.current else None,
            compare=not request.skip_comparison,
            one_row_per_group=request.one_row_per_group,
            ids=request.id_columns(plan.feature),
            previous=request.previous,
            drift=None if self.no_samples else request.drift,
            not_compared=self.current.scan.documents if self.current and request.drift else frozenset(),
        )
        if request.samples is not None or not self.parents:
            return self._inputs_of_samples(basis)
        recipe = plan.memo.get(basis) or plan.remember(basis, build_recipe(plan, basis))
        return Inputs(recipe, [self._input_rows(step) for step in recipe.inputs], {})

    def _inputs_of_samples(self, basis: Basis) -> Inputs:
        spec = self.plan.feature
        samples, untyped = self._samples()
        schema = samples.collect_schema()
        where, orders_nan = f"the samples for feature {spec.key}", self.store.storage.capabilities.orders_nan
        own = checked_conditions(where, self.own_filters, schema, orders_nan=orders_nan)
        own = with_widest_integers(own, samples.implementation)
        recipe = build_given_recipe(spec, schema, replace(basis, not_compared=basis.not_compared.union(untyped)))
        ids, among = tuple(spec.id_columns), None if self.no_samples else self._among(basis.ids, schema)
        asked = Asked(own, among=among)
        rows = Rows(samples, by_field=by_field_forms(schema), ids=ids, schema=schema, where=where, asked=asked)
        return Inputs(recipe, [rows], untyped)

    def current_rows(self, recipe: Recipe) -> Rows | None:
        """Name the rows that the feature has, None if it has no table."""
        if self.current is None:
            return None
        stale, among = tuple(self.request.staleness_predicates), self._among(recipe.ids, self.current.scan.schema)
        whole = recipe.current.keys if recipe.current and recipe.current.own else ()
        ids = self.plan.feature.id_columns
        return self.current.rows(ids, filters=self.own_filters, stale=stale, among=among, whole=whole)

    def _among(
        self, names: Sequence[str], types: Types, stored: Mapping[str, str] = MappingProxyType({})
    ) -> nw.LazyFrame[Any] | None:
        """Bring IDs that are asked for to where they are compared with those of a table, which may call them otherwise.

        Raises:
            MetadataSchemaError: if one is NULL, or of a type that cannot be equal to that of the table.
        """
        if self.request.ids is None or not names:
            return None
        columns = {stored.get(name, name): nw.col(name) for name in names}
        frame = self.request.ids.select(**columns)
        ids = as_names(frame, list(columns), types, f"the ids for feature {self.plan.feature.key}")
        return as_lazy(ids) if self.request.versioning_engine == "polars" else self.store.engine.take(ids)

    @property
    def own_filters(self) -> tuple[nw.Expr, ...]:
        """The conditions on the rows of the feature itself, or on its samples."""
        return (*self.request.filters_of(self.plan.feature.key), *self.request.target_filters)

    def _shape(self, key: FeatureKey, found: StoredTable) -> TableShape:
        if key in self.expected:
            return TableShape(None, found.scan.schema, one_per_sample=self.expected[key].repeats)
        return TableShape(self.scope.version(key), found.scan.schema)

    def _input_rows(self, step: Input) -> Rows:
        stored = {column.name: column.stored for column in step.columns}
        if step.feature:
            return self._parent_rows(coerce_to_feature_key(step.feature), step.among, stored)
        types = self._types_of_ids()
        ids = self._among(list(stored), types)
        assert ids is not None  # noqa: S101 - else the recipe would not join them
        return Rows(ids, ids=tuple(stored), schema={name: types[name] for name in stored})

    def _types_of_ids(self) -> Types:
        """Return the types of the columns of all parents, by the names that they have for the feature."""
        types: dict[str, nw.dtypes.DType] = {}
        for dep in self.plan.feature_deps:
            known = self.parents[dep.feature].scan.schema if dep.feature in self.parents else {}
            types = {(dep.rename or {}).get(name, name): dtype for name, dtype in known.items()} | types
        return types

    def _parent_rows(self, key: FeatureKey, chosen: Sequence[str], stored: Mapping[str, str]) -> Rows:
        dep = next(dep for dep in self.plan.feature_deps if dep.feature == key)
        return self.parents[key].rows(
            self.plan.parent_features_by_key[key].id_columns,
            filters=self.request.filters_of(key),
            renamed_filters=self.plan.filters[key],
            rename=dep.rename or {},
            among=self._among(chosen, self.parents[key].scan.schema, stored),
        )

    def _samples(self) -> tuple[nw.LazyFrame[Any], Mapping[str, pl.DataType]]:
        """Return the samples where they are computed, and the types of columns that something stands in for."""
        if self.no_samples or self.request.samples is None:
            return self._nothing(), {}
        samples, untyped = with_placeholders(self.request.samples, self.plan.feature)
        schema, where = samples.collect_schema(), f"the samples for feature {self.plan.feature.key}"
        refuse_nested_ids(where, self.plan.feature.id_columns, schema)
        if METAXY_PROVENANCE_BY_FIELD not in schema:
            fields = ", ".join(f.key.to_struct_key() for f in self.plan.feature.fields)
            raise MetadataSchemaError(
                f"feature {self.plan.feature.key}: the samples lack {METAXY_PROVENANCE_BY_FIELD}, a struct with one "
                f"version (text) per field: {fields}"
            )
        if self.request.versioning_engine == "polars":
            return as_lazy(samples), untyped
        return self.store.engine.take(samples), untyped

    def _nothing(self) -> nw.LazyFrame[Any]:
        """Return no expected rows, as there are no samples, or all parents are optional and none has a table yet.

        Where the feature has no table either, nothing says which types the IDs have.
        """
        spec = self.plan.feature
        if self.current:
            every = Latest(tuple(spec.id_columns), None, one_per_sample=False, include_deleted=True)
            return read_rows(self.current, spec, self.scope, every, [], None).head(0)
        members = {f.key.to_struct_key(): pl.String for f in spec.fields}
        columns = dict.fromkeys(spec.id_columns, pl.Null) | {METAXY_PROVENANCE_BY_FIELD: pl.Struct(members)}
        return nw.from_native(pl.LazyFrame(schema=columns))

    # -- placement -----------------------------------------------------------------------------------------------------

    def engine(self) -> Engine:
        """Choose the database where all rows are in it, else Polars, saying why."""
        if self.request.versioning_engine == "polars" or (self.no_samples and not self.current):
            return PolarsEngine()
        reason = self._reason_to_leave()
        if reason is None:
            return self.store.engine
        message = f"feature {self.plan.feature.key}: {reason}"
        if self.request.versioning_engine == "native" and not len(self.store.fallback_stores):
            raise VersioningEngineMismatchError(f'{message}; use versioning_engine="auto"')
        if not self._was_told:
            warn_user(f"{message}; versions{self._of_others} are computed with Polars", PolarsMaterializationWarning)
        self.store.told_of_fallbacks |= bool(self._foreign)
        return PolarsEngine()

    @property
    def _was_told(self) -> bool:
        """Whether the store has said so already: of rows and tables that lie elsewhere it says so once."""
        return self.store.reads_in_polars or (bool(self._foreign) and self.store.told_of_fallbacks)

    @cached_property
    def _foreign(self) -> list[str]:
        """The parents whose tables are in another store."""
        return sorted(str(key) for key, found in self.parents.items() if found.store is not self.store)

    @property
    def _of_others(self) -> str:
        """Say for how many other features the same holds, as nothing will be said of these."""
        known = self.scope.graph.feature_definitions_by_key
        lacking = without_table(self.store, known) if self._foreign else set()
        others = [key for key, each in known.items() if any(dep.feature in lacking for dep in each.spec.deps)]
        count = len({*others} - {self.plan.feature.key})
        features = "feature that has" if count == 1 else "features that have"
        return f", and those of {count} more {features} parents there," if count else ""

    def _reason_to_leave(self) -> str | None:
        """Say why the database of the store cannot compute this, None if it can, or if Polars computes anyway."""
        engine = self.store.engine
        if isinstance(engine, PolarsEngine):
            return None
        if any(found.in_polars for found in (*self.parents.values(), *([self.current] if self.current else []))):
            return f"{self.store!r} sees rows that are not in its database"
        if self._foreign:
            return f"{', '.join(self._foreign)} comes from a fallback store, outside {self.store!r}"
        if elsewhere := sorted(str(key) for key, given in self.expected.items() if given.engine is not engine):
            return f"the expected rows of {', '.join(elsewhere)} are computed with Polars"
        if engine.hashing(self.scope.algorithm) is not engine:
            return f"{self.store!r} has no {self.scope.algorithm.value}"
        return None

    # -- other hash settings -------------------------------------------------------------------------------------------

    def refuse_other_settings(self) -> None:
        """Raise if a table has rows of this version, but under other hash settings."""
        self._refuse_other_settings(self.plan.feature.key, *self.parents)

    def refuse_where_nothing_counts(self, new: int, expected: int) -> None:
        """Raise the same, looking again only at tables none of whose rows counted."""
        if expected == 0:
            self._refuse_other_settings(*self.parents)
        if new >= expected:
            self._refuse_other_settings(self.plan.feature.key)

    def warn_of_no_samples(self, expected: int, *, orphaned: int) -> None:
        """Warn that all would go: a folder that is not mounted, or a wrong query, looks like that."""
        if self.request.samples is not None and not expected and orphaned:
            message = (
                f"feature {self.plan.feature.key}: no samples were given, so all {orphaned} that it has are orphaned; "
                "if there should be samples, look why none were found before you delete these"
            )
            warn_user(message, EmptySamplesWarning)

    def _refuse_other_settings(self, *keys: FeatureKey) -> None:
        tables = {**self.parents, **({self.plan.feature.key: self.current} if self.current else {})}
        for key in keys:
            if key in tables and key not in self.expected:
                refuse_other_hash_settings(tables[key], self.scope.definition(key), self.scope)


def _find(store: StoreParts, key: FeatureKey, request: UpdateRequest, *, allow_fallback: bool) -> StoredTable | None:
    found = find_or_none(store, key, allow_fallback=allow_fallback)
    return found.checked().as_of(request.as_of) if found else None


def _find_parents(
    store: StoreParts, plan: FeaturePlan, request: UpdateRequest, expected: Collection[FeatureKey]
) -> Iterator[tuple[FeatureKey, StoredTable]]:
    for dep in (dep for dep in plan.feature_deps if dep.feature not in expected):
        try:
            found = find(store, dep.feature, allow_fallback=request.allow_fallback)
            yield dep.feature, found.checked().as_of(request.as_of)
        except FeatureNotFoundError:
            if not dep.optional:
                raise
