"""Every version of definitions that metaxy 0.1.11 computed, computed again."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.golden.features import spec_arguments, stored_definition

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import DefinitionError, DefinitionWarning, MetaxyMissingFeatureDependency

Case = dict[str, Any]
CASES: list[Case] = json.loads((Path(__file__).parent / "definitions.json").read_text("utf-8"))["cases"]
# What metaxy 0.1 accepted or noticed too late. Stored definitions of this kind keep their versions; user code is
# refused, by the spec itself or, where the fault lies between two features, by the graph.
REFUSED = {
    "no-fields": "has an empty list of fields",
    "explicit-unknown-feature": "depends on feature 'other', which is not in its deps",
    "dup-deps": "lists the dependency 'up' twice",
}
REFUSED_BY_GRAPH = {"specific": "maps fields of 'up', which has no field 'typo'"}
# The errors of metaxy 0.1, and ours. Stored definitions get the error where the versions are asked for.
ERRORS = {"KeyError": DefinitionError, "MetaxyMissingFeatureDependency": MetaxyMissingFeatureDependency}


def graph_of(case: Case) -> FeatureGraph:
    graph = FeatureGraph()
    with warnings.catch_warnings():
        if case["id"] in REFUSED | REFUSED_BY_GRAPH:
            warnings.simplefilter("ignore", DefinitionWarning)
        for feature in case["features"]:
            graph.add_feature_definition(stored_definition(feature))
    return graph


def described(graph: FeatureGraph, key: str, length: int) -> dict[str, Any]:
    """Describe a feature in the words of the golden file."""
    definition = graph.get_feature_definition(key)
    return {
        "feature_code_version": definition.spec.code_version_at(length),
        "feature_spec_version": definition.spec.version_at(length),
        "definition_version": definition.version_at(length),
        "table_name": definition.table_name,
        "spec_json": definition.spec.model_dump(mode="json"),
        **({"is_external": True} if definition.is_external else {}),
        **outcome(
            "version_error",
            lambda: {
                "field_versions": graph.get_feature_version_by_field(key, length),
                "feature_version": graph.get_feature_version(key, length),
            },
        ),
        **outcome("parent_fields_error", lambda: {"parent_fields": parent_fields(graph, key)}),
        **outcome("plan_error", lambda: id_columns(graph, key)),
    }


def outcome(error_name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return compute()
    except tuple(ERRORS.values()) as error:
        return {error_name: type(error)}


def parent_fields(graph: FeatureGraph, key: str) -> dict[str, list[str]]:
    plan = graph.get_feature_plan(key)
    return {
        str(field.key): [str(parent) for parent in plan.get_parent_fields_for_field(field.key)]
        for field in plan.feature.fields
    }


def id_columns(graph: FeatureGraph, key: str) -> dict[str, list[str]]:
    plan = graph.get_feature_plan(key)
    return {
        "input_id_columns_sorted": sorted(plan.input_id_columns),
        "upstream_id_columns_sorted": sorted(plan.upstream_id_columns),
    }


def expected_feature(feature: dict[str, Any]) -> dict[str, Any]:
    return {name: ERRORS[value] if name.endswith("_error") else value for name, value in feature.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_every_feature_has_the_golden_versions(case: Case) -> None:
    graph, expected = graph_of(case), case["expected"]["features"]
    assert {key: described(graph, key, case["hash_truncation_length"]) for key in expected} == {
        key: expected_feature(feature) for key, feature in expected.items()
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_every_project_has_the_golden_version_and_order(case: Case) -> None:
    graph, expected, length = graph_of(case), case["expected"], case["hash_truncation_length"]
    computed = {
        "project_versions": {p: graph.get_project_version(p, length) for p in expected["project_versions"]},
        "graph_project_version": graph.get_project_version(case["project"], length),
        "topological_order": [str(key) for key in graph.topological_sort_features()],
    }
    assert computed == {name: expected[name] for name in computed}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_stored_form_of_every_spec_reads_back_equal(case: Case) -> None:
    for definition in graph_of(case).feature_definitions_by_key.values():
        with warnings.catch_warnings():
            if case["id"] in REFUSED:
                warnings.simplefilter("ignore", DefinitionWarning)
            again = type(definition).from_stored_data(definition.spec.model_dump_json(), "{}", None, "golden")
        assert again.spec == definition.spec


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_user_code_gives_the_same_specs_unless_it_is_refused(case: Case) -> None:
    for feature in case["features"]:
        expected = case["expected"]["features"][feature["key"]]["spec_json"]
        if case["id"] in REFUSED and feature is case["features"][-1]:
            with pytest.raises(ValidationError, match=REFUSED[case["id"]]):
                FeatureSpec(**spec_arguments(feature))
        else:
            assert FeatureSpec(**spec_arguments(feature)).model_dump(mode="json") == expected


@pytest.mark.parametrize("case_id", REFUSED_BY_GRAPH)
def test_user_code_is_refused_by_the_graph(case_id: str) -> None:
    (case,) = (case for case in CASES if case["id"] == case_id)
    graph = FeatureGraph()
    *parents, child = (
        FeatureDefinition(
            spec=FeatureSpec(**spec_arguments(feature)), feature_schema={}, feature_class_path="m.F", project="golden"
        )
        for feature in case["features"]
    )
    for parent in parents:
        graph.add_feature_definition(parent)
    with pytest.raises(DefinitionError, match=REFUSED_BY_GRAPH[case_id]):
        graph.add_feature_definition(child)
    assert list(graph.feature_definitions_by_key) == [parent.key for parent in parents]


def test_a_stored_definition_that_user_code_may_not_have_warns() -> None:
    (case,) = (case for case in CASES if case["id"] == "dup-deps")
    with pytest.warns(DefinitionWarning, match="stored definition of feature 'down'.*'up' twice"):
        stored_definition(case["features"][-1])


def test_a_missing_parent_is_named_with_its_child() -> None:
    (case,) = (case for case in CASES if case["id"] == "missing-dep")
    with pytest.raises(MetaxyMissingFeatureDependency, match="feature 'c' depends on 'nope'"):
        graph_of(case).get_feature_plan(FeatureKey("c"))
