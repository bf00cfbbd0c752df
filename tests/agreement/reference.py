"""What a store should answer, in plain Python: slow, short, and meant to be read.

Tables are lists of dicts. Nothing here knows of SQL, Polars or the recipes of the package; only specs, plans and
definition versions are taken from it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from tests.agreement.conditions import Condition, holds, ranked

from metaxy import columns as c
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.lineage import LineageRelationshipType
from metaxy.definitions.spec import FeatureSpec

Row: TypeAlias = dict[str, Any]
Conditions: TypeAlias = Sequence[Condition]
PROJECT = "agreement"
BEGUN, WRITTEN = "begun", "written"
MICROSECOND = timedelta(microseconds=1)


class Refused(Exception):
    """A store must refuse this."""


class Ambiguous(Exception):
    """Nothing says which of two rows is the latest: they have the same times and versions."""


@dataclass(frozen=True)
class Record:
    """What was known of the children of a parent at a moment: that they were begun, or written, or that there are none.

    ``says`` is BEGUN, WRITTEN or, where there are none, the provenance with which the parent was computed.
    """

    parent: Row
    says: str
    version: str
    moment: datetime


@dataclass
class Table:
    """User columns, in order, all rows that were ever written, and what was recorded of their parents."""

    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


@dataclass(frozen=True)
class Question:
    """What is asked of an update, beside the feature."""

    samples: "Given | None" = None
    filters: Mapping[FeatureKey, Conditions] = field(default_factory=dict)
    everywhere: Conditions = ()
    target: Conditions = ()
    stale: Conditions = ()
    compare: bool = True
    one_row_per_group: bool = False
    previous: bool = False
    payload: str | None = None

    @property
    def drift(self) -> str:
        """What is done about samples of equal versions whose payload differs."""
        return self.payload or ("ignore" if self.samples is None else "warn")


@dataclass(frozen=True)
class Given:
    """Rows from the user, and the columns that they have even if there are no rows.

    Columns that are ``untyped`` do not say of which type they are, and have no value that does.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    untyped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Rows by status, the rows that should exist, and the columns of both kinds of rows.

    ``added`` are columns of new and stale rows that say what was before. Where that was asked, ``drifted`` are rows of
    equal versions whose payload differs, with their columns; of children, in which a copied column does.
    """

    new: list[Row]
    stale: list[Row]
    orphaned: list[Row]
    expected: list[Row]
    columns: set[str]
    stored_columns: set[str]
    match: list[str]
    added: frozenset[str] = frozenset()
    drifted: list[Row] = field(default_factory=list)
    drifted_columns: set[str] | None = None

    @property
    def samples(self) -> list[Row]:
        return [*self.expected, *self.orphaned]


@dataclass(frozen=True)
class Sample:
    """A row of one parent, or of several joined ones, with the data version of each parent field."""

    columns: Row
    versions: Mapping[str, str | None]

    def joined(self, other: "Sample") -> "Sample":
        return Sample({**self.columns, **other.columns}, {**self.versions, **other.versions})


@dataclass(frozen=True)
class Prepared:
    """A parent as the join sees it: its rows, the columns they show, and those that they join on."""

    dep: FeatureDep
    samples: list[Sample]
    shown: list[str]
    keys: list[str]


@dataclass
class Reference:
    graph: FeatureGraph
    algorithm: str
    length: int
    nested: frozenset[str]  # columns of lists and structs
    filters: Mapping[str, Condition]  # what the filter strings of the specs mean
    tables: dict[FeatureKey, Table] = field(default_factory=dict)

    # -- hashes --------------------------------------------------------------------------------------------------------

    def hashed(self, text: str) -> str:
        return hashlib.new(self.algorithm, text.encode(), usedforsecurity=False).hexdigest()[: self.length]

    def sample_hash(self, by_field: Mapping[str, str]) -> str:
        return self.hashed("|".join(escaped(by_field[name]) for name in sorted(by_field)))

    def versions(self, spec: FeatureSpec, by_field: Mapping[str, str]) -> Row:
        assert all(by_field[name] is not None for name in members(spec))
        own = {name: by_field[name] for name in members(spec)}
        provenance = self.sample_hash(own)
        return {
            c.METAXY_PROVENANCE_BY_FIELD: own,
            c.METAXY_PROVENANCE: provenance,
            c.METAXY_DATA_VERSION_BY_FIELD: own,
            c.METAXY_DATA_VERSION: provenance,
        }

    # -- tables --------------------------------------------------------------------------------------------------------

    def spec(self, key: FeatureKey) -> FeatureSpec:
        return self.graph.get_feature_definition(key).spec

    def version(self, key: FeatureKey) -> str:
        return self.graph.get_feature_version(key, self.length)

    def write(self, key: FeatureKey, given: Given, now: datetime, beside: Sequence[Row] = ()) -> datetime:
        """Write rows, and return when they were written, which is also later than what happened to those beside."""
        updated = self._after(key, [*given.rows, *beside], now)
        self._append(key, given, now, updated)
        return updated

    def _append(self, key: FeatureKey, given: Given, now: datetime, updated: datetime) -> None:
        if not given.rows and key in self.tables:
            return  # no rows say nothing of a table that is there
        table = self.tables.setdefault(key, Table())
        user = [name for name in given.columns if not c.is_system_column(name) and name not in c.INCREMENT_COLUMNS]
        user = [name for name in user if name in table.columns or name not in given.untyped]
        for name in user:
            if name not in table.columns:
                table.columns.append(name)
                for row in table.rows:
                    row[name] = None
        rows = distinct(given.rows)
        for row in rows:
            stamp = self._system_columns(key, row, now) | {c.METAXY_UPDATED_AT: updated}
            table.rows.append(dict.fromkeys(table.columns) | {n: row[n] for n in user} | stamp)

    def _after(self, key: FeatureKey, rows: Sequence[Row], now: datetime) -> datetime:
        """Return a time for a write that is later than all that happened to its samples."""
        ids = self.spec(key).id_columns
        written = [[row[name] for name in ids] for row in rows]
        events = [event(row) for row in self._of_version(key) if [row[name] for name in ids] in written]
        return max([now, *(moment + MICROSECOND for moment in events if moment > now)])

    def _system_columns(self, key: FeatureKey, row: Row, now: datetime) -> Row:
        versions = self.versions(self.spec(key), row[c.METAXY_PROVENANCE_BY_FIELD])
        data = row.get(c.METAXY_DATA_VERSION_BY_FIELD)
        if data is not None:  # fields may be left out
            own = {name: data.get(name, value) for name, value in versions[c.METAXY_PROVENANCE_BY_FIELD].items()}
            versions[c.METAXY_DATA_VERSION_BY_FIELD] = own
        provenance = first(row.get(c.METAXY_PROVENANCE), versions[c.METAXY_PROVENANCE])
        computed = provenance if data is None else self.sample_hash(versions[c.METAXY_DATA_VERSION_BY_FIELD])
        if row.get(c.METAXY_DATA_VERSION) not in (
            None,
            provenance,
        ):  # one that repeats it says nothing
            computed = row[c.METAXY_DATA_VERSION]
        return versions | {
            c.METAXY_PROVENANCE: provenance,
            c.METAXY_DATA_VERSION: computed,
            c.METAXY_FEATURE_VERSION: self.version(key),
            c.METAXY_PROJECT_VERSION: self.graph.get_project_version(PROJECT, self.length),
            c.METAXY_CREATED_AT: first(row.get(c.METAXY_CREATED_AT), now),
            c.METAXY_DELETED_AT: row.get(c.METAXY_DELETED_AT),
            c.METAXY_MATERIALIZATION_ID: None,
        }

    def latest(self, key: FeatureKey, conditions: Conditions = ()) -> list[Row]:
        """Return the latest row of each sample of the current version, unless it is deleted."""
        rows = self._living(key, self._of_version(key))
        return [row for row in rows if all(holds(condition, row) for condition in conditions)]

    def _of_version(self, key: FeatureKey) -> list[Row]:
        rows = self.tables[key].rows if key in self.tables else []
        return [row for row in rows if row[c.METAXY_FEATURE_VERSION] == self.version(key)]

    def _living(self, key: FeatureKey, rows: Iterable[Row]) -> list[Row]:
        newest: dict[tuple[Any, ...], Row] = {}
        for row in rows:
            sample = tuple(row[name] for name in self.spec(key).id_columns)
            newest[sample] = later(newest.get(sample, row), row)
        return [row for row in newest.values() if row[c.METAXY_DELETED_AT] is None]

    def delete_softly(self, key: FeatureKey, condition: Condition, now: datetime) -> None:
        rows = self.latest(key, [condition])
        times = [max(now, row[c.METAXY_UPDATED_AT] + MICROSECOND) for row in rows]
        self.tables[key].rows.extend({**row, c.METAXY_DELETED_AT: t} for row, t in zip(rows, times, strict=True))

    def delete_for_good(self, key: FeatureKey, condition: Condition) -> None:
        rows, version = self.tables[key].rows, self.version(key)
        rows[:] = [row for row in rows if row[c.METAXY_FEATURE_VERSION] != version or not holds(condition, row)]
        # A record is a row that has nothing but the IDs of a parent.
        table = self.tables[key]
        nothing = dict.fromkeys(table.columns)
        table.records[:] = [
            record
            for record in table.records
            if record.version != version or not holds(condition, nothing | record.parent)
        ]

    # -- children in place of others -----------------------------------------------------------------------------------

    def begin(self, key: FeatureKey, first: Given, parents: Sequence[Row], now: datetime) -> None:
        """Write the first of the children that some parents have, of several parts."""
        moment = self._moment(key, self._others(key, first.rows, parents), parents, now)
        self.write(key, first, now)
        self._record(key, parents, BEGUN, moment)

    def replace(
        self, key: FeatureKey, last: Given, parents: Sequence[Row], now: datetime, before: Sequence[Row] | None = None
    ) -> None:
        """Write all children that some parents have, or the last of them: others go, and the parents are computed.

        ``before`` are the children that were written in parts, since now; None: there are no parts.
        """
        children = [*(before or ()), *last.rows]
        self.refuse_other_than_expansions(key)
        others = self._others(key, children, parents)
        gone = self._living(key, others)
        if before is not None and any(row[c.METAXY_UPDATED_AT] > now for row in gone):
            raise Refused("children were written past the replacement")
        moment = self._moment(key, others, parents, now)
        has = [any(is_of(child, parent) for child in children) for parent in parents]
        empty = [parent for parent, some in zip(parents, has, strict=True) if not some]
        said = self._said(key)
        done = [p for p, some in zip(parents, has, strict=True) if some and said.get(named(key_of(p))) == BEGUN]
        if gone or empty or done:  # then an empty frame says nothing
            self.tables.setdefault(key, Table(list(self.spec(key).id_columns)))
        updated = self.write(key, last, now, gone)
        stamp = {
            c.METAXY_DELETED_AT: moment,
            c.METAXY_UPDATED_AT: updated,
            c.METAXY_PROJECT_VERSION: self.graph.get_project_version(PROJECT, self.length),
        }
        self.tables[key].rows.extend({**row, **stamp} for row in gone) if gone else None
        self._record(key, done, WRITTEN, moment)
        self._record(key, empty, None, moment)

    def refuse_other_than_expansions(self, key: FeatureKey) -> None:
        if not any(kind(dep) == LineageRelationshipType.EXPANSION for dep in self.spec(key).deps):
            raise Refused("no expansion")

    def _others(self, key: FeatureKey, children: Sequence[Row], parents: Sequence[Row]) -> list[Row]:
        """Return the rows of all children that these parents ever had, but these."""
        ids = self.spec(key).id_columns
        named_here = [[row[name] for name in ids] for row in children]
        rows = [row for row in self._of_version(key) if any(is_of(row, parent) for parent in parents)]
        return [row for row in rows if [row[name] for name in ids] not in named_here]

    def _moment(self, key: FeatureKey, others: Sequence[Row], parents: Sequence[Row], now: datetime) -> datetime:
        """Return a time later than all that happened to these rows, and than all that was recorded of their parents."""
        of_them = [named(key_of(parent)) for parent in parents]
        records = [r for r in self._records(key) if named(r.parent) in of_them]
        times = [*map(event, others), *(record.moment for record in records)]
        return max([now, *(moment + MICROSECOND for moment in times if moment >= now)])

    def _record(self, key: FeatureKey, parents: Sequence[Row], says: str | None, moment: datetime) -> None:
        for parent in parents:
            says_of_it = parent[c.METAXY_PROVENANCE] if says is None else says
            self.tables[key].records.append(Record(key_of(parent), says_of_it, self.version(key), moment))

    def _records(self, key: FeatureKey) -> list[Record]:
        """Return what was recorded in the current version, in the order of time."""
        records = self.tables[key].records if key in self.tables else []
        return sorted((r for r in records if r.version == self.version(key)), key=lambda record: record.moment)

    def _said(self, key: FeatureKey) -> dict[tuple[Any, ...], str]:
        """Return what was recorded last of each parent."""
        return {named(record.parent): record.says for record in self._records(key)}

    def _computed(self, key: FeatureKey) -> dict[tuple[Any, ...], str]:
        """Return the parents without children that count as computed, and with which provenance.

        Who deletes children, or writes and deletes some, wants them computed again: this undoes what was recorded.
        """
        last = {named(record.parent): record for record in self._records(key)}
        return {
            parent: record.says
            for parent, record in last.items()
            if record.says not in (BEGUN, WRITTEN)
            and not any(event(row) > record.moment for row in self._of_version(key) if is_of(row, record.parent))
        }

    # -- updates -------------------------------------------------------------------------------------------------------

    def resolve(self, key: FeatureKey, asked: Question) -> Answer:
        answer = self._resolve(key, asked)
        if not asked.previous:
            return answer
        new, stale = (
            [row | self._before(key, row, answer.match) for row in rows] for rows in (answer.new, answer.stale)
        )
        return replace(answer, new=new, stale=stale, added=frozenset({c.METAXY_CHANGED_FIELDS, c.METAXY_PREVIOUS}))

    def _before(self, key: FeatureKey, row: Row, match: list[str]) -> Row:
        """Say which fields changed since the newest row of a sample, of any feature version, and what that row held."""
        spec, table = self.spec(key), self.tables.get(key, Table())
        # As in the comparison, tuples: they take the one NaN for equal to itself.
        sample = tuple(row[name] for name in match)
        rows = [other for other in self._living(key, table.rows) if tuple(other[name] for name in match) == sample]
        rows.sort(key=lambda other: [ranked(other[name]) for name in spec.id_columns])
        newest = max(rows, key=place_in_time, default=None)
        before = newest[c.METAXY_PROVENANCE_BY_FIELD] if newest else {}
        own = row[c.METAXY_PROVENANCE_BY_FIELD]
        payload = [name for name in table.columns if name not in spec.id_columns]
        shown = newest is not None and set(match) == set(spec.id_columns) and payload
        return {
            c.METAXY_CHANGED_FIELDS: [name for name in members(spec) if before.get(name) != own[name]],
            c.METAXY_PREVIOUS: {name: newest[name] for name in payload} if newest and shown else None,
        }

    def _resolve(self, key: FeatureKey, asked: Question) -> Answer:
        spec, own = self.spec(key), (*asked.filters.get(key, ()), *asked.everywhere, *asked.target)
        if asked.samples is not None:
            match = list(spec.id_columns)
            expected, columns = self._given(spec, asked.samples, own)
        else:
            expected, columns, match = self._expected(self.graph.get_feature_plan(key), asked)
        if any(row[name] is None for row in expected for name in (*match, c.METAXY_PROVENANCE)):
            raise Refused("an ID or a version is NULL")
        table = self.tables.get(key)
        compared = self._compared(spec, asked, columns, match)
        shown = columns if asked.samples and asked.drift == "warn" else None
        if table is None or not asked.compare:
            return Answer(expected, [], [], expected, columns, columns, match, drifted_columns=shown)
        stored, said, computed = self._children(spec, match, own), self._said(key), self._computed(key)
        new: list[Row] = []
        stale: list[Row] = []
        drifted: list[tuple[Row, Row]] = []
        behind: list[Row] = []
        for row in expected:
            children = stored.get(tuple(row[name] for name in match))
            parent = named({name: row[name] for name in match})
            if children is None:
                if computed.get(parent) != row[c.METAXY_PROVENANCE]:
                    (stale if parent in computed else new).append(row)
            elif said.get(parent) == BEGUN or any(
                differs(child, row) or any(holds(p, child) for p in asked.stale) for child in children
            ):
                stale.append(row)
            else:
                older = [child for child in children if any(ranked(row[n]) != ranked(child[n]) for n in compared)]
                if older and asked.drift == "stale":
                    stale.append(row)
                drifted += [(child, row) for child in older]
        if asked.drift == "warn" and (asked.samples or compared):
            given = asked.samples.columns if asked.samples else ()
            taken = columns if asked.samples else {*compared, *match, *c.VERSION_COLUMNS}
            behind = [self._drifted(given, old, {name: row[name] for name in taken}) for old, row in drifted]
            shown = taken | set(table.columns)
        wanted = {tuple(row[name] for name in match) for row in expected}
        orphaned = [child for sample, children in stored.items() if sample not in wanted for child in children]
        orphaned += self._left_over(stored, stale, match)
        return Answer(
            new,
            stale,
            orphaned,
            expected,
            columns,
            {*table.columns, *c.ALL_SYSTEM_COLUMNS},
            match,
            drifted=behind,
            drifted_columns=shown,
        )

    def _compared(self, spec: FeatureSpec, asked: Question, columns: set[str], match: Sequence[str]) -> set[str]:
        """Name the columns that are compared where versions are equal: of samples all, of parents what is selected."""
        if asked.drift == "ignore" or not asked.compare:
            return set()
        if asked.samples is None and any(kind(dep) == LineageRelationshipType.AGGREGATION for dep in spec.deps):
            return set()
        if asked.samples is None and any(not set(self._parent_ids(dep)) <= {*match} for dep in self._present(spec)):
            return set()  # several rows of a parent are one sample, and may differ
        selected = {name for dep in spec.deps for name in dep.select or ()}
        names = selected if asked.samples is None else set(asked.samples.columns) - {*asked.samples.untyped}
        known = set(self.tables.get(spec.key, Table()).columns) & columns - {*self.nested, *spec.id_columns}
        return {name for name in names & known if not c.is_system_column(name)}

    def _drifted(self, columns: Sequence[str], stored: Row, row: Row) -> Row:
        """Return a row of equal versions: what is stored, under the sample; data versions stay."""
        user = {name: value for name, value in stored.items() if not c.is_system_column(name)}
        given = c.METAXY_DATA_VERSION_BY_FIELD in columns
        own = () if given else (c.METAXY_DATA_VERSION, c.METAXY_DATA_VERSION_BY_FIELD)
        return user | row | {name: stored[name] for name in own}

    def _children(self, spec: FeatureSpec, match: Sequence[str], own: Conditions) -> dict[tuple[Any, ...], list[Row]]:
        """Group the stored rows by what they are matched on; more than one per group only for expansions."""
        stored: dict[tuple[Any, ...], list[Row]] = {}
        for row in sorted(self.latest(spec.key, own), key=lambda row: [ranked(row[name]) for name in spec.id_columns]):
            stored.setdefault(tuple(row[name] for name in match), []).append(row)
        return stored

    def _left_over(
        self, stored: Mapping[tuple[Any, ...], list[Row]], stale: Sequence[Row], match: Sequence[str]
    ) -> Iterator[Row]:
        """Yield the children with another provenance than is expected, beside those of the same parent that have it."""
        expected: dict[tuple[Any, ...], set[str]] = {}
        for row in stale:
            expected.setdefault(tuple(row[name] for name in match), set()).add(row[c.METAXY_PROVENANCE])
        for sample, provenances in expected.items():
            children = stored.get(sample, [])
            old = [child for child in children if child[c.METAXY_PROVENANCE] not in provenances]
            if len(provenances) == 1 and len(old) < len(children):
                yield from old

    def _given(self, spec: FeatureSpec, samples: Given, own: Conditions) -> tuple[list[Row], set[str]]:
        columns = set(samples.columns) - {c.METAXY_PROVENANCE_BY_FIELD, c.METAXY_PROVENANCE}
        if c.METAXY_DATA_VERSION_BY_FIELD not in columns:
            columns -= {c.METAXY_DATA_VERSION}
        shown = columns | {c.METAXY_PROVENANCE_BY_FIELD, c.METAXY_PROVENANCE}
        if c.METAXY_DATA_VERSION_BY_FIELD not in columns:
            shown |= {c.METAXY_DATA_VERSION_BY_FIELD, c.METAXY_DATA_VERSION}
        expected = []
        for row in samples.rows:
            if all(holds(condition, row) for condition in own):
                versions = self.versions(spec, row[c.METAXY_PROVENANCE_BY_FIELD])
                values = versions | {name: row[name] for name in columns}
                expected.append({name: values[name] for name in shown})
        return expected, shown

    def _expected(self, plan: FeaturePlan, asked: Question) -> tuple[list[Row], set[str], list[str]]:
        """Return the rows that should exist, their columns, and those that stored rows are matched on."""
        parents = [self._parent(plan, dep, asked) for dep in plan.feature_deps if self._exists(dep)]
        if not parents:  # nothing should exist; only the feature itself can say which columns there are
            table = self.tables.get(plan.feature.key)
            known = {*table.columns, *c.ALL_SYSTEM_COLUMNS} if table else {*plan.feature.id_columns, *c.VERSION_COLUMNS}
            return [], known, list(plan.feature.id_columns)
        required = [parent for parent in parents if not parent.dep.optional]
        optional = [parent for parent in parents if parent.dep.optional]
        head, *rest = [*required, *optional]
        samples, joined = head.samples, list(head.keys)
        for parent in rest:
            shared = [name for name in parent.keys if name in joined]
            samples = join(samples, parent.samples, shared, optional=parent.dep.optional, full=not required)
            joined += [name for name in parent.keys if name not in joined]
        shown = {name for parent in parents for name in parent.shown}
        rows = [
            {name: sample.columns.get(name) for name in shown} | self._provenance(plan, sample) for sample in samples
        ]
        return rows, shown | set(c.VERSION_COLUMNS), self._match(plan, joined, shown)

    def _present(self, spec: FeatureSpec) -> list[FeatureDep]:
        return [dep for dep in spec.deps if dep.feature in self.tables]

    def _parent_ids(self, dep: FeatureDep) -> list[str]:
        return [(dep.rename or {}).get(name, name) for name in self.spec(dep.feature).id_columns]

    def _exists(self, dep: FeatureDep) -> bool:
        if dep.feature in self.tables:
            return True
        if dep.optional:
            return False
        raise Refused(f"{dep.feature} has no table")

    def _match(self, plan: FeaturePlan, joined: list[str], shown: set[str]) -> list[str]:
        ids = list(plan.feature.id_columns)
        expands = any(kind(dep) == LineageRelationshipType.EXPANSION for dep in plan.feature_deps)
        return ids if set(ids) <= set(joined) | (set() if expands else shown) else joined

    def _provenance(self, plan: FeaturePlan, sample: Sample) -> Row:
        optional = {str(dep.feature) for dep in plan.optional_deps}
        by_field = {}
        for spec in plan.feature.fields:
            parts = [str(spec.key), spec.code_version]
            for parent in sorted(plan.get_parent_fields_for_field(spec.key), key=str):
                value = sample.versions.get(str(parent))
                if value is None and str(parent.feature) not in optional:
                    raise Refused(f"{parent} has no version")
                parts += [str(parent), escaped(value or "")]
            by_field[spec.key.to_struct_key()] = self.hashed("|".join(parts))
        return self.versions(plan.feature, by_field)

    # -- one parent ----------------------------------------------------------------------------------------------------

    def _parent(self, plan: FeaturePlan, dep: FeatureDep, asked: Question) -> Prepared:
        parent, rename = self.spec(dep.feature), dict(dep.rename or {})
        ids = [rename.get(name, name) for name in parent.id_columns]
        columns = [rename.get(name, name) for name in self.tables[dep.feature].columns]
        lineage: Any = dep.lineage.relationship
        on = lineage.on if kind(dep) != LineageRelationshipType.IDENTITY else None
        if kind(dep) == LineageRelationshipType.AGGREGATION:
            on = on or plan.feature.id_columns
        keys = list(on or ids)
        if dep.select is not None:
            columns = list(dict.fromkeys([*dep.select, *keys]))
        samples = self._samples(parent, dep, asked)
        if kind(dep) == LineageRelationshipType.AGGREGATION:
            samples = self._aggregated(samples, keys, ids)
            if asked.one_row_per_group:
                columns = keys
                samples = list({tuple(s.columns[name] for name in keys): s for s in samples}.values())
        shown = [Sample({name: s.columns[name] for name in columns}, s.versions) for s in samples]
        return Prepared(dep, shown, columns, keys)

    def _samples(self, parent: FeatureSpec, dep: FeatureDep, asked: Question) -> list[Sample]:
        """Take the latest rows, rename their columns, and drop what the filters drop."""
        rename = dict(dep.rename or {})
        rows = self.latest(dep.feature, (*asked.filters.get(dep.feature, ()), *asked.everywhere))
        static = [self.filters[text] for text in dep.sql_filters or ()]
        samples = []
        for row in rows:
            columns = {rename.get(name, name): row[name] for name in self.tables[dep.feature].columns}
            data = row[c.METAXY_DATA_VERSION_BY_FIELD]
            versions = {f"{parent.key}.{f.key}": data[f.key.to_struct_key()] for f in parent.fields}
            if all(holds(condition, columns) for condition in static):
                samples.append(Sample(columns, versions))
        return samples

    def _aggregated(self, samples: Iterable[Sample], keys: Sequence[str], ids: Sequence[str]) -> list[Sample]:
        """Give all samples of a group the hash over their versions, in the order of their IDs."""
        groups: dict[tuple[Any, ...], list[Sample]] = {}
        for sample in sorted(samples, key=lambda sample: [ranked(sample.columns[name]) for name in ids]):
            groups.setdefault(tuple(sample.columns[name] for name in keys), []).append(sample)
        result = []
        for group in groups.values():
            texts = {name: [sample.versions[name] or "" for sample in group] for name in group[0].versions}
            versions = {name: self.hashed("|".join(map(escaped, values))) for name, values in texts.items()}
            result += [Sample(sample.columns, versions) for sample in group]
        return result


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("|", "\\|")


def first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def distinct(rows: Iterable[Row]) -> list[Row]:
    result: list[Row] = []
    for row in rows:
        if row not in result:
            result.append(row)
    return result


def kind(dep: FeatureDep) -> LineageRelationshipType:
    return dep.lineage.relationship.type


def members(spec: FeatureSpec) -> list[str]:
    return [f.key.to_struct_key() for f in spec.fields]


def key_of(parent: Row) -> Row:
    """Return the IDs of a parent."""
    return {name: value for name, value in parent.items() if name != c.METAXY_PROVENANCE}


def named(parent: Row) -> tuple[Any, ...]:
    """Return the IDs of a parent in one order; as in the comparison, the one NaN is equal to itself."""
    return tuple(parent[name] for name in sorted(parent))


def is_of(child: Row, parent: Row) -> bool:
    """Say whether a row is a child of a parent, whose IDs it shares."""
    return named({name: child[name] for name in key_of(parent)}) == named(key_of(parent))


def differs(stored: Row, expected: Row) -> bool:
    return bool(stored[c.METAXY_PROVENANCE] != expected[c.METAXY_PROVENANCE])


def event(row: Row) -> datetime:
    """Return when a row was deleted or, while it lives, written."""
    moment: datetime = first(row[c.METAXY_DELETED_AT], row[c.METAXY_UPDATED_AT])
    return moment


def later(left: Row, right: Row) -> Row:
    """Return the row that counts: the one with the later event, or else the greater versions, NULL being least."""
    if place_in_time(left) == place_in_time(right) and left != right:
        raise Ambiguous
    return max(left, right, key=place_in_time)


def place_in_time(row: Row) -> list[tuple[bool, Any]]:
    times = [event(row), row[c.METAXY_UPDATED_AT], row[c.METAXY_CREATED_AT]]
    texts = [row[c.METAXY_DATA_VERSION].encode(), row[c.METAXY_PROVENANCE].encode()]
    return [(value is not None, value) for value in [*times, *texts]]


def join(left: list[Sample], right: list[Sample], on: Sequence[str], *, optional: bool, full: bool) -> list[Sample]:
    """Join the samples that agree on columns; NULL agrees with nothing."""

    def agree(one: Sample, other: Sample) -> bool:
        return all(ranked(one.columns.get(name)) == ranked(other.columns[name]) is not None for name in on)

    samples = [one.joined(other) for one in left for other in right if agree(one, other)]
    if optional:
        samples += [one for one in left if not any(agree(one, other) for other in right)]
    if full:
        samples += [other for other in right if not any(agree(one, other) for one in left)]
    return samples
