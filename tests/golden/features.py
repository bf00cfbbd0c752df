"""Builds features from the descriptions in the golden files."""

from collections.abc import Mapping
from typing import Any

from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.field import SpecialFieldDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.definitions.mapping import FieldsMapping

Description = Mapping[str, Any]


def spec_arguments(feature: Description) -> dict[str, Any]:
    """Return the arguments of the `FeatureSpec` that a description means."""
    arguments = {name: feature[name] for name in ("key", "id_columns", "metadata", "description") if name in feature}
    if "fields" in feature:
        arguments["fields"] = [field if isinstance(field, str) else _field(field) for field in feature["fields"]]
    if "deps" in feature:
        arguments["deps"] = [_dep({"feature": dep} if isinstance(dep, str) else dep) for dep in feature["deps"]]
    return arguments


def stored_definition(feature: Description) -> FeatureDefinition:
    """Return the definition of a description, as read from a store, or external where the description says so."""
    spec = {"metadata": {}, **spec_arguments(feature)}
    project = feature.get("project", "golden")
    if "external" in feature:
        return FeatureDefinition.external(
            spec=spec, project=project, feature_schema=feature.get("schema"), **feature["external"]
        )
    properties = {column: {"type": "string"} for column in feature["id_columns"]}
    schema = {"title": feature["key"], "type": "object", "properties": properties}
    return FeatureDefinition.from_stored_data(
        feature_spec=spec,
        feature_schema=feature.get("schema", schema),
        feature_class_path="golden.mod." + feature["key"].replace("/", "_").replace("-", "_"),
        project=project,
    )


def _field(field: Description) -> dict[str, Any]:
    deps = field.get("deps", [])
    if deps != "ALL":
        return {**field, "deps": [{**dep, "fields": _all_or_listed(dep.get("fields", "ALL"))} for dep in deps]}
    return {**field, "deps": _all_or_listed(deps)}


def _all_or_listed(value: Any) -> Any:
    return SpecialFieldDep.ALL if value == "ALL" else value


def _dep(dep: Description) -> dict[str, Any]:
    built = dict(dep)
    if "fields_mapping" in dep:
        given = dict(dep["fields_mapping"])
        built["fields_mapping"] = _mapping(given.pop("kind"), given)
    if "lineage" in dep:
        given = dict(dep["lineage"])
        built["lineage"] = getattr(LineageRelationship, given.pop("kind"))(**given)
    return built


def _mapping(kind: str, given: dict[str, Any]) -> FieldsMapping:
    mapping: FieldsMapping = getattr(FieldsMapping, kind)(**given)
    return mapping
