"""The row that each changed sample had before, as steps of the statement; looked up for changed samples only.

Rows of all feature versions count, so that a sample which is new to this version knows what it was in another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from metaxy.columns import METAXY_DELETED_AT, METAXY_PROVENANCE_BY_FIELD
from metaxy.versioning.dialect import Dialect, as_cte
from metaxy.versioning.latest import TEXT_ORDER, TIME_ORDER, LatestRows, order_by, pick
from metaxy.versioning.recipe import Earlier, Recipe
from metaxy.versioning.sources import Source

ROW = "__metaxy_row"
NUMBER = "__metaxy_number"  # of a changed sample: to tell samples apart by it costs less than by IDs


@dataclass(frozen=True)
class Traced:
    """The changed samples with their earlier rows: steps, the name of the last one, and what a query takes from it.

    ``nothing`` stands for these columns in rows that are no samples.
    """

    name: str
    ctes: Sequence[str] = ()
    columns: Sequence[str] = ()
    joins: Sequence[str] = ()
    nothing: Sequence[str] = ()


def trace(recipe: Recipe, source: Source | None, steps: tuple[str, str], dialect: Dialect, *, payload: bool) -> Traced:
    """Write how changed samples meet their earlier rows, if that was asked; ``source`` is their table.

    ``steps`` are the one that has the changed samples, and the one whose rows are shown: often the same. Without a
    table no sample had a row, and all fields changed. Without ``payload``, only these are told.
    """
    earlier = recipe.earlier
    if earlier is None:
        return Traced(steps[1])
    earlier = earlier if payload else replace(earlier, columns=())
    if source is None:
        constants = [*(f"1 AS {flag}" for flag in earlier.flags), "0 AS was"]
        return Traced(steps[1], columns=constants, nothing=["NULL"] * len(constants))
    kind = _Met if meets(source, dialect) else _Trace
    return kind(earlier, recipe, source, *steps, dialect).traced()


def meets(source: Source, dialect: Dialect) -> bool:
    """Whether changed samples meet the table itself, without rows that were found not to be the latest."""
    return source.row_id is not None and dialect.keeps_steps and dialect.hash_joins


@dataclass(frozen=True)
class _Trace:
    earlier: Earlier
    recipe: Recipe
    source: Source
    changed: str
    shown: str
    dialect: Dialect

    @property
    def _late(self) -> bool:
        """Whether versions by field and payload are read by row id, once it is clear which rows are meant."""
        return self.source.row_id is not None

    @property
    def _sample(self) -> tuple[str, ...]:
        """What tells the samples apart among the candidates."""
        return (NUMBER,) if self.dialect.keeps_steps else self.earlier.keys

    def traced(self) -> Traced:
        d, (ctes, picked, number) = self.dialect, self._picked()
        sample = [f"mx_t.{d.quote(name)} AS e{n}" for n, name in enumerate(self._sample)]
        live = picked.select([*sample, *([f"mx_t.{ROW} AS rb"] if self._late else self._values("mx_t")), *number])
        steps = [
            as_cte("b_rows", self._candidates(self.changed), d, materialized=True),
            *ctes,
            as_cte("b_live", live, d, materialized=not d.hash_joins),
            as_cte("traced", self._met(), d),
        ]
        table = "mx_tb" if self._late else ""
        joins = [f"LEFT JOIN {self.source.sql} AS mx_tb ON mx_tb.{self.source.row_id} = mx_ch.rb"] if table else []
        columns = [*self._flags(table), "mx_ch.was", *self._payload(table)]
        payload = (d.nothing.format(f"mx_ch.{column.short}") for column in self.earlier.columns)
        return Traced("traced", steps, columns, joins, [*["NULL"] * (len(self.earlier.flags) + 1), *payload])

    def _picked(self) -> tuple[list[str], LatestRows, list[str]]:
        """Write the steps that pick the latest of the candidates, and their place if several are of one sample."""
        several, names = self.earlier.several, (*self._sample, *self.source.columns)
        candidates = Source("b_rows", names, row_id=ROW if self._late else None, types=self.source.types)
        ids = dict.fromkeys([*self._sample, *(self.earlier.latest.ids if several else ())])
        ctes, picked = pick(candidates, replace(self.earlier.latest, ids=tuple(ids)), self.dialect, "b")
        return ctes, picked, [f"{self._place(candidates)} AS mx_n"] if several else []

    def _candidates(self, changed: str) -> str:
        """Write the rows that changed samples have, with the columns that are needed."""
        d = self.dialect
        order = [c for c in (METAXY_DELETED_AT, *TIME_ORDER, *TEXT_ORDER) if c in self.source.columns]
        ids = self.earlier.latest.ids if self.earlier.several or not d.keeps_steps else ()
        names = dict.fromkeys([*ids, *order, *(() if d.keeps_steps else self.earlier.keys)])
        if not self._late:
            names |= dict.fromkeys([METAXY_PROVENANCE_BY_FIELD, *(c.stored for c in self.earlier.columns)])
        columns = [f"mx_s.{d.quote(name)} AS {d.quote(name)}" for name in names]
        columns += [f"mx_s.{self.source.row_id} AS {ROW}"] if self._late else []
        if not d.keeps_steps:  # then to look samples up would compute them once more
            return f"SELECT {', '.join(columns)}\n  FROM {self.source.sql} AS mx_s"
        columns = [f"mx_ch.{NUMBER} AS {NUMBER}", *columns]
        sides = f"{changed} AS mx_ch JOIN {self.source.sql} AS mx_s"
        return f"SELECT {', '.join(columns)}\n  FROM {sides} ON {self._same('mx_s')}"

    def _same(self, table: str) -> str:
        """Write the condition that a changed sample is the one of a stored row."""
        return " AND ".join(f"mx_ch.{key} = {table}.{self.dialect.quote(stored)}" for key, stored in self._keys)

    @property
    def _keys(self) -> list[tuple[str, str]]:
        """The keys of changed samples, each with its name in the table."""
        return list(zip(self.recipe.match, self.earlier.keys, strict=True))

    def _met(self) -> str:
        """Write the changed samples with what is known of their earlier rows, or where that is."""
        shorts = [f"q{n}" for n in range(len(self.recipe.fields))] + [c.short for c in self.earlier.columns]
        columns = ", ".join(["mx_ch.*", *(f"mx_p.{s} AS {s}" for s in (["rb"] if self._late else shorts))])
        ours = (NUMBER,) if self.dialect.keeps_steps else self.recipe.match
        same = [f"mx_ch.{name} = mx_p.e{n}" for n, name in enumerate(ours)]
        same += ["mx_p.mx_n = 1"] if self.earlier.several else []
        was = f"CASE WHEN mx_p.{'rb' if self._late else 'e0'} IS NULL THEN 0 ELSE 1 END AS was"
        sides = f"{self.shown} AS mx_ch LEFT JOIN b_live AS mx_p ON {' AND '.join(same)}"
        return f"SELECT {columns}, {was} FROM {sides}"

    def _place(self, rows: Source) -> str:
        """Number the rows of a sample, the newest first."""
        d = self.dialect
        ids = (self.source.ordered(i, f"mx_t.{d.quote(i)}", d) for i in self.earlier.latest.ids)
        order = ", ".join([order_by(rows, d, "mx_t"), *ids])
        return f"row_number() OVER (PARTITION BY {d.names(self._sample, 'mx_t')} ORDER BY {order})"

    def _values(self, table: str) -> list[str]:
        """Write versions by field and payload of a row."""
        versions = [f"{self._member(f.member, table)} AS q{n}" for n, f in enumerate(self.recipe.fields)]
        return [*versions, *self._payload(table)]

    def _member(self, member: str, table: str) -> str:
        return self.source.member(METAXY_PROVENANCE_BY_FIELD, member, self.dialect, table)

    def _payload(self, table: str) -> list[str]:
        if not table:
            return [f"mx_ch.{c.short}" for c in self.earlier.columns]
        return [f"{table}.{self.dialect.quote(c.stored)} AS {c.short}" for c in self.earlier.columns]

    def _flags(self, table: str) -> list[str]:
        """Write which fields changed."""
        flags = []
        for n, (formula, flag) in enumerate(zip(self.recipe.fields, self.earlier.flags, strict=True)):
            before = self._member(formula.member, table) if table else f"mx_ch.q{n}"
            flags.append(f"CASE WHEN {before} IS DISTINCT FROM mx_ch.{formula.short} THEN 1 ELSE 0 END AS {flag}")
        return flags


class _Met(_Trace):
    """Joins changed samples with the table, and so reads its payload once, in the same join.

    Only where some sample has several rows, as counting tells, are the latest of them looked for, and others hidden.
    """

    def traced(self) -> Traced:
        d, several = self.dialect, self.earlier.several
        ctes, picked, number = self._picked()
        newest = " AND mx_b.mx_n = 1" if several else ""
        hidden = f"SELECT mx_t.{ROW} AS rh FROM b_rows AS mx_t ANTI JOIN b_live AS mx_b ON mx_b.rb = mx_t.{ROW}{newest}"
        keys = ", ".join(self.recipe.match)
        where = "" if several else " WHERE (SELECT many FROM b_many)"
        numbered = f"SELECT {keys}, row_number() OVER () AS {NUMBER} FROM {self.changed}{where}"
        steps = [
            *([] if several else [as_cte("b_many", self._many(), d, materialized=True)]),
            as_cte("b_numbered", numbered, d, materialized=True),
            as_cte("b_rows", self._candidates("b_numbered"), d, materialized=True),
            *ctes,
            as_cte("b_live", picked.select([f"mx_t.{ROW} AS rb", *number]), d),
            as_cte("b_hidden", hidden, d, materialized=True),
        ]
        was = f"CASE WHEN mx_tb.{d.quote(self.earlier.keys[0])} IS NULL THEN 0 ELSE 1 END AS was"
        columns = [*self._flags("mx_tb"), was, *self._payload("mx_tb")]
        joins = [f"LEFT JOIN ({self._shown()}) AS mx_tb ON {self._same('mx_tb')}"]
        return Traced(self.shown, steps, columns, joins, ["NULL"] * len(columns))

    def _many(self) -> str:
        """Ask whether some sample has several rows; numbers that two texts share only make it look as if."""
        d = self.dialect
        numbers = {stored: d.number_of_text if stored in self.source.texts else "{0}" for _, stored in self._keys}
        pairs = [(f"mx_ch.{key}", f"mx_s.{d.quote(stored)}", numbers[stored]) for key, stored in self._keys]
        same = " AND ".join(f"{number.format(one)} = {number.format(other)}" for one, other, number in pairs)
        sides = f"{self.changed} AS mx_ch LEFT JOIN {self.source.sql} AS mx_s ON {same}"
        return f"SELECT count(*) > (SELECT count(*) FROM {self.changed}) AS many FROM {sides}"

    def _shown(self) -> str:
        """Write the rows of the table that may be shown."""
        live = f" WHERE mx_s.{self.dialect.quote(METAXY_DELETED_AT)} IS NULL"
        rows = f"{self.source.sql} AS mx_s ANTI JOIN b_hidden AS mx_h ON mx_h.rh = mx_s.{self.source.row_id}"
        return f"SELECT mx_s.* FROM {rows}{live if METAXY_DELETED_AT in self.source.columns else ''}"
