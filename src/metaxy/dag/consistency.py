"""Checks between features, made as soon as the last feature involved is registered.

Features may be registered in any order, so every check runs on whatever parents are there already. Each problem is one
sentence. Problems of user code are errors; those of stored definitions, and those that redefining a feature causes in
the features that depend on it, are warnings, because the definition at fault cannot be corrected at that moment.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

from metaxy.dag.plan import FeaturePlan, unknown_parent_fields
from metaxy.dag.walk import find_cycle
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.field import SpecialFieldDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.names import repeated
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import CyclicDependencyError, DefinitionError, DefinitionWarning, warn_user
from metaxy.wording import did_you_mean

OnConflict: TypeAlias = Literal["raise", "ignore"]
Definitions = Mapping[FeatureKey, FeatureDefinition]


def replaces(new: FeatureDefinition, old: FeatureDefinition, on_conflict: OnConflict) -> bool:
    """Decide whether a definition takes the place of one with the same key.

    Raises:
        DefinitionError: if two classes have this key.
    """
    if new.is_external != old.is_external:
        return old.is_external
    if new.feature_class_path == old.feature_class_path:
        return True
    if on_conflict == "ignore":
        return False
    raise DefinitionError(
        f"feature '{new.key}' is already defined by {old.source}; {new.source} needs another key, or remove one of them"
    )


def check_definition(
    new: FeatureDefinition, definitions: Definitions, dependents: Iterable[FeatureKey], *, redefined: bool
) -> None:
    """Check a definition against the others of its graph.

    Args:
        definitions: All definitions of the graph as it would be, the new one included.

    Raises:
        CyclicDependencyError: if features would depend on each other in a circle.
        DefinitionError: if anything else is wrong.
    """
    dependents = list(dependents)
    if dependents:
        _check_cycle(new.key, definitions)
    for problem in dict.fromkeys(_problems(new.spec, definitions)):
        _report(problem, fatal=new.is_user_code)
    for key in dependents:
        child = definitions[key]
        for problem in dict.fromkeys(_problems(child.spec, definitions, only=new.key)):
            _report(problem, fatal=child.is_user_code and not redefined)


def check_renames(
    new: FeatureDefinition, definitions: Definitions, claims: Mapping[FeatureKey, Iterable[FeatureKey]]
) -> None:
    """Check that no feature was renamed from a key that still is one, or that another one was renamed from.

    Args:
        claims: The features that say they had a key before, by this key.
    """
    for former in new.spec.renamed_from:
        if former in definitions:
            _report(_still_there(new.key, former), fatal=new.is_user_code)
        for other in (key for key in claims.get(former, ()) if key != new.key):
            problem = f"features '{new.key}' and '{other}' both say renamed_from='{former}': only one of them can be it"
            _report(problem, fatal=new.is_user_code)
    for other in claims.get(new.key, ()):
        _report(_still_there(other, new.key), fatal=new.is_user_code)


def _still_there(key: FeatureKey, former: FeatureKey) -> str:
    return (
        f"feature '{key}' says renamed_from='{former}', but the graph still has a feature '{former}': remove its class "
        f'(in a notebook: mx.graph.remove_feature("{former}")), or renamed_from'
    )


def check_distinct(new: FeatureDefinition, others: Iterable[FeatureDefinition]) -> None:
    """Check that a definition shares neither table name nor column suffix with others."""
    for other in others:
        same_table = new.table_name == other.table_name
        what = f"table name {new.table_name!r}" if same_table else f"column suffix {new.key.to_column_suffix()!r}"
        problem = f"features '{new.key}' and '{other.key}' have the same {what}: rename one of them"
        _report(problem, fatal=new.is_user_code or other.is_user_code)


def _report(problem: str, *, fatal: bool) -> None:
    if fatal:
        raise DefinitionError(problem)
    warn_user(problem, DefinitionWarning)


def _check_cycle(key: FeatureKey, definitions: Definitions) -> None:
    def parents(node: FeatureKey) -> list[FeatureKey]:
        return [dep.feature for dep in definitions[node].spec.deps if dep.feature in definitions]

    if cycle := find_cycle(key, parents):
        raise CyclicDependencyError.from_cycle([str(node) for node in cycle])


def _problems(child: FeatureSpec, definitions: Definitions, only: FeatureKey | None = None) -> Iterator[str]:
    """Find what is wrong between a feature and its parents, or one of them."""
    for dep in child.deps:
        if dep.feature in definitions and only in (None, dep.feature):
            yield from _pair_problems(child, dep, definitions[dep.feature].spec)
    if child.deps and all(dep.feature in definitions for dep in child.deps):
        plan = FeaturePlan.build(child, {dep.feature: definitions[dep.feature].spec for dep in child.deps})
        yield from _plan_problems(plan)


def _pair_problems(child: FeatureSpec, dep: FeatureDep, parent: FeatureSpec) -> Iterator[str]:
    for field in child.fields:
        for explicit in () if field.deps is SpecialFieldDep.ALL else field.deps:
            if explicit.feature == parent.key:
                yield from unknown_parent_fields(child, field, explicit, parent)
    known = list(parent.fields_by_key)
    for key in dep.fields_mapping.mapping.mentioned_fields():
        if key not in known:
            hint = did_you_mean(str(key), map(str, known))
            yield f"feature '{child.key}' maps fields of '{parent.key}', which has no field '{key}'.{hint}"
    for old, new in (dep.rename or {}).items():
        if new != old and new in parent.id_columns:
            yield (
                f"feature '{child.key}' renames {old!r} of '{parent.key}' to {new!r}, "
                "which is an ID column of it: choose another name"
            )


def _plan_problems(plan: FeaturePlan) -> Iterator[str]:
    try:
        _ = plan.parent_fields
    except DefinitionError as error:
        yield str(error)
    ids = {*plan.upstream_id_columns, *plan.input_id_columns}
    for name in repeated(name for dep in plan.feature_deps for name in set(dep.select or ())):
        if name not in ids:
            parents = ", ".join(f"'{dep.feature}'" for dep in plan.feature_deps if name in (dep.select or ()))
            yield f"feature '{plan.feature.key}' selects column {name!r} from several parents, {parents}: rename one"
