"""From a plan to a recipe: which columns, joins and formulas the rows of one feature need.

All rules about columns live here: renames, selections, collisions, what parents join on and what expected and current
rows are matched on. It sees schemas, never rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import narwhals as nw

from metaxy.columns import (
    INCREMENT_COLUMNS,
    METAXY_DATA_VERSION,
    METAXY_DATA_VERSION_BY_FIELD,
    METAXY_PROVENANCE,
    METAXY_PROVENANCE_BY_FIELD,
    STRAY_COLUMNS,
    is_system_column,
)
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import DefinitionError, MetadataSchemaError
from metaxy.hashing import HashSettings
from metaxy.versioning.formulas import field_formulas, needed_members
from metaxy.versioning.key_types import check_same_type
from metaxy.versioning.payload import pairs_of
from metaxy.versioning.recipe import Column, Current, Earlier, Field, Group, Input, Latest, Payload, Recipe, Version
from metaxy.wording import did_you_mean

DATA_VERSIONS = (METAXY_DATA_VERSION, METAXY_DATA_VERSION_BY_FIELD)


@dataclass(frozen=True)
class TableShape:
    """What is known about a table before its rows are read: the feature version that counts, and the columns.

    Of rows that are not stored, all count, and one of each sample only where they say that several are the same.
    """

    feature_version: str | None
    schema: nw.Schema = field(hash=False)
    one_per_sample: bool = True


@dataclass(frozen=True)
class Basis:
    """What a recipe follows from, beside definitions.

    ``parents`` are their tables; optional ones may be missing. ``current`` is the table of the feature itself, None
    where it has none. Without ``compare``, all expected rows are new. ``one_row_per_group`` gives one row per group of
    an aggregation instead of one per row of the parent. ``ids`` are the ID columns by which samples are chosen, if only
    some are asked for. ``previous`` looks up the row that each changed sample had before. ``drift`` is the status of
    samples in which only the payload differs, if that is looked at, but for columns that are ``not_compared``.
    """

    settings: HashSettings
    parents: tuple[tuple[FeatureKey, TableShape], ...] = ()
    current: TableShape | None = None
    compare: bool = True
    one_row_per_group: bool = False
    ids: tuple[str, ...] = ()
    previous: bool = False
    drift: int | None = None
    not_compared: frozenset[str] = frozenset()


@dataclass
class _Names:
    """Short names for user columns; a name met again keeps its short name."""

    feature: str
    shorts: dict[str, str] = field(default_factory=dict)
    types: dict[str, nw.dtypes.DType] = field(default_factory=dict)

    def short(self, name: str, dtype: nw.dtypes.DType) -> str:
        if name not in self.shorts:
            twin = next((other for other in self.shorts if other.lower() == name.lower()), None)
            if twin:
                raise MetadataSchemaError(
                    f"{self.feature}: columns {twin!r} and {name!r} differ only by case; rename one of them"
                )
            self.shorts[name] = f"k{len(self.shorts)}"
            self.types[name] = dtype
        return self.shorts[name]


def build_recipe(plan: FeaturePlan, basis: Basis) -> Recipe:
    """Build the recipe of a feature from its parents' tables.

    Raises:
        DefinitionError: if columns collide, parents have nothing to join on, or nothing to choose samples by.
        MetadataSchemaError: if a column is missing or IDs have different types.
    """
    return _Builder(plan, basis).build()


def build_given_recipe(spec: FeatureSpec, schema: nw.Schema, basis: Basis) -> Recipe:
    """Build the recipe for rows that the user gives: their by-field provenance is taken as it is."""
    names = _Names(f"feature {spec.key}")
    missing = [c for c in spec.id_columns if c not in schema]
    if missing:
        raise MetadataSchemaError(
            f"feature {spec.key}: the samples lack ID column {missing[0]!r}; they have {list(schema)}"
        )
    dropped = {*STRAY_COLUMNS, METAXY_PROVENANCE_BY_FIELD, METAXY_PROVENANCE}
    if METAXY_DATA_VERSION_BY_FIELD not in schema:
        dropped.add(METAXY_DATA_VERSION)
    output = tuple(Column(c, names.short(c, t), c) for c, t in schema.items() if c not in dropped)
    fields = tuple(Field(f.key.to_struct_key(), f"v{n}", given=True) for n, f in enumerate(spec.fields))
    match = tuple(names.shorts[c] for c in spec.id_columns)
    stored = _current(spec, basis.current, spec.id_columns, names) if basis.current and basis.compare else None
    earlier = _earlier(spec, basis.current, spec.id_columns, names) if basis.previous else None
    # Nothing keeps a user from giving a sample twice.
    return Recipe(
        str(spec.key),
        (),
        fields,
        match,
        output,
        basis.settings,
        stored,
        basis.compare,
        repeats=True,
        ids=basis.ids,
        earlier=earlier,
        payload=_payload(output, names, stored, basis),
    )


def _payload(output: Sequence[Column], names: _Names, stored: Current | None, basis: Basis) -> Payload | None:
    """Describe the columns that are compared beside the versions."""
    if basis.drift is None or basis.current is None or stored is None:
        return None
    expected = [column for column in output if not is_system_column(column.name)]
    pairs = pairs_of(expected, names.types, stored, basis.current.schema, basis.not_compared)
    return Payload(pairs, basis.drift, frozenset(_kept(output, stored)))


def _kept(output: Sequence[Column], stored: Current) -> Iterator[str]:
    """Yield the stored columns that stay as they are: what is not expected and, as of children, data versions."""
    expected = {column.name for column in output}
    own = DATA_VERSIONS if METAXY_DATA_VERSION_BY_FIELD not in expected else ()
    for column in stored.columns:
        if column.name in own or not (is_system_column(column.name) or column.name in expected):
            yield column.short


def _current(spec: FeatureSpec, known: TableShape, keys: Sequence[str], names: _Names) -> Current:
    """Describe the stored rows of the feature itself."""
    _check_keys(spec, known, keys, names)
    stored = [c for c in known.schema if c not in STRAY_COLUMNS]
    columns = tuple(Column(c, f"o{n}", c) for n, c in enumerate(stored))
    latest = Latest(tuple(spec.id_columns), known.feature_version)
    own = tuple(i for i in spec.id_columns if i not in keys) if spec.expands else ()
    return Current(latest, columns, tuple(keys), collapse=set(keys) != set(spec.id_columns), own=own)


def _earlier(spec: FeatureSpec, known: TableShape | None, keys: Sequence[str], names: _Names) -> Earlier:
    """Describe the rows that samples had before; where several are one sample, there is no payload to speak of."""
    flags = tuple(f"f{n}" for n in range(len(spec.fields)))
    latest = Latest(tuple(spec.id_columns), None)
    if known is None:
        return Earlier(latest, tuple(keys), (), flags)
    _check_keys(spec, known, keys, names)
    skipped = {*spec.id_columns, *STRAY_COLUMNS, *INCREMENT_COLUMNS}
    user = [c for c in known.schema if not is_system_column(c) and c not in skipped]
    earlier = Earlier(latest, tuple(keys), tuple(Column(c, f"b{n}", c) for n, c in enumerate(user)), flags)
    return replace(earlier, columns=()) if earlier.several else earlier


def _check_keys(spec: FeatureSpec, known: TableShape, keys: Sequence[str], names: _Names) -> None:
    """Refuse a table that lacks what rows are matched by, or has it as another type."""
    for key in keys:
        if key not in known.schema:
            raise MetadataSchemaError(
                f"feature {spec.key}: its table lacks column {key!r}, by which rows are matched; "
                f"it has {list(known.schema)}"
            )
        check_same_type(f"feature {spec.key}", key, names.types[key], known.schema[key])


def sorting_ids(spec: FeatureSpec) -> tuple[str, ...]:
    """Return the IDs by which a table may be sorted; those that tell the children of a parent apart may be NULL."""
    shared = {name for dep in spec.deps if dep.expands for name in getattr(dep.lineage.relationship, "on", ())}
    return tuple(name for name in spec.id_columns if name in shared) or tuple(spec.id_columns)


def build_joined_recipe(plan: FeaturePlan, schema: nw.Schema, settings: HashSettings) -> Recipe:
    """Build the recipe for rows that the user joined from the parents, with the data versions of each.

    A root has no parents: its formulas know only code versions.

    Raises:
        MetadataSchemaError: if the data versions of a parent are missing.
    """
    versions: dict[tuple[FeatureKey, str], Version] = {}
    dropped = {METAXY_PROVENANCE, METAXY_PROVENANCE_BY_FIELD, METAXY_DATA_VERSION, METAXY_DATA_VERSION_BY_FIELD}
    for dep in plan.feature_deps:
        suffix = dep.feature.to_column_suffix()
        column = METAXY_DATA_VERSION_BY_FIELD + suffix
        if column not in schema:
            raise MetadataSchemaError(
                f"feature {plan.feature.key}: the frame lacks {column}, the data versions of its parent {dep.feature}; "
                f"rename {METAXY_DATA_VERSION_BY_FIELD} to it before the parents are joined"
            )
        dropped |= {column, METAXY_PROVENANCE + suffix, METAXY_PROVENANCE_BY_FIELD + suffix}
        for member, label in needed_members(plan, dep.feature):
            short = f"d0_{len(versions)}"
            versions[dep.feature, label] = Version(member, short, f"{dep.feature}.{label}", column)
    kept = [name for name in schema if name not in dropped and not is_system_column(name)]
    columns = tuple(Column(name, f"k{n}", name) for n, name in enumerate(kept))
    given = Input("", Latest((), None, one_per_sample=False, include_deleted=True), columns, tuple(versions.values()))
    optional = {dep.feature for dep in plan.feature_deps if dep.optional}
    nullable = frozenset(v.short for (key, _), v in versions.items() if key in optional)
    formulas = field_formulas(plan, versions)
    return Recipe(
        str(plan.feature.key), (given,), formulas, (), columns, settings, compare=False, optional_versions=nullable
    )


class _Builder:
    def __init__(self, plan: FeaturePlan, basis: Basis) -> None:
        self.spec = plan.feature
        self.plan = plan
        self.basis = basis
        self.tables = dict(basis.parents)
        self.names = _Names(f"feature {plan.feature.key}")
        self.versions: dict[tuple[FeatureKey, str], Version] = {}

    def build(self) -> Recipe:
        basis, deps = self.basis, self._join_order()
        if not deps:
            raise DefinitionError(
                f"feature {self.spec.key}: none of its parents has a table yet; write one of them first"
            )
        inputs: list[Input] = []
        output: dict[str, Column] = {}
        joined: list[str] = []
        for dep in deps:
            step, added = self._input(len(inputs), dep, joined, output)
            inputs.append(step)
            output |= added
            joined += [c for c in self._input_ids(dep) if c not in joined]
        keys = self._match(deps, output, joined)
        chosen = self._chosen(basis.ids, keys)
        inputs = self._choosing(inputs, chosen)
        stored = _current(self.spec, basis.current, keys, self.names) if basis.current and basis.compare else None
        repeats = not set(joined) <= set(keys) or any(self._repeats(dep) for dep in deps)
        optional = frozenset(v.short for i in inputs if i.optional for v in i.versions)
        return Recipe(
            str(self.spec.key),
            tuple(inputs),
            field_formulas(self.plan, self.versions),
            tuple(self.names.shorts[k] for k in keys),
            tuple(output.values()),
            basis.settings,
            stored,
            basis.compare,
            optional,
            repeats=repeats,
            ids=chosen,
            earlier=_earlier(self.spec, basis.current, keys, self.names) if basis.previous else None,
            payload=None if repeats else self._copied(output, stored),
        )

    # -- joins ---------------------------------------------------------------------------------------------------------

    def _input_ids(self, dep: FeatureDep) -> list[str]:
        return list(self.plan.get_input_id_columns_for_dep(dep))

    def _repeats(self, dep: FeatureDep) -> bool:
        """Say whether several rows of a parent may agree on the columns that tell its samples apart here."""
        if dep.aggregates and self.basis.one_row_per_group:
            return False
        ids = dep.renamed(self.plan.parent_features_by_key[dep.feature].id_columns)
        return not set(ids) <= set(self._input_ids(dep))

    def _join_order(self) -> list[FeatureDep]:
        """Order parents so that each shares an ID column with those before it, required ones first."""
        present = [dep for dep in self.plan.feature_deps if dep.feature in self.tables]
        waiting = sorted(present, key=lambda dep: dep.optional)
        order: list[FeatureDep] = []
        known: set[str] = set()
        while waiting:
            fits = [d for d in waiting if not known or known & set(self._input_ids(d))]
            if not fits:
                raise DefinitionError(
                    f"feature {self.spec.key}: parent {waiting[0].feature} shares no ID column with {order[0].feature} "
                    f"({self._input_ids(waiting[0])} and {sorted(known)}); rename one of them to match"
                )
            order.append(fits[0])
            waiting.remove(fits[0])
            known |= set(self._input_ids(fits[0]))
        return order

    def _match(self, deps: Sequence[FeatureDep], output: Mapping[str, Column], joined: list[str]) -> list[str]:
        """Choose the columns on which expected and stored rows meet: the feature's IDs where they are all known."""
        ids = list(self.spec.id_columns)
        known = set(joined) if any(dep.expands for dep in deps) else {*joined, *output}
        if set(ids) <= known:
            return ids
        return joined

    def _copied(self, output: Mapping[str, Column], stored: Current | None) -> Payload | None:
        """Describe the columns of parents that samples copy: those that are selected, where each has one value."""
        deps = self.plan.feature_deps
        if stored is None or any(dep.aggregates for dep in deps):
            return None
        selected = [output[name] for dep in deps for name in dep.select or () if name in output]
        payload = _payload(selected, self.names, stored, self.basis)
        if payload is None or not payload.pairs:
            return None
        copied = [output[pair.name] for pair in payload.pairs]
        return replace(payload, kept=frozenset(_kept(copied, stored)))  # what cannot be compared stays as it is stored

    # -- some samples only ---------------------------------------------------------------------------------------------

    def _chosen(self, ids: tuple[str, ...], keys: Sequence[str]) -> tuple[str, ...]:
        """Return the ID columns by which samples are chosen: those on which expected and stored rows meet."""
        chosen = tuple(name for name in ids if name in keys)
        if ids and not chosen:
            raise DefinitionError(
                f"feature {self.spec.key}: its samples cannot be chosen by {', '.join(ids)}, as they are compared by "
                f"{', '.join(keys)}; pass ids= with one of these columns"
            )
        return chosen

    def _choosing(self, inputs: Sequence[Input], chosen: tuple[str, ...]) -> list[Input]:
        """Choose rows of the parents by the IDs that they have; join what is asked for, if that leaves others, too."""
        if not chosen:
            return list(inputs)
        steps = [replace(step, among=tuple(n for n in chosen if n in _own_ids(step))) for step in inputs]
        whole = [step.among == chosen for step in steps]
        if all(whole) or any(w and not step.optional for w, step in zip(whole, steps, strict=True)):
            return steps
        columns = tuple(Column(name, self.names.shorts[name], name) for name in chosen)
        every = Latest((), None, one_per_sample=False, include_deleted=True)
        return [*steps, Input("", every, columns, (), join=tuple(column.short for column in columns))]

    # -- one parent ----------------------------------------------------------------------------------------------------

    def _input(
        self, index: int, dep: FeatureDep, joined: Sequence[str], before: Mapping[str, Column]
    ) -> tuple[Input, dict[str, Column]]:
        known = self.tables[dep.feature]
        parent = self.plan.parent_features_by_key[dep.feature]
        names = self._renamed(dep, known.schema)
        keys = self._input_ids(dep)
        group = dep.aggregates
        shown = self._shown(dep, parent, names, keys)
        if group and self.basis.one_row_per_group:
            shown = keys
        by_name = {name: stored for stored, name in names.items()}
        order = [names[i] for i in parent.id_columns if i in names] if group else []
        columns = {}
        for name in dict.fromkeys([*shown, *keys, *order]):
            if name not in by_name:
                raise MetadataSchemaError(
                    f"feature {self.spec.key}: parent {dep.feature} has no column {name!r}."
                    f"{did_you_mean(name, by_name)}"
                )
            columns[name] = Column(by_name[name], self._short(name, known.schema[by_name[name]], shared=keys), name)
        shared = [k for k in keys if k in joined]
        self._check_collisions(dep, [n for n in shown if n in before and n not in shared])
        for n in set(columns) - {*shown, *keys}:  # an ID that only orders a group is not another parent's column
            columns[n] = Column(columns[n].stored, f"{columns[n].short}_{index}", n)
        step = Input(
            feature=str(dep.feature),
            latest=Latest(tuple(parent.id_columns), known.feature_version, known.one_per_sample),
            columns=tuple(columns.values()),
            versions=self._input_versions(index, dep.feature),
            join=tuple(columns[k].short for k in shared),
            group=Group(tuple(columns[k].short for k in keys), tuple(columns[n].short for n in order))
            if group
            else None,
            one_row_per_group=group and self.basis.one_row_per_group,
            optional=dep.optional,
            outer=dep.optional and not self.plan.required_deps,
        )
        return step, {n: columns[n] for n in shown if n not in before}

    def _short(self, name: str, dtype: nw.dtypes.DType, shared: Sequence[str]) -> str:
        if name in self.names.types and name in shared:
            check_same_type(f"feature {self.spec.key}", name, self.names.types[name], dtype)
        return self.names.short(name, dtype)

    def _renamed(self, dep: FeatureDep, schema: nw.Schema) -> dict[str, str]:
        """Map the user columns of a parent to their new names."""
        rename = dep.rename or {}
        user = [c for c in schema if not is_system_column(c) and c not in STRAY_COLUMNS]
        for old in rename:
            if old not in user:
                raise MetadataSchemaError(
                    f"feature {self.spec.key}: parent {dep.feature} has no column {old!r} to rename."
                    f"{did_you_mean(old, user)}"
                )
        for new in rename.values():
            if is_system_column(new):
                raise DefinitionError(
                    f"feature {self.spec.key}: {new!r} is a system column; rename the parent's column to another"
                )
        names = {c: rename.get(c, c) for c in user}
        if len(set(names.values())) < len(names):
            twice = next(n for n in names.values() if list(names.values()).count(n) > 1)
            raise DefinitionError(
                f"feature {self.spec.key}: two columns of parent {dep.feature} would be named {twice!r}"
            )
        return names

    def _shown(self, dep: FeatureDep, parent: FeatureSpec, names: Mapping[str, str], keys: Sequence[str]) -> list[str]:
        """List the columns of a parent that the result shows."""
        if dep.select is None:
            return list(names.values())
        on = dep.lineage.relationship.get_aggregation_columns(self.spec.id_columns) or getattr(
            dep.lineage.relationship, "on", None
        )
        extra = on or [names.get(i, i) for i in parent.id_columns]
        return list(dict.fromkeys([*dep.select, *extra, *keys]))

    def _check_collisions(self, dep: FeatureDep, names: Sequence[str]) -> None:
        if names:
            column = names[0]
            raise DefinitionError(
                f"feature {self.spec.key}: column {column!r} comes from {dep.feature} and from another parent; "
                f'rename it: FeatureDep(feature="{dep.feature}", '
                f'rename={{"{column}": "{dep.feature.parts[-1]}_{column}"}})'
            )

    def _input_versions(self, index: int, parent: FeatureKey) -> tuple[Version, ...]:
        """List the data versions of a parent that some field needs."""
        members = needed_members(self.plan, parent)
        versions = tuple(Version(m, f"d{index}_{n}", f"{parent}.{label}") for n, (m, label) in enumerate(members))
        self.versions |= {(parent, label): v for (_, label), v in zip(members, versions, strict=True)}
        return versions


def _own_ids(step: Input) -> set[str]:
    """Return the columns of a parent that choose whole samples of it, and whole groups: IDs, and what it is grouped by.

    The columns that it is joined on, which a restriction must not go beyond, are what its child knows of its samples.
    """
    group = step.group
    return {c.name for c in step.columns if c.stored in step.latest.ids and (not group or c.short in group.keys)}
