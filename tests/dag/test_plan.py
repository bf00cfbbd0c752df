"""Plans: parents, fields and ID columns of one feature."""

import dataclasses
import pickle

import pytest
from tests.dag.definitions import external, graph_of, spec, user

from metaxy.dag.plan import FeaturePlan, FQFieldKey, Parent
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.field import FieldDep, FieldSpec, SpecialFieldDep
from metaxy.definitions.keys import FeatureKey, FieldKey
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import DefinitionError, MetaxyMissingFeatureDependency

AUDIO, FRAMES, TEXT = FQFieldKey("up", "audio"), FQFieldKey("up", "frames"), FQFieldKey("b", "text")
FIELDS = [
    "audio",
    FieldSpec(key="all", deps=SpecialFieldDep.ALL),
    FieldSpec(key="none", deps=[FieldDep(feature="up", fields=[])]),
    FieldSpec(key="some", deps=[FieldDep(feature="b"), FieldDep(feature="up", fields=["frames"])]),
]


@pytest.fixture
def plan() -> FeaturePlan:
    up, b = user("up", fields=["frames", "audio", "spare"]), user("b", fields=["text"])
    down = user("down", ["up", FeatureDep(feature="b", optional=True)], FIELDS)
    return graph_of(up, b, down).get_feature_plan("down")


def test_a_plan_pairs_dependencies_with_parents_in_their_order(plan: FeaturePlan) -> None:
    assert [str(parent.spec.key) for parent in plan.parents] == ["up", "b"]
    assert [parent.dep for parent in plan.parents] == list(plan.feature_deps) == list(plan.feature.deps)
    assert list(plan.deps or ()) == [parent.spec for parent in plan.parents]
    assert list(plan.parent_features_by_key) == [FeatureKey("up"), FeatureKey("b")]
    assert [str(dep.feature) for dep in plan.required_deps] == ["up"]
    assert [str(dep.feature) for dep in plan.optional_deps] == ["b"]


def test_parent_fields_are_sorted_by_their_text(plan: FeaturePlan) -> None:
    assert {str(field): [str(parent) for parent in parents] for field, parents in plan.parent_fields.items()} == {
        "audio": ["b.text", "up.audio"],
        "all": ["b.text", "up.audio", "up.frames", "up.spare"],
        "none": [],
        "some": ["b.text", "up.frames"],
    }
    assert list(plan.get_parent_fields_for_field("some")) == [TEXT, FRAMES]
    assert plan.get_parent_fields_for_field(FieldKey("audio"))[AUDIO].key == FieldKey("audio")


def test_parent_fields_are_grouped_by_feature(plan: FeaturePlan) -> None:
    up, b = FeatureKey("up"), FeatureKey("b")
    assert plan.field_dependencies[FieldKey("some")] == {b: [FieldKey("text")], up: [FieldKey("frames")]}
    assert plan.field_dependencies[FieldKey("none")] == {}
    assert len(plan.all_parent_fields_by_key) == 4
    narrow = FeaturePlan.build(spec("down", ["up"], ["audio"]), plan.parent_features_by_key)
    assert list(narrow.parent_fields_by_key) == [AUDIO]
    assert narrow.parent_fields_by_feature_key == {up: [FieldKey("audio")]}


def test_a_feature_without_dependencies_has_an_empty_plan() -> None:
    plan = graph_of(user("a", fields=["x"])).get_feature_plan("a")
    assert (plan.deps, plan.parents, plan.input_id_columns, plan.upstream_id_columns) == (None, (), [], [])
    assert plan.get_parent_fields_for_field("x") == {}


def test_an_unknown_field_is_named_with_a_near_match(plan: FeaturePlan) -> None:
    with pytest.raises(DefinitionError, match=r"feature 'down' has no field 'audo'. Did you mean 'audio'"):
        plan.get_parent_fields_for_field("audo")


def test_a_missing_parent_is_named_with_a_near_match() -> None:
    graph = graph_of(user("video/raw"), user("crop", ["video/row"]))
    with pytest.raises(
        MetaxyMissingFeatureDependency,
        match=r"feature 'crop' depends on 'video/row', which is not in the graph. Did you mean 'video/raw'",
    ):
        graph.get_feature_plan("crop")
    graph.add_feature_definition(external("video/row"))
    assert graph.get_feature_plan("crop").parents


def test_plans_are_frozen_shared_and_renewed() -> None:
    graph = graph_of(user("a"), user("b", ["a"]))
    plan = graph.get_feature_plan("b")
    assert graph.get_feature_plan("b") is plan
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.deps = None  # type: ignore[misc]  # the point of the test
    assert pickle.loads(pickle.dumps(plan)) == plan
    graph.add_feature_definition(user("a", metadata={"new": 1}))
    assert graph.get_feature_plan("b").parents[0].spec.metadata == {"new": 1}


@pytest.mark.parametrize(
    ("ids", "deps", "shared", "upstream"),
    [
        (["id"], [FeatureDep(feature="v")], ["vid"], ["vid"]),
        (["x"], [FeatureDep(feature="v", rename={"vid": "x"})], ["x"], ["x"]),
        (["t", "vid"], [FeatureDep(feature="vt")], ["t", "vid"], ["vid", "t"]),
        (["other"], [FeatureDep(feature="vt")], ["vid", "t"], ["vid", "t"]),
        (["vid", "t"], [FeatureDep(feature="v"), FeatureDep(feature="vt")], ["vid"], ["vid", "t"]),
        (["vid"], [FeatureDep(feature="vt", lineage=LineageRelationship.aggregation())], ["vid"], ["vid", "t"]),
        (["vid"], [FeatureDep(feature="vt", lineage=LineageRelationship.aggregation(["t"]))], ["t"], ["vid", "t"]),
        (["vid", "n"], [FeatureDep(feature="v", lineage=LineageRelationship.expansion(["vid"]))], ["vid"], ["vid"]),
        (["vid"], [FeatureDep(feature="v"), FeatureDep(feature="w")], [], ["vid", "w"]),
    ],
)
def test_input_id_columns_are_shared_by_all_parents(
    ids: list[str], deps: list[FeatureDep], shared: list[str], upstream: list[str]
) -> None:
    parents = {"v": ["vid"], "vt": ["vid", "t"], "w": ["w"]}
    graph = graph_of(*(user(key, id_columns=columns) for key, columns in parents.items()))
    graph.add_feature_definition(user("down", deps, id_columns=ids))
    plan = graph.get_feature_plan("down")
    assert (plan.input_id_columns, plan.upstream_id_columns) == (shared, upstream)


def test_a_parent_knows_its_renamed_ids() -> None:
    parent = Parent(FeatureDep(feature="v", rename={"vid": "x"}), spec("v", id_columns=["vid", "t"]))
    assert parent.id_columns == ("x", "t")


def test_field_keys_of_features_are_ordered_by_their_text() -> None:
    keys = [FQFieldKey(FeatureKey(f), FieldKey("x")) for f in ("b/a", "b", "b-a")]
    assert [str(key) for key in sorted(keys)] == ["b-a.x", "b.x", "b/a.x"]
    assert FQFieldKey(feature="b", field="x") == keys[1]
    assert keys[2] <= keys[1] < keys[0]
    with pytest.raises(TypeError):
        _ = keys[0] < "b"
