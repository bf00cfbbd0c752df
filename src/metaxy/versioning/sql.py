"""A recipe as one flat SQL statement: a CTE per step, nothing nested, every value computed once.

    latest rows of each input → grouped → joined → fields hashed → sample hashed → compared → payload

The statement returns one row per changed sample: ``status``, the output columns (``k…``), the field versions (``v…``),
the sample's provenance (``p``), and for orphaned samples the stored row (``o…``). One more row carries the number of
expected samples, unless they are the rows themselves; of rows that the user gives, their own number too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from metaxy.columns import METAXY_PROVENANCE, METAXY_PROVENANCE_BY_FIELD
from metaxy.versioning.dialect import Dialect, as_cte, as_recomputed_cte
from metaxy.versioning.latest import pick
from metaxy.versioning.recipe import (
    BROKEN,
    COUNTS,
    NEW,
    ORPHANED,
    STALE,
    STORED,
    Column,
    Current,
    Field,
    Group,
    Input,
    Recipe,
)
from metaxy.versioning.sources import Source


@lru_cache(maxsize=256)
def render(recipe: Recipe, sources: tuple[Source, ...], current: Source | None, dialect: Dialect) -> str:
    """Write the statement of a recipe; ``sources`` are those of its inputs, in order.

    A recipe without inputs takes its expected rows from the one source that is given (rows of the user).
    """
    return _Statement(recipe, sources, current, dialect).write()


@lru_cache(maxsize=256)
def count(recipe: Recipe, sources: tuple[Source, ...], current: Source | None, dialect: Dialect) -> str:
    """Write the query that counts the samples of each status; for COUNTS and STORED, ``total`` holds the number."""
    statement = _Statement(recipe, sources, current, dialect, only_counts=True).write()
    if not recipe.repeats:
        return f"SELECT status, count(*) AS n, min(p) AS total FROM ({statement}) AS counted GROUP BY status"
    expected = f"CASE WHEN status IN ({COUNTS}, {STORED}) THEN p END AS p"
    samples = f"SELECT DISTINCT status, {expected}, {', '.join(recipe.match)} FROM counted WHERE status <> {ORPHANED}"
    # Stored rows are one per sample, and have no expected columns.
    orphaned = f"SELECT status, NULL AS p{', NULL' * len(recipe.match)} FROM counted WHERE status = {ORPHANED}"
    return (
        f"WITH counted AS (SELECT * FROM ({statement}) AS found)\nSELECT status, count(*) AS n, min(p) AS total"
        f" FROM ({samples}\nUNION ALL {orphaned}) AS samples GROUP BY status"
    )


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
class _Statement:
    recipe: Recipe
    sources: Sequence[Source]
    current: Source | None
    dialect: Dialect
    only_counts: bool = False
    ctes: list[str] = field(default_factory=list)

    def write(self) -> str:
        if self.recipe.inputs:
            for index, step in enumerate(self.recipe.inputs):
                self._input(index, step)
            joined = self._join()
            self._expected(joined)
        else:
            self._given()
        status = self._compare()
        final = self._final(status)
        return "WITH " + ",\n".join(self.ctes) + "\n" + final

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
        return self._compared is not None or self.recipe.repeats

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
                body = _full_join(sides, pairs, [*either, *new], [kept, added_only], self.dialect)
            else:
                kind = "LEFT JOIN" if step.optional else "JOIN"
                body = f"SELECT {', '.join(kept)} FROM {f' {kind} '.join(sides)} ON {_equal(pairs)}"
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

    # -- comparison --------------------------------------------------------------------------------------------------

    def _compare(self) -> str:
        """Give each row its status; returns the name of the step with the changed rows."""
        broken = " OR ".join(f"mx_e.{name} IS NULL" for name in (*self.recipe.match, "p"))
        columns = [f"mx_e.{c}" for c in self._expected_columns]
        compared = self._compared
        if compared is None:
            status = f"CASE WHEN {broken} THEN {BROKEN} ELSE {NEW} END AS status"
            return self._add("changed", f"SELECT {', '.join([status, *columns])} FROM expected AS mx_e")
        self._current(*compared)
        same = [(f"mx_e.{key}", f"mx_c.c{n}") for n, key in enumerate(self.recipe.match)]
        differs = "mx_c.low IS DISTINCT FROM mx_e.p"
        if compared[0].collapse:
            differs += " OR mx_c.high IS DISTINCT FROM mx_e.p"
        status = (
            f"CASE WHEN mx_e.here IS NULL THEN {ORPHANED} WHEN {broken} THEN {BROKEN} WHEN mx_c.here IS NULL THEN {NEW}"
            f" WHEN mx_c.stale OR {differs} THEN {STALE} END"
        )
        # Only orphaned rows show what is stored; a NULL row id keeps the others out of the join that fetches it.
        stored = [
            "CASE WHEN mx_e.here IS NULL THEN mx_c.rc END AS rc" if c == "rc" else f"mx_c.{c}"
            for c in self._stored_columns
        ]
        both = [f"{status} AS status", *columns, *stored]
        orphaned = [str(ORPHANED), *(["NULL"] * len(columns)), *stored]
        sides = "expected AS mx_e", "stored AS mx_c"
        body = _full_join(sides, same, both, [both, orphaned], self.dialect)
        self._add("compared", body)
        return self._add("changed", "SELECT * FROM compared WHERE status IS NOT NULL", materialized=True)

    def _current(self, current: Current, source: Source) -> None:
        d = self.dialect
        ctes, picked = pick(source, current.latest, d, "c")
        self.ctes += ctes
        keys = [f"mx_t.{d.quote(key)} AS c{n}" for n, key in enumerate(current.keys)]
        stale = f"coalesce(mx_t.{d.quote(source.stale)}, FALSE)" if source.stale else "FALSE"
        payload = [f"mx_t.{source.row_id} AS rc"] if source.row_id else self._stored_payload(current)
        shorts = ["rc"] if source.row_id else [c.short for c in current.columns]
        provenance = f"mx_t.{d.quote(METAXY_PROVENANCE)}"
        self._stored_columns = shorts
        if not current.collapse:
            columns = [*keys, f"{provenance} AS low", f"{stale} AS stale", *payload, "1 AS here"]
            self._add("stored", picked.select(columns), materialized=not d.hash_joins)
            return
        partition = f"PARTITION BY {', '.join(f'mx_t.{d.quote(key)}' for key in current.keys)}"
        order = ", ".join(source.ordered(i, f"mx_t.{d.quote(i)}", d) for i in current.latest.ids)
        over = f"OVER ({partition})"
        # `low` and `high` differ, or `stale` is set, as soon as one of the rows disagrees or has no provenance.
        columns = [
            *keys,
            f"min({provenance}) {over} AS low",
            f"max({provenance}) {over} AS high",
            f"(max(CASE WHEN {stale} OR {provenance} IS NULL THEN 1 ELSE 0 END) {over}) = 1 AS stale",
            *payload,
            "1 AS here",
            f"row_number() OVER ({partition} ORDER BY {order}) AS mx_n",
        ]
        self._add("stored_rows", picked.select(columns))
        self._add("stored", "SELECT * FROM stored_rows WHERE mx_n = 1")

    def _stored_payload(self, current: Current) -> list[str]:
        return [f"mx_t.{self.dialect.quote(c.stored)} AS {c.short}" for c in current.columns]

    # -- result ------------------------------------------------------------------------------------------------------

    def _final(self, changed: str) -> str:
        """Write the rows that are returned: changed samples with their payload, orphaned rows, and the count."""
        nothing = ["NULL"] * (len(self.recipe.output) + len(self.recipe.fields))
        values = [f"mx_ch.{f.short}" for f in self.recipe.fields]
        current, source = self._compared or (None, None)
        stored = list(current.columns) if current else []
        if source and source.row_id:
            output, joins = self._payload("JOIN")
            rows = ["mx_ch.status", *output, *values, "mx_ch.p", *(f"NULL AS {c.short}" for c in stored)]
            kept = [f"mx_tc.{self.dialect.quote(c.stored)} AS {c.short}" for c in stored]
            lost = f"JOIN {source.sql} AS mx_tc ON mx_tc.{source.row_id} = mx_ch.rc"
            branches = [
                _select(rows, changed, joins, f"mx_ch.status <> {ORPHANED}"),
                _select(["mx_ch.status", *nothing, "NULL", *kept], changed, [lost]),
            ]
        else:
            output, joins = self._payload("LEFT JOIN")
            branches = [
                _select(
                    ["mx_ch.status", *output, *values, "mx_ch.p", *(f"mx_ch.{c.short}" for c in stored)], changed, joins
                )
            ]
        numbers = [self._counted(status, number, changed, stored) for status, number in self._numbers()]
        return "\nUNION ALL ".join([*branches, *numbers])

    def _numbers(self) -> Iterator[tuple[int, str]]:
        """Yield what is counted beside the samples that changed, with the status of its row."""
        if self._counts:
            yield COUNTS, self._count()
        if self._compared and self.only_counts:
            rows = "stored_rows" if self._compared[0].collapse else "stored"
            yield STORED, f"(SELECT {self.dialect.text.format('count(*)', self.dialect.text_type)} FROM {rows})"

    def _counted(self, status: int, number: str, changed: str, stored: Sequence[Column]) -> str:
        """Write a row with a number, which has nothing in the columns of samples."""
        samples = [c.short for c in self.recipe.output] + [f.short for f in self.recipe.fields]
        none = [self.dialect.nothing.format(f"mx_ch.{short}") for short in samples]
        lost = [self.dialect.nothing.format(f"mx_ch.{column.short}") for column in stored]
        from_ = f" FROM {changed} AS mx_ch WHERE FALSE" if "{0}" in self.dialect.nothing else ""
        return f"SELECT {', '.join([str(status), *none, number, *lost])}{from_}"

    def _count(self) -> str:
        """Count the expected samples, as text; rows are only compared where several may be one sample."""
        keys = ", ".join(self.recipe.match)
        samples = f"(SELECT count(*) AS n FROM expected GROUP BY {keys}) AS samples"
        rows = samples if self.recipe.repeats else "expected"
        counts = ["count(*)"] if self.recipe.inputs else ["count(*)", "coalesce(sum(n), 0)"]
        texts = [self.dialect.text.format(count, self.dialect.text_type) for count in counts]
        return f"(SELECT {self.dialect.joined(texts)} FROM {rows})"

    def _payload(self, kind: str) -> tuple[list[str], list[str]]:
        """Write the output columns, and the joins that fetch those that were left behind."""
        if not self._late:
            return [f"mx_ch.{c.short}" for c in self.recipe.output], []
        wanted = {c.short for c in self.recipe.output}
        home: dict[str, str] = {}
        joins = []
        for index, (step, source) in enumerate(zip(self.recipe.inputs, self.sources, strict=True)):
            early = {c.short for c in self._early(step)}
            late = [c for c in step.columns if c.short in wanted - early]
            home |= {short: f"mx_ch.{short}" for short in early}
            home |= {c.short: f"mx_t{index}.{self.dialect.quote(c.stored)} AS {c.short}" for c in late}
            if late:
                how = "LEFT JOIN" if step.optional else kind
                joins.append(f"{how} {source.sql} AS mx_t{index} ON mx_t{index}.{source.row_id} = mx_ch.r{index}")
        return [home[c.short] for c in self.recipe.output], joins


def _equal(pairs: Sequence[tuple[str, str]]) -> str:
    return " AND ".join(f"{left} = {right}" for left, right in pairs)


def _full_join(
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
        return f"SELECT {', '.join(columns)} FROM {left} FULL JOIN {right} ON {_equal(pairs)}"
    ours, others = map(", ".join, apart)
    only = f"SELECT {others} FROM {right} LEFT JOIN {left} ON {_equal(pairs)} WHERE {pairs[0][0]} IS NULL"
    return f"SELECT {ours} FROM {left} LEFT JOIN {right} ON {_equal(pairs)}\n  UNION ALL {only}"


def _select(columns: Sequence[str], changed: str, joins: Sequence[str], where: str = "") -> str:
    lines = [f"SELECT {', '.join(columns)}", f"FROM {changed} AS mx_ch", *joins]
    return "\n".join([*lines, f"WHERE {where}"] if where else lines)
