"""Descriptions of a graph in numbers, and of what is around a feature. Every answer takes linear time."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from metaxy.dag.focus import GraphWalker
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.view import GraphData, NodeStatus, Relation
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.keys import CoercibleToFeatureKey, FeatureKey, FieldKey
from metaxy.errors import FieldNotFoundError
from metaxy.wording import did_you_mean


def describe_graph(graph: FeatureGraph, project: str | None = None) -> dict[str, Any]:
    """Return counts, depth, roots, leaves and version of a graph.

    The depth is the number of features on the longest chain; a leaf has no dependents among the features described.

    Args:
        project: Describe only features of this project, and say how many there are.
    """
    version = None if project is None else graph.get_project_version(project)
    return describe_view(GraphData.from_feature_graph(graph), project, version)


def describe_view(view: GraphData, project: str | None = None, project_version: str | None = None) -> dict[str, Any]:
    """Return what `describe_graph` returns, for a view."""
    known = [node for node in view.nodes.values() if node.status is not NodeStatus.MISSING]
    wanted = [node for node in known if project is None or node.project == project]
    walker = GraphWalker(view.only(str(node.key) for node in wanted))
    described = {
        "metaxy_project_version": project_version or view.project_version,
        "total_features": len(known),
        "graph_depth": max(walker.depths().values(), default=0),
        "root_features": sorted(str(node.key) for node in wanted if node.is_root),
        "leaf_features": sorted(key for key, children in walker.children.items() if not children),
        "projects": dict(sorted(Counter(str(node.project) for node in wanted).items())),
    }
    return described if project is None else {**described, "filtered_features": len(wanted), "filter_project": project}


def describe_feature(graph: FeatureGraph, feature_key: CoercibleToFeatureKey) -> dict[str, Any]:
    """Return everything that is known of one feature, as plain data.

    Raises:
        UnknownFeatureError: if the graph has no such feature.
        MetaxyMissingFeatureDependency: if it depends, also indirectly, on one that is not in the graph.
    """
    plan = graph.get_feature_plan(feature_key)
    definition = graph.feature_definitions_by_key[plan.feature.key]
    spec = definition.spec
    versions = graph.get_feature_version_by_field(spec.key)
    parents = plan.field_dependencies
    described: dict[str, Any] = {
        "project": definition.project,
        "key": str(spec.key),
        "version": graph.get_feature_version(spec.key),
        "description": spec.description,
        "is_external": definition.is_external,
        "source": definition.source,
        "id_columns": list(spec.id_columns),
        "fields": [_field(field, versions[str(field.key)], parents[field.key]) for field in spec.fields],
        "dependencies": [_dependency(dep) for dep in spec.deps],
    }
    return {**described, "metadata": dict(spec.metadata)} if spec.metadata else described


def describe_dependents(graph: FeatureGraph, key: FeatureKey) -> list[dict[str, Any]]:
    """Return the features of a graph that depend on one, each with what its own description says of that."""
    definitions = graph.feature_definitions_by_key.values()
    pairs = [(each.key, dep) for each in definitions for dep in each.spec.deps if dep.feature == key]
    return [{**_dependency(dep), "feature": str(child)} for child, dep in pairs]


def _field(field: FieldSpec, version: str, parents: Mapping[FeatureKey, list[FieldKey]]) -> dict[str, Any]:
    deps = [{"feature": str(feature), "fields": [str(key) for key in keys]} for feature, keys in parents.items()]
    described = {"key": str(field.key), "code_version": field.code_version, "version": version}
    return {**described, "deps": deps} if deps else described


def _dependency(dep: FeatureDep) -> dict[str, Any]:
    described: dict[str, Any] = {"feature": str(dep.feature)}
    if dep.select is not None:
        described["select"] = list(dep.select)
    if dep.rename:
        described["rename"] = dict(dep.rename)
    if dep.sql_filters:
        described["filters"] = list(dep.sql_filters)
    relation = Relation.of(dep)
    if not relation.is_one_to_one:
        described["lineage"] = relation.lineage
    return {**described, "optional": True} if dep.optional else described


def lineage(view: GraphData, feature: str, field: str | None = None) -> dict[str, dict[str, list[str]]]:
    """Return who needs whom around a feature or one of its fields, in both directions.

    Each of ``dependencies`` and ``dependents`` maps a name to its neighbours; fields are named ``feature.field``.

    Raises:
        UnknownFeatureError: if the view has no such feature.
        FieldNotFoundError: if the feature has no such field.
    """
    walker = GraphWalker(view)
    node = view.nodes[walker.known(feature)]
    if field is None:
        return {"dependencies": walker.parents, "dependents": walker.children}
    names = [str(each.key) for each in node.fields]
    if field not in names:
        raise FieldNotFoundError(f"feature '{feature}' has no field '{field}'.{did_you_mean(field, names)}")
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for other in walker.topological_sort():
        for each in other.fields:
            above[name := f"{other.key}.{each.key}"] = [".".join(parent) for parent in each.parents or ()]
            for parent in above[name]:
                below.setdefault(parent, []).append(name)
    return {"dependencies": above, "dependents": below}


def tree(
    walker: GraphWalker, root: str, neighbours: dict[str, list[str]], label: str, max_depth: int | None = None
) -> dict[str, Any]:
    """Return a feature and its neighbours, theirs, and so on, as nested plain data; each is opened once."""
    top = _leaf(walker, root, label)
    opened = {root}
    waiting = [(root, top, 0)]
    for key, entry, depth in waiting:  # grows while it is walked
        for other in neighbours[key]:
            if other in opened:
                entry[label].append({"key": other, "repeated": True})
            elif max_depth is not None and depth + 1 > max_depth:
                entry[label].append({"truncated": True, "key": other})
            else:
                opened.add(other)
                entry[label].append(child := _leaf(walker, other, label))
                waiting.append((other, child, depth + 1))
    return top


def _leaf(walker: GraphWalker, key: str, label: str) -> dict[str, Any]:
    node = walker.graph_data.get_node(key)
    return {"key": key, "project": node.project if node else None, label: []}
