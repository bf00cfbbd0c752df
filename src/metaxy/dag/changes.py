"""Differences between two definitions of a feature, in words, and whether they concern its rows."""

from collections.abc import Callable, Collection, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from metaxy.dag.view import FieldNode, GraphNode, Relation
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec

IdsOf = Callable[[FeatureKey], Collection[str] | None]
"""Returns the ID columns of a parent, None where they are not known."""


class Concern(Enum):
    """What a difference changes: which samples there should be, and how they are versioned, or only words."""

    SAMPLES = "samples"
    DESCRIPTION = "description"


class Difference(NamedTuple):
    """One thing that differs, in words."""

    text: str
    concern: Concern


def differences(old: GraphNode, new: GraphNode, ids_of: IdsOf) -> list[Difference]:
    """Return what differs between two definitions of a feature, but for what its fields say themselves."""
    found = list(_of_columns(old.columns, new.columns))
    if old.project != new.project:
        found.append(Difference(f"project: {old.project} → {new.project}", Concern.DESCRIPTION))
    if old.spec is not None and new.spec is not None:
        return [*_of_dependencies(old.spec, new.spec, ids_of), *_of_specs(old.spec, new.spec), *found]
    if old.definition_version != new.definition_version and not found:
        found.append(Difference("definition", Concern.SAMPLES))  # it may be anything
    return found


def field_differences(old: FieldNode, new: FieldNode) -> Iterator[str]:
    """Yield in words what differs between two definitions of a field; all of it concerns versions."""
    if old.code_version != new.code_version:
        yield f"code version {old.code_version} → {new.code_version}"
    if old.parents is not None and new.parents is not None and set(old.parents) != set(new.parents):
        yield f"computed from {', '.join('.'.join(parent) for parent in new.parents) or 'nothing'}"


def wiring(node: GraphNode) -> Any:
    """Return what a feature itself says about the fields that its own are computed from; its parents say the rest."""
    if node.spec is None:
        return node.definition_version
    mappings = {dep.feature: dep.fields_mapping for dep in node.spec.deps}
    return {field.key: field.deps for field in node.spec.fields}, mappings


# -- dependencies ------------------------------------------------------------------------------------------------------


def _of_dependencies(old: FeatureSpec, new: FeatureSpec, ids_of: IdsOf) -> Iterator[Difference]:
    before, after = ({dep.feature: dep for dep in spec.deps} for spec in (old, new))
    for key in {**before, **after}:
        if key not in before or key not in after:
            text = f"depends on {key}" if key in after else f"does not depend on {key} any more"
            yield Difference(text, Concern.SAMPLES)
        else:
            yield from _of_dependency(before[key], after[key], {*new.id_columns, *(ids_of(key) or ())}, ids_of(key))


def _of_dependency(
    old: FeatureDep, new: FeatureDep, ids: Collection[str], parent_ids: Collection[str] | None
) -> Iterator[Difference]:
    name = new.feature
    if old.sql_filters != new.sql_filters:
        yield Difference(f"filters of {name}: {_filters(old)} → {_filters(new)}", Concern.SAMPLES)
    if old.lineage != new.lineage:
        yield Difference(f"lineage of {name}: {_lineage(old)} → {_lineage(new)}", Concern.SAMPLES)
    if old.optional != new.optional:
        yield Difference(f"{name} is {'optional' if new.optional else 'required'}", Concern.SAMPLES)
    if old.rename != new.rename:
        moved = {name for dep in (old, new) for pair in (dep.rename or {}).items() for name in pair}
        by_name = bool(new.sql_filters) or not Relation.of(new).is_one_to_one  # they name columns
        concerns_samples = by_name or parent_ids is None or not moved.isdisjoint(ids)
        yield Difference(f"renames of {name}", Concern.SAMPLES if concerns_samples else Concern.DESCRIPTION)
    if old.select != new.select:
        yield Difference(f"columns of {name}", Concern.DESCRIPTION)
    if old.fields_mapping != new.fields_mapping:
        yield Difference(f"mapping of fields of {name}", Concern.DESCRIPTION)  # what it changes, fields say themselves


def _filters(dep: FeatureDep) -> str:
    return " and ".join(dep.sql_filters or ()) or "none"


def _lineage(dep: FeatureDep) -> str:
    on = getattr(dep.lineage.relationship, "on", None)
    return Relation.of(dep).lineage + (f" on {', '.join(on)}" if on else "")


# -- the rest ----------------------------------------------------------------------------------------------------------


def _of_specs(old: FeatureSpec, new: FeatureSpec) -> Iterator[Difference]:
    if old.id_columns != new.id_columns:
        is_order = set(old.id_columns) == set(new.id_columns)
        text = f"ID columns: {', '.join(old.id_columns)} → {', '.join(new.id_columns)}"
        yield Difference(text, Concern.DESCRIPTION if is_order else Concern.SAMPLES)
    for name in ("description", "metadata"):
        if getattr(old, name) != getattr(new, name):
            yield Difference(name, Concern.DESCRIPTION)


def _of_columns(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[Difference]:
    if old is None or new is None or old == new:
        return
    before, after = (schema.get("properties", {}) for schema in (old, new))
    added = [f"+{name}" for name in after if name not in before]
    gone = [f"-{name}" for name in before if name not in after]
    other = [name for name in after if name in before and before[name] != after[name]]
    yield Difference(" ".join(["columns:", *added, *gone, *other]) if added or gone or other else "columns",
                     Concern.DESCRIPTION)  # fmt: skip
