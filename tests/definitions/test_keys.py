"""Keys: what they are made from, what is made from them, and what is refused."""

import pickle
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import (
    FeatureKey,
    FeatureKeyAdapter,
    FieldKey,
    FieldKeyAdapter,
    ValidatedFeatureKeyAdapter,
    ValidatedFeatureKeyList,
    ValidatedFeatureKeySequenceAdapter,
    ValidatedFieldKeySequenceAdapter,
    coerce_to_feature_key,
)
from metaxy.definitions.spec import FeatureSpec

SPEC = FeatureSpec(key="a/b", id_columns=["id"])


@pytest.mark.parametrize(
    "made",
    [
        FeatureKey("a/b"),
        FeatureKey(["a", "b"]),
        FeatureKey(("a", "b")),
        FeatureKey(FeatureKey("a/b")),
        FeatureKey(root=["a", "b"]),
        FeatureKey(parts=["a", "b"]),
        FeatureKeyAdapter.validate_python({"root": ["a", "b"]}),
        FeatureKeyAdapter.validate_python({"parts": ["a", "b"]}),
        FeatureKeyAdapter.validate_json('"a/b"'),
        coerce_to_feature_key(SPEC),
        coerce_to_feature_key(FeatureDefinition.external(spec=SPEC, project="p")),
    ],
)
def test_a_key_is_made_from_everything_that_names_it(made: FeatureKey) -> None:
    assert made == FeatureKey("a/b")
    assert made.parts == made.root == ("a", "b")


@pytest.mark.parametrize("text", ["a/1b", "_a_/_b_", "a-x/b_y", "a1", "_"])
def test_unusual_keys_are_fine(text: str) -> None:
    assert str(FeatureKey(text)) == str(FieldKey(text)) == text


@pytest.mark.parametrize(
    "value",
    [
        *("", "/a", "a/", "a//b", "Aa", "1a", "a/-b", "-a", "é", "a b", "a.b", "a__b", "a\n", "a/b\n"),
        *([], ["a/b"], [1], [None], None, 3, b"a", {"a"}, {"key": "a"}, {}),
    ],
)
@pytest.mark.parametrize("kind", [FeatureKey, FieldKey])
def test_a_bad_key_is_refused(kind: type[FeatureKey] | type[FieldKey], value: Any) -> None:
    with pytest.raises(ValidationError):
        kind(value)


def test_a_bad_part_is_named_with_the_rule() -> None:
    with pytest.raises(ValidationError, match="key part 'Crop' is not allowed: use a-z"):
        FeatureKey("video/Crop")
    with pytest.raises(ValidationError, match="needs at least one part"):
        FeatureKey([])


def test_a_key_takes_one_value() -> None:
    with pytest.raises(TypeError):
        FeatureKey(*["a", "b"])


def test_field_keys_and_feature_keys_do_not_mix() -> None:
    with pytest.raises(ValidationError, match="cannot make a FeatureKey from a"):
        FeatureKeyAdapter.validate_python(FieldKey("a"))
    with pytest.raises(ValidationError):
        ValidatedFeatureKeyAdapter.validate_python(FieldKey("a"))
    with pytest.raises(ValidationError):
        FieldKeyAdapter.validate_python(SPEC)


def test_names_made_from_a_key() -> None:
    key = FeatureKey("a-x/b_y")
    assert (str(key), repr(key), key.to_string()) == ("a-x/b_y",) * 3
    assert (key.model_dump(), key.model_dump_json()) == ("a-x/b_y", '"a-x/b_y"')
    assert (key.table_name, key.to_struct_key(), key.to_column_suffix()) == ("a_x__b_y", "a-x_b_y", "__a-x_b_y")


def test_a_key_is_a_sequence_of_its_parts() -> None:
    key = FeatureKey("a-x/b_y")
    assert (len(key), list(key), list(reversed(key))) == (2, ["a-x", "b_y"], ["b_y", "a-x"])
    assert (key[0], key[-1], key[1:]) == ("a-x", "b_y", ("b_y",))
    assert "a-x" in key
    assert "a-x/b_y" not in key


def test_keys_are_equal_only_to_keys_of_their_kind() -> None:
    key = FeatureKey("a")
    others: list[object] = [FieldKey("a"), "a", ("a",)]
    assert key not in others
    assert hash(key) == hash(("a",))
    assert pickle.loads(pickle.dumps(key)) == key


def test_keys_are_ordered_by_their_parts() -> None:
    keys = [FeatureKey(text) for text in ("a-b", "a/z", "a")]
    assert [str(key) for key in sorted(keys)] == ["a", "a/z", "a-b"]
    assert keys[2] <= keys[1] < keys[0] > keys[1] >= keys[1]


@pytest.mark.parametrize("other", ["a", FieldKey("a"), ("a",)])
def test_keys_cannot_be_ordered_with_anything_else(other: Any) -> None:
    with pytest.raises(TypeError):
        _ = FeatureKey("a") < other


def test_a_key_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        FeatureKey("a").root = ("b",)  # type: ignore[misc]  # the point of the test


def test_sequences_of_keys_keep_their_container() -> None:
    assert ValidatedFeatureKeySequenceAdapter.validate_python(("a", ["b", "c"])) == (FeatureKey("a"), FeatureKey("b/c"))
    assert ValidatedFieldKeySequenceAdapter.validate_python(["a", FieldKey("b")]) == [FieldKey("a"), FieldKey("b")]
    with pytest.raises(ValidationError):
        ValidatedFeatureKeySequenceAdapter.validate_python("abc")


def test_a_key_list_is_the_parts() -> None:
    assert TypeAdapter(ValidatedFeatureKeyList).validate_python("a/b") == ["a", "b"]
