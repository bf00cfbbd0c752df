"""The first part of the statement: the rows that a feature should have, with a hash per field and per sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metaxy.columns import METAXY_PROVENANCE_BY_FIELD
from metaxy.versioning.dialect import Dialect, as_cte, as_recomputed_cte
from metaxy.versioning.latest import pick
from metaxy.versioning.recipe import Column, Current, Field, Group, Input, Recipe
from metaxy.versioning.sources import FailedSource, Source


def field_text(formula: Field, dialect: Dialect, values: Mapping[str, str]) -> str:
    """Write the text that is hashed for one field; ``values`` maps short names to escaped expressions."""
    parts = [
        piece
        for text, version in formula.parts()
        for piece in ([dialect.literal(text)] if text else []) + ([values[version]] if version else [])
    ]
    return dialect.concatenated(parts)


def sample_hash(recipe: Recipe, dialect: Dialect) -> str:
    """Write the hash over all fields of a sample."""
    given = {f.short for f in recipe.fields if f.given}
    values = [dialect.escaped(short) if short in given else short for short in recipe.sample_order]
    return dialect.hashed(dialect.joined(values), recipe.hash)


@dataclass
class ExpectedStatement:
    """The steps that lead to the rows that a feature should have: ``expected``, or the last of ``ctes``."""

    recipe: Recipe
    sources: Sequence[Source]
    current: Source | None
    dialect: Dialect
    only_counts: bool = False
    ctes: list[str] = field(default_factory=list)
    earlier: Source | None = None
    failed: FailedSource | None = None

    def _add(self, name: str, body: str, *, materialized: bool = False) -> str:
        self.ctes.append(as_cte(name, body, self.dialect, materialized=materialized))
        return name

    # -- inputs ------------------------------------------------------------------------------------------------------

    @property
    def _compared(self) -> tuple[Current, Source] | None:
        """The rows that the feature has, if expected ones are compared with them."""
        if self.recipe.current is None or self.current is None or not self.recipe.compare:
            return None
        return self.recipe.current, self.current

    @property
    def _counts(self) -> bool:
        """Whether the expected samples are counted by themselves: where they are not just the rows of the answer."""
        some = self.failed is not None and self.failed.only
        return self._compared is not None or self.recipe.repeats or some

    @property
    def _late(self) -> bool:
        """Whether the payload is read by row id after the comparison has left few rows."""
        plain = not any(i.one_row_per_group or i.outer for i in self.recipe.inputs)
        return self._compared is not None and plain and bool(self.recipe.inputs) and all(s.row_id for s in self.sources)

    def _early(self, step: Input) -> list[Column]:
        """Columns of an input that the steps before the comparison need."""
        if not self._late:
            return list(step.columns)
        group = step.group or Group((), ())
        needed = {*self.recipe.match, *group.keys, *group.order, *(k for i in self.recipe.inputs for k in i.join)}
        needed |= {pair.expected for pair in self.recipe.pairs}
        return [c for c in step.columns if c.short in needed]

    def _input(self, index: int, step: Input) -> None:
        source, d = self.sources[index], self.dialect
        ctes, picked = pick(source, step.latest, d, f"i{index}")
        self.ctes += ctes
        columns = [f"mx_t.{d.quote(c.stored)} AS {c.short}" for c in self._early(step)]
        if self._late:
            columns.append(f"mx_t.{source.row_id} AS r{index}")
        versions = [f"{source.member(v.column, v.member, d)} AS {v.short}" for v in step.versions]
        rows = picked.select([*columns, *versions] or ["1 AS one"])
        name = f"i{index}_rows" if step.group else f"i{index}"
        self._add(name, rows, materialized=not d.hash_joins)
        if step.group:
            self._add_group(index, step, step.group)

    def _add_group(self, index: int, step: Input, group: Group) -> None:
        rows, d = f"i{index}_rows", self.dialect
        stored = {c.short: c.stored for c in step.columns}
        order = ", ".join(self.sources[index].ordered(stored[short], short, d) for short in group.order)
        values = [f"{self._group_value(v.short, order, step)} AS {v.short}" for v in step.versions]
        keys = list(group.keys)
        self._add(f"i{index}_groups", f"SELECT {', '.join([*keys, *values])} FROM {rows} GROUP BY {', '.join(keys)}")
        if step.one_row_per_group:
            self._add(f"i{index}", f"SELECT * FROM i{index}_groups")
            return
        kept = [c.short for c in self._early(step)] + ([f"r{index}"] if self._late else [])
        # Named again: what both sides have, ClickHouse would otherwise call by its table, too.
        columns = [f"mx_t.{short} AS {short}" for short in kept] + [
            f"mx_g.{v.short} AS {v.short}" for v in step.versions
        ]
        same = d.equal((f"mx_g.{k}", f"mx_t.{k}") for k in keys)
        self._add(
            f"i{index}", f"SELECT {', '.join(columns)} FROM {rows} AS mx_t JOIN i{index}_groups AS mx_g ON {same}"
        )

    def _group_value(self, short: str, order: str, step: Input) -> str:
        """Hash the values of a group in order; a NULL makes it NULL, except from an optional parent."""
        d = self.dialect
        text = d.ordered_join.format(d.escaped(short), d.literal("|"), order)
        if step.optional:
            return d.hashed(f"coalesce({text}, '')", self.recipe.hash)
        return f"CASE WHEN count({short}) = count(*) THEN {d.hashed(text, self.recipe.hash)} END"

    # -- expected rows -----------------------------------------------------------------------------------------------

    def _shorts(self, index: int) -> list[str]:
        step = self.recipe.inputs[index]
        keys = step.group.keys if step.group and step.one_row_per_group else None
        columns = [c.short for c in self._early(step) if keys is None or c.short in keys]
        return columns + [v.short for v in step.versions] + ([f"r{index}"] if self._late else [])

    def _join(self) -> str:
        """Join the inputs in order; returns the name of the step that holds all their columns."""
        name, columns = "i0", self._shorts(0)
        for index, step in enumerate(self.recipe.inputs[1:], start=1):
            added = [short for short in self._shorts(index) if short not in columns]
            new = [f"mx_b.{short} AS {short}" for short in added]
            kept = [*(f"mx_a.{c} AS {c}" for c in columns), *new]
            sides = f"{name} AS mx_a", f"i{index} AS mx_b"
            pairs = [(f"mx_a.{key}", f"mx_b.{key}") for key in step.join]
            if step.outer:
                either = [
                    f"coalesce(mx_a.{c}, mx_b.{c}) AS {c}" if c in step.join else f"mx_a.{c} AS {c}" for c in columns
                ]
                added_only = [*(f"mx_b.{c}" if c in step.join else "NULL" for c in columns), *new]
                body = full_join(sides, pairs, [*either, *new], [kept, added_only], self.dialect)
            else:
                kind = "LEFT JOIN" if step.optional else "JOIN"
                body = f"SELECT {', '.join(kept)} FROM {f' {kind} '.join(sides)} ON {equal(pairs)}"
            name = self._add(f"j{index}", body)
            columns += added
        self._joined_columns = columns
        return name

    def _expected(self, joined: str) -> None:
        d, recipe = self.dialect, self.recipe
        grouped = {v.short for i in recipe.inputs if i.group for v in i.versions}
        values = {}
        for version in (v for i in recipe.inputs for v in i.versions):
            value = version.short if version.short in grouped else d.escaped(version.short)
            values[version.short] = f"coalesce({value}, '')" if version.short in recipe.optional_versions else value
        versions = {v.short for i in recipe.inputs for v in i.versions}
        kept = [c for c in self._joined_columns if c not in versions]
        hashes = [f"{d.hashed(field_text(f, d, values), recipe.hash)} AS {f.short}" for f in recipe.fields]
        self._add(
            "fields", f"SELECT {', '.join([*kept, *hashes])}\n  FROM {joined}", materialized=d.repeats_expressions
        )
        self._sample(kept)

    def _given(self) -> None:
        """Take the expected rows from the user."""
        source, d = self.sources[0], self.dialect
        columns = [f"mx_t.{d.quote(c.stored)} AS {c.short}" for c in self.recipe.output]
        values = [f"{source.member(METAXY_PROVENANCE_BY_FIELD, f.member, d)} AS {f.short}" for f in self.recipe.fields]
        where = f" WHERE mx_t.{d.quote(source.keep)}" if source.keep else ""
        rows = d.many.format(f"{source.sql} AS mx_t")
        self._add("fields", f"SELECT {', '.join([*columns, *values])}\n  FROM {rows}{where}")
        self._sample([c.short for c in self.recipe.output])

    def _sample(self, kept: Sequence[str]) -> None:
        fields = [f.short for f in self.recipe.fields]
        columns = ", ".join([*kept, *fields, f"{sample_hash(self.recipe, self.dialect)} AS p", "1 AS here"])
        self._expected_columns = [*kept, *fields, "p"]
        body = f"SELECT {columns}\n  FROM fields"
        if self._counts:  # a second reader, which needs none of the hashes
            self.ctes.append(as_recomputed_cte("expected", body, self.dialect))
        else:
            self._add("expected", body, materialized=self.dialect.repeats_expressions)


def equal(pairs: Sequence[tuple[str, str]]) -> str:
    """Write that the columns of each pair are equal."""
    return " AND ".join(f"{left} = {right}" for left, right in pairs)


def full_join(
    sides: tuple[str, str],
    pairs: Sequence[tuple[str, str]],
    columns: Sequence[str],
    apart: Sequence[Sequence[str]],
    dialect: Dialect,
) -> str:
    """Write a FULL JOIN, as two joins where that is faster.

    ``apart`` are its columns for rows that the left side has, and for those that only the right side has.
    """
    left, right = sides
    if dialect.hash_joins:
        return f"SELECT {', '.join(columns)} FROM {left} FULL JOIN {right} ON {equal(pairs)}"
    ours, others = map(", ".join, apart)
    only = f"SELECT {others} FROM {right} LEFT JOIN {left} ON {equal(pairs)} WHERE {pairs[0][0]} IS NULL"
    return f"SELECT {ours} FROM {left} LEFT JOIN {right} ON {equal(pairs)}\n  UNION ALL {only}"
