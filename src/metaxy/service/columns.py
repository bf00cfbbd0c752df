"""The columns of features: what their classes say of them, and which columns of parents they come from."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import AwareDatetime, NaiveDatetime

from metaxy.columns import SYSTEM_COLUMNS, VERSION_COLUMNS, is_system_column
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.lineage import IdentityRelationship
from metaxy.service.project import Project
from metaxy.wording import did_you_mean

WITH_TIME: Final = "datetime (UTC)"
SYSTEM_TYPES: Final = {"text": "str", "timestamp": WITH_TIME, "by_field": "dict[str, str]"}


@dataclass(frozen=True)
class Column:
    """A column of a feature: its name, its type as Python writes it, without None, and what it is."""

    name: str
    type: str
    description: str | None = None


class Source(NamedTuple):
    """A column of a parent."""

    feature: FeatureKey
    column: str


def columns(definition: FeatureDefinition) -> list[Column]:
    """Return the columns of a feature, with those of Metaxy, by name; none if it is external."""
    if definition.is_external:
        return []
    fields = _model_fields(definition)
    found = _system_columns() if fields is None else []
    for declared in definition.declared_columns if fields is None else ():
        found.append(Column(declared.name, " | ".join(map(str, declared.annotation.kinds)) or "Any"))
    for name, field in (fields or {}).items():
        found.append(Column(name, type_text(field.annotation), field.description))
    return sorted(found, key=lambda column: column.name)


def column_sources(project: Project, definition: FeatureDefinition) -> dict[str, list[Source]]:
    """Return the columns of parents that each column of a feature comes from, both sorted.

    They are those that tell samples apart, those that have a new name, those that have the same name on both sides, and
    the versions. What a class does not declare is not known here, but for the ID columns.

    Raises:
        UnknownFeatureError: if the project does not have one of the parents (a KeyError).
    """
    found: dict[str, set[Source]] = {}
    for dep in definition.spec.deps:
        for column, source in _pairs(project.graph, definition, dep):
            found.setdefault(column, set()).add(Source(dep.feature, source))
    return {column: sorted(found[column]) for column in sorted(found)}


def undeclared(project: Project, definition: FeatureDefinition, names: Collection[str]) -> dict[str, str]:
    """Return those of some columns that a feature does not declare, each with the one that may be meant.

    None are returned where it declares no columns at all, or where it is configured that misfits are ignored.
    """
    if not names or (definition.declared or project.config.declared) == "ignore":
        return {}
    if not (declared := definition.declared_columns):  # made when first needed, which takes long
        return {}
    known = {*definition.id_columns, *(name for column in declared for name in column.names)}
    return {name: did_you_mean(name, known) for name in names if name not in known and not is_system_column(name)}


def type_text(annotation: Any) -> str:
    """Return a type as Python writes it, without None, and whether datetimes have a time zone.

    >>> type_text(list[int | None] | None), type_text(AwareDatetime | None)
    ('list[int]', 'datetime (UTC)')
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(type_text(each) for each in arguments if each is not NoneType)
    if origin is Literal:
        return f"Literal[{', '.join(map(str, arguments))}]"
    if arguments:
        return f"{_name(origin)}[{', '.join(map(type_text, arguments))}]"
    return _name(annotation)


def _name(annotation: Any) -> str:
    named = {AwareDatetime: WITH_TIME, NaiveDatetime: "datetime (naive)", ...: "...", Any: "Any"}
    return named.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _model_fields(definition: FeatureDefinition) -> dict[str, Any] | None:
    """Return the fields of the class, None if there is none to be had."""
    if not definition.is_user_code:
        return None
    try:
        fields: dict[str, Any] = definition._get_feature_class().model_fields
    except ImportError:
        return None
    return fields


def _system_columns() -> list[Column]:
    return [Column(column.name, SYSTEM_TYPES[column.kind], column.meaning) for column in SYSTEM_COLUMNS]


def _pairs(graph: FeatureGraph, definition: FeatureDefinition, dep: FeatureDep) -> Iterator[tuple[str, str]]:
    """Give columns of a feature, each with the column of the parent that it comes from."""
    parent = graph.get_feature_definition(dep.feature)
    rename = dep.rename or {}
    there = {name: name for name in _columns_of(parent) if name not in rename}
    there |= {new: old for old, new in rename.items()}
    ids = _linking(definition, parent, dep)
    for name in ids:
        if name in there:
            yield name, there[name]
    taken = there if dep.select is None else {name: there[name] for name in dep.select if name in there}
    others = _columns_of(definition).keys() - {*ids, *definition.id_columns}
    for name, source in taken.items():
        if name in others:
            yield name, source
    for name in VERSION_COLUMNS:
        yield name, name


def _linking(definition: FeatureDefinition, parent: FeatureDefinition, dep: FeatureDep) -> tuple[str, ...]:
    """Return the columns, as the feature names them, that tell which row of the parent belongs to which of its own."""
    relationship = dep.lineage.relationship
    if isinstance(relationship, IdentityRelationship):
        return definition.id_columns
    return relationship.input_id_columns(dep.renamed(parent.id_columns), definition.id_columns)


def _columns_of(definition: FeatureDefinition) -> dict[str, None]:
    """Return the columns of a feature that are known, without those of Metaxy, in their order."""
    return {name: None for name in (*definition.id_columns, *definition.columns) if not is_system_column(name)}
