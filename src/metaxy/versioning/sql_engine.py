"""The engine that runs recipes inside a database, each as one statement."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw

from metaxy.columns import METAXY_DELETED_AT, METAXY_FEATURE_VERSION, METAXY_UPDATED_AT
from metaxy.hashing import SEPARATOR, HashAlgorithm
from metaxy.versioning import polars as plan
from metaxy.versioning import sql
from metaxy.versioning.codec import OutputColumns, output_sql, output_types, pack_sql, type_of
from metaxy.versioning.column_types import Types, flat_types
from metaxy.versioning.database import Database, TypesOf
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.digests import Digest, digest_types, digests_in_row, digests_polars, digests_sql
from metaxy.versioning.engine import Changes, Counts, Engine, Target, View
from metaxy.versioning.frames import Frame
from metaxy.versioning.latest import pick
from metaxy.versioning.polars_engine import PolarsEngine
from metaxy.versioning.portable import computable
from metaxy.versioning.predicates import add_predicates, among_sql
from metaxy.versioning.recipe import COUNTS, NEW, STALE, STORED, Latest, Recipe
from metaxy.versioning.row_checks import Checks, check_sql, counts_sql
from metaxy.versioning.sources import Asked, Failed, FailedSource, Rows, Source
from metaxy.versioning.sql_earlier import meets
from metaxy.versioning.system_columns import SystemColumns, system_column_types, system_columns_sql
from metaxy.versioning.unions import ROW_ID, Union, has_row_ids, union_sql


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

    @property
    def packs_lists(self) -> bool:
        """Whether the dialect can write a list."""
        return self.database.dialect.pack_list is not None

    def temporary(self) -> AbstractContextManager[None]:
        """Let go of the frames that were put beside the tables, as soon as the block ends."""
        return self.database.temporary()

    def changes(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, failed: Failed | None = None
    ) -> Changes:
        """Run a recipe as one statement."""
        statement = self.statement(recipe, inputs, current, failed)
        table = self.database.fetch(statement, self._flat(recipe, inputs, current))
        status = table.column("status").to_numpy()
        counts = (status == COUNTS).nonzero()[0]
        if not len(counts):
            return Changes(table, len(status))
        samples, _, rows = table.column("p")[int(counts[0])].as_py().partition(SEPARATOR)
        return Changes(table, int(samples), int(rows or samples) - int(samples))

    def lazy(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, failed: Failed | None = None
    ) -> nw.LazyFrame[Any]:
        """Return the statement as a lazy frame."""
        statement = self.statement(recipe, inputs, current, failed)
        rows = self.database.relation(statement, self._flat(recipe, inputs, current))
        return rows.filter(nw.col("status") != COUNTS)

    def _flat(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None) -> TypesOf:
        return lambda: flat_types(recipe, [rows.types for rows in inputs], current.types if current else None)

    def count(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, failed: Failed | None = None
    ) -> Counts:
        """Count in the database."""
        query = sql.count(recipe, *self._written(recipe, inputs, current, failed))
        flags = {f"n_{flag}": flag for flag in (recipe.earlier.flags if recipe.earlier else ())}
        types = {"status": nw.Int32(), "n": nw.Int64(), "total": nw.String(), **dict.fromkeys(flags, nw.Int64())}
        rows = self.database.fetch(query, lambda: types).to_pylist()
        changed = [row for row in rows if row["status"] in (NEW, STALE)]
        fields = {flag: sum(int(row[name]) for row in changed) for name, flag in flags.items()}
        totals = {row["status"]: row["total"] for row in rows if row["status"] in (COUNTS, STORED)}
        total = {status: int(text.partition(SEPARATOR)[0]) for status, text in totals.items()}
        counts = {row["status"]: row["n"] for row in rows if row["status"] not in total}
        return Counts({COUNTS: sum(counts.values()), STORED: 0, **counts, **total}, fields)

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

    def digests(self, rows: nw.LazyFrame[Any], columns: Sequence[str], flags: Sequence[str]) -> Sequence[Digest]:
        """Hash in the database, if the dialect says how."""
        dialect = self.database.dialect
        if dialect.row_hash is None:
            return digests_polars(rows, columns, flags)
        query = digests_sql(f"({self.database.query_of(rows)})", columns, flags, dialect)
        return digests_in_row(self.database.fetch(query, lambda: digest_types(flags)).to_pylist()[0])

    def among(self, rows: nw.LazyFrame[Any], others: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Let the database look each row up."""
        return self._among(rows, others, rows.collect_schema)

    def _among(self, rows: nw.LazyFrame[Any], others: nw.LazyFrame[Any], types: TypesOf) -> nw.LazyFrame[Any]:
        found = among_sql(others.columns, self.database.query_of(others), self.database.dialect)
        return self.database.relation(f"SELECT * FROM ({self.database.query_of(rows)}) AS mx_t WHERE {found}", types)

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

    def union(self, union: Union) -> tuple[nw.LazyFrame[Any], str | None] | None:
        """Return a query over all tables."""
        dialect = self.database.dialect
        sources = [part.table or f"({self.database.query_of(part.frame)})" for part in union.parts]
        query = union_sql(union, sources, dialect)
        if query is None:
            return None
        row_id = ROW_ID if has_row_ids(union, dialect) else None
        types = {**({ROW_ID: nw.Int64()} if row_id else {}), **union.schema}
        return self.database.relation(query, lambda: types), row_id

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

    def statement(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, failed: Failed | None = None
    ) -> str:
        """Write the statement of a recipe."""
        return sql.render(recipe, *self._written(recipe, inputs, current, failed))

    def _written(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, failed: Failed | None
    ) -> tuple[tuple[Source, ...], Source | None, Dialect, Source | None, FailedSource | None]:
        """Write what follows FROM for each input, for the rows that are there, for earlier ones and for failed samples.

        No filter of the user hides earlier rows.
        """
        sources = tuple([self.source(rows) for rows in inputs])
        stored = self.source(current) if current and recipe.current and recipe.compare else None
        earlier = self._earlier(recipe, inputs, current) if current and recipe.earlier else None
        lost = FailedSource(f"({self.database.query_of(failed.frame)})", failed.only) if failed else None
        return sources, stored, self.database.dialect, earlier, lost

    def _earlier(self, recipe: Recipe, inputs: Sequence[Rows], current: Rows) -> Source:
        """Write what follows FROM where earlier rows are looked up."""
        source, keys = self.source(current.unfiltered), recipe.earlier.keys if recipe.earlier else ()
        if not meets(source, self.database.dialect):
            return source
        types, pairs = self._flat(recipe, inputs, current)(), zip(recipe.match, keys, strict=True)
        texts = {stored for key, stored in pairs if types.get(key) == current.types[stored] == nw.String()}
        return replace(source, texts=frozenset(texts))

    def source(self, rows: Rows) -> Source:
        """Write what follows FROM: the table itself where nothing is asked of it, else a query with flags."""
        dialect, columns = self.database.dialect, tuple(rows.schema or rows.frame.columns)
        plain = Source("", columns, rows.by_field, types=rows.schema)
        hidden = dialect.row_id in {column.lower() for column in columns}  # by a user column of that name
        if rows.table and not hidden:
            plain = replace(plain, deep=self._is_deep(rows, rows.table))
        if rows.asked is None and rows.table:
            return replace(plain, sql=rows.table, row_id=None if hidden else dialect.row_id)
        asked, frame, row_id = rows.asked or Asked(), rows.frame, rows.row_id
        if rows.table and dialect.row_id and not hidden:
            row_id = ROW_ID
            query = f"SELECT {dialect.row_id} AS {row_id}, * FROM {rows.table}"
            frame = self.database.relation(query, lambda: {ROW_ID: nw.Int64(), **rows.types})
        if asked.among is not None:
            numbered = {row_id: nw.Int64()} if row_id else {}
            frame = self._among(frame, asked.among, lambda: {**numbered, **rows.types})
        with computable(rows.where, dialect.name):
            flagged = add_predicates(frame, rows.ids, asked)
            query = f"({self.database.query_of(flagged.frame)})"
        return replace(plain, sql=query, row_id=row_id, keep=flagged.keep, stale=flagged.stale)

    def _is_deep(self, rows: Rows, table: str) -> bool:
        times = [rows.schema[c] for c in (METAXY_DELETED_AT, METAXY_UPDATED_AT) if c in rows.schema]
        if not (self.database.dialect.wide_time and rows.ids and times and all(t == nw.Datetime for t in times)):
            return False
        return self.database.is_deep(table, [*rows.ids, METAXY_FEATURE_VERSION])
