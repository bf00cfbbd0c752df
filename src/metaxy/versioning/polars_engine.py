"""The engine that runs recipes with Polars."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.hashing import HashAlgorithm
from metaxy.versioning import polars as plan
from metaxy.versioning import polars_comparison as comparison
from metaxy.versioning.codec import OutputColumns, member_polars, output_polars, pack_polars
from metaxy.versioning.column_types import Types
from metaxy.versioning.computing import with_wide_integers
from metaxy.versioning.digests import Digest, digests_polars
from metaxy.versioning.engine import Changes, Counts, Engine, Target, View
from metaxy.versioning.frames import Frame, collect_to_polars, to_polars_lazy
from metaxy.versioning.polars_earlier import add_earlier, count_changed_fields
from metaxy.versioning.portable import computable
from metaxy.versioning.predicates import add_predicates, among_polars
from metaxy.versioning.recipe import COUNTS, STORED, Column, Current, Latest, Recipe
from metaxy.versioning.row_checks import Checks, check_polars
from metaxy.versioning.sources import Asked, Failed, Rows
from metaxy.versioning.system_columns import SystemColumns, system_columns_polars
from metaxy.versioning.unions import Union, union_polars


@dataclass(frozen=True)
class PolarsEngine:
    """Runs recipes with Polars, on frames of any kind."""

    @property
    def algorithms(self) -> frozenset[HashAlgorithm]:
        """Algorithms that polars-hash has."""
        return frozenset(plan.HASHES)

    @property
    def implementation(self) -> nw.Implementation:
        """Polars."""
        return nw.Implementation.POLARS

    @property
    def packs_lists(self) -> bool:
        """Polars can."""
        return True

    def temporary(self) -> AbstractContextManager[None]:
        """Do nothing: frames live as long as someone uses them."""
        return nullcontext()

    def changes(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, failed: Failed | None = None
    ) -> Changes:
        """Run a recipe in steps: all tables at once, then the join of the parents, the hashes and the comparison."""
        parents, compared = self._sources(recipe, inputs, current)
        here = [comparison.stored_rows(*compared, recipe.compared_columns)] if compared else []
        frames = pl.collect_all([*parents, *here])
        joined = plan.join_at_once(recipe, frames[: len(parents)])
        rows = plan.expected_rows(recipe, joined.lazy()).collect()
        if not recipe.inputs and plan.rows_that_may_repeat(rows.select(recipe.match)) is None:
            recipe = replace(recipe, repeats=False)
        if compared:
            stored = comparison.with_older(recipe, frames[-1].lazy(), rows.lazy())
            changed = comparison.changed_rows(recipe, rows, comparison.parents_of(recipe, stored).collect())
            changed = comparison.add_stored(recipe, changed, *compared)
        else:
            changed = comparison.changed_rows(recipe, rows, None)
        shown = comparison.with_failed(recipe, changed.lazy(), failed)
        changed = add_earlier(recipe, shown, self._earlier(recipe, current)).collect()
        samples = int(comparison.count_samples(recipe, rows.lazy()).collect().item())
        return Changes(changed, samples, 0 if recipe.inputs else rows.height - samples)

    def lazy(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, failed: Failed | None = None
    ) -> nw.LazyFrame[Any]:
        """Return the plan as a lazy frame."""
        stored = recipe.current.columns if recipe.current else ()
        changed = comparison.with_failed(recipe, self._plan(recipe, inputs, current, stored)[-1], failed)
        return nw.from_native(add_earlier(recipe, changed, self._earlier(recipe, current)))

    def _earlier(self, recipe: Recipe, current: Rows | None) -> plan.PolarsSource | None:
        return self.source(current.unfiltered) if current and recipe.earlier else None

    def count(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, failed: Failed | None = None
    ) -> Counts:
        """Count in one plan."""
        expected, stored, compared = self._plan(recipe, inputs, current, recipe.compared_columns)
        compared = comparison.with_failed(recipe, compared, failed)
        counted = [comparison.count(recipe, compared), comparison.count_samples(recipe, expected)]
        if stored is not None:
            rows = stored.filter("live") if recipe.current and recipe.current.collapse else stored
            counted.append(rows.select(pl.len()))
        counted.append(count_changed_fields(recipe, compared, self._earlier(recipe, current)))
        found, total, *here, changed = pl.collect_all(counted)
        stored_rows = int(here[0].item()) if here else 0
        statuses = {**dict(found.iter_rows()), COUNTS: int(total.item()), STORED: stored_rows}
        return Counts(statuses, changed.row(0, named=True) if recipe.earlier else {})

    def _sources(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None
    ) -> tuple[list[pl.LazyFrame], tuple[Current, plan.PolarsSource] | None]:
        """Return the rows of each parent, and those that are there with what they are, where they are compared."""
        parents = plan.parent_rows(recipe, [self.source(rows) for rows in inputs])
        if current and recipe.current and recipe.compare:
            return parents, (recipe.current, self.source(current))
        return parents, None

    def _plan(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, columns: Sequence[Column]
    ) -> tuple[pl.LazyFrame, pl.LazyFrame | None, pl.LazyFrame]:
        """Return the plans of the expected rows, of those that are stored, and of those that changed."""
        parents, compared = self._sources(recipe, inputs, current)
        expected = plan.expected_rows(recipe, plan.join_lazily(recipe, parents))
        if compared is None:
            return expected, None, comparison.compare(recipe, expected, None)
        stored = comparison.with_older(recipe, comparison.stored_rows(*compared, columns), expected)
        changed = comparison.compare(recipe, expected, comparison.parents_of(recipe, stored))
        return expected, stored, comparison.with_children(recipe, changed, stored)

    def latest(self, rows: Rows, latest: Latest, columns: Sequence[str], view: View) -> nw.LazyFrame[Any]:
        """Return the rows that count, as a Polars lazy frame."""
        source = self.source(rows)
        schema = source.frame.collect_schema()
        values = {c: pl.col(c) for c in columns}
        for column, form in view.forms.items():
            members = {m: member_polars(schema[column], column, m) for m in view.members}
            values[column] = pack_polars(form, members).alias(column)
        return nw.from_native(plan.latest_rows(source, latest, columns).select(*values.values()))

    def digests(self, rows: nw.LazyFrame[Any], columns: Sequence[str], flags: Sequence[str]) -> Sequence[Digest]:
        """Hash with Polars."""
        return digests_polars(rows, columns, flags)

    def among(self, rows: nw.LazyFrame[Any], others: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Look each row up with Polars."""
        return nw.from_native(among_polars(to_polars_lazy(rows), to_polars_lazy(others)))

    def show(self, flat: nw.LazyFrame[Any], statuses: Sequence[int], shown: OutputColumns) -> nw.LazyFrame[Any]:
        """Show rows as a plan."""
        return nw.from_native(output_polars(to_polars_lazy(flat), statuses, shown))

    def take(self, frame: Frame, *, reread: bool = False) -> nw.LazyFrame[Any]:  # noqa: ARG002
        """Collect a frame, so that it is checked and stored as one state of its data."""
        return nw.from_native(collect_to_polars(frame).lazy())

    def rebound(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any] | None:  # noqa: ARG002
        """Return None: rows are collected anyway, in batches that fit into memory."""
        return None

    def union(self, union: Union) -> tuple[nw.LazyFrame[Any], str | None] | None:
        """Return a plan over all tables, wherever they are."""
        return nw.from_native(union_polars(union)), None

    def hashing(self, algorithm: HashAlgorithm) -> "Engine":  # noqa: ARG002 - what Polars lacks is refused at open
        """Return this engine."""
        return self

    def for_writing(self, frame: Frame, algorithm: HashAlgorithm) -> "Engine":  # noqa: ARG002
        """Return this engine: Polars takes every frame."""
        return self

    def casting(self, casts: Types) -> "Engine":  # noqa: ARG002 - Polars reaches into everything
        """Return this engine."""
        return self

    def check(self, frame: nw.LazyFrame[Any], checks: Checks) -> Mapping[str, int]:
        """Count with Polars."""
        return check_polars(checks, collect_to_polars(frame))

    def add_system_columns(self, frame: nw.LazyFrame[Any], system: SystemColumns, target: Target) -> nw.LazyFrame[Any]:
        """Version rows with Polars."""
        casts = nw.Schema(target.casts).to_polars()
        return nw.from_native(system_columns_polars(system, to_polars_lazy(frame), casts))

    def source(self, rows: Rows) -> plan.PolarsSource:
        """Add the flags that the user's filters ask for."""
        asked = rows.asked or Asked()
        filters, renamed, stale = (
            list(map(with_wide_integers, given)) for given in (asked.filters, asked.renamed_filters, asked.stale)
        )
        asked = replace(asked, filters=filters, renamed_filters=renamed, stale=stale)
        frame: nw.LazyFrame[Any] = nw.from_native(to_polars_lazy(rows.frame))
        frame = frame if asked.among is None else self.among(frame, asked.among)
        with computable(rows.where, "Polars"):
            flagged = add_predicates(frame, rows.ids, asked)
        return plan.PolarsSource(flagged.frame.to_native(), flagged.keep, flagged.stale)
