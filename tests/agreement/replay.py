"""Replays a case on stores and on the reference, side by side, and compares all that comes out."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any
from uuid import UUID

import polars as pl
import pytest
from tests.agreement.case import Bump, Case, Delete, Replace, Resolve, Settle, Step, Write
from tests.agreement.conditions import Condition, Every, Is, Some, as_expr, columns_of
from tests.agreement.failures import Failures
from tests.agreement.reference import PROJECT, Answer, Given, Question, Reference, Refused, Row, distinct, kind, members
from tests.agreement.strategies import CHILD, START
from tests.agreement.world import CATEGORIES, MEMBERS, NESTED
from tests.column_types import CASES, NAMES, REFUSED

from metaxy import columns as c
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.lineage import LineageRelationshipType
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import MetadataSchemaError, MetaxyError
from metaxy.store.request import ErrorHandling, UpdateRequest
from metaxy.store.resolving import Resolution
from metaxy.store.session import Clock
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars
from metaxy.versioning.polars_engine import PolarsEngine

MOMENT = pl.Datetime("us", "UTC")
# What kinds of values are in a frame: where there are three types, of one family, root features differ in them, and the
# first one is what stores make of all three.
TYPES: dict[str, tuple[Any, ...]] = {
    "text": (pl.String,),
    "int": (pl.Int64,),
    "small": (pl.Int64, pl.Int32, pl.Int16),
    "float": (pl.Float64,),
    "bool": (pl.Boolean,),
    "date": (pl.Date,),
    "time": (MOMENT, pl.Datetime("us", "Europe/Berlin"), pl.Datetime("ns", "America/New_York")),
    "naive": (pl.Datetime("us"), pl.Datetime("us"), pl.Datetime("ns")),
    "category": (pl.String, pl.Categorical, pl.Enum(CATEGORIES)),
    "uuid": (pl.String, pl.Object, pl.String),
    "list": (pl.List(pl.String),),
    "struct": (pl.Struct(dict.fromkeys(MEMBERS, pl.String)),),
}
UNTYPED: dict[str, Any] = {"list": pl.List(pl.Null), "struct": pl.Struct(dict.fromkeys(MEMBERS, pl.Null))}
WITHOUT_NAN = {name for case in CASES if case.what == "NaN" for name in NAMES if case.outcome(name) is REFUSED}
SYSTEM: dict[str, Any] = {x.name: MOMENT if x.kind == "timestamp" else pl.String for x in c.SYSTEM_COLUMNS}


class Ticks(Clock):
    """A clock that stands still until it is moved, so that writes can share a microsecond."""

    moment = START

    def now(self) -> datetime:
        return self.moment


class BrokenOff(Exception):
    """Children were being written, and nobody said that these are all."""


class Replay:
    """One case on several stores; SQL stores resolve each update natively and with Polars."""

    def __init__(
        self,
        case: Case,
        stores: Mapping[str, MetadataStore],
        branch: Callable[[str, MetadataStore], MetadataStore],
    ) -> None:
        self.case = case
        self.stores = dict(stores)
        self.branch = branch
        self.is_split = False
        self.clock = Ticks()
        self.specs = {spec.key: spec for spec in case.specs}
        self.graph = graph_of(case.specs)
        nested = frozenset(name for name, kind in case.kinds.items() if kind in NESTED)
        self.reference = Reference(self.graph, case.algorithm, case.length, nested, case.filters)
        self.failures = Failures(self.reference, lambda row: repr(plain(row)))

    def run(self) -> None:
        config = MetaxyConfig(hash_truncation_length=self.case.length, project=PROJECT)
        with config.use(), ExitStack() as stack:
            self._open(stack)
            for number, step in enumerate(self.case.steps):
                if number == self.case.split:
                    self.is_split = True
                    self.stores = {name: self.branch(name, store) for name, store in self.stores.items()}
                    self._open(stack)
                with self.graph.use():
                    self._apply(step)
            with self.graph.use():
                self._compare_tables()

    def _open(self, stack: ExitStack) -> None:
        for store in self.stores.values():
            store.clock = self.clock
            stack.enter_context(store.open("w"))

    def _apply(self, step: Step) -> None:
        match step:
            case Write():
                self._tick(step.tick)
                self._write(step.feature, step.rows)
            case Delete():
                self._tick(step.tick)
                self._delete(step.feature, step.condition, soft=step.soft)
            case Bump():
                self._bump(step)
            case Resolve():
                self._resolve(step)
            case Replace():
                self._replace(step)
            case Settle():
                self._settle(step)

    def _tick(self, tick: int) -> None:
        self.clock.moment += timedelta(microseconds=tick)

    # -- changes -------------------------------------------------------------------------------------------------------

    def _write(self, key: FeatureKey, given: Given) -> None:
        self.reference.write(key, given, self.clock.moment)
        frame = self._frame(key, given)
        self._part_with_those_that_refuse(given, lambda store: store.write(key, frame))
        for store in self.stores.values():
            store.write(key, frame)

    def _part_with_those_that_refuse(self, given: Given, act: Callable[[MetadataStore], object]) -> None:
        """Leave a store out of the rest of a case that has values which it cannot keep, once it has refused them."""
        if any(value != value for row in given.rows for value in row.values()):
            for name in WITHOUT_NAN & set(self.stores):
                with pytest.raises(MetadataSchemaError, match="NaN"):
                    act(self.stores.pop(name))

    def _delete(self, key: FeatureKey, condition: Condition, *, soft: bool = True) -> None:
        if not self._fits(key, condition):
            return
        soft = soft or self.is_split  # what lies under a branch is never removed
        if soft:
            self.reference.delete_softly(key, condition, self.clock.moment)
        else:
            self.reference.delete_for_good(key, condition)
        for store in self.stores.values():
            store.delete(key, as_expr(condition), soft=soft)

    def _fits(self, key: FeatureKey, condition: Condition) -> bool:
        """Say whether the table of a feature has the columns of a condition by now."""
        return key in self.reference.tables and columns_of(condition) <= set(self.reference.tables[key].columns)

    def _bump(self, step: Bump) -> None:
        spec = self.specs[step.feature]
        fields = list(spec.fields)
        fields[step.field] = fields[step.field].model_copy(update={"code_version": step.code_version})
        self.specs[step.feature] = spec.model_copy(update={"fields": tuple(fields)})
        self.graph = self.reference.graph = graph_of(self.specs.values())

    # -- updates -------------------------------------------------------------------------------------------------------

    def _resolve(self, step: Resolve) -> None:
        asked = Question(
            samples=step.samples,
            filters={key: self._fitting(key, given) for key, given in (step.filters or {}).items()},
            everywhere=step.everywhere,
            target=step.target if self._is_first(step) else self._fitting(step.feature, step.target),
            stale=self._fitting(step.feature, step.stale),
            compare=step.compare,
            one_row_per_group=step.one_row_per_group,
            previous=step.previous,
            payload=step.payload,
        )
        if step.samples is not None:
            options = self._options(step.feature, asked)
            resolve = partial(MetadataStore.resolve_update, feature=step.feature, **options)
            self._part_with_those_that_refuse(step.samples, resolve)
        answer, increments = self._answers(step.feature, asked, lazy=step.lazy, every_engine=True)
        if answer is None:
            return
        if step.chosen:
            self._resolve_some(step, asked, answer)
        if step.failed:
            self._resolve_failed(step, asked, answer)
        untyped = step.samples.untyped if step.samples else ()
        self._tick(step.tick)
        if step.kept is None and step.data is None and self._writable(step.feature, answer):
            known = step.samples is not None or self._knows_types(step.feature)
            parts = [(answer.new, answer.columns), (answer.stale, answer.columns)] if known else []
            for rows, columns in parts:
                self.reference.write(
                    step.feature, Given(tuple(sorted(columns)), tuple(rows), untyped), self.clock.moment
                )
            for name, store in self.stores.items():
                store.write(step.feature, increments[name].new)
                store.write(step.feature, increments[name].stale)
            self._write_drifted(step, answer, increments, untyped)
            for name, store in self.stores.items():
                has = store.has_feature(step.feature, check_fallback=self.is_split)
                assert has == (step.feature in self.reference.tables), name
            return
        if answer.drifted:
            self._write_drifted(step, answer, increments, untyped)
        self._write_some(step, answer, untyped)

    def _write_some(self, step: Resolve, answer: Answer, untyped: tuple[str, ...]) -> None:
        rows = ordered([*answer.new, *answer.stale])
        if step.kept is not None:
            rows = [row for n, row in enumerate(rows) if step.kept and step.kept[n % len(step.kept)]]
        expand = {self._sample(answer, row): step.expand for row in rows}
        self._write_back(step.feature, answer, rows, expand, step.data, untyped)

    def _write_drifted(
        self, step: Resolve, answer: Answer, increments: Mapping[str, Any], untyped: tuple[str, ...]
    ) -> None:
        if not answer.drifted_columns:
            return
        rows = Given(tuple(sorted(answer.drifted_columns)), tuple(answer.drifted), untyped)
        self.reference.write(step.feature, rows, self.clock.moment)
        for name, store in self.stores.items():
            store.write(step.feature, increments[name].drifted if step.samples else increments[name].behind)

    def _resolve_some(self, step: Resolve, asked: Question, answer: Answer) -> None:
        """Ask for some samples: what an update says of them is what it says of them among all."""
        own = [name for name in answer.match if name in self.specs[step.feature].id_columns]
        names = own[: None if step.chosen[0] else 1]
        samples = {repr(plain(row)): row for row in ({n: r[n] for n in names} for r in answer.samples)}
        equal = {text: row for text, row in samples.items() if all(value == value for value in row.values())}  # not NaN
        some = [text for n, text in enumerate(sorted(equal)) if step.chosen[n % len(step.chosen)]]

        def chosen(rows: Iterable[Row]) -> list[Row]:
            return [row for row in rows if repr(plain({n: row[n] for n in names})) in some]

        part = replace(
            answer,
            new=chosen(answer.new),
            stale=chosen(answer.stale),
            orphaned=chosen(answer.orphaned),
            drifted=chosen(answer.drifted),
            expected=chosen(answer.expected),
        )
        ids = self._frame(step.feature, Given(tuple(names), tuple(samples[text] for text in some)))
        for label, store, engine in self._engines(every_engine=True):
            where, options = f"{label}, some of {step.feature}", self._options(step.feature, asked)
            found = store.resolve_update(step.feature, ids=ids, versioning_engine=engine, **options)
            compare_increment(where, found, part)
            assert found.expected == len({self._sample(part, row) for row in part.expected}), where
            if step.lazy:
                views = store.resolve_update(step.feature, ids=ids, versioning_engine=engine, lazy=True, **options)
                compare_increment(f"{where}, lazy", views, part)

    def _resolve_failed(self, step: Resolve, asked: Question, answer: Answer) -> None:
        """Let some samples fail: an update that minds errors leaves them out, or gives just them."""
        rows = ordered([*answer.new, *answer.stale])
        failed = [row for n, row in enumerate(rows) if step.failed[n % len(step.failed)]]
        if failed:
            self.failures.record(step.feature, answer, failed, self.clock.moment)
            given = Given((*answer.match, c.METAXY_PROVENANCE), tuple(failed))
            told = {"error_type": pl.lit("Error"), "error_message": pl.lit("")}
            frame = self._frame(step.feature, given).with_columns(**told)
            for store in self.stores.values():
                store.record_errors(step.feature, frame)
        handlings: tuple[ErrorHandling, ...] = ("skip", "only")
        for label, store, engine in self._engines(every_engine=True):
            for errors in handlings:
                part = self.failures.minded(step.feature, answer, errors)
                options = {"errors": errors, **self._options(step.feature, asked)}
                found = store.resolve_update(step.feature, lazy=step.lazy, versioning_engine=engine, **options)
                compare_increment(f"{label}, {errors} errors of {step.feature}", found, part)
                self._compare_tally(label, store, step.feature, engine, options, part)

    def _is_first(self, step: Resolve) -> bool:
        """Say whether an update is of samples that no table is there for."""
        return step.samples is not None and step.feature not in self.reference.tables

    def _knows_types(self, key: FeatureKey) -> bool:
        """Say whether some table tells which types the columns of a feature have."""
        return any(feature in self.reference.tables for feature in (key, *(d.feature for d in self.specs[key].deps)))

    def _fitting(self, key: FeatureKey, conditions: Iterable[Condition]) -> tuple[Condition, ...]:
        return tuple(condition for condition in conditions if self._fits(key, condition))

    def _writable(self, key: FeatureKey, answer: Answer) -> bool:
        """Say whether the frames of an update can be written as they are: they have all IDs, and each once."""
        ids = self.specs[key].id_columns
        rows = distinct([*answer.new, *answer.stale])
        return set(ids) <= answer.columns and len({tuple(row[i] for i in ids) for row in rows}) == len(rows)

    def _answers(
        self, key: FeatureKey, asked: Question, *, lazy: bool = False, every_engine: bool = False
    ) -> tuple[Answer | None, dict[str, Any]]:
        """Resolve an update everywhere; what is refused must be refused by all."""
        options = self._options(key, asked)
        try:
            answer = self.reference.resolve(key, asked)
        except Refused:
            for label, store, engine in self._engines(every_engine):
                with pytest.raises(MetaxyError):
                    pytest.fail(f"{label} resolves {store.resolve_update(key, versioning_engine=engine, **options)}")
            return None, {}
        for rows in (answer.expected, answer.orphaned):
            assert all(row[name] is not None for row in rows for name in c.VERSION_COLUMNS if name in row)
        increments = {}
        for label, store, engine in self._engines(every_engine):
            increments[label] = store.resolve_update(key, versioning_engine=engine, **options)
            compare_increment(f"{label}, {key}", increments[label], answer)
            assert increments[label].expected == len({self._sample(answer, row) for row in answer.expected}), label
            assert increments[label].changed_fields == self._changed_fields(answer), label
            if lazy:
                self._compare_tally(label, store, key, engine, options, answer)
                views = store.resolve_update(key, versioning_engine=engine, lazy=True, **options)
                compare_increment(f"{label}, {key}, lazy", views, answer)
                if views.input is not None:
                    compare(f"{label}, {key}, input", views.input, answer.expected, answer.columns)
        return answer, increments

    def _changed_fields(self, answer: Answer) -> dict[str, int] | None:
        if not answer.added:
            return None
        samples = {self._sample(answer, row): row[c.METAXY_CHANGED_FIELDS] for row in [*answer.new, *answer.stale]}
        return dict(Counter(name for names in samples.values() for name in names))

    def _compare_tally(
        self, label: str, store: MetadataStore, key: FeatureKey, engine: Any, options: dict[str, Any], answer: Answer
    ) -> None:
        request = UpdateRequest.build(self.graph.get_feature_plan(key), versioning_engine=engine, **options)
        scope = store.session.scope("r")
        tally = Resolution.of(store, scope, self.graph.get_feature_plan(key), request).tally()
        new, stale, expected = (
            len({self._sample(answer, row) for row in rows}) for rows in (answer.new, answer.stale, answer.expected)
        )
        assert tally[:4] == (new, stale, len(answer.orphaned), expected), label
        assert tally.changed_fields == self._changed_fields(answer), label
        assert tally.drifted == (None if answer.drifted_columns is None else len(answer.drifted)), label

    def _engines(self, every_engine: bool) -> list[tuple[str, MetadataStore, Any]]:
        engines: list[tuple[str, MetadataStore, Any]] = []
        for name, store in self.stores.items():
            engines.append((name, store, "auto"))
            if every_engine and not isinstance(store.engine, PolarsEngine):
                engines.append((f"{name} with polars", store, "polars"))
        return engines

    def _options(self, key: FeatureKey, asked: Question) -> dict[str, Any]:
        return {
            "samples": None if asked.samples is None else self._frame(key, asked.samples),
            "filters": {feature: expressions(given) for feature, given in asked.filters.items()},
            "global_filters": expressions(asked.everywhere),
            "target_filters": expressions(asked.target),
            "staleness_predicates": expressions(asked.stale),
            "skip_comparison": not asked.compare,
            "one_row_per_group": asked.one_row_per_group,
            "previous": asked.previous,
            "payload": asked.payload,
        }

    # -- writing back --------------------------------------------------------------------------------------------------

    def _sample(self, answer: Answer, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in answer.match)

    def _write_back(
        self,
        key: FeatureKey,
        answer: Answer,
        rows: Sequence[Row],
        expand: Mapping[tuple[Any, ...], Sequence[Any]],
        data: Mapping[str, str] | None = None,
        untyped: tuple[str, ...] = (),
        *,
        replaces: bool = False,
    ) -> None:
        """Write rows of an update, one per sample; in an expansion each gets the IDs that `expand` says."""
        ids = self.specs[key].id_columns
        lacking = [name for name in ids if name not in answer.columns]
        if lacking not in ([], ["e"]):
            return
        columns, parents = answer.columns | set(lacking), parents_of(answer, rows)
        if lacking:
            rows = [{**row, "e": value} for row in rows for value in expand[self._sample(answer, row)]]
        if data is not None:
            columns -= {c.METAXY_DATA_VERSION}
            rows = [{**row, c.METAXY_DATA_VERSION_BY_FIELD: data} for row in rows]
        samples = {tuple(row[name] for name in ids): row for row in rows}
        written = tuple({name: row[name] for name in columns} for row in samples.values())
        given = Given(tuple(sorted(columns)), written, untyped)
        if replaces:
            self._write_in_place(key, given, parents)
        else:
            self._write(key, given)

    # -- children in place of others -----------------------------------------------------------------------------------

    def _replace(self, step: Replace) -> None:
        answer, _ = self._answers(step.feature, Question())
        self._tick(step.tick)
        if answer is None or "e" in answer.columns:
            return
        rows = [*answer.new, *answer.stale] if step.changed else answer.expected
        distinct_rows = {self._sample(answer, row): row for row in ordered(rows)}
        kept = [row for n, row in enumerate(distinct_rows.values()) if step.kept[n % len(step.kept)]]
        parts: list[list[Row]] = [[] for _ in range(step.parts or 1)]
        for n, row in enumerate(kept):
            for m, value in enumerate(step.children[n % len(step.children)]):
                parts[(n + m) % len(parts)].append({**row, "e": value})
        columns = tuple(sorted({*answer.columns, "e"}))
        given, parents = [Given(columns, tuple(part)) for part in parts], parents_of(answer, kept)
        if step.parts is None:
            self._write_in_place(step.feature, given[0], parents)
        else:
            self._write_in_parts(step.feature, given if step.parts else [], parents, breaks=step.breaks)
        self._answers(step.feature, Question(), lazy=step.lazy, every_engine=True)

    def _write_in_place(self, key: FeatureKey, given: Given, parents: Given) -> None:
        frame, replaces = self._frame(key, given), self._frame(key, parents)

        def write(store: MetadataStore) -> None:
            store.write(key, frame, replaces=replaces)

        self._like_the_reference(lambda: self.reference.replace(key, given, parents.rows, self.clock.moment), write)

    def _write_in_parts(self, key: FeatureKey, parts: Sequence[Given], parents: Given, *, breaks: bool) -> None:
        frames, replaced = [self._frame(key, part) for part in parts], self._frame(key, parents)
        begun = [part for part in parts if part.rows]

        def refer() -> None:
            now = self.clock.moment
            self.reference.refuse_other_than_expansions(key)
            for n, part in enumerate(begun):
                if n:
                    self.reference.write(key, part, now)
                else:
                    self.reference.begin(key, part, parents.rows, now)
            if not breaks:
                if not begun and key not in self.reference.tables:
                    raise Refused("nothing says which types the IDs of children have")
                before = [row for part in begun for row in part.rows]
                self.reference.replace(key, Given((), ()), parents.rows, now, before)

        def write(store: MetadataStore) -> None:
            with suppress(BrokenOff), store.replacing(key, replaced) as writer:
                for frame in frames:
                    writer.write(frame)
                if breaks:
                    raise BrokenOff

        self._like_the_reference(refer, write)

    def _like_the_reference(self, refer: Callable[[], None], act: Callable[[MetadataStore], None]) -> None:
        try:
            refer()
        except Refused:
            for store in self.stores.values():
                with pytest.raises(MetaxyError):
                    act(store)
            return
        for store in self.stores.values():
            act(store)

    def _settle(self, step: Settle) -> None:
        answer, _ = self._answers(step.feature, Question())
        if answer is None:
            return
        self._tick(1)
        stored = self.reference.latest(step.feature) if step.feature in self.reference.tables else []
        expand: dict[tuple[Any, ...], Sequence[Any]] = {}
        for row in answer.new:
            expand[self._sample(answer, row)] = step.expand[:2]
        for row in answer.stale:
            sample = self._sample(answer, row)
            expand[sample] = [child.get("e") for child in stored if self._sample(answer, child) == sample]
        replaces = step.replaces and self._is_expansion(step.feature)
        self._write_back(step.feature, answer, [*answer.new, *answer.stale], expand, replaces=replaces)
        again, _ = self._answers(step.feature, Question())
        assert again is not None
        assert (again.new, again.stale) == ([], [])
        if again.orphaned:
            self._tick(1)
            samples = [Every(tuple(Is(name, "=", row[name]) for name in again.match)) for row in again.orphaned]
            self._delete(step.feature, Some(tuple(samples)))
            last, _ = self._answers(step.feature, Question(), lazy=True)
            assert last is not None
            assert (last.new, last.stale, last.orphaned) == ([], [], [])

    def _is_expansion(self, key: FeatureKey) -> bool:
        return any(kind(dep) == LineageRelationshipType.EXPANSION for dep in self.specs[key].deps)

    # -- frames --------------------------------------------------------------------------------------------------------

    def _frame(self, key: FeatureKey, given: Given) -> pl.DataFrame:
        schema = {name: self._type(key, name, given.rows) for name in given.columns}
        schema |= {name: UNTYPED.get(self.case.kinds[name], pl.Null) for name in given.untyped}
        frame = pl.DataFrame(
            list(given.rows), schema={n: pl.String if t == pl.Object else t for n, t in schema.items()}
        )
        # An object column without values would be one without a type.
        objects = [name for name, dtype in schema.items() if dtype == pl.Object and frame[name].count()]
        return frame.with_columns(pl.Series(n, [v and UUID(v) for v in frame[n]], pl.Object) for n in objects)

    def _type(self, key: FeatureKey, name: str, rows: Sequence[Row]) -> Any:
        if name in c.BY_FIELD_COLUMNS:
            given = next((row[name] for row in rows if row[name]), members(self.specs[key]))
            return pl.Struct(dict.fromkeys(given, pl.String))
        if name in SYSTEM:
            return SYSTEM[name]
        types = TYPES[self.case.kinds[name]]
        return types[0 if key == CHILD else list(self.specs).index(key) % len(types)]

    def _compare_tables(self) -> None:
        """Compare all rows that were ever written, and the latest ones."""
        for key, table in self.reference.tables.items():
            columns = {*table.columns, *c.ALL_SYSTEM_COLUMNS}
            for name, store in self.stores.items():
                history = store.read(
                    key, with_feature_history=True, with_sample_history=True, include_soft_deleted=True
                )
                rows = distinct(table.rows) if self.is_split else table.rows  # equal rows of two stores are one
                found = collect_to_polars(history)
                if self.is_split:
                    found = pl.DataFrame(distinct(found.to_dicts()), found.schema)
                compare(f"{name}, all of {key}", found, rows, columns)
                if key == CHILD:
                    compare(f"{name}, {key}", store.read(key), self.reference.latest(key), columns)


def graph_of(specs: Iterable[FeatureSpec]) -> FeatureGraph:
    graph = FeatureGraph()
    for spec in specs:
        graph.add_feature_definition(
            FeatureDefinition(spec=spec, feature_schema={}, feature_class_path="m.F", project=PROJECT)
        )
    return graph


def parents_of(answer: Answer, rows: Sequence[Row]) -> Given:
    """Return what names the parents of an expansion, and says with which provenance their children are computed."""
    columns = (*answer.match, c.METAXY_PROVENANCE)
    return Given(columns, tuple(distinct({name: row[name] for name in columns} for row in rows)))


def expressions(conditions: Iterable[Condition]) -> list[Any]:
    return [as_expr(condition) for condition in conditions]


def compare_increment(where: str, increment: Any, answer: Answer) -> None:
    compare(f"{where}, new", increment.new, answer.new, answer.columns | answer.added)
    compare(f"{where}, stale", increment.stale, answer.stale, answer.columns | answer.added)
    compare(f"{where}, orphaned", increment.orphaned, answer.orphaned, answer.stored_columns)
    found = [frame for frame in (increment.drifted, increment.behind) if frame is not None]
    assert len(found) == (answer.drifted_columns is not None), where
    for frame in found:
        compare(f"{where}, drifted or behind", frame, answer.drifted, answer.drifted_columns or set())


def compare(where: str, frame: Any, rows: Sequence[Row], columns: set[str]) -> None:
    """Compare rows as a multiset, value by value, and the columns even if there are no rows."""
    found = collect_to_polars(frame)
    assert set(found.columns) == columns, where
    here, there = ([repr(plain(row)) for row in ordered(each)] for each in (found.to_dicts(), rows))
    assert here == there, f"{where}: {differences(here, there)}"


def differences(here: Sequence[str], there: Sequence[str]) -> str:
    """Show the rows that only one side has."""
    found, missing = Counter(here) - Counter(there), Counter(there) - Counter(here)
    return "\n".join([*(f"+ {row}" for row in found.elements()), *(f"- {row}" for row in missing.elements())])


def ordered(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: repr(plain(row)))


def plain(value: Any) -> Any:
    """Make values of equal rows equal in text too."""
    if isinstance(value, datetime):
        return (value.astimezone(timezone.utc) if value.tzinfo else value).isoformat()
    if isinstance(value, float):
        return repr(value + 0.0)  # NaN is NaN, and SQLite has one zero
    return {name: plain(value[name]) for name in sorted(value)} if isinstance(value, dict) else value
