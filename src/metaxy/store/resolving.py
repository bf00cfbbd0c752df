"""One resolution: a recipe, the rows that go into it, and the engine that runs it; computed when it is asked.

    tables → recipe → engine, from which come `changes` (at once), `lazy` (views), `tally` (counts) and `expected`

`resolve_update`, status, `rebase` and `compute_provenance` are this line, entered or left at another step.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import narwhals as nw
import polars as pl

from metaxy import columns as c
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError
from metaxy.storage.port import Scan
from metaxy.store.drift import warn_of_drift
from metaxy.store.given import without_repeats
from metaxy.store.parts import StoreParts
from metaxy.store.reading import readable
from metaxy.store.request import UpdateRequest
from metaxy.store.session import Scope
from metaxy.store.system.row_errors import latest, standing, with_ids
from metaxy.store.system.tables import COL_ATTEMPT, COL_RECORDED_AT
from metaxy.store.tables import ExpectedRows, Tables
from metaxy.store.unread import without_unread
from metaxy.store.untyped import without_placeholders
from metaxy.versioning.build import build_joined_recipe
from metaxy.versioning.codec import (
    ByField,
    ByFieldColumn,
    ChangedFields,
    EarlierRow,
    Form,
    OutputColumns,
    ReformedColumn,
    by_field_forms,
    output_arrow,
    output_polars,
)
from metaxy.versioning.column_types import flat_types
from metaxy.versioning.engine import Changes, Engine
from metaxy.versioning.frames import Frame, as_lazy, is_in_database
from metaxy.versioning.increment import Increment, LazyIncrement, Tally
from metaxy.versioning.polars_engine import PolarsEngine
from metaxy.versioning.recipe import BROKEN, COUNTS, DRIFTED, FAILED, NEW, ORPHANED, STALE, STORED, Recipe
from metaxy.versioning.sources import Asked, Failed, Rows


@dataclass(frozen=True)
class Resolution:
    """A recipe with the rows it runs on; shows what comes out.

    ``by_field`` is the form in which users see versions by field. ``in_polars`` shows Polars frames even where the
    engine answers in Arrow. ``untyped`` are columns of samples that something else stands in for. ``tables`` is where
    the rows come from, None for rows that the user joined. ``failed`` are samples that failed, if that matters.
    """

    engine: Engine
    recipe: Recipe
    inputs: Sequence[Rows]
    current: Rows | None
    by_field: Form
    in_polars: bool
    untyped: Mapping[str, pl.DataType] = field(default_factory=dict)
    tables: Tables | None = None
    failed: Failed | None = None

    @classmethod
    def of(
        cls,
        store: StoreParts,
        scope: Scope,
        plan: FeaturePlan,
        request: UpdateRequest,
        expected: Mapping[FeatureKey, ExpectedRows] = MappingProxyType({}),
    ) -> "Resolution":
        """Find the tables, build the recipe, and choose the engine; ``expected`` stand in for tables of parents.

        Raises:
            FeatureNotFoundError: if a required parent has no table.
        """
        tables = Tables.find(store, scope, plan, request, expected)
        given, engine = tables.inputs(), tables.engine()
        in_polars = _shows_polars(engine, request.samples)
        current = tables.current_rows(given.recipe)
        found = cls(engine, given.recipe, given.rows, current, scope.shape, in_polars, given.untyped, tables)
        return found._minding_errors(tables) if request.minds_errors else found

    @classmethod
    def of_joined(cls, engine: Engine, scope: Scope, plan: FeaturePlan, frame: Frame) -> "Resolution":
        """Build the recipe for rows that the user joined: the field formulas alone, without comparison."""
        in_database = is_in_database(frame)
        engine = engine.hashing(scope.algorithm) if in_database else PolarsEngine()
        rows = engine.take(frame) if in_database else as_lazy(frame)
        schema = rows.collect_schema()
        recipe = build_joined_recipe(plan, schema, scope.hash)
        needed = {version.column for version in recipe.inputs[0].versions}
        forms = by_field_forms(schema, needed)
        inputs = [Rows(rows, by_field=forms, schema=schema)]
        return cls(engine, recipe, inputs, None, scope.shape, _shows_polars(engine, frame))

    # -- what can be asked ---------------------------------------------------------------------------------------------

    def changes(self) -> Increment:
        """Run the recipe as one statement or plan, and split what comes out; tables without effect are looked at again.

        Raises:
            MetadataSchemaError: if an ID or a version that is needed is NULL.
            HashSettingsMismatchError: if a table has rows, but under other hash settings.
        """
        with self._readable():
            changes = self.engine.changes(self.recipe, self.inputs, self.current, self.failed)
        increment = self._split(changes)
        if self.tables:
            new = increment.counts["new"] + (increment.failed or 0)
            self.tables.refuse_where_nothing_counts(new, changes.expected)
            self.tables.warn_of_no_samples(changes.expected, orphaned=len(increment.orphaned))
        return increment

    def lazy(self) -> LazyIncrement:
        """Return views, each built and computed when it is asked for; or all at once, where views could not last.

        Views of a database end when its store is closed, but samples at hand do not.

        Raises:
            HashSettingsMismatchError: if a table has rows, but under other hash settings.
        """
        tables = self.tables
        if tables is None:
            return self.views()
        in_database = tables.samples_at_hand and not isinstance(tables.store.engine, PolarsEngine)
        unseen = self.recipe.earlier is not None and not self.engine.packs_lists
        unread = tables.request.unread is not None  # which views would show as new
        if in_database or unseen or unread or tables.samples_are_none:  # a warning must not come too late
            return LazyIncrement.of(self.changes(), self.expected if self.recipe.inputs else None)
        tables.refuse_other_settings()
        return (self._without_repeats() if tables.repeats_samples() else self).views()

    def tally(self) -> Tally:
        """Count the samples of each kind in one statement or plan; none is fetched.

        Raises:
            MetadataSchemaError: if an ID or a version that is needed is NULL.
            HashSettingsMismatchError: if a table has rows, but under other hash settings.
        """
        with self._readable():
            counts = self.engine.count(self.recipe, self.inputs, self.current, self.failed)
        if counts.statuses.get(BROKEN):
            self.changes()  # says which and why
        drifted = counts.statuses.get(DRIFTED, 0) if self._shows_drift else None
        numbers = [counts.statuses.get(status, 0) for status in (NEW, STALE, ORPHANED, COUNTS, STORED)]
        changed = {member: counts.fields[flag] for member, flag in self._flags.items() if counts.fields[flag]}
        failed = counts.statuses.get(FAILED, 0)
        tally = Tally._make([*numbers, changed if self.recipe.earlier else None, failed, drifted])
        if self.tables:
            self.tables.refuse_where_nothing_counts(tally.new + failed, tally.expected)
        return tally

    def expected(self) -> nw.LazyFrame[Any]:
        """Return the rows that the feature should have, as a view: the columns of new samples, and their versions."""
        flat = self.engine.lazy(self.recipe.without_comparison(), self.inputs, None)
        return self.engine.show(flat, [NEW, BROKEN], self._expected_columns)

    def without_earlier(self) -> "Resolution":
        """Return the same without looking up what samples were before."""
        return replace(self, recipe=replace(self.recipe, earlier=None)) if self.recipe.earlier else self

    def as_parent(self) -> ExpectedRows:
        """Return the expected rows as what goes into the resolution of a child, as if they had been stored."""
        frame = self.expected()
        schema = frame.collect_schema()
        scan = Scan(frame, schema, by_field=by_field_forms(schema))
        return ExpectedRows(self.engine, scan, self.recipe.repeats)

    @property
    def sample_types(self) -> dict[str, nw.dtypes.DType]:
        """The columns on which expected and stored rows meet, as the user sees them, with their types."""
        types = flat_types(self.recipe.without_comparison(), [rows.types for rows in self.inputs], None)
        return {name: types[short] for name, short in self.recipe.match_by_name.items()}

    def _minding_errors(self, tables: Tables) -> "Resolution":
        """Return the same for samples that failed, or without them; the same itself, if none did that matters."""
        request, version = tables.request, tables.scope.version(tables.plan.feature.key)
        errors = latest(standing(tables.store, tables.plan.feature.key, version, request.as_of))
        only, given_up = request.errors == "only", _given_up(request)
        if given_up:
            tried = pl.any_horizontal(given_up)
            errors = errors.filter(~tried if only else tried)
        if errors.is_empty() and not only:
            return self
        types = self.sample_types
        ids, those = with_ids(errors, types, types)
        keys = {f"e{n}": pl.col(name) for n, name in enumerate(types)}
        frame = nw.from_native(ids.select(**keys, ep=those[c.METAXY_PROVENANCE]))
        return replace(self, failed=Failed(self.engine.take(frame), only))

    def _readable(self) -> AbstractContextManager[None]:
        return readable(f"feature {self.recipe.feature}")

    # -- columns -------------------------------------------------------------------------------------------------------

    @cached_property
    def _expected_columns(self) -> OutputColumns:
        """The columns of new and stale samples: those of the parents or samples, and the four versions."""
        members = tuple(f.member for f in self.recipe.fields)
        packed = ByFieldColumn(ByField(self.by_field, members), {f.member: f.short for f in self.recipe.fields})
        own: dict[str, Any] = {column.name: column.short for column in self.recipe.output}
        versions: dict[str, Any] = {c.METAXY_PROVENANCE_BY_FIELD: packed, c.METAXY_PROVENANCE: "p"}
        if c.METAXY_DATA_VERSION_BY_FIELD not in own:
            versions |= {c.METAXY_DATA_VERSION: "p", c.METAXY_DATA_VERSION_BY_FIELD: packed}
        return own | versions

    @property
    def _flags(self) -> dict[str, str]:
        """The short names that say which fields changed, none if that was not asked."""
        flags = self.recipe.earlier.flags if self.recipe.earlier else ()
        return {formula.member: flag for formula, flag in zip(self.recipe.fields, flags, strict=bool(flags))}

    @cached_property
    def _changed_columns(self) -> OutputColumns:
        """The columns of new and stale samples, with what was asked about their earlier rows."""
        earlier = self.recipe.earlier
        if earlier is None:
            return self._expected_columns
        row = EarlierRow({column.name: column.short for column in earlier.columns})
        return {**self._expected_columns, c.METAXY_CHANGED_FIELDS: ChangedFields(self._flags), c.METAXY_PREVIOUS: row}

    @cached_property
    def _orphaned_columns(self) -> OutputColumns:
        """The columns of orphaned samples: those that are stored, or those of new ones where nothing is compared."""
        current = self.recipe.current
        if current is None or self.current is None or not self.recipe.compare:
            return self._expected_columns
        shown: dict[str, Any] = {column.name: column.short for column in current.columns}
        for name, form in self.current.by_field.items():
            if form.form != self.by_field:
                members = tuple(f.member for f in self.recipe.fields)
                shown[name] = ReformedColumn(shown[name], form, ByField(self.by_field, members))
        return shown

    @property
    def _shows_drift(self) -> bool:
        """Whether samples of equal versions are shown whose payload differs, should there be any."""
        only = self.failed is not None and self.failed.only
        request = self.tables.request if self.tables else None
        if request is None or request.drift != DRIFTED or only:
            return False
        return self.recipe.payload is not None or request.samples is not None

    @cached_property
    def _drifted_columns(self) -> OutputColumns:
        """The columns of drifted samples: what is expected, and of what is stored what that does not say.

        Children depend on data versions: those that are stored stay, or children would be stale.
        """
        if not self.recipe.drifts:
            return self._expected_columns
        payload, stored = self.recipe.payload, self.recipe.current.columns if self.recipe.current else ()
        kept = [column.name for column in stored if payload and column.short in payload.kept]
        expected = self._expected_columns
        if self.recipe.inputs:  # a child takes from its parents only what it has a copy of
            taken = {*self.recipe.match_by_name, *c.VERSION_COLUMNS, *(pair.name for pair in self.recipe.pairs)}
            expected = {name: item for name, item in expected.items() if name in taken}
        return {**expected, **{name: self._orphaned_columns[name] for name in kept}}

    @property
    def parent_columns(self) -> tuple[str, ...]:
        """The columns that tell the parents of an expansion apart, none elsewhere."""
        names = tuple(self.recipe.match_by_name)
        ids = self.tables.plan.feature.id_columns if self.tables else names
        return names if set(ids) != set(names) else ()

    def _sample_columns(self) -> list[str]:
        """Name the columns by which samples are counted, none where every row is one."""
        if not self.recipe.inputs or not self.recipe.repeats:
            return []
        return list(self.recipe.match_by_name)

    # -- frames --------------------------------------------------------------------------------------------------------

    def _split(self, changes: Changes) -> Increment:
        """Split flat rows by status."""
        table = changes.table
        if self.in_polars and not isinstance(table, pl.DataFrame):
            table = pl.DataFrame(table)
        unread = self._refuse_broken(table)
        if changes.repeated:
            return self._without_repeats().changes()

        new, stale = _show(table, NEW, self._changed_columns), _show(table, STALE, self._changed_columns)
        if self.untyped:
            new, stale = without_placeholders(new, self.untyped), without_placeholders(stale, self.untyped)
        increment = Increment(new, stale, _show(table, ORPHANED, self._orphaned_columns))
        fields = self._flags if self.recipe.earlier else None
        only = self.failed is not None and self.failed.only  # which says nothing of the others
        increment = increment.with_expected(None if only else changes.expected, self._sample_columns(), fields)
        increment = increment.with_parents(self.parent_columns)
        if self._shows_drift:
            increment = increment.with_payload(**{self._drift_name: self._drifted(table)})
        if unread is not None:
            increment = increment.with_unread(unread)
        counts = self.tables is not None and self.tables.request.minds_errors and not only
        return increment.with_failed(self._count_failed(table)) if counts else increment

    def _drifted(self, table: Any) -> nw.DataFrame[Any]:
        """Show samples of equal versions whose payload differs, with a warning."""
        drifted: nw.DataFrame[Any] = without_placeholders(_show(table, DRIFTED, self._drifted_columns), self.untyped)
        if len(drifted):
            warn_of_drift(self.recipe, table)
        return drifted

    @property
    def _drift_name(self) -> str:
        return "behind" if self.recipe.inputs else "drifted"

    def _count_failed(self, table: Any) -> int:
        """Count the samples of flat rows that are left out."""
        keys = pl.DataFrame(table.select(["status", *self.recipe.match])).filter(pl.col("status") == FAILED)
        return keys.n_unique() if self.recipe.repeats else keys.height

    def views(self) -> LazyIncrement:
        """Return views as `lazy` does, of tables that were looked at already."""

        def view(statuses: Sequence[int], columns: OutputColumns) -> nw.LazyFrame[Any]:
            flat = self.engine.show(self._flat, statuses, columns)
            shown: nw.LazyFrame[Any] = without_placeholders(flat, self.untyped)
            return shown

        drift: dict[str, Any] = {}
        if self._shows_drift:
            drift[self._drift_name] = partial(view, [DRIFTED], self._drifted_columns)
        return LazyIncrement(
            **drift,
            # A broken row stays visible, with NULL versions: writing it is refused.
            new=lambda: view([NEW, BROKEN], self._changed_columns),
            stale=lambda: view([STALE], self._changed_columns),
            orphaned=lambda: self.engine.show(self._flat, [ORPHANED], self._orphaned_columns),
            input=self.expected if self.recipe.inputs else None,
            compute=self.changes,
            sample_columns=self._sample_columns(),
        )

    @cached_property
    def _flat(self) -> nw.LazyFrame[Any]:
        return self.engine.lazy(self.recipe, self.inputs, self.current, self.failed)

    def _without_repeats(self) -> "Resolution":
        """Return the same of rows that the user gave, one of each sample.

        Raises:
            MetadataSchemaError: if rows of one sample differ.
        """
        given = self.inputs[0]
        asked = given.asked or Asked()
        frame = given.frame.filter(*asked.filters) if asked.filters else given.frame
        where, advice = f"the samples for feature {self.recipe.feature}", "pass each sample once"
        frame = without_repeats(frame, given.ids, where, advice)
        return replace(self, inputs=[replace(given, frame=frame, asked=replace(asked, filters=()))])

    # -- what must not be NULL -----------------------------------------------------------------------------------------

    def _refuse_broken(self, table: Any) -> int | None:
        """Refuse samples without versions, unless they say that they could not be read: count these, if any say so.

        Raises:
            MetadataSchemaError: if there are others.
        """
        unread = None if self.tables is None else self.tables.request.unread
        if isinstance(table, pl.DataFrame):
            broken = table.filter(pl.col("status") == BROKEN)
        elif (table["status"].to_numpy() == BROKEN).any():
            broken = pl.DataFrame(table).filter(pl.col("status") == BROKEN)
        else:
            return None if unread is None else 0
        refused = without_unread(broken, self.recipe, unread)
        if refused.height:
            raise MetadataSchemaError(f"feature {self.recipe.feature}: {self._explain(refused)}")
        return None if unread is None else broken.height

    def _explain(self, broken: pl.DataFrame) -> str:
        for name, short in self.recipe.match_by_name.items():
            count = broken[short].null_count()
            if count:
                return f"ID column {name!r} is NULL in {count} expected samples; filter these rows out, or delete them"
        for field_ in self.recipe.fields:
            count = broken[field_.short].null_count()
            if count:
                labels = [v.label for i in self.recipe.inputs for v in i.versions if v.short in field_.versions]
                source = f"{' or '.join(labels)} has no data version" if labels else "no version was given"
                return (
                    f"field {field_.member!r} cannot be versioned in {count} samples: {source}; write these rows again"
                )
        return f"{broken.height} samples have no version"


def _given_up(request: UpdateRequest) -> list[pl.Expr]:
    """Return what holds for errors after which a sample is not tried again, none if all are."""
    conditions = []
    if request.max_attempts is not None:
        conditions.append(pl.col(COL_ATTEMPT) >= request.max_attempts)
    if request.failed_before is not None:
        conditions.append(pl.col(COL_RECORDED_AT) >= request.failed_before.replace(tzinfo=None))
    return conditions


def _show(table: Any, status: int, shown: OutputColumns) -> nw.DataFrame[Any]:
    """Show the flat rows of a status, in the library that holds them."""
    if isinstance(table, pl.DataFrame):
        return nw.from_native(output_polars(table.lazy(), [status], shown).collect())
    return nw.from_native(output_arrow(table, [status], shown), eager_only=True)


def _shows_polars(engine: Engine, samples: Any) -> bool:
    """Return whether frames are shown as Polars: where Polars computes, and for samples that are Polars."""
    return isinstance(engine, PolarsEngine) or (samples is not None and samples.implementation.is_polars())
