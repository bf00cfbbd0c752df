"""Renaming: the graph as it was before some keys changed."""

from collections.abc import Mapping
from typing import TypeAlias

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.field import FieldSpec, SpecialFieldDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec

Former: TypeAlias = Mapping[FeatureKey, FeatureKey]
"""The keys that features had before, by those that they have."""


def before(graph: FeatureGraph, former: Former) -> FeatureGraph:
    """Return the graph in which some features have the keys that they had before, and nothing else is another."""
    earlier = FeatureGraph()
    for definition in graph.feature_definitions_by_key.values():
        earlier.add_feature_definition(_before(definition, former))
    return earlier


def _before(definition: FeatureDefinition, former: Former) -> FeatureDefinition:
    spec = definition.spec
    if spec.key not in former and not spec.renamed_from and not any(dep.feature in former for dep in spec.deps):
        return definition
    return definition.model_copy(update={"spec": _spec_before(spec, former)})


def _spec_before(spec: FeatureSpec, former: Former) -> FeatureSpec:
    deps = [dep.model_copy(update={"feature": former.get(dep.feature, dep.feature)}) for dep in spec.deps]
    fields = [_field_before(field, former) for field in spec.fields]
    key = former.get(spec.key, spec.key)
    return spec.model_copy(update={"key": key, "deps": tuple(deps), "fields": tuple(fields), "renamed_from": ()})


def _field_before(field: FieldSpec, former: Former) -> FieldSpec:
    if field.deps is SpecialFieldDep.ALL:
        return field
    deps = [dep.model_copy(update={"feature": former.get(dep.feature, dep.feature)}) for dep in field.deps]
    return field.model_copy(update={"deps": tuple(deps)})


def former_keys(graph: FeatureGraph) -> dict[FeatureKey, tuple[FeatureKey, ...]]:
    """Return the keys that features say they had before, newest first, dependencies first."""
    named = {key: each.spec.renamed_from for key, each in graph.feature_definitions_by_key.items()}
    wanted = [key for key, former in named.items() if former]
    return {key: named[key] for key in graph.topological_sort_features(wanted)} if wanted else {}
