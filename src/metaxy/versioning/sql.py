"""A recipe as one flat SQL statement: a CTE per step, nothing nested, every value computed once.

    latest rows of each input → grouped → joined → fields hashed → sample hashed → compared → payload

The statement returns one row per changed sample: ``status``, the output columns (``k…``), the field versions (``v…``),
the sample's provenance (``p``), and for orphaned samples the stored row (``o…``); if asked, which fields changed
(``f…``) and the earlier row (``b…``). Samples of equal versions are shown with both rows, if their payload is compared.
One more row carries the number of expected samples, unless they are the rows themselves; of rows that the user gives,
their own number too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from metaxy.columns import METAXY_PROVENANCE
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.latest import pick
from metaxy.versioning.payload import differs_sql
from metaxy.versioning.recipe import (
    BROKEN,
    COUNTS,
    DRIFTED,
    FAILED,
    NEW,
    ORPHANED,
    STALE,
    STORED,
    Column,
    Current,
    Recipe,
)
from metaxy.versioning.sources import FailedSource, Source
from metaxy.versioning.sql_children import (
    IS_LOST,
    child_columns,
    children_of_lost,
    each_with_its_parent,
    judged,
    lost_parents,
    parents,
    parted,
    with_older,
)
from metaxy.versioning.sql_earlier import NUMBER, Traced, meets, trace
from metaxy.versioning.sql_expected import ExpectedStatement, equal, full_join


@lru_cache(maxsize=256)
def render(
    recipe: Recipe,
    sources: tuple[Source, ...],
    current: Source | None,
    dialect: Dialect,
    earlier: Source | None = None,
    failed: FailedSource | None = None,
) -> str:
    """Write the statement of a recipe; ``sources`` are those of its inputs, in order.

    A recipe without inputs takes its expected rows from the one source that is given (rows of the user). ``earlier``
    is the table in which earlier rows are looked up, if that is asked and there is one, and ``failed`` the samples that
    failed, where they are treated otherwise.
    """
    return _Statement(recipe, sources, current, dialect, earlier=earlier, failed=failed).write()


@lru_cache(maxsize=256)
def count(
    recipe: Recipe,
    sources: tuple[Source, ...],
    current: Source | None,
    dialect: Dialect,
    earlier: Source | None = None,
    failed: FailedSource | None = None,
) -> str:
    """Write the query that counts the samples of each status; for COUNTS and STORED, ``total`` holds the number.

    If it is asked which fields changed, ``n_f…`` says in how many samples each did.
    """
    statement = _Statement(recipe, sources, current, dialect, only_counts=True, earlier=earlier, failed=failed).write()
    flags = recipe.earlier.flags if recipe.earlier else ()
    counts = ", ".join(["status, count(*) AS n, min(p) AS total", *(f"sum({flag}) AS n_{flag}" for flag in flags)])
    if not recipe.repeats:
        return f"SELECT {counts} FROM ({statement}) AS counted GROUP BY status"
    expected = f"CASE WHEN status IN ({COUNTS}, {STORED}) THEN p END AS p"
    shown = ", ".join([*recipe.match, *flags])
    samples = f"SELECT DISTINCT status, {expected}, {shown} FROM counted WHERE status <> {ORPHANED}"
    # Stored rows are one per sample, and have no expected columns.
    nothing = ", NULL" * (len(recipe.match) + len(flags))
    orphaned = f"SELECT status, NULL AS p{nothing} FROM counted WHERE status = {ORPHANED}"
    return (
        f"WITH counted AS (SELECT * FROM ({statement}) AS found)\nSELECT {counts}"
        f" FROM ({samples}\nUNION ALL {orphaned}) AS samples GROUP BY status"
    )


class _Statement(ExpectedStatement):
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

    # -- comparison --------------------------------------------------------------------------------------------------

    def _compare(self) -> str:
        """Give each row its status; returns the name of the step with the changed rows."""
        broken = " OR ".join(f"mx_e.{name} IS NULL" for name in (*self.recipe.match, "p"))
        columns = [f"mx_e.{c}" for c in self._expected_columns]
        compared = self._compared
        if compared is None:
            status = f"CASE WHEN {broken} THEN {BROKEN} ELSE {NEW} END AS status"
            body = f"SELECT {', '.join([status, *columns])} FROM expected AS mx_e"
            kept = self.earlier is not None and self.dialect.keeps_steps
            return self._number(self._add("changed", body, materialized=kept))
        self._current(*compared)
        same = [(f"mx_e.{key}", f"mx_c.c{n}") for n, key in enumerate(self.recipe.match)]
        differs = "mx_c.low IS DISTINCT FROM mx_e.p"
        gone = str(ORPHANED)
        if compared[0].collapse:
            differs += " OR mx_c.high IS DISTINCT FROM mx_e.p"
            gone = f"CASE WHEN mx_c.here = 1 THEN {ORPHANED} END"
        status = (
            f"CASE WHEN mx_e.here IS NULL THEN {gone} WHEN {broken} THEN {BROKEN} WHEN mx_c.here IS NULL THEN {NEW}"
            f" WHEN mx_c.stale OR {differs} THEN {STALE}{self._drift(compared[0])} END"
        )
        # Only orphaned and drifted rows show what is stored; a NULL row id keeps others from the join that fetches it.
        shown = "mx_e.here IS NULL OR mx_c.low = mx_e.p" if self.recipe.drifts else "mx_e.here IS NULL"
        stored = [
            f"CASE WHEN {shown} THEN mx_c.rc END AS rc" if c == "rc" else f"mx_c.{c}" for c in self._stored_columns
        ]
        both = [f"{status} AS status", *columns, *stored]
        orphaned = [gone, *(["NULL"] * len(columns)), *stored]
        sides = "expected AS mx_e", "stored AS mx_c"
        body = full_join(sides, same, both, [both, orphaned], self.dialect)
        self._add("compared", body)
        return self._number(self._add("changed", "SELECT * FROM compared WHERE status IS NOT NULL", materialized=True))

    def _drift(self, current: Current) -> str:
        """Write the case of samples whose versions are equal, if their payload is compared."""
        if not self.recipe.payload or not self.recipe.pairs:
            return ""
        differs = "mx_c.behind = 1" if current.collapse else " OR ".join(self._differ("mx_c"))
        return f" WHEN {differs} THEN {self.recipe.payload.status}"

    def _differ(self, stored: str) -> list[str]:
        """Write whether an expected row differs from a stored one, for each column that is compared."""
        return [differs_sql(pair, ("mx_e", stored), self.dialect) for pair in self.recipe.pairs]

    @property
    def _numbers_changed(self) -> bool:
        """Whether numbers tell changed samples apart while their earlier rows are looked up."""
        return self.earlier is not None and self.dialect.keeps_steps and not meets(self.earlier, self.dialect)

    def _number(self, changed: str) -> str:
        """Number the changed samples if need be: apart, since a step that numbers its rows runs on one core."""
        if not self._numbers_changed:
            return changed
        return self._add("numbered", f"SELECT *, row_number() OVER () AS {NUMBER} FROM {changed}", materialized=True)

    def _current(self, current: Current, source: Source) -> None:
        if current.collapse:
            self._children(current, source)
            return
        d = self.dialect
        ctes, picked = pick(source, current.latest, d, "c")
        self.ctes += ctes
        keys = [f"mx_t.{d.quote(key)} AS c{n}" for n, key in enumerate(current.keys)]
        stale = f"coalesce(mx_t.{d.quote(source.stale)}, FALSE)" if source.stale else "FALSE"
        early = [f"mx_t.{source.row_id} AS rc", *self._stored_payload(self.recipe.compared_columns)]
        payload = early if source.row_id else self._stored_payload(current.columns)
        self._stored_columns = ["rc"] if source.row_id else [c.short for c in current.columns]
        columns = [*keys, f"mx_t.{d.quote(METAXY_PROVENANCE)} AS low", f"{stale} AS stale", *payload, "1 AS here"]
        self._add("stored", picked.select(columns), materialized=not d.hash_joins)

    def _children(self, current: Current, source: Source) -> None:
        """Bring the children of each parent to one row or, where rows have no id to find them by, keep them all."""
        d = self.dialect
        ctes, picked = pick(replace(source, keep=None), replace(current.latest, include_deleted=True), d, "c")
        self.ctes += ctes
        columns, keys = child_columns(current, source, d), current.short_keys
        copies = bool(self.recipe.pairs)
        if source.row_id:
            early = [*self._stored_payload(self.recipe.compared_columns), f"mx_t.{source.row_id} AS rc"]
            self._add_children("stored_rows", picked.select([*columns, *early]), materialized=True)
            self._add("stored", parents(keys, d, copies=copies), materialized=not d.hash_joins)
            self._stored_columns = [*keys, "low", "high"]
            return
        payload = [*(["older"] if copies else []), *(c.short for c in current.columns)]
        self._add_children("children", picked.select([*columns, *self._stored_payload(current.columns)]))
        self._add("stored_rows", each_with_its_parent(keys, payload, d, copies=copies))
        self._add("stored", "SELECT * FROM stored_rows WHERE computed AND (live = 1 OR mx_n = 1)")
        self._stored_columns = [*keys, "own", "live", "mx_n", "low", "high", *payload]

    def _add_children(self, name: str, rows: str, *, materialized: bool = False) -> None:
        """Add the step with all children, and which have older copies of columns of their parents, if that is asked."""
        if self.recipe.pairs:
            same = [(f"mx_e.{key}", f"mx_s.c{n}") for n, key in enumerate(self.recipe.match)]
            rows = with_older(self._add("copies", rows), equal(same), self._differ("mx_s"))
        self._add(name, rows, materialized=materialized)

    def _stored_payload(self, columns: Sequence[Column]) -> list[str]:
        return [f"mx_t.{self.dialect.quote(c.stored)} AS {c.short}" for c in columns]

    # -- result ------------------------------------------------------------------------------------------------------

    def _final(self, changed: str) -> str:
        """Write the rows that are returned: changed samples with their payload, orphaned rows, and the count."""
        current, source = self._compared or (None, None)
        stored = list(current.columns) if current else []
        by_id = source is not None and source.row_id is not None
        shown = self._parted(changed, current) if current and current.collapse and not by_id else changed
        traced = trace(self.recipe, self.earlier, (changed, shown), self.dialect, payload=not self.only_counts)
        self.ctes += traced.ctes
        if current and source and source.row_id:
            branches = self._looked_up(changed, traced, current, source)
        else:
            output, joins = self._payload("LEFT JOIN")
            rows = [*self._sample_values(output), *(f"mx_ch.{c.short}" for c in stored)]
            joins += [*traced.joins, *self._failed_join]
            branches = [_select([*rows, *traced.columns], traced.name, joins, "".join(self._only_failed))]
        numbers = [self._counted(status, number, traced, stored) for status, number in self._numbers()]
        return "\nUNION ALL ".join([*branches, *numbers])

    def _sample_values(self, output: Sequence[str]) -> list[str]:
        return [self._status, *output, *(f"mx_ch.{f.short}" for f in self.recipe.fields), "mx_ch.p"]

    def _looked_up(self, changed: str, traced: Traced, current: Current, source: Source) -> list[str]:
        """Write the rows where stored ones are found by their row id: a query for each kind."""
        output, joins = self._payload("JOIN")
        samples, none = self._sample_values(output), ["NULL"] * len(traced.columns)
        nothing = [f"NULL AS {c.short}" for c in current.columns]
        kept = [f"mx_tc.{self.dialect.quote(c.stored)} AS {c.short}" for c in current.columns]
        found = f"JOIN {source.sql} AS mx_tc ON mx_tc.{source.row_id} ="
        lost = [str(ORPHANED), *(["NULL"] * (len(samples) - 1)), *kept, *none]
        gone = self._lost(changed, current) if current.collapse else changed
        drifts = self.recipe.drifts and not self._only_failed
        others = [f"mx_ch.status NOT IN ({ORPHANED}, {DRIFTED})" if drifts else f"mx_ch.status <> {ORPHANED}"]
        changes = [*joins, *traced.joins, *self._failed_join]
        where = " AND ".join([*others, *self._only_failed])
        # Where nothing drifts, no other row has a row id; and of an expansion, no other row is among the lost ones.
        orphaned = f"mx_ch.status = {ORPHANED}" if drifts and not current.collapse else ""
        branches = [
            _select([*samples, *nothing, *traced.columns], traced.name, changes, where),
            _select(lost, gone, [f"{found} mx_ch.rc"], "FALSE" if self._only_failed else orphaned),
        ]
        if drifts and self.recipe.payload:
            shown = self.recipe.payload.columns(current)
            both = [k if c in shown else n for c, k, n in zip(current.columns, kept, nothing, strict=True)]
            rows = ["mx_ch.status", *samples[1:], *both, *none]
            same = equal([(f"mx_o.{key}", f"mx_ch.{key}") for key in current.short_keys])
            older = [f"JOIN stored_rows AS mx_o ON {same} AND mx_o.older = 1", f"{found} mx_o.rc"]
            joins = [*joins, *(older if current.collapse else [f"{found} mx_ch.rc"])]
            branches.append(_select(rows, changed, joins, f"mx_ch.status = {DRIFTED}"))
        return branches

    @property
    def _status(self) -> str:
        """Write the status of a changed sample: another one for those that are left out, as they failed before."""
        if self.failed is None or self.failed.only:
            return "mx_ch.status"
        failed = f"mx_ch.status IN ({NEW}, {STALE}) AND mx_f.here = 1"
        return f"CASE WHEN {failed} THEN {FAILED} ELSE mx_ch.status END AS status"

    @property
    def _failed_join(self) -> list[str]:
        if self.failed is None:
            return []
        keys = ", ".join(f"e{n}" for n in range(len(self.recipe.match)))
        same = equal([*((f"mx_ch.{key}", f"mx_f.e{n}") for n, key in enumerate(self.recipe.match)), ("mx_ch.p", "ep")])
        return [f"LEFT JOIN (SELECT {keys}, ep, 1 AS here FROM {self.failed.sql} AS mx_e) AS mx_f ON {same}"]

    @property
    def _only_failed(self) -> list[str]:
        """Write the condition for samples that failed, if only these are shown, beside what is broken."""
        is_failed = f"(mx_ch.status = {BROKEN} OR (mx_ch.status IN ({NEW}, {STALE}) AND mx_f.here = 1))"
        return [is_failed] if self.failed and self.failed.only else []

    def _lost(self, changed: str, current: Current) -> str:
        """Find the children that are lost, by their parents; returns the name of the step."""
        self._add("lost_parents", lost_parents(changed, current.short_keys))
        self._add("lost_children", children_of_lost(current.short_keys, self.dialect))
        return self._add("lost", f"SELECT rc FROM lost_children WHERE {IS_LOST}")

    def _parted(self, changed: str, current: Current) -> str:
        """Show each sample once, and each child that is lost; returns the name of the step."""
        self._add("judged", judged(changed, current.short_keys, repeats=self.recipe.repeats))
        columns = [*self._expected_columns, *self._stored_columns, *([NUMBER] if self._numbers_changed else [])]
        return self._add("shown", parted("judged", columns, drifts=self.recipe.drifts))

    def _numbers(self) -> Iterator[tuple[int, str]]:
        """Yield what is counted beside the samples that changed, with the status of its row."""
        if self._counts:
            yield COUNTS, self._count()
        if self._compared and self.only_counts:
            rows = "stored_rows WHERE live = 1" if self._compared[0].collapse else "stored"
            yield STORED, f"(SELECT {self.dialect.text.format('count(*)', self.dialect.text_type)} FROM {rows})"

    def _counted(self, status: int, number: str, traced: Traced, stored: Sequence[Column]) -> str:
        """Write a row with a number, which has nothing in the columns of samples."""
        samples = [c.short for c in self.recipe.output] + [f.short for f in self.recipe.fields]
        none = [self.dialect.nothing.format(f"mx_ch.{short}") for short in samples]
        lost = [self.dialect.nothing.format(f"mx_ch.{column.short}") for column in stored]
        from_ = f" FROM {traced.name} AS mx_ch WHERE FALSE" if "{0}" in self.dialect.nothing else ""
        return f"SELECT {', '.join([str(status), *none, number, *lost, *traced.nothing])}{from_}"

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


def _select(columns: Sequence[str], changed: str, joins: Sequence[str], where: str = "") -> str:
    lines = [f"SELECT {', '.join(columns)}", f"FROM {changed} AS mx_ch", *joins]
    return "\n".join([*lines, f"WHERE {where}"] if where else lines)
