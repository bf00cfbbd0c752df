"""The features of a project, with their versions, fields and dependencies."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metaxy.dag.describe import describe_dependents, describe_feature
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetaxyMissingFeatureDependency
from metaxy.service.project import Project


@dataclass(frozen=True)
class Field:
    """A field; ``deps`` are the fields of each parent that it is computed from."""

    key: str
    code_version: str
    version: str
    deps: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Feature:
    """A feature of the graph; one without ``deps`` is a root."""

    key: str
    version: str
    is_external: bool
    project: str
    source: str
    fields: Sequence[Field]
    deps: Sequence[str]


def features(project: Project) -> list[Feature]:
    """Return the features that are meant.

    Raises:
        MetaxyMissingFeatureDependency: if they depend on features that are not in the graph, naming all of them.
    """
    keys = project.keys()
    _refuse_missing_parents(project.graph, keys)
    return [_feature(project.graph, key) for key in keys]


def descriptions(project: Project, named: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return everything that is known of features, as plain data.

    Raises:
        MetaxyMissingFeatureDependency: if they depend on features that are not in the graph, naming all of them.
    """
    keys = project.keys(named)
    _refuse_missing_parents(project.graph, keys)
    return [describe_feature(project.graph, key) for key in keys]


def dependents(project: Project, feature: str) -> list[dict[str, Any]]:
    """Return the features of the graph that depend on one, as plain data like its own `dependencies`."""
    [key] = project.keys([feature])
    return describe_dependents(project.graph, key)


def count_by_project(project: Project) -> dict[str, int]:
    """Return how many features each project has in the graph, whichever project is meant."""
    definitions = project.graph.feature_definitions_by_key.values()
    return dict(sorted(Counter(definition.project for definition in definitions).items()))


def where_features_are(project: Project) -> str:
    """Say which projects have features, for one that has none; empty if no project has any."""
    found = ", ".join(f"{count} in project {name}" for name, count in count_by_project(project).items())
    rule = "a feature belongs to the project that its package is named after, or __metaxy_project__ says"
    return f"there are: {found}; {rule}" if found else ""


def _feature(graph: FeatureGraph, key: FeatureKey) -> Feature:
    definition = graph.get_feature_definition(key)
    versions = graph.get_feature_version_by_field(key)
    parents = graph.get_feature_plan(key).field_dependencies
    fields = [
        Field(str(field.key), field.code_version, versions[str(field.key)], _names(parents.get(field.key, {})))
        for field in definition.spec.fields
    ]
    deps = [str(dep.feature) for dep in definition.spec.deps]
    version = graph.get_feature_version(key)
    return Feature(str(key), version, definition.is_external, definition.project, definition.source, fields, deps)


def _names(parents: Mapping[FeatureKey, Iterable[object]]) -> dict[str, list[str]]:
    return {str(feature): [str(field) for field in fields] for feature, fields in parents.items()}


def _refuse_missing_parents(graph: FeatureGraph, keys: Iterable[FeatureKey]) -> None:
    """Refuse features that depend on what is not in the graph, all at once."""
    known = graph.feature_definitions_by_key
    missing: dict[str, list[str]] = {}
    for key in graph.topological_sort_features(keys):
        for dep in known[key].spec.deps:
            if dep.feature not in known:
                missing.setdefault(str(dep.feature), []).append(str(key))
    if missing:
        shown = "; ".join(f"{parent} (needed by {', '.join(children)})" for parent, children in missing.items())
        raise MetaxyMissingFeatureDependency(
            f"features are not in the graph: {shown}. Import the modules that define them, or, if they belong to "
            "another project, run `mx lock`, or give --sync"
        )
