"""Engines, which run a recipe: a database by one statement, or Polars by one plan.

Both engines take rows as storages give them and return flat columns with the short names of the recipe; packing them
for the user is not their job.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_DELETED_AT, METAXY_FEATURE_VERSION, METAXY_UPDATED_AT
from metaxy.hashing import SEPARATOR, HashAlgorithm
from metaxy.versioning import polars as plan
from metaxy.versioning import sql
from metaxy.versioning.codec import (
    ByField,
    OutputColumns,
    member_polars,
    output_polars,
    output_sql,
    output_types,
    pack_polars,
    pack_sql,
    type_of,
)
from metaxy.versioning.column_types import Types, flat_types
from metaxy.versioning.database import Database, TypesOf
from metaxy.versioning.frames import Frame, collect_to_polars, to_polars_lazy
from metaxy.versioning.latest import pick
from metaxy.versioning.predicates import add_predicates
from metaxy.versioning.recipe import COUNTS, STORED, Column, Latest, Recipe
from metaxy.versioning.row_checks import Checks, check_polars, check_sql, counts_sql
from metaxy.versioning.sources import Source
from metaxy.versioning.system_columns import (
    SystemColumns,
    system_column_types,
    system_columns_polars,
    system_columns_sql,
)


@dataclass(frozen=True)
class Rows:
    """Rows that go into a recipe: a relation, the form of its by-field columns, and what the user asks of it.

    ``table`` is the quoted name where the relation is a plain table of the engine's database; ``schema`` are the types
    of its columns, if they are at hand.
    """

    frame: nw.LazyFrame[Any]
    table: str | None = None
    by_field: Mapping[str, ByField] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    filters: tuple[nw.Expr, ...] = ()
    renamed_filters: tuple[nw.Expr, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    stale: tuple[nw.Expr, ...] = ()
    schema: Types = field(default_factory=dict)

    @property
    def types(self) -> Types:
        """Types of the columns; some libraries run a query to learn them."""
        return self.schema or self.frame.collect_schema()

    @property
    def is_plain(self) -> bool:
        """Whether the user asks nothing of these rows."""
        return not (self.filters or self.renamed_filters or self.stale)


@dataclass(frozen=True)
class View:
    """By-field columns that a user must see in another form than their table keeps them."""

    forms: Mapping[str, ByField] = field(default_factory=dict)
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changes:
    """Changed samples as one flat table (Arrow or Polars) with ``status``, and how many samples are expected.

    ``repeated`` is how many rows that the user gave are of a sample that another row is of.
    """

    table: Any
    expected: int
    repeated: int = 0


@dataclass(frozen=True)
class Target:
    """The table that rows are written to: the types that columns are cast to, and those of the table, as SQL.

    A column whose SQL type is not there is cast by its storage, which changes that type.
    """

    casts: Types = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """What the store needs of an engine."""

    @property
    def algorithms(self) -> frozenset[HashAlgorithm]:
        """Algorithms that it can compute."""

    @property
    def implementation(self) -> nw.Implementation:
        """Library of the lazy frames that it returns."""

    def temporary(self) -> AbstractContextManager[None]:
        """Return a block; frames that were taken in it are of no use after it."""

    def changes(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> Changes:
        """Run a recipe at once."""

    def lazy(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> nw.LazyFrame[Any]:
        """Return the changed samples as a lazy frame."""

    def count(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> Mapping[int, int]:
        """Count the changed samples of each status and, under `COUNTS`, the expected ones; no sample is fetched."""

    def latest(self, rows: Rows, latest: Latest, columns: Sequence[str], view: View) -> nw.LazyFrame[Any]:
        """Return the rows that count, with these columns."""

    def show(self, flat: nw.LazyFrame[Any], statuses: Sequence[int], shown: OutputColumns) -> nw.LazyFrame[Any]:
        """Show flat rows of some statuses as users see them."""

    def take(self, frame: Frame, *, reread: bool = False) -> nw.LazyFrame[Any]:
        """Bring a frame of the user to where the engine computes; ``reread``: it will be read several times."""

    def rebound(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any] | None:
        """Return a frame over tables of another store as one of this engine's, None if it cannot read them itself."""

    def hashing(self, algorithm: HashAlgorithm) -> "Engine":
        """Return this engine or, for an algorithm that its database lacks, Polars."""

    def for_writing(self, frame: Frame, algorithm: HashAlgorithm) -> "Engine":
        """Return the engine that checks and versions a frame of the user before it is stored."""

    def casting(self, casts: Types) -> "Engine":
        """Return this engine or, for casts inside of what its database keeps as text, Polars."""

    def check(self, frame: nw.LazyFrame[Any], checks: Checks) -> Mapping[str, int]:
        """Count what may be wrong with rows before they are stored."""

    def add_system_columns(self, frame: nw.LazyFrame[Any], system: SystemColumns, target: Target) -> nw.LazyFrame[Any]:
        """Version rows that are written, with the types that their table has."""


@dataclass(frozen=True)
class SqlEngine:
    """Runs recipes inside a database."""

    database: Database

    @property
    def algorithms(self) -> frozenset[HashAlgorithm]:
        """Algorithms that the dialect can write, and those of Polars, which computes them in its place."""
        return frozenset(self.database.dialect.hashes) | frozenset(plan.HASHES)

    @property
    def implementation(self) -> nw.Implementation:
        """Library of the database's lazy frames."""
        return self.database.implementation

    def temporary(self) -> AbstractContextManager[None]:
        """Let go of the frames that were put beside the tables, as soon as the block ends."""
        return self.database.temporary()

    def changes(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> Changes:
        """Run a recipe as one statement."""
        table = self.database.fetch(self.statement(recipe, inputs, current), self._flat(recipe, inputs, current))
        status = table.column("status").to_numpy()
        counts = (status == COUNTS).nonzero()[0]
        if not len(counts):
            return Changes(table, len(status))
        samples, _, rows = table.column("p")[int(counts[0])].as_py().partition(SEPARATOR)
        return Changes(table, int(samples), int(rows or samples) - int(samples))

    def lazy(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> nw.LazyFrame[Any]:
        """Return the statement as a lazy frame."""
        rows = self.database.relation(self.statement(recipe, inputs, current), self._flat(recipe, inputs, current))
        return rows.filter(nw.col("status") != COUNTS)

    def _flat(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> TypesOf:
        return lambda: flat_types(recipe, [rows.types for rows in inputs], current.types if current else None)

    def count(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> Mapping[int, int]:
        """Count in the database."""
        query = sql.count(recipe, *self._written(recipe, inputs, current), self.database.dialect)
        types = {"status": nw.Int32(), "n": nw.Int64(), "total": nw.String()}
        rows = self.database.fetch(query, lambda: types).to_pylist()
        totals = {row["status"]: row["total"] for row in rows if row["status"] in (COUNTS, STORED)}
        total = {status: int(text.partition(SEPARATOR)[0]) for status, text in totals.items()}
        counts = {row["status"]: row["n"] for row in rows if row["status"] not in total}
        return {COUNTS: sum(counts.values()), STORED: 0, **counts, **total}

    def latest(self, rows: Rows, latest: Latest, columns: Sequence[str], view: View) -> nw.LazyFrame[Any]:
        """Return the rows that count, as a lazy frame of the database."""
        dialect, source = self.database.dialect, self.source(rows)
        ctes, picked = pick(source, latest, dialect, "r")
        values = {c: f"mx_t.{dialect.quote(c)}" for c in columns}
        for column, form in view.forms.items():
            members = {m: source.member(column, m, dialect) for m in view.members}
            values[column] = f"{pack_sql(form, members, dialect)} AS {dialect.quote(column)}"
        select = picked.select(list(values.values()))
        query = ("WITH " + ",\n".join(ctes) + "\n" if ctes else "") + select
        return self.database.relation(
            query, lambda: {c: type_of(view.forms[c]) if c in view.forms else rows.types[c] for c in columns}
        )

    def show(self, flat: nw.LazyFrame[Any], statuses: Sequence[int], shown: OutputColumns) -> nw.LazyFrame[Any]:
        """Show rows as a query."""
        query = output_sql(self.database.query_of(flat), statuses, shown, self.database.dialect)
        return self.database.relation(query, lambda: output_types(shown, flat.collect_schema()))

    def take(self, frame: Frame, *, reread: bool = False) -> nw.LazyFrame[Any]:
        """Use a frame of this database as it is, and put any other beside the tables."""
        if isinstance(frame, nw.LazyFrame) and self.database.owns(frame):
            return self.database.embeddable(frame, reread=reread)
        return self.database.load(frame)

    def rebound(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any] | None:
        """Ask the database."""
        return self.database.rebound(frame)

    def hashing(self, algorithm: HashAlgorithm) -> "Engine":
        """Return this engine, if the dialect can write the algorithm."""
        return self if algorithm in self.database.dialect.hashes else PolarsEngine()

    def for_writing(self, frame: Frame, algorithm: HashAlgorithm) -> "Engine":
        """Leave frames of other places to Polars, if the database would have to copy them only to look at them."""
        here = isinstance(frame, nw.LazyFrame) and self.database.owns(frame)
        return self.hashing(algorithm) if here or self.database.reads_frames else PolarsEngine()

    def casting(self, casts: Types) -> "Engine":
        """Leave to Polars what a cast of a text would not change."""
        texts = self.database.dialect.nested_as_text and any(dtype.is_nested() for dtype in casts.values())
        return PolarsEngine() if texts else self

    def check(self, frame: nw.LazyFrame[Any], checks: Checks) -> Mapping[str, int]:
        """Count in the database what is in it; Polars counts its own rows with half of the work."""
        if frame.implementation.is_polars():
            return PolarsEngine().check(frame, checks)
        dialect = self.database.dialect
        query = check_sql(checks, f"({self.database.query_of(frame)})", dialect)
        names = (*counts_sql(checks, dialect), "samples")
        counts: dict[str, int] = self.database.fetch(query, lambda: dict.fromkeys(names, nw.Int64())).to_pylist()[0]
        return counts

    def add_system_columns(self, frame: nw.LazyFrame[Any], system: SystemColumns, target: Target) -> nw.LazyFrame[Any]:
        """Version rows in the database."""
        casts = {name: target.types[name] for name in target.casts if name in target.types}
        source = f"({self.database.query_of(frame)})"
        query = system_columns_sql(system, source, self.database.dialect, casts)
        return self.database.relation(query, lambda: system_column_types(system, frame.collect_schema(), target.casts))

    def statement(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> str:
        """Write the statement of a recipe."""
        return sql.render(recipe, *self._written(recipe, inputs, current), self.database.dialect)

    def _written(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None
    ) -> tuple[tuple[Source, ...], Source | None]:
        """Write what follows FROM for each input, and for the rows that are there, where they are compared."""
        sources = tuple([self.source(rows) for rows in inputs])
        return sources, self.source(current) if current and recipe.current and recipe.compare else None

    def source(self, rows: Rows) -> Source:
        """Write what follows FROM: the table itself where nothing is asked of it, else a query with flags."""
        dialect, columns = self.database.dialect, tuple(rows.schema or rows.frame.columns)
        plain = Source("", columns, rows.by_field, types=rows.schema)
        hidden = dialect.row_id in {column.lower() for column in columns}  # by a user column of that name
        if rows.table and not hidden:
            plain = replace(plain, deep=self._is_deep(rows, rows.table))
        if rows.is_plain and rows.table:
            return replace(plain, sql=rows.table, row_id=None if hidden else dialect.row_id)
        frame, row_id = rows.frame, None
        if rows.table and dialect.row_id and not hidden:
            row_id = "__metaxy_row"
            query = f"SELECT {dialect.row_id} AS {row_id}, * FROM {rows.table}"
            frame = self.database.relation(query, lambda: {"__metaxy_row": nw.Int64(), **rows.types})
        flagged = add_predicates(frame, rows.ids, rows.filters, rows.renamed_filters, rows.rename, rows.stale)
        query = f"({self.database.query_of(flagged.frame)})"
        return replace(plain, sql=query, row_id=row_id, keep=flagged.keep, stale=flagged.stale)

    def _is_deep(self, rows: Rows, table: str) -> bool:
        times = [rows.schema[c] for c in (METAXY_DELETED_AT, METAXY_UPDATED_AT) if c in rows.schema]
        if not (self.database.dialect.wide_time and rows.ids and times and all(t == nw.Datetime for t in times)):
            return False
        return self.database.is_deep(table, [*rows.ids, METAXY_FEATURE_VERSION])


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

    def temporary(self) -> AbstractContextManager[None]:
        """Do nothing: frames live as long as someone uses them."""
        return nullcontext()

    def changes(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> Changes:
        """Run a recipe in steps: all tables at once, then the join of the parents, the hashes and the comparison."""
        parents, source = self._sources(recipe, inputs, current)
        stored = [plan.stored_rows(recipe.current, source, ())] if source and recipe.current else []
        frames = pl.collect_all([*parents, *stored])
        joined = plan.join_at_once(recipe, frames[: len(parents)])
        rows = plan.expected_rows(recipe, joined.lazy()).collect()
        if not recipe.inputs and plan.rows_that_may_repeat(rows.select(recipe.match)) is None:
            recipe = replace(recipe, repeats=False)
        changed = plan.changed_rows(recipe, rows, frames[-1] if stored else None)
        if source and recipe.current:
            changed = plan.add_stored(changed, recipe.current, source)
        samples = int(plan.count_samples(recipe, rows.lazy()).collect().item())
        return Changes(changed, samples, 0 if recipe.inputs else rows.height - samples)

    def lazy(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> nw.LazyFrame[Any]:
        """Return the plan as a lazy frame."""
        stored = recipe.current.columns if recipe.current else ()
        return nw.from_native(self._plan(recipe, inputs, current, stored)[-1])

    def count(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> Mapping[int, int]:
        """Count in one plan."""
        expected, stored, compared = self._plan(recipe, inputs, current, counted=True)
        counted = [plan.count(recipe, compared), plan.count_samples(recipe, expected)]
        if stored is not None:
            counted.append(stored.select(pl.col("rows").sum()))
        found, total, *rows = pl.collect_all(counted)
        return {**dict(found.iter_rows()), COUNTS: int(total.item()), STORED: int(rows[0].item()) if rows else 0}

    def _sources(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None
    ) -> tuple[list[pl.LazyFrame], plan.PolarsSource | None]:
        """Return the rows of each parent, and those that are there, where they are compared."""
        parents = plan.parent_rows(recipe, [self.source(rows) for rows in inputs])
        return parents, self.source(current) if current and recipe.compare else None

    def _plan(
        self,
        recipe: Recipe,
        inputs: Sequence[Rows],
        current: Rows | None,
        columns: Sequence[Column] = (),
        *,
        counted: bool = False,
    ) -> tuple[pl.LazyFrame, pl.LazyFrame | None, pl.LazyFrame]:
        """Return the plans of the expected rows, of those that are compared with them, and of those that changed."""
        parents, source = self._sources(recipe, inputs, current)
        expected = plan.expected_rows(recipe, plan.join_lazily(recipe, parents))
        rows = (recipe.current, source, columns) if source and recipe.current else None
        stored = plan.stored_rows(*rows, counted=counted) if rows else None
        return expected, stored, plan.compare(recipe, expected, stored)

    def latest(self, rows: Rows, latest: Latest, columns: Sequence[str], view: View) -> nw.LazyFrame[Any]:
        """Return the rows that count, as a Polars lazy frame."""
        source = self.source(rows)
        schema = source.frame.collect_schema()
        values = {c: pl.col(c) for c in columns}
        for column, form in view.forms.items():
            members = {m: member_polars(schema[column], column, m) for m in view.members}
            values[column] = pack_polars(form, members).alias(column)
        return nw.from_native(plan.latest_rows(source, latest, columns).select(*values.values()))

    def show(self, flat: nw.LazyFrame[Any], statuses: Sequence[int], shown: OutputColumns) -> nw.LazyFrame[Any]:
        """Show rows as a plan."""
        return nw.from_native(output_polars(to_polars_lazy(flat), statuses, shown))

    def take(self, frame: Frame, *, reread: bool = False) -> nw.LazyFrame[Any]:  # noqa: ARG002
        """Collect a frame, so that it is checked and stored as one state of its data."""
        return nw.from_native(collect_to_polars(frame).lazy())

    def rebound(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any] | None:  # noqa: ARG002
        """Return None: rows are collected anyway, in batches that fit into memory."""
        return None

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
        flagged = add_predicates(
            nw.from_native(to_polars_lazy(rows.frame)),
            rows.ids,
            rows.filters,
            rows.renamed_filters,
            rows.rename,
            rows.stale,
        )
        return plan.PolarsSource(flagged.frame.to_native(), flagged.keep, flagged.stale)
