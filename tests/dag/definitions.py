"""Short ways to make definitions and graphs for tests."""

from collections.abc import Iterable, Sequence
from typing import Any

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.spec import FeatureSpec


def spec(key: str, deps: Iterable[Any] = (), fields: Sequence[Any] = ("default",), **more: Any) -> FeatureSpec:
    """Make a spec with one ID column."""
    return FeatureSpec(**{"key": key, "id_columns": ["id"], "deps": list(deps), "fields": list(fields), **more})


def user(key: str, deps: Iterable[Any] = (), fields: Sequence[Any] = ("default",), **more: Any) -> FeatureDefinition:
    """Make a definition as a class in user code has it; ``path`` and ``project`` may be given."""
    path, project = more.pop("path", f"code.{key}"), more.pop("project", "p")
    return FeatureDefinition(
        spec=spec(key, deps, fields, **more), feature_schema={}, feature_class_path=path, project=project
    )


def stored(key: str, deps: Iterable[Any] = (), fields: Sequence[Any] = ("default",), **more: Any) -> FeatureDefinition:
    """Make a definition as a store has it; ``path`` and ``project`` may be given."""
    path, project = more.pop("path", f"code.{key}"), more.pop("project", "p")
    form = spec(key, deps, fields, **more).model_dump(mode="json")
    return FeatureDefinition.from_stored_data(form, {}, path, project)


def external(
    key: str, deps: Iterable[Any] = (), fields: Sequence[Any] = ("default",), **more: Any
) -> FeatureDefinition:
    """Make an external definition; ``project`` and ``provenance_by_field`` may be given."""
    project, versions = more.pop("project", "other"), more.pop("provenance_by_field", None)
    return FeatureDefinition.external(
        spec=spec(key, deps, fields, **more), project=project, provenance_by_field=versions
    )


def code(key: str, version: str) -> FieldSpec:
    """Make a field with a code version."""
    return FieldSpec(key=key, code_version=version)


def graph_of(*definitions: FeatureDefinition) -> FeatureGraph:
    """Make a graph."""
    graph = FeatureGraph()
    for definition in definitions:
        graph.add_feature_definition(definition)
    return graph


def keys(graph: FeatureGraph) -> list[str]:
    """Return the keys of a graph as text."""
    return [str(key) for key in graph.feature_definitions_by_key]
