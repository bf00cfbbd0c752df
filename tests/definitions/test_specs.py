"""Feature specs: stored form, versions, and everything that is refused."""

import json
import pickle
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.field import FieldDep, FieldSpec
from metaxy.definitions.keys import FeatureKey, FieldKey
from metaxy.definitions.mapping import FieldsMapping
from metaxy.definitions.spec import FeatureSpec
from metaxy.hashing import DEFAULT_TRUNCATION_LENGTH


def spec(**given: Any) -> FeatureSpec:
    return FeatureSpec(**{"key": "video/crop", "id_columns": ["id"], **given})


def test_a_spec_has_defaults() -> None:
    assert spec().model_dump(mode="json") == {
        "key": "video/crop",
        "id_columns": ["id"],
        "deps": [],
        "fields": [{"key": "default", "code_version": "__metaxy_initial__", "deps": []}],
        "metadata": {},
        "description": None,
    }


def test_a_spec_reads_back_from_its_stored_form() -> None:
    given = spec(
        deps=[FeatureDep(feature="video", filters=["a = 1"], fields_mapping=FieldsMapping.specific({"x": {"y"}}))],
        fields=["x", {"key": "z", "deps": [{"feature": "video", "fields": ["y"]}]}],
        metadata={"owner": {"team": ["vision"]}},
        description="é",
    )
    for again in (
        FeatureSpec.model_validate(given.model_dump(mode="json")),
        FeatureSpec.model_validate_json(given.model_dump_json()),
        FeatureSpec.model_validate(given.model_dump()),
        pickle.loads(pickle.dumps(given)),
    ):
        assert again == given


def test_a_spec_lists_fields_and_dependencies_by_key() -> None:
    given = spec(deps=["video"], fields=["x", FieldSpec(key="y/z", code_version="2")])
    assert given.deps_by_key == {FeatureKey("video"): FeatureDep(feature="video")}
    assert given.fields_by_key[FieldKey("y/z")].code_version == "2"
    assert given.table_name() == "video__crop"


def test_id_columns_are_a_tuple_in_their_order() -> None:
    assert spec(id_columns=iter(["b", "a"])).id_columns == ("b", "a")
    assert spec(id_columns={"b", "a"}).id_columns == ("a", "b")


def test_metadata_is_plain_json() -> None:
    assert spec(metadata={"day": date(2026, 1, 2), "pair": (1, 2)}).metadata == {"day": "2026-01-02", "pair": [1, 2]}


def test_versions_without_a_length_use_the_default() -> None:
    given = spec()
    assert given.code_version == given.code_version_at(DEFAULT_TRUNCATION_LENGTH)
    assert given.feature_spec_version == given.version_at(DEFAULT_TRUNCATION_LENGTH)
    assert given.version_at(64).startswith(given.feature_spec_version)


def test_only_the_code_decides_the_code_version() -> None:
    assert spec(fields=["x", "y"]).code_version == spec(fields=["y", "x"], metadata={"a": 1}).code_version
    assert spec(fields=["x"]).code_version != spec(fields=[FieldSpec(key="x", code_version="2")]).code_version


def test_everything_decides_the_spec_version() -> None:
    versions = {each.version_at(16) for each in (spec(), spec(metadata={"a": 1}), spec(description="x"))}
    assert len(versions) == 3
    copied = spec().model_copy(update={"description": "x"})
    assert copied.version_at(16) == spec(description="x").version_at(16)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"id_columns": "id"}, r"got the text 'id': write \['id'\]"),
        ({"id_columns": None}, "expected a list, got None"),
        ({"id_columns": []}, "feature 'video/crop' has no id_columns"),
        ({"id_columns": ["id", "id"]}, "lists the ID column 'id' twice"),
        ({"id_columns": ["id", "ID"]}, "differ only by case, which databases take for one: ID, id"),
        ({"id_columns": ["metaxy_provenance"]}, "uses the system column 'metaxy_provenance'"),
        ({"deps": "video"}, r"got the text 'video': write \['video'\]"),
        ({"deps": None}, "expected a list, got None"),
        ({"deps": FeatureDep(feature="video")}, "expected a list, got FeatureDep"),
        ({"deps": FeatureSpec}, "expected a list, got <class"),
        ({"deps": ["video", FeatureDep(feature="video")]}, "lists the dependency 'video' twice"),
        ({"deps": ["video/crop"]}, "feature 'video/crop' depends on itself"),
        ({"fields": "x"}, r"write \['x'\]"),
        ({"fields": []}, "has an empty list of fields"),
        ({"fields": ["x", "x"]}, "has several fields 'x'"),
        ({"fields": ["x/y", "x_y"]}, "several fields that are stored as 'x_y'"),
        ({"fields": [["x"]]}, r"fields\.0"),
        ({"fields": [FieldKey("x")]}, r"fields\.0"),
        ({"key": spec()}, "cannot make a FeatureKey"),
        ({"metadata": {"a": object()}}, "Unable to serialize"),
        ({"colour": 1}, "Extra inputs"),
        (
            {"deps": ["video"], "fields": [FieldSpec(key="x", deps=[FieldDep(feature="vidoe")])]},
            "field 'x' that depends on feature 'vidoe', which is not in its deps. Did you mean 'video'",
        ),
        (
            {"fields": [FieldSpec(key="x", deps=[FieldDep(feature="video")])]},
            "field 'x' that depends on feature 'video', which is not in its deps",
        ),
        (
            {"deps": [FeatureDep(feature="video", fields_mapping=FieldsMapping.specific({"fram": {"a"}}))]}
            | {"fields": ["frame"]},
            "maps fields of 'video' to 'fram', which is not one of its fields. Did you mean 'frame'",
        ),
    ],
)
def test_a_bad_spec_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(**given)


def test_messages_do_not_print_whole_specs() -> None:
    with pytest.raises(ValidationError) as caught:
        spec(deps=spec(description="long " * 500))
    assert len(caught.value.errors()[0]["msg"]) < 100


def test_a_spec_is_frozen_and_not_hashable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        spec().description = "x"  # type: ignore[misc]  # the point of the test
    with pytest.raises(TypeError, match="unhashable"):
        hash(spec())


def test_the_stored_form_is_what_is_hashed() -> None:
    import hashlib

    text = json.dumps(json.loads(spec(description="ü").model_dump_json()), sort_keys=True)
    assert spec(description="ü").version_at(64) == hashlib.sha256(text.encode()).hexdigest()
