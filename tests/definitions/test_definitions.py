"""Feature definitions from stored data and for external features; those of classes are in test_feature_classes."""

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import CodeVersionWarning, DefinitionWarning, MetaxyInvariantViolationError

SPEC = FeatureSpec(key="video/raw", id_columns=["id"], fields=["audio", "frames"])
SCHEMA = {"title": "Raw", "properties": {"id": {"type": "string"}, "path": {"type": "string"}}}


def stored(**changes: Any) -> FeatureDefinition:
    given: dict[str, Any] = {
        "feature_spec": SPEC.model_dump(mode="json"),
        "feature_schema": SCHEMA,
        "feature_class_path": "vision.Raw",
        "project": "vision",
    }
    return FeatureDefinition.from_stored_data(**{**given, **changes})


def external(**changes: Any) -> FeatureDefinition:
    return FeatureDefinition.external(**{"spec": SPEC, "project": "vision", **changes})


def test_a_stored_definition_takes_parsed_data_and_text() -> None:
    definition = stored()
    assert definition == stored(feature_spec=SPEC.model_dump_json(), feature_schema=json.dumps(SCHEMA))
    assert (definition.key, definition.table_name, definition.id_columns) == (SPEC.key, "video__raw", ("id",))
    assert (definition.columns, definition.source) == (["id", "path"], "vision.Raw")
    assert (definition.is_external, definition.is_user_code) == (False, False)
    assert stored(source="store 'dev'").source == "store 'dev'"


def test_a_schema_is_stored_as_compact_text() -> None:
    assert stored().model_dump(mode="json")["feature_schema"] == json.dumps(SCHEMA, separators=(",", ":"))
    assert FeatureDefinition.model_validate_json(stored().model_dump_json()).feature_schema == SCHEMA


def test_versions_depend_on_spec_and_schema_alone() -> None:
    versions = [
        stored().version_at(16),
        stored(project="other", feature_class_path="x.Y").version_at(16),
        stored(feature_schema={}).version_at(16),
        stored(feature_spec=SPEC.model_copy(update={"metadata": {"a": 1}}).model_dump(mode="json")).version_at(16),
    ]
    assert versions[0] == versions[1] == stored().feature_definition_version
    assert len(set(versions)) == 3


def test_a_definition_needs_a_project() -> None:
    with pytest.raises(ValidationError, match="project"):
        stored(project="")


@pytest.mark.parametrize(
    ("changes", "warning", "message"),
    [
        ({"fields": [{"key": "x", "code_version": "1|2"}]}, CodeVersionWarning, r"code version '1\|2' of field 'x'"),
        ({"fields": []}, DefinitionWarning, "empty list of fields"),
        ({"fields": ["x/y", "x_y"]}, DefinitionWarning, "stored as 'x_y'"),
        ({"id_columns": ["id", "ID"]}, DefinitionWarning, "differ only by case"),
        ({"deps": [{"feature": "u", "sql_filters": ["a SIMILAR TO 'x'"]}]}, DefinitionWarning, "bad filter"),
        ({"deps": [{"feature": "u", "rename": {"a": "metaxy_provenance"}}]}, DefinitionWarning, "system columns"),
        (
            {"deps": [{"feature": "u", "lineage": {"relationship": {"type": "N:1", "on": []}}}]},
            DefinitionWarning,
            "empty 'on'",
        ),
    ],
)
def test_faults_of_stored_definitions_are_warnings(
    changes: dict[str, Any], warning: type[Warning], message: str
) -> None:
    form = {**SPEC.model_dump(mode="json"), **changes}
    builders: list[Callable[[], object]] = [lambda: stored(feature_spec=form), lambda: external(spec=form)]
    for build in builders:
        with pytest.warns(warning, match=rf"stored definition of feature 'video/raw'.*{message}") as seen:
            build()
        assert len(seen) == 1
    with pytest.raises(ValidationError, match=message):
        FeatureSpec.model_validate(form)


@pytest.mark.parametrize("changes", [{"key": "A"}, {"id_columns": []}, {"fields": ["x", "x"]}, {"deps": ["video/raw"]}])
def test_what_cannot_be_read_is_an_error_for_stored_definitions_too(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        stored(feature_spec={**SPEC.model_dump(mode="json"), **changes})


def test_an_external_definition_is_a_placeholder() -> None:
    definition = external()
    assert (definition.is_external, definition.feature_class_path, definition.feature_schema) == (True, None, {})
    assert definition.on_version_mismatch == "warn"
    assert external(on_version_mismatch="error").on_version_mismatch == "error"


def test_an_external_definition_knows_who_wrote_it() -> None:
    assert external(source="metaxy.lock").source == "metaxy.lock"
    here = FeatureDefinition.external(spec=SPEC, project="vision").source
    assert here == f"{__name__}:test_an_external_definition_knows_who_wrote_it"


def test_an_external_definition_may_bring_field_versions() -> None:
    definition = external(provenance_by_field={("audio",): "1a"})
    assert definition.has_provenance_override
    assert definition.provenance_by_field_override == definition.known_field_versions == {"audio": "1a"}
    with pytest.raises(ValueError, match=r"'audoi', which is not one of its fields. Did you mean 'audio'"):
        external(provenance_by_field={"audoi": "1a"})


def test_other_definitions_have_no_field_versions_of_their_own() -> None:
    assert external().has_provenance_override is False
    assert external().known_field_versions == {}
    with pytest.raises(MetaxyInvariantViolationError, match="pass provenance_by_field"):
        _ = external().provenance_by_field_override
    with pytest.raises(MetaxyInvariantViolationError, match="is not external"):
        _ = stored().has_provenance_override


def test_definitions_are_pickled_whole() -> None:
    definition = external(provenance_by_field={"audio": "1a"}, source="metaxy.lock")
    again = pickle.loads(pickle.dumps(definition))
    assert again == definition
    assert (again.source, again.known_field_versions) == ("metaxy.lock", {"audio": "1a"})


def test_a_class_is_found_by_its_path() -> None:
    path = f"{FieldSpec.__module__}.FieldSpec"
    assert stored(feature_class_path=path)._get_feature_class() is FieldSpec


@pytest.mark.parametrize("path", [None, "no_such_module.Raw", "metaxy.definitions.field.Missing", "x"])
def test_a_class_that_is_not_there_is_an_import_error(path: str | None) -> None:
    with pytest.raises(ImportError, match="feature 'video/raw'"):
        stored(feature_class_path=path)._get_feature_class()
