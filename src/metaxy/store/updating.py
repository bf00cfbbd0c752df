"""Resolving an update: what should be, against what is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_PROVENANCE_BY_FIELD
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import (
    DefinitionError,
    FeatureNotFoundError,
    MetadataSchemaError,
    PolarsMaterializationWarning,
    VersioningEngineMismatchError,
    warn_user,
)
from metaxy.store.config import VersioningEngineOptions
from metaxy.store.filters import Filters, as_filters
from metaxy.store.given import given_frame
from metaxy.store.mismatch import refuse_other_hash_settings
from metaxy.store.reading import Found, find, read_rows
from metaxy.store.result import Result, shows_polars
from metaxy.store.scope import Scope
from metaxy.store.untyped import says_nothing, with_placeholders
from metaxy.versioning.build import Known, build_given_recipe, build_recipe
from metaxy.versioning.codec import by_field_forms
from metaxy.versioning.conditions import checked_conditions
from metaxy.versioning.engine import Engine, PolarsEngine, Rows
from metaxy.versioning.frames import Frame, as_lazy, collect_to_polars
from metaxy.versioning.increment import Increment, LazyIncrement, Tally
from metaxy.versioning.polars import rows_that_may_repeat
from metaxy.versioning.recipe import Latest

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore


@dataclass(frozen=True)
class UpdateRequest:
    """What a caller asks of an update, with defaults filled in."""

    samples: Frame | None = None
    filters: Mapping[FeatureKey, Sequence[nw.Expr]] = field(default_factory=dict)
    global_filters: Sequence[nw.Expr] = ()
    target_filters: Sequence[nw.Expr] = ()
    versioning_engine: VersioningEngineOptions = "auto"
    skip_comparison: bool = False
    staleness_predicates: Sequence[nw.Expr] = ()
    one_row_per_group: bool = False
    as_of: datetime | None = None
    allow_fallback: bool = True

    @classmethod
    def build(
        cls, plan: FeaturePlan, *, samples: Any, filters: Mapping[Any, Filters] | None, **rest: Any
    ) -> "UpdateRequest":
        """Normalise what the user passed.

        Raises:
            DefinitionError: if a filter names a feature that takes no part, or a root feature has no samples.
        """
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
        frame = None if samples is None else given_frame(samples, f"the samples for feature {key}")
        return cls(samples=frame, filters=by_key, **rest)


class Update:
    """One resolution: the tables found, the recipe built for them, and the engine that runs it."""

    def __init__(
        self, store: "MetadataStore", scope: Scope, definition: FeatureDefinition, request: UpdateRequest
    ) -> None:
        self.store = store
        self.scope = scope
        self.definition = definition
        self.spec = definition.spec
        self.request = request
        self.plan = scope.graph.get_feature_plan(definition.key)
        self.current = self._find_current()
        self.parents = {} if request.samples is not None else self._find_parents()
        samples = request.samples
        self.no_samples = not self.parents and (samples is None or says_nothing(samples, definition))

    # -- tables --------------------------------------------------------------------------------------------------------

    def _find_current(self) -> Found | None:
        try:
            return find(self.store, self.spec.key, allow_fallback=False).checked().as_of(self.request.as_of)
        except FeatureNotFoundError:
            return None

    def _find_parents(self) -> dict[FeatureKey, Found]:
        found = {}
        for dep in self.plan.feature_deps:
            try:
                table = find(self.store, dep.feature, allow_fallback=self.request.allow_fallback)
                found[dep.feature] = table.checked().as_of(self.request.as_of)
            except FeatureNotFoundError:
                if not dep.optional:
                    raise
        return found

    def _known(self, key: FeatureKey, found: Found) -> Known:
        return Known(self.scope.version(key), found.scan.schema)

    # -- recipe and rows -----------------------------------------------------------------------------------------------

    def run(self, *, lazy: bool) -> Increment | LazyIncrement:
        """Resolve the update, at once or lazily."""
        result = self._result()
        if lazy and not self._may_be_lazy:
            increment = self._eager(result)
            new, stale, orphaned = map(as_lazy, increment)
            return LazyIncrement(new=new, stale=stale, orphaned=orphaned, compute=lambda: increment)
        if lazy:
            self._refuse_other_settings(self.spec.key, *self.parents)
            return (result.without_repeats() if self._repeats_samples() else result).lazy()
        return self._eager(result)

    @property
    def _may_be_lazy(self) -> bool:
        """Whether views of this update can be collected wherever its samples can.

        Views of a database end when its store is closed, and samples at hand do not.
        """
        samples = self.request.samples
        in_database = isinstance(samples, nw.LazyFrame) and not samples.implementation.is_polars()
        return samples is None or in_database or isinstance(self.store.engine, PolarsEngine)

    def count(self) -> tuple[Tally, LazyIncrement]:
        """Count the samples in one statement, and return the increment for whoever wants to see them."""
        result = self._result()
        tally = result.tally()
        self._refuse_where_nothing_counts(tally.new, tally.expected)
        return tally, result.lazy()

    def _result(self) -> Result:
        current = self._known(self.spec.key, self.current) if self.current else None
        compare = not self.request.skip_comparison
        untyped: Mapping[str, pl.DataType] = {}
        if self.request.samples is not None or not self.parents:
            samples, untyped = self._samples()
            schema = samples.collect_schema()
            own = checked_conditions(f"the samples for feature {self.spec.key}", self._own, schema)
            recipe = build_given_recipe(self.spec, schema, self.scope.hash, current=current, compare=compare)
            ids = tuple(self.spec.id_columns)
            inputs = [Rows(samples, by_field=by_field_forms(schema), ids=ids, filters=own, schema=schema)]
        else:
            tables = {key: self._known(key, found) for key, found in self.parents.items()}
            recipe = build_recipe(
                self.plan,
                tables,
                self.scope.hash,
                current=current,
                compare=compare,
                one_row_per_group=self.request.one_row_per_group,
            )
            inputs = [self._parent_rows(coerce_to_feature_key(step.feature)) for step in recipe.inputs]
        engine, inputs = self._place(inputs)
        in_polars = shows_polars(engine, self.request.samples)
        return Result(engine, recipe, inputs, self._current_rows(), self.scope.shape, in_polars, untyped)

    def _eager(self, result: Result) -> Increment:
        """Run at once; tables are only looked at again if nothing in them counted."""
        changes = result.run()
        increment = result.split(changes)
        self._refuse_where_nothing_counts(increment.counts["new"], changes.expected)
        return increment

    def _refuse_where_nothing_counts(self, new: int, expected: int) -> None:
        if expected == 0:
            self._refuse_other_settings(*self.parents)
        if new >= expected:
            self._refuse_other_settings(self.spec.key)

    def _refuse_other_settings(self, *keys: FeatureKey) -> None:
        tables = {**self.parents, **({self.spec.key: self.current} if self.current else {})}
        for key in keys:
            if key in tables:
                refuse_other_hash_settings(tables[key], self.scope.definition(key), self.scope)

    @property
    def _own(self) -> tuple[nw.Expr, ...]:
        request = self.request
        return (*request.filters.get(self.spec.key, ()), *request.global_filters, *request.target_filters)

    def _current_rows(self) -> Rows | None:
        if self.current is None:
            return None
        return self.current.rows(
            self.spec.id_columns, filters=self._own, stale=tuple(self.request.staleness_predicates)
        )

    def _parent_rows(self, key: FeatureKey) -> Rows:
        dep = next(dep for dep in self.plan.feature_deps if dep.feature == key)
        filters = (*self.request.filters.get(key, ()), *self.request.global_filters)
        ids = self.plan.parent_features_by_key[key].id_columns
        return self.parents[key].rows(
            ids, filters=filters, renamed_filters=tuple(dep.filters), rename=dict(dep.rename or {})
        )

    def _samples(self) -> tuple[nw.LazyFrame[Any], Mapping[str, pl.DataType]]:
        """Return the samples where they are computed, and the types of columns that something stands in for."""
        if self.no_samples or self.request.samples is None:
            return self._nothing(), {}
        samples, untyped = with_placeholders(self.request.samples, self.definition)
        if METAXY_PROVENANCE_BY_FIELD not in samples.collect_schema():
            fields = ", ".join(f.key.to_struct_key() for f in self.spec.fields)
            raise MetadataSchemaError(
                f"feature {self.spec.key}: the samples lack {METAXY_PROVENANCE_BY_FIELD}, a struct with one version "
                f"(text) per field: {fields}"
            )
        if self.request.versioning_engine == "polars":
            return as_lazy(samples), untyped
        return self.store.engine.take(samples), untyped

    def _repeats_samples(self) -> bool:
        """Return whether samples that are at hand may occur twice; those of a database are counted by their update."""
        samples = self.request.samples
        if self.no_samples or not isinstance(samples, nw.DataFrame):
            return False
        return rows_that_may_repeat(collect_to_polars(samples.select(self.spec.id_columns))) is not None

    def _nothing(self) -> nw.LazyFrame[Any]:
        """Return no expected rows, as there are no samples, or all parents are optional and none has a table yet.

        Where the feature has no table either, nothing says which types the IDs have.
        """
        if self.current:
            every = Latest(tuple(self.spec.id_columns), None, one_per_sample=False, include_deleted=True)
            return read_rows(self.current, self.spec, self.scope, every, [], None).head(0)
        members = {f.key.to_struct_key(): pl.String for f in self.spec.fields}
        columns = dict.fromkeys(self.spec.id_columns, pl.Null) | {METAXY_PROVENANCE_BY_FIELD: pl.Struct(members)}
        return nw.from_native(pl.LazyFrame(schema=columns))

    # -- placement -----------------------------------------------------------------------------------------------------

    def _place(self, inputs: Sequence[Rows]) -> tuple[Engine, list[Rows]]:
        """Choose the database where all rows are in it, else Polars, saying why."""
        if self.request.versioning_engine == "polars" or (self.no_samples and not self.current):
            return PolarsEngine(), list(inputs)
        reason = self._reason_to_leave()
        if reason is None:
            return self.store.engine, list(inputs)
        message = f"feature {self.spec.key}: {reason}"
        if self.request.versioning_engine == "native" and not len(self.store.fallback_stores):
            raise VersioningEngineMismatchError(f'{message}; use versioning_engine="auto"')
        warn_user(f"{message}; versions are computed with Polars", PolarsMaterializationWarning)
        return PolarsEngine(), list(inputs)

    def _reason_to_leave(self) -> str | None:
        """Say why the database of the store cannot compute this, None if it can, or if Polars computes anyway."""
        engine = self.store.engine
        if isinstance(engine, PolarsEngine):
            return None
        foreign = sorted(str(key) for key, found in self.parents.items() if found.store is not self.store)
        if foreign:
            return f"{', '.join(foreign)} comes from a fallback store, outside {self.store!r}"
        if engine.hashing(self.scope.algorithm) is not engine:
            return f"{self.store!r} has no {self.scope.algorithm.value}"
        return None
