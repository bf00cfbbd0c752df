"""What a feature says of the keys that it had before, which changes none of its versions."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import DefinitionError
from metaxy.testing import TempMetaxyProject


def spec(key: str, renamed_from: object = ()) -> FeatureSpec:
    return FeatureSpec(key=key, id_columns=["id"], renamed_from=renamed_from)  # type: ignore[arg-type]


def define(graph: FeatureGraph, key: str, renamed_from: object = (), name: str | None = None) -> FeatureDefinition:
    path = f"code.{name or key}"
    definition = FeatureDefinition(
        spec=spec(key, renamed_from), feature_schema={}, feature_class_path=path, project="test"
    )
    graph.add_feature_definition(definition)
    return definition


@pytest.mark.parametrize("given", ["a/b", ["a/b"], FeatureKey("a/b"), spec("a/b")])
def test_keys_are_given_as_anything_that_names_one(given: object) -> None:
    assert spec("c", given).renamed_from == (FeatureKey("a/b"),)


def test_versions_and_what_is_stored_stay_the_same() -> None:
    plain, renamed = spec("c"), spec("c", ["b", "a"])
    assert renamed.version_at(16) == plain.version_at(16)
    assert "renamed_from" not in plain.model_dump(mode="json")
    assert renamed.model_dump(mode="json") == plain.model_dump(mode="json") | {"renamed_from": ["b", "a"]}
    assert FeatureSpec.model_validate_json(renamed.model_dump_json()) == renamed


def test_snapshots_keep_it() -> None:
    graph = FeatureGraph()
    define(graph, "c", ["b", "a"])
    stored = json.loads(json.dumps(graph.to_snapshot(length=16)))
    read = FeatureGraph.from_snapshot(stored)
    assert read.get_feature_definition("c").spec == graph.get_feature_definition("c").spec


@pytest.mark.parametrize(
    ("given", "message"), [("c", "which is its own key"), (["a", "a"], "lists 'a' twice in renamed_from")]
)
def test_what_makes_no_sense_is_refused(given: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec("c", given)
    with pytest.raises(ValueError, match="is not allowed"):
        spec("c", "No Key")


@pytest.mark.parametrize(("first", "second"), [("a", "c"), ("c", "a")])
def test_a_key_that_is_still_there_is_refused(first: str, second: str) -> None:
    graph, former = FeatureGraph(), {"c": "a"}
    define(graph, first, former.get(first, ()))
    with pytest.raises(DefinitionError, match=r"'c' says renamed_from='a', but the graph still has .*remove_feature"):
        define(graph, second, former.get(second, ()))
    assert list(graph.feature_definitions_by_key) == [FeatureKey(first)]


def test_two_features_cannot_have_been_one() -> None:
    graph = FeatureGraph()
    define(graph, "b", "a")
    with pytest.raises(DefinitionError, match="'c' and 'b' both say renamed_from='a'"):
        define(graph, "c", "a")
    define(graph, "b", ())  # a class that was defined again
    define(graph, "c", "a")
    graph.copy().remove_feature("c")
    assert graph.has_renames
    graph.remove_feature("c")
    assert not graph.has_renames


FEATURES = """
import metaxy as mx


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="film/raw", id_columns=["id"], renamed_from="video/raw")):
    id: str
"""


def test_a_lock_file_keeps_it(tmp_path: Path) -> None:
    project = TempMetaxyProject(tmp_path, FEATURES, project="vision")
    with project.use() as graph:
        text = graph.get_feature_definition("film/raw").model_dump_json()
    assert FeatureDefinition.model_validate_json(text).spec.renamed_from == (FeatureKey("video/raw"),)
