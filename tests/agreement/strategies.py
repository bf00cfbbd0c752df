"""Cases for the agreement of engines: a small graph, the values that its rows are made of, and what happens to it.

The graph has one to four root features, `child` that depends on all of them, and `leaf` that depends on `child`. Rows
are few and made of few values, so that they meet; the values are those that engines have disagreed about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from tests.agreement.case import Bump, Case, Delete, Replace, Resolve, Settle, Step, Write
from tests.agreement.conditions import as_text, columns_of
from tests.agreement.reference import Given, Row
from tests.agreement.world import FLAT, NOTHING, World

from metaxy import columns as c
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.field import FieldDep, FieldSpec, SpecialFieldDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.lineage import LineageRelationship
from metaxy.definitions.mapping import FieldsMapping
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import DefinitionError

CHILD, LEAF = FeatureKey("child"), FeatureKey("leaf")
START = datetime(2024, 2, 29, 23, 59, 59, 999_990, timezone.utc)

MOST_ROWS = 8
FIELDS = ("default", "audio", "frames", "left/audio", "x/y", "y", "z-1/y")
CODE_VERSIONS = (c.DEFAULT_CODE_VERSION, "", "1", "it's", 'a"ß😀')


@dataclass(frozen=True)
class Root:
    """A root feature, how `child` depends on it, and the user columns that its table has.

    It may do without some of them, the ``optional`` ones, until they have a type.
    """

    spec: FeatureSpec
    dep: FeatureDep
    columns: tuple[str, ...]
    optional: tuple[str, ...]


# -- definitions -------------------------------------------------------------------------------------------------------


def roots(world: World, *, expands: bool) -> list[Root]:
    """Draw the parents of `child`: one of them has all columns that they join on."""
    count = world.pick((1, 1, 2, 2, 3, 4))
    all_optional = world.chance(15)
    full = 0 if all_optional else world.draw(st.integers(0, count - 1))
    return [
        root(
            world,
            number,
            list(world.joins) if number == full or all_optional else world.subset(world.joins, 1),
            expands=expands,
            optional=all_optional or (number != full and world.chance(40)),
        )
        for number in range(count)
    ]


def root(world: World, number: int, scope: list[str], *, expands: bool, optional: bool) -> Root:
    """Draw a parent that is joined on the columns in ``scope``."""
    many = ("expansion", "identity", "expansion", "expansion", "aggregation")
    lineage = world.pick(many if expands else ("identity", "identity", "aggregation"))
    others = [name for name in world.joins if name not in scope]
    ids, user = world.draw(st.permutations(scope)), []
    hidden: list[str] = []
    if lineage == "aggregation":
        item = world.column(f"n{number}", [kind for kind in FLAT if kind != "bool"])
        form = world.pick(("more", "other", "hidden" if others else "more"))
        ids = world.draw(st.permutations([*scope, item])) if form == "more" else [item]
        user = scope if form == "other" else []
        hidden = others if form == "hidden" else []
        ids = world.draw(st.permutations([*scope, *hidden])) if form == "hidden" else ids
    own = [world.user_column() for _ in range(world.pick((0, 1, 2)))]
    user = [*user, *own]
    rename = renames(world, number, [*ids, *user], [name for name in user if name not in scope])
    select = None
    if hidden or world.chance(60 if expands else 30):
        select = tuple(world.subset([name for name in [*ids, *user] if name not in hidden]))
    filters = world.conditions([*ids, *user], 15, as_text=True)
    world.filters |= {as_text(condition): condition for condition in filters}
    fields = [FieldSpec(key=key, code_version=world.pick(CODE_VERSIONS)) for key in world.subset(FIELDS, 1)[:3]]
    stored = {new: old for old, new in rename.items()}
    spec = FeatureSpec(key=f"p{number}", id_columns=[stored.get(name, name) for name in ids], fields=fields)
    dep = FeatureDep(
        feature=spec.key,
        select=select,
        rename=rename or None,
        fields_mapping=mapping(world, [str(f.key) for f in fields]),
        filters=[as_text(condition) for condition in filters] or None,
        lineage=lineage_of(world, lineage, scope, expands=expands),
        optional=optional,
    )
    named = {*rename, *rename.values(), *(name for condition in filters for name in columns_of(condition))}
    untold = [name for name in own if select is None and name not in named]
    return Root(spec, dep, tuple(stored.get(name, name) for name in [*ids, *user]), tuple(untold))


def renames(world: World, number: int, columns: Sequence[str], free: Sequence[str]) -> dict[str, str]:
    """Draw old names for some columns; two columns that are ``free`` may take each other's."""
    rename = {}
    for name in columns:
        if world.chance(15):
            rename[world.column(f"old{number}_{name}", (), like=name)] = name
    left = [name for name in free if name not in rename.values()]
    if len(left) == 2 and world.kinds[left[0]] == world.kinds[left[1]] and world.chance(50):
        rename |= {left[0]: left[1], left[1]: left[0]}
    return rename


def lineage_of(world: World, kind: str, scope: Sequence[str], *, expands: bool) -> LineageRelationship:
    if kind == "expansion":
        return LineageRelationship.expansion(on=scope)
    if kind == "aggregation":
        whole = set(scope) == set(world.joins) and not expands
        return LineageRelationship.aggregation(on=None if whole and world.chance(50) else scope)
    return LineageRelationship.identity()


def mapping(world: World, parent_fields: Sequence[str]) -> FieldsMapping:
    kind = world.pick(("default", "default", "suffix", "exclude", "all", "none"))
    if kind == "all":
        return FieldsMapping.all()
    if kind == "none":
        return FieldsMapping.none()
    excluded = world.subset(parent_fields) if kind == "exclude" else None
    return FieldsMapping.default(match_suffix=kind == "suffix", exclude_fields=excluded)


def child_spec(world: World, parents: Sequence[Root], ids: Sequence[str]) -> FeatureSpec:
    """Draw the feature that depends on all roots; fields that find no parent are told that they have none."""
    keys = world.subset(FIELDS, 1)[:3]
    deps = [with_specific_mapping(world, parent, keys) for parent in parents]
    fields = []
    for key in keys:
        field = FieldSpec(key=key, code_version=world.pick(CODE_VERSIONS), deps=explicit(world, parents))
        alone = FeatureSpec(key=CHILD, id_columns=ids, deps=without_mappings(deps, key), fields=[field])
        try:
            _ = FeaturePlan.build(alone, {parent.spec.key: parent.spec for parent in parents}).parent_fields
        except DefinitionError:
            field = FieldSpec(key=key, deps=[FieldDep(feature=parents[0].spec.key, fields=[])])
        fields.append(field)
    return FeatureSpec(key=CHILD, id_columns=ids, deps=deps, fields=fields)


def with_specific_mapping(world: World, parent: Root, keys: Sequence[str]) -> FeatureDep:
    if not world.chance(15):
        return parent.dep
    fields = [str(f.key) for f in parent.spec.fields]
    chosen = {key: set(world.subset(fields)) for key in world.subset(keys)}
    return parent.dep.model_copy(update={"fields_mapping": FieldsMapping.specific(chosen)})


def without_mappings(deps: Sequence[FeatureDep], key: str) -> list[FeatureDep]:
    """Leave out of specific mappings what is said about other fields."""
    result = []
    for dep in deps:
        specific = getattr(dep.fields_mapping.mapping, "mapping", None)
        if specific is not None:
            own = {name: fields for name, fields in specific.items() if str(name) == key}
            dep = dep.model_copy(update={"fields_mapping": FieldsMapping.specific(own)})
        result.append(dep)
    return result


def explicit(world: World, parents: Sequence[Root]) -> Any:
    kind = world.pick(("mapped", "mapped", "all", "listed"))
    if kind == "all":
        return SpecialFieldDep.ALL
    if kind == "mapped":
        return []
    return [
        FieldDep(
            feature=parent.spec.key,
            fields=SpecialFieldDep.ALL
            if world.chance(30)
            else world.subset([f.key.to_string() for f in parent.spec.fields]),
        )
        for parent in world.subset(parents, 1)
    ]


def leaf_spec(world: World, child: FeatureSpec) -> FeatureSpec:
    on = world.subset(child.id_columns, 1)
    grouped = world.chance(50)
    lineage = LineageRelationship.aggregation(on=on) if grouped else LineageRelationship.identity()
    dep = FeatureDep(feature=CHILD, lineage=lineage, select=() if world.chance(30) else None)
    return FeatureSpec(key=LEAF, id_columns=on if grouped else child.id_columns, deps=[dep], fields=["default"])


# -- rows --------------------------------------------------------------------------------------------------------------


def given_rows(world: World, root: Root, columns: Sequence[str], *, samples: bool = False) -> Given:
    """Draw a frame for a root feature: distinct IDs, other columns maybe NULL, and versions in one of their forms."""
    parts = {name: st.sampled_from([*world.values[name], None]) for name in columns if name not in root.spec.id_columns}
    untyped = [name for name in root.optional if name in columns and world.chance(20)]
    parts |= {name: st.sampled_from(NOTHING.get(world.kinds[name], (None,))) for name in untyped}
    parts |= version_columns(world, root.spec, samples=samples)
    row = st.fixed_dictionaries(parts)
    rows: dict[tuple[Any, ...], Row] = {}
    for ids in sample_ids(world, root):
        if not world.chance(15):
            joined = {name: value for name, value in ids.items() if name in parts and not world.chance(3)}
            sample = tuple(ids[name] for name in root.spec.id_columns)
            rows.setdefault(
                sample, {**world.draw(row), **joined, **dict(zip(root.spec.id_columns, sample, strict=True))}
            )
    given = [{name: row[name] for name in (*columns, *parts)} for row in rows.values()]
    twins = given[:1] if world.chance(5) and not samples else []
    return Given(tuple(dict.fromkeys([*columns, *parts])), (*given[:MOST_ROWS], *twins), tuple(untyped))


def sample_ids(world: World, root: Root) -> list[Row]:
    """Draw values of the columns that samples of a root are told apart and joined by."""
    renamed = dict(zip(root.columns, root.dep.renamed(root.columns), strict=True))
    items = [stored for stored in root.spec.id_columns if renamed[stored] not in world.joins]
    result: list[Row] = []
    for sample in world.samples:
        joined = {stored: sample[name] for stored, name in renamed.items() if name in world.joins}
        values = world.subset(world.values[items[0]], 1)[:3] if items else [None]
        result += [joined | dict.fromkeys(items, value) for value in values]
    return result


def version_columns(world: World, spec: FeatureSpec, *, samples: bool) -> dict[str, SearchStrategy[Any]]:
    """Draw which system columns a frame has, and how their values are drawn."""
    keys = [f.key.to_struct_key() for f in spec.fields]
    version = st.sampled_from(world.versions)
    parts: dict[str, SearchStrategy[Any]] = {
        c.METAXY_PROVENANCE_BY_FIELD: st.fixed_dictionaries(dict.fromkeys(keys, version))
    }
    if world.chance(25):
        own = st.fixed_dictionaries(dict.fromkeys(world.subset(keys, 1), version))
        parts[c.METAXY_DATA_VERSION_BY_FIELD] = own if samples else st.none() | own
        if world.chance(30) and not samples:
            parts[c.METAXY_DATA_VERSION] = st.none() | version
    if world.chance(10):
        parts[c.METAXY_PROVENANCE] = st.none() | version
    if world.chance(10) and not samples:
        moments = st.integers(-3, 3).map(lambda n: START + timedelta(microseconds=n))
        parts[world.pick((c.METAXY_CREATED_AT, c.METAXY_DELETED_AT))] = st.none() | moments
    return parts


# -- what happens ------------------------------------------------------------------------------------------------------


def steps(world: World, parents: Sequence[Root], specs: Sequence[FeatureSpec], shown: Sequence[str]) -> list[Step]:
    """Draw what happens: rows of the roots, a first update of `child`, and some more of anything."""
    happened: list[Step] = [
        Write(parent.spec.key, given_rows(world, parent, parent.columns))
        for parent in parents
        if not (parent.dep.optional and world.chance(20))
    ]
    expand = tuple(world.values.get("e", ()))
    if expand and world.chance(50):
        happened.append(replace(world, 1))
    else:
        happened.append(Resolve(CHILD, expand=expand, **written(world, specs[-2], 1)))
    tables = {step.feature for step in happened if isinstance(step, Write)}
    forms = ["write", "write", "delete", "delete", "resolve", "resolve", "leaf", "samples", "bump", "moved"]
    forms += ["replace"] * 6 + ["moved"] * 3 if expand else []
    for form in world.draw(st.lists(st.sampled_from(forms), min_size=2, max_size=5)):
        tick = world.pick((1, 0, 2))
        parent = world.pick(parents)
        if form == "resolve":
            happened.append(resolve_child(world, parents, specs[-2], shown, tick))
        elif form == "replace":
            happened.append(replace(world, tick))
        elif form == "moved":
            happened += moved(world, parents, happened, tick)
        elif form == "leaf":
            happened.append(Resolve(LEAF, **asked(world, specs[-1], specs[-1].id_columns, tick)))
        elif form == "delete":
            happened.append(delete(world, parent, specs[-2], tick))
        elif form == "bump":
            spec = world.pick((parent.spec, specs[-2]))
            field = world.draw(st.integers(0, len(spec.fields) - 1))
            happened.append(Bump(spec.key, field, world.pick(CODE_VERSIONS)))
        elif form == "samples":
            happened.append(resolve_samples(world, parent, tick))
        else:
            happened.append(rewrite(world, parent, tick, whole=parent.spec.key not in tables))
            tables.add(parent.spec.key)
    replaced = any(isinstance(step, Replace) for step in happened)
    return [*happened, Settle(CHILD, expand, replaced or world.chance(30))]


def moved(world: World, parents: Sequence[Root], happened: Sequence[Step], tick: int) -> list[Step]:
    """Draw other values of a column that `child` copies, under the same versions, and what an update says of it."""
    copied = {
        parent.spec.key: [
            name
            for name, shown in zip(parent.columns, parent.dep.renamed(parent.columns), strict=True)
            if shown in (parent.dep.select or ()) and name not in parent.spec.id_columns and shown not in world.joins
        ]
        for parent in parents
    }
    writes = [step for step in happened if isinstance(step, Write) and copied.get(step.feature)]
    if not writes:
        return []
    last, expand = writes[-1], tuple(world.values.get("e", ()))
    columns = [name for name in copied[last.feature] if name in last.rows.columns and name not in last.rows.untyped]
    other = st.fixed_dictionaries({name: st.sampled_from([*world.values[name], None]) for name in columns})
    [ids] = [parent.spec.id_columns for parent in parents if parent.spec.key == last.feature]
    drawn: dict[tuple[Any, ...], Row] = {}  # by sample, as a row may be there twice
    values = [drawn.setdefault(tuple(row[name] for name in ids), world.draw(other)) for row in last.rows.rows]
    given = Given(last.rows.columns, tuple({**row, **new} for row, new in zip(last.rows.rows, values, strict=True)))
    payload, lazy = world.pick(("warn", "warn", "stale")), world.chance(30)
    return [
        Resolve(CHILD, expand=expand, tick=tick),
        Write(last.feature, given, 1),
        Resolve(CHILD, expand=expand, tick=1, payload=payload, lazy=lazy, previous=world.chance(30)),
    ]


def replace(world: World, tick: int) -> Replace:
    """Draw which parents get which children: they shrink, come out empty, come back, in parts that may break off."""
    return Replace(
        CHILD,
        kept=tuple(not world.chance(20) for _ in range(world.pick((1, 3)))),
        children=tuple(children(world) for _ in range(world.pick((1, 2, 3)))),
        changed=not world.chance(30),
        parts=world.pick((None, None, 2, 1, 0)),
        breaks=world.chance(30),
        lazy=world.chance(30),
        tick=tick,
    )


def children(world: World) -> tuple[Any, ...]:
    return () if world.chance(40) else tuple(world.subset(world.values["e"]))


def rewrite(world: World, parent: Root, tick: int, *, whole: bool) -> Write:
    """Draw further rows of a root; once its table exists, some of its columns may be missing."""
    kept = {*parent.spec.id_columns, *(name for name in parent.columns if whole or not world.chance(5))}
    columns = [name for name in parent.columns if name in kept]
    return Write(parent.spec.key, given_rows(world, parent, columns), tick)


def delete(world: World, parent: Root, child: FeatureSpec, tick: int) -> Delete:
    target = world.pick((parent.spec.key, CHILD))
    condition = world.condition(child.id_columns if target == CHILD else parent.columns)
    return Delete(target, condition, not world.chance(20), tick)


def resolve_samples(world: World, parent: Root, tick: int) -> Resolve:
    """Draw samples of a root, often with few versions, so that some have those that are stored."""
    samples = given_rows(world, parent, parent.columns, samples=True)
    conditions = world.conditions([name for name in parent.columns if name not in samples.untyped], 30)
    payload = world.pick((None, None, "stale", "ignore"))
    options = written(world, parent.spec, tick)
    return Resolve(parent.spec.key, samples, target=conditions, payload=payload, **options)


def resolve_child(
    world: World, parents: Sequence[Root], child: FeatureSpec, shown: Sequence[str], tick: int
) -> Resolve:
    filters = {parent.spec.key: world.conditions(parent.columns, 20) for parent in parents}
    common = [name for name in child.id_columns if all(name in parent.columns for parent in parents)]
    return Resolve(
        CHILD,
        filters={key: conditions for key, conditions in filters.items() if conditions},
        everywhere=world.conditions(common, 10),
        payload=world.pick(("warn", None, "warn", "stale")),
        expand=tuple(world.values.get("e", ())),
        **asked(world, child, shown, tick),
    )


def asked(world: World, spec: FeatureSpec, shown: Sequence[str], tick: int) -> dict[str, Any]:
    return {
        "target": world.conditions(shown, 15),
        "stale": world.conditions(shown, 25),
        "compare": not world.chance(5),
        "one_row_per_group": world.chance(25),
        "chosen": tuple(world.draw(st.lists(st.booleans(), min_size=2, max_size=8))) if world.chance(40) else (),
        **written(world, spec, tick),
    }


def written(world: World, spec: FeatureSpec, tick: int) -> dict[str, Any]:
    members = [f.key.to_struct_key() for f in spec.fields]
    override = {name: world.pick(world.versions) for name in world.subset(members, 1)} if world.chance(20) else None
    kept = tuple(world.draw(st.lists(st.booleans(), max_size=8))) if world.chance(40) else None
    asked = {"lazy": world.chance(30), "previous": world.chance(50)}
    failed = tuple(world.draw(st.lists(st.booleans(), min_size=1, max_size=4))) if world.chance(25) else ()
    return {**asked, "failed": failed, "kept": kept, "data": override, "tick": tick}


@st.composite
def cases(draw: DrawFn) -> Case:
    world = World(draw)
    expands = world.chance(40)
    ids = list(world.joins)
    if expands:
        ids.insert(draw(st.integers(0, len(ids))), world.column("e", ("text", "int")))
    parents = roots(world, expands=expands)
    child = child_spec(world, parents, draw(st.permutations(ids)))
    leaf = leaf_spec(world, child)
    specs = (*(parent.spec for parent in parents), child, leaf)
    shown = list(dict.fromkeys([*ids, *(name for p in parents for name in p.dep.renamed(p.columns))]))
    algorithm = world.pick(("md5", "sha256"))
    happened = steps(world, parents, specs, shown)
    length = world.pick((16, 8, 64))
    split = draw(st.integers(1, len(happened))) if world.chance(30) and happened else None
    return Case(algorithm, length, specs, world.kinds, world.filters, tuple(happened), split)
