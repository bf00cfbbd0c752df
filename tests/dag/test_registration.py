"""Registration: what replaces what, and every fault that lies between features, in any order of registration."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from tests.dag.definitions import external, graph_of, keys, stored, user

from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.field import FieldDep, FieldSpec
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.lineage import LineageRelationship
from metaxy.definitions.mapping import FieldsMapping
from metaxy.errors import CyclicDependencyError, DefinitionError, DefinitionWarning, UnknownFeatureError

SPECIFIC, DEFAULT = FieldsMapping.specific, FieldsMapping.default
Make = Callable[..., FeatureDefinition]


def faulty(make: Make) -> dict[str, tuple[list[FeatureDefinition], str]]:
    """Sets of features with one fault each that involves all of them, and the message."""
    up, up2 = user("up", fields=["audio", "frames"]), user("up2", fields=["text"])

    def dep(**given: Any) -> FeatureDep:
        return FeatureDep(feature="up", **given)

    def explicit(*names: str) -> list[FieldSpec]:
        return [FieldSpec(key="z", deps=[FieldDep(feature="up", fields=names)])]

    return {
        "explicit": (
            [up, make("down", ["up"], explicit("audoi"))],
            "field 'z' of feature 'down' depends on 'audoi' of 'up', which does not exist. Did you mean 'audio'",
        ),
        "specific value": (
            [up, make("down", [dep(fields_mapping=SPECIFIC({"z": {"audio", "fame"}}))], ["z"])],
            "feature 'down' maps fields of 'up', which has no field 'fame'. Did you mean 'frames'",
        ),
        "exclude": (
            [up, make("down", [dep(fields_mapping=DEFAULT(exclude_fields=["x"]))])],
            "maps fields of 'up', which has no field 'x'",
        ),
        "no parent field": (
            [up, make("down", [dep(fields_mapping=FieldsMapping.none())])],
            "field 'default' of feature 'down' gets no parent field from any dependency",
        ),
        "rename to ID": (
            [up, make("down", [dep(rename={"path": "id"})])],
            "renames 'path' of 'up' to 'id', which is an ID column of it",
        ),
        "select twice": (
            [up, up2, make("down", [dep(select=["id", "path"]), FeatureDep(feature="up2", select=["path"])])],
            "feature 'down' selects column 'path' from several parents, 'up', 'up2': rename one",
        ),
    }


FAULTS = list(faulty(user))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_when_the_last_feature_involved_is_registered(fault: str) -> None:
    definitions, message = faulty(user)[fault]
    for order in itertools.permutations(definitions):
        graph = graph_of(*order[:-1])
        with pytest.raises(DefinitionError, match=message):
            graph.add_feature_definition(order[-1])
        assert keys(graph) == [str(definition.key) for definition in order[:-1]]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_stored_feature_is_a_warning(fault: str) -> None:
    definitions, message = faulty(stored)[fault]
    for order in itertools.permutations(definitions):
        with pytest.warns(DefinitionWarning, match=message) as seen:
            graph = graph_of(*order)
        assert len(seen) == 1
        assert keys(graph) == [str(d.key) for d in order]


def test_a_fault_is_found_while_other_parents_are_missing() -> None:
    child = user("down", ["up", "later"], [FieldSpec(key="z", deps=[FieldDep(feature="up", fields=["typo"])])])
    with pytest.raises(DefinitionError, match="'typo' of 'up'"):
        graph_of(child, user("up"))


@pytest.mark.parametrize(
    "deps",
    [
        [FeatureDep(feature="up", rename={"x": "y"}), FeatureDep(feature="up2", select=["y"])],
        [FeatureDep(feature="up", select=["id", "x"]), FeatureDep(feature="up2", select=["id"])],
        [FeatureDep(feature="up", rename={"id": "id"})],
        [FeatureDep(feature="up", rename={"x": "y", "y": "x"})],
        [
            FeatureDep(feature="up", select=["g"], lineage=LineageRelationship.aggregation(["g"])),
            FeatureDep(feature="up2", select=["g"], lineage=LineageRelationship.aggregation(["g"])),
        ],
    ],
)
def test_sound_dependencies_are_accepted(deps: list[FeatureDep]) -> None:
    assert keys(graph_of(user("up"), user("up2"), user("down", deps))) == ["up", "up2", "down"]


# -- cycles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [user, stored])
def test_a_cycle_is_refused_in_any_order(make: Make) -> None:
    definitions = [make("a", ["b"]), make("b", ["c"]), make("c", ["a"])]
    for order in itertools.permutations(definitions):
        graph = graph_of(*order[:-1])
        with pytest.raises(CyclicDependencyError, match=r"a → b → c → a|b → c → a → b|c → a → b → c") as caught:
            graph.add_feature_definition(order[-1])
        assert keys(graph) == [str(definition.key) for definition in order[:-1]]
        assert set(caught.value.cycle) == {"a", "b", "c"}


def test_a_dependency_can_be_turned_round() -> None:
    graph = graph_of(user("a", ["b"]), user("b"))
    graph.add_feature_definition(user("a"))
    graph.add_feature_definition(user("b", ["a"]))
    assert [str(key) for key in graph.topological_sort_features()] == ["a", "b"]


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ("a-b", "a_b", "table name 'a_b'"),
        ("a_/b", "a/_b", "table name 'a___b'"),
        ("a/b_c", "a_b/c", "column suffix '__a_b_c'"),
        ("a/b", "a_b", "column suffix '__a_b'"),
    ],
)
def test_features_differ_in_table_name_and_column_suffix(first: str, second: str, what: str) -> None:
    for old, new in ((user, user), (user, external), (stored, user)):
        with pytest.raises(DefinitionError, match=f"features '{second}' and '{first}' have the same {what}"):
            graph_of(old(first), new(second))
    with pytest.warns(DefinitionWarning, match=what):
        graph_of(stored(first), external(second))


def test_the_names_of_a_removed_feature_are_free() -> None:
    graph = graph_of(user("a-b"))
    graph.remove_feature("a-b")
    graph.add_feature_definition(user("a_b"))
    assert keys(graph) == ["a_b"]


# -- replacing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (external("a"), user("a"), "new"),
        (external("a"), stored("a"), "new"),
        (user("a"), external("a"), "old"),
        (external("a"), external("a", project="x"), "new"),
        (user("a", path="m.A"), user("a", path="m.A", metadata={"x": 1}), "new"),
        (user("a", path="m.A"), stored("a", path="m.A"), "new"),
        (user("a", path="m.A"), user("a", path="m.B"), "conflict"),
    ],
)
def test_a_definition_replaces_another(old: FeatureDefinition, new: FeatureDefinition, kept: str) -> None:
    graph = graph_of(user("first"), old, user("last"))
    if kept == "conflict":
        with pytest.raises(DefinitionError, match=r"feature 'a' is already defined by m\.A; m\.B needs another key"):
            graph.add_feature_definition(new)
        kept = "old"
    graph.add_feature_definition(new, on_conflict="ignore")
    assert graph.get_feature_definition("a") is (new if kept == "new" else old)
    assert keys(graph) == ["first", "a", "last"]


def test_replacing_a_definition_warns_about_features_that_it_breaks() -> None:
    child = user("down", ["up"], [FieldSpec(key="z", deps=[FieldDep(feature="up", fields=["audio"])])])
    graph = graph_of(user("up", fields=["audio"]), child)
    with pytest.warns(DefinitionWarning, match="field 'z' of feature 'down' depends on 'audio' of 'up'"):
        graph.add_feature_definition(user("up", fields=["sound"]))
    with pytest.raises(DefinitionError, match="'audio' of 'up', which does not exist"):
        graph.get_feature_version("down", 8)
    graph.add_feature_definition(user("down", ["up"]))
    assert graph.get_feature_version("down", 8)


# -- looking up --------------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_a_key_error_with_a_near_match() -> None:
    graph = graph_of(user("video/crop"))
    for use in (graph.get_feature_definition, graph.remove_feature, graph.get_feature_plan):
        with pytest.raises(UnknownFeatureError, match=r"'video/corp' is not in the graph. Did you mean 'video/crop'"):
            use("video/corp")
    assert issubclass(UnknownFeatureError, KeyError)


def test_the_view_of_all_definitions_is_read_only() -> None:
    view: Any = graph_of(user("a")).feature_definitions_by_key
    with pytest.raises(TypeError):
        view[FeatureKey("b")] = user("b")


def test_a_copy_is_independent() -> None:
    graph = graph_of(user("a"), user("b", ["a"]))
    twin = graph.copy()
    twin.remove_feature("b")
    twin.add_feature_definition(user("c", ["a"]))
    assert (keys(graph), keys(twin)) == (["a", "b"], ["a", "c"])
    assert [str(key) for key in twin.get_downstream_features("a")] == ["c"]
    assert repr(twin) == "FeatureGraph(2 features)"
