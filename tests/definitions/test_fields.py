"""Fields and explicit field dependencies."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from metaxy.columns import DEFAULT_CODE_VERSION
from metaxy.definitions.field import FieldDep, FieldSpec, SpecialFieldDep
from metaxy.definitions.keys import FeatureKey, FieldKey
from metaxy.definitions.spec import FeatureSpec


def test_a_field_has_defaults() -> None:
    assert FieldSpec().model_dump(mode="json") == {"key": "default", "code_version": "__metaxy_initial__", "deps": []}
    assert FieldSpec().code_version == DEFAULT_CODE_VERSION


def test_everything_is_the_default_of_a_field_dependency() -> None:
    assert FieldDep(feature="a").fields is SpecialFieldDep.ALL
    assert FieldDep.model_validate({"feature": "a", "fields": "__METAXY_ALL_DEP__"}) == FieldDep(feature="a")


def test_a_field_dependency_takes_a_spec_and_keys() -> None:
    dep = FieldDep(feature=FeatureSpec(key="a/b", id_columns=["id"]), fields=["x", ["y", "z"], FieldKey("q")])
    assert (dep.feature, dep.fields) == (FeatureKey("a/b"), (FieldKey("x"), FieldKey("y/z"), FieldKey("q")))
    assert dep.model_dump(mode="json") == {"feature": "a/b", "fields": ["x", "y/z", "q"]}


def test_a_field_dependency_may_be_empty() -> None:
    assert FieldDep(feature="a", fields=[]).fields == ()


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (FieldDep, {"feature": "a", "fields": "x"}, r"got the text 'x': write \['x'\]"),
        (FieldDep, {"feature": "a", "fields": FieldKey("x")}, "expected a list"),
        (FieldDep, {"feature": "a", "fields": None}, "expected a list"),
        (FieldSpec, {"deps": None}, "expected a list"),
        (FieldSpec, {"deps": FieldDep(feature="a")}, "expected a list"),
        (FieldSpec, {"deps": "a"}, "expected a list"),
        (FieldSpec, {"code_version": 1}, "valid string"),
        (FieldSpec, {"code_versions": "1"}, "Extra inputs"),
    ],
)
def test_a_bad_field_is_refused(kind: type[BaseModel], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind(**given)


@pytest.mark.parametrize("version", ["", "1", "v1.2-rc_3", "日本 🎬", "a b"])
def test_code_versions_are_free_text(version: str) -> None:
    assert FieldSpec(code_version=version).code_version == version


@pytest.mark.parametrize("version", ["1|2", "a\\b", "1\n", "\t", "\x00", "\x7f", "\x85", "\ud800"])
def test_code_versions_have_no_separators_or_control_characters(version: str) -> None:
    with pytest.raises(ValidationError, match=r"code version .* of field 'audio' contains"):
        FieldSpec(key="audio", code_version=version)


@pytest.mark.parametrize("model", [FieldDep(feature="a"), FieldSpec()])
def test_fields_are_frozen_and_can_be_hashed(model: FieldDep | FieldSpec) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(model, next(iter(type(model).model_fields)), "b")
    assert len({model, model.model_copy()}) == 1
