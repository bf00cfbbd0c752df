"""Fields mappings and lineage: constructors, stored form, meaning."""

from typing import Any

import pytest
from pydantic import ValidationError

from metaxy.definitions.keys import FieldKey
from metaxy.definitions.lineage import LineageRelationship, LineageRelationshipType
from metaxy.definitions.mapping import AllFieldsMapping, FieldsMapping, FieldsMappingType

PARENT = [FieldKey(text) for text in ("y", "x/y", "z/x/y", "q")]


@pytest.mark.parametrize(
    ("mapping", "field", "expected"),
    [
        (FieldsMapping.default(), "q", ["q"]),
        (FieldsMapping.default(), "new", ["y", "x/y", "z/x/y", "q"]),
        (FieldsMapping.default(match_suffix=True), "y", ["y", "x/y", "z/x/y"]),
        (FieldsMapping.default(match_suffix=True), "x/y", ["x/y", "z/x/y"]),
        (FieldsMapping.default(match_suffix=True), "q/y", ["y", "x/y", "z/x/y", "q"]),
        (FieldsMapping.default(exclude_fields=["q", "y"]), "q", ["x/y", "z/x/y"]),
        (FieldsMapping.specific({"a": {"y", "q", "typo"}}), "a", ["y", "q"]),
        (FieldsMapping.specific({"a": {"y"}}), "b", []),
        (FieldsMapping.all(), "q", ["y", "x/y", "z/x/y", "q"]),
        (FieldsMapping.none(), "q", []),
    ],
)
def test_a_mapping_finds_parent_fields(mapping: FieldsMapping, field: str, expected: list[str]) -> None:
    found = mapping.mapping.parent_fields(FieldKey(field), PARENT)
    assert [str(key) for key in found] == expected


@pytest.mark.parametrize(
    ("mapping", "form"),
    [
        (
            FieldsMapping.default(match_suffix=True, exclude_fields=["x"]),
            {"type": "default", "match_suffix": True, "exclude_fields": ["x"]},
        ),
        (FieldsMapping.default(), {"type": "default", "match_suffix": False, "exclude_fields": []}),
        (
            FieldsMapping.specific({"a/b": {FieldKey("y/z"), FieldKey("x")}}),
            {"type": "specific", "mapping": {"a/b": [["x"], ["y", "z"]]}},
        ),
        (FieldsMapping.all(), {"type": "all"}),
        (FieldsMapping.none(), {"type": "none"}),
    ],
)
def test_mappings_have_a_stored_form(mapping: FieldsMapping, form: dict[str, Any]) -> None:
    assert mapping.model_dump(mode="json") == {"mapping": form}
    assert FieldsMapping.model_validate({"mapping": form}) == mapping
    assert FieldsMapping.model_validate_json(mapping.model_dump_json()) == mapping


def test_mapping_types_are_text() -> None:
    assert [str(kind.value) for kind in FieldsMappingType] == ["default", "specific", "all", "none"]


@pytest.mark.parametrize(
    "given",
    [
        {"mapping": {"type": "some"}},
        {"mapping": {"type": "specific", "mapping": {"a": "bc"}}},
        {"mapping": {"type": "specific"}},
        {"mapping": {"type": "default", "exclude_fields": "bc"}},
        AllFieldsMapping(),
    ],
)
def test_a_bad_mapping_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        FieldsMapping.model_validate(given)


@pytest.mark.parametrize(
    ("lineage", "form", "groups", "input_ids"),
    [
        (LineageRelationship.identity(), {"type": "1:1"}, None, ("up",)),
        (LineageRelationship.aggregation(), {"type": "N:1", "on": None}, ("own",), ("own",)),
        (LineageRelationship.aggregation(["g"]), {"type": "N:1", "on": ["g"]}, ("g",), ("g",)),
        (
            LineageRelationship.expansion(["up"], "{up}/{n}"),
            {"type": "1:N", "on": ["up"], "id_generation_pattern": "{up}/{n}"},
            None,
            ("up",),
        ),
    ],
)
def test_lineage_has_a_form_and_a_meaning(
    lineage: LineageRelationship, form: dict[str, Any], groups: tuple[str, ...] | None, input_ids: tuple[str, ...]
) -> None:
    assert lineage.model_dump(mode="json") == {"relationship": form}
    assert LineageRelationship.model_validate({"relationship": form}) == lineage
    assert lineage.get_aggregation_columns(["own"]) == groups
    assert lineage.relationship.input_id_columns(["up"], ["own"]) == input_ids
    assert lineage.relationship.type is LineageRelationshipType(form["type"])


@pytest.mark.parametrize(
    ("relationship", "message"),
    [
        ({"type": "N:1", "on": "video_id"}, r"write \['video_id'\]"),
        ({"type": "N:1", "on": []}, "aggregation lineage has an empty 'on'"),
        ({"type": "1:N", "on": []}, "expansion lineage has an empty 'on'"),
        ({"type": "1:N", "on": ["a", "a"]}, "names 'a' twice"),
        ({"type": "1:N"}, "on"),
        ({"type": "2:2"}, "2:2"),
    ],
)
def test_bad_lineage_is_refused(relationship: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LineageRelationship.model_validate({"relationship": relationship})
