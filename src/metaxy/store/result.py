"""From the flat rows of a recipe to the three frames that the user sees."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import polars as pl

from metaxy import columns as c
from metaxy.errors import MetadataSchemaError
from metaxy.store.repeats import without_repeats
from metaxy.store.untyped import without_placeholders
from metaxy.versioning.codec import ByField, Form
from metaxy.versioning.engine import Changes, Engine, PolarsEngine, Rows
from metaxy.versioning.increment import Increment, LazyIncrement, Tally
from metaxy.versioning.recipe import BROKEN, COUNTS, NEW, ORPHANED, STALE, Recipe
from metaxy.versioning.show import Packed, Repacked, Shown, show_arrow, show_polars


@dataclass(frozen=True)
class Result:
    """A recipe with the rows it runs on; shows what comes out.

    ``by_field`` is the form in which users see versions by field. ``in_polars`` shows Polars frames even where the
    engine answers in Arrow. ``untyped`` are columns of samples that something else stands in for.
    """

    engine: Engine
    recipe: Recipe
    inputs: list[Rows]
    current: Rows | None
    by_field: Form
    in_polars: bool
    untyped: Mapping[str, pl.DataType]

    # -- columns -------------------------------------------------------------------------------------------------------

    @property
    def expected(self) -> Shown:
        """The columns of new and stale samples: those of the parents or samples, and the four versions."""
        members = tuple(f.member for f in self.recipe.fields)
        packed = Packed(ByField(self.by_field, members), {f.member: f.short for f in self.recipe.fields})
        own: dict[str, Any] = {column.name: column.short for column in self.recipe.output}
        versions: dict[str, Any] = {c.METAXY_PROVENANCE_BY_FIELD: packed, c.METAXY_PROVENANCE: "p"}
        if c.METAXY_DATA_VERSION_BY_FIELD not in own:
            versions |= {c.METAXY_DATA_VERSION: "p", c.METAXY_DATA_VERSION_BY_FIELD: packed}
        return own | versions

    @property
    def stored(self) -> Shown | None:
        """The columns of orphaned samples, None where nothing is stored to compare with."""
        current = self.recipe.current
        if current is None or self.current is None or not self.recipe.compare:
            return None
        shown: dict[str, Any] = {column.name: column.short for column in current.columns}
        for name, form in self.current.by_field.items():
            if form.form != self.by_field:
                members = tuple(f.member for f in self.recipe.fields)
                shown[name] = Repacked(shown[name], form, ByField(self.by_field, members))
        return shown

    # -- frames --------------------------------------------------------------------------------------------------------

    def eager(self) -> Increment:
        """Run the recipe at once.

        Raises:
            MetadataSchemaError: if an ID or a version that is needed is NULL.
        """
        return self.split(self.run())

    def run(self) -> Changes:
        """Run the recipe as one statement or plan."""
        return self.engine.changes(self.recipe, self.inputs, self.current)

    def split(self, changes: Changes) -> Increment:
        """Split flat rows by status."""
        table = changes.table
        if self.in_polars and not isinstance(table, pl.DataFrame):
            table = pl.DataFrame(table)
        self._refuse_broken(table)
        if changes.repeated:
            return self.without_repeats().eager()

        def show(status: int, shown: Shown) -> nw.DataFrame[Any]:
            if isinstance(table, pl.DataFrame):
                return nw.from_native(show_polars(table.lazy(), [status], shown).collect())
            return nw.from_native(show_arrow(table, [status], shown), eager_only=True)

        orphaned = show(ORPHANED, self.stored or self.expected)
        new, stale = (without_placeholders(show(status, self.expected), self.untyped) for status in (NEW, STALE))
        increment = Increment(new, stale, orphaned)
        return increment.with_expected(changes.expected, self._sample_columns())

    def without_repeats(self) -> "Result":
        """Return the same of rows that the user gave, one of each sample.

        Raises:
            MetadataSchemaError: if rows of one sample differ.
        """
        given = self.inputs[0]
        frame = given.frame.filter(*given.filters) if given.filters else given.frame
        where, advice = f"the samples for feature {self.recipe.feature}", "pass each sample once"
        frame = without_repeats(frame, given.ids, where, advice)
        return replace(self, inputs=[replace(given, frame=frame, filters=())])

    def _sample_columns(self) -> list[str]:
        """Name the columns by which samples are counted, none where every row is one."""
        if not self.recipe.inputs or not self.recipe.repeats:
            return []
        names = {column.short: column.name for column in self.recipe.output}
        return [names[short] for short in self.recipe.match]

    def lazy(self) -> LazyIncrement:
        """Return views that are computed when they are collected."""
        flat = self.engine.lazy(self.recipe, self.inputs, self.current)
        show = self.engine.show
        # A broken row stays visible, as new, with NULL versions: writing it is refused.
        return LazyIncrement(
            new=without_placeholders(show(flat, [NEW, BROKEN], self.expected), self.untyped),
            stale=without_placeholders(show(flat, [STALE], self.expected), self.untyped),
            orphaned=show(flat, [ORPHANED], self.stored or self.expected),
            input=self._input(),
            compute=self.eager,
        )

    def _input(self) -> nw.LazyFrame[Any] | None:
        if not self.recipe.inputs:
            return None
        flat = self.engine.lazy(self.recipe.without_comparison(), self.inputs, None)
        return self.engine.show(flat, [NEW, BROKEN], self.expected)

    def tally(self) -> Tally:
        """Count the samples of each kind in one statement or plan; none is fetched.

        Raises:
            MetadataSchemaError: if an ID or a version that is needed is NULL.
        """
        counts = self.engine.count(self.recipe, self.inputs, self.current)
        if counts.get(BROKEN):
            self.eager()  # says which and why
        return Tally(counts.get(NEW, 0), counts.get(STALE, 0), counts.get(ORPHANED, 0), counts[COUNTS])

    # -- what must not be NULL -----------------------------------------------------------------------------------------

    def _refuse_broken(self, table: Any) -> None:
        if isinstance(table, pl.DataFrame):
            broken = table.filter(pl.col("status") == BROKEN)
        elif (table["status"].to_numpy() == BROKEN).any():
            broken = pl.DataFrame(table).filter(pl.col("status") == BROKEN)
        else:
            return
        if broken.height:
            raise MetadataSchemaError(f"feature {self.recipe.feature}: {self._explain(broken)}")

    def _explain(self, broken: pl.DataFrame) -> str:
        names = {column.short: column.name for column in self.recipe.output}
        for short in self.recipe.match:
            count = broken[short].null_count()
            if count:
                name = names.get(short, short)
                return f"ID column {name!r} is NULL in {count} expected samples; filter these rows out, or delete them"
        for field in self.recipe.fields:
            count = broken[field.short].null_count()
            if count:
                labels = [v.label for i in self.recipe.inputs for v in i.versions if v.short in field.versions]
                source = f"{' or '.join(labels)} has no data version" if labels else "no version was given"
                return (
                    f"field {field.member!r} cannot be versioned in {count} samples: {source}; write these rows again"
                )
        return f"{broken.height} samples have no version"


def shows_polars(engine: Engine, samples: Any) -> bool:
    """Return whether frames are shown as Polars: where Polars computes, and for samples that are Polars."""
    return isinstance(engine, PolarsEngine) or (samples is not None and samples.implementation.is_polars())
