"""Versions: the worked example of the documentation, what changes them, and that they are computed once."""

import hashlib
from typing import Any

import pytest
from tests.dag.definitions import code, external, graph_of, user

from metaxy.dag import versions
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.plan import FeaturePlan, FQFieldKey
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey, FieldKey
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import FieldNotFoundError, MetaxyMissingFeatureDependency


def video_graph() -> FeatureGraph:
    crop = user("crop", ["video"], [code("audio", "1"), code("frames", "1")])
    return graph_of(crop, user("video", fields=["audio", "frames"]))


def test_the_worked_example() -> None:
    graph = video_graph()
    assert graph.get_feature_version_by_field("video", 8) == {"audio": "eb91ed45", "frames": "53d88b74"}
    assert graph.get_feature_version_by_field("crop", 8) == {"audio": "7ee76c6e", "frames": "901e0288"}
    assert (graph.get_feature_version("video", 8), graph.get_feature_version("crop", 8)) == ("28b8374e", "0dda2e51")
    assert graph.get_feature_definition("crop").spec.code_version_at(8) == "7957714b"


def test_field_versions_are_in_declaration_order_and_cannot_be_spoilt() -> None:
    graph = graph_of(user("a", fields=["y", "x"]))
    given = graph.get_feature_version_by_field("a", 8)
    assert list(given) == ["y", "x"]
    given["y"] = "spoilt"
    assert graph.get_feature_version_by_field("a", 8)["y"] != "spoilt"


def test_one_field_has_a_version() -> None:
    graph = video_graph()
    assert graph.get_field_version(FQFieldKey(FeatureKey("crop"), FieldKey("audio")), 8) == "7ee76c6e"
    with pytest.raises(FieldNotFoundError, match=r"feature 'crop' has no field 'audoi'. Did you mean 'audio'"):
        graph.get_field_version(FQFieldKey(FeatureKey("crop"), FieldKey("audoi")), 8)


def test_the_length_is_part_of_every_version() -> None:
    graph = video_graph()
    short, long = graph.get_feature_version("crop", 8), graph.get_feature_version("crop", 64)
    assert (len(short), len(long)) == (8, 64)
    assert not long.startswith(short), "the parents' truncated versions are hashed"
    assert graph.get_feature_version("crop", 8) == short


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"metadata": {"a": 1}}, True),
        ({"description": "x"}, True),
        ({"id_columns": ["other"]}, True),
        ({"fields": [code("frames", "1"), code("audio", "1")]}, True),
        ({"deps": [FeatureDep(feature="video", optional=True, select=[], rename={"a": "b"}, filters=["a = 1"])]}, True),
        ({"deps": [FeatureDep(feature="video", lineage=LineageRelationship.aggregation())]}, True),
        ({"fields": [code("audio", "2"), code("frames", "1")]}, False),
        ({"fields": [code("audio", "1")]}, False),
        ({"deps": []}, False),
    ],
)
def test_only_code_and_parent_fields_change_a_feature_version(change: dict[str, Any], same: bool) -> None:
    graph = video_graph()
    before = graph.get_feature_version("crop", 16), graph.get_project_version("p", 16)
    graph.add_feature_definition(
        user("crop", **{"deps": ["video"], "fields": [code("audio", "1"), code("frames", "1")], **change})
    )
    assert (graph.get_feature_version("crop", 16) == before[0]) is same
    assert graph.get_project_version("p", 16) != before[1]


def test_a_change_travels_down_by_field() -> None:
    graph = video_graph()
    before = graph.get_feature_version_by_field("crop", 16)
    graph.add_feature_definition(user("video", fields=[code("audio", "2"), "frames"]))
    after = graph.get_feature_version_by_field("crop", 16)
    assert (after["audio"] == before["audio"], after["frames"] == before["frames"]) == (False, True)
    graph.remove_feature("video")
    with pytest.raises(MetaxyMissingFeatureDependency, match="feature 'crop' depends on 'video'"):
        graph.get_feature_version_by_field("crop", 16)


def test_the_error_names_the_feature_whose_parent_is_missing() -> None:
    graph = graph_of(user("c", ["b"]), user("b", ["a"]))
    with pytest.raises(MetaxyMissingFeatureDependency, match="feature 'b' depends on 'a'"):
        graph.get_feature_version("c", 8)
    assert graph.get_project_version("p", 8) != "empty"


# -- external features -------------------------------------------------------------------------------------------------


def test_an_external_feature_is_versioned_like_any_other() -> None:
    assert graph_of(external("a")).get_feature_version("a", 8) == graph_of(user("a")).get_feature_version("a", 8)


def test_given_field_versions_are_taken_as_they_are() -> None:
    graph = graph_of(
        external("a", fields=["x", "y"], provenance_by_field={"x": "a-long-version-of-x"}), user("b", ["a"], ["x"])
    )
    assert graph.get_feature_version_by_field("a", 8)["x"] == "a-long-version-of-x"
    assert (
        graph.get_feature_version_by_field("a", 8)["y"]
        == graph_of(user("a", fields=["y"])).get_feature_version_by_field("a", 8)["y"]
    )
    digest = hashlib.sha256(b"b.x__metaxy_initial__a-long-version-of-x").hexdigest()
    assert graph.get_feature_version_by_field("b", 8) == {"x": digest[:8]}


def test_given_field_versions_need_no_parents() -> None:
    given = {"x": "1", "y": "2"}
    graph = graph_of(external("a", ["absent"], ["x", "y"], provenance_by_field=given), user("b", ["a"], ["x"]))
    assert graph.get_feature_version_by_field("a", 8) == given
    assert graph.get_feature_version("b", 8)
    graph.add_feature_definition(external("a", ["absent"], ["x", "y"], provenance_by_field={"x": "1"}))
    with pytest.raises(MetaxyMissingFeatureDependency, match="feature 'a' depends on 'absent'"):
        graph.get_feature_version("b", 8)


# -- projects ----------------------------------------------------------------------------------------------------------


def test_a_project_version_covers_its_own_features() -> None:
    graph = graph_of(user("a"), user("b", project="q"), external("c", project="p"))
    version = graph.get_project_version("p", 16)
    assert version == graph_of(user("a")).get_project_version("p", 16)
    assert graph.get_project_version("unknown", 16) == versions.NO_FEATURES == "empty"
    assert [str(d.key) for d in graph.features_of("p")] == ["a"]
    graph.add_feature_definition(user("d"))
    assert graph.get_project_version("p", 16) != version


# -- work --------------------------------------------------------------------------------------------------------------


def chain(count: int) -> list[FeatureDefinition]:
    return [user(f"f{n}", [f"f{n - 1}"] if n else []) for n in range(count)]


def layers(count: int, width: int) -> list[FeatureDefinition]:
    return [
        user(f"l{n}/n{m}", [f"l{n - 1}/n{parent}" for parent in range(width)] if n else [], ["x", "y", "z"])
        for n in range(count)
        for m in range(width)
    ]


@pytest.mark.parametrize("definitions", [chain(1000), layers(20, 3)], ids=["chain", "layers"])
@pytest.mark.parametrize("step", [1, -1])
def test_each_feature_is_versioned_once(
    definitions: list[FeatureDefinition], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[FeatureKey] = []
    compute = versions.field_versions

    def count(plan: FeaturePlan, *rest: Any) -> dict[str, str]:
        computed.append(plan.feature.key)
        return compute(plan, *rest)

    monkeypatch.setattr(versions, "field_versions", count)
    graph = graph_of(*definitions[::step])
    for definition in definitions[::-1]:
        assert graph.get_feature_version(definition.key, 8) == graph.get_feature_version(definition.key, 8)
    assert sorted(computed) == sorted(definition.key for definition in definitions)
