"""Dependencies on parent features."""

from typing import Any

import pytest
from pydantic import ValidationError

from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.lineage import LineageRelationship
from metaxy.definitions.mapping import FieldsMapping
from metaxy.definitions.spec import FeatureSpec


def test_a_dependency_has_the_canonical_form() -> None:
    dep = FeatureDep(
        feature=["a", "b"],
        select=["x", "id"],
        rename={"path": "x"},
        fields_mapping=FieldsMapping.all(),
        filters=["size > 3"],
        lineage=LineageRelationship.aggregation(on=["id"]),
        optional=True,
    )
    form = {
        "feature": "a/b",
        "select": ["x", "id"],
        "rename": {"path": "x"},
        "fields_mapping": {"mapping": {"type": "all"}},
        "sql_filters": ["size > 3"],
        "lineage": {"relationship": {"type": "N:1", "on": ["id"]}},
        "optional": True,
    }
    dumped = dep.model_dump(mode="json")
    assert (dumped, list(dumped)) == (form, list(form))
    assert FeatureDep.model_validate(form) == dep


def test_a_dependency_takes_filters_under_both_names() -> None:
    assert FeatureDep(feature="a", sql_filters=["x = 1"]) == FeatureDep(feature="a", filters=("x = 1",))


def test_filters_are_narwhals_expressions() -> None:
    import narwhals as nw
    import polars as pl

    rows = nw.from_native(pl.DataFrame({"x": [1, 2, 3]}))
    kept = rows.filter(*FeatureDep(feature="a", filters=["x > 1", "x < 3"]).filters)
    assert kept["x"].to_list() == [2]
    assert FeatureDep(feature="a").filters == ()


def test_an_empty_selection_differs_from_none() -> None:
    assert FeatureDep(feature="a", select=[]).select == ()
    assert FeatureDep(feature="a").select is None


def test_columns_are_renamed() -> None:
    dep = FeatureDep(feature="a-b/c", rename={"x": "y", "y": "x"}, select=["x"])
    assert dep.renamed(["x", "y", "z"]) == ("y", "x", "z")
    assert dep.table_name() == "a_b__c"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"select": "path"}, r"got the text 'path': write \['path'\]"),
        ({"filters": "x = 1"}, "got the text 'x = 1'"),
        ({"filters": ["x SIMILAR TO 'a'"]}, "dependency on 'video' has a bad filter: .*SIMILAR is not supported"),
        ({"filters": [""]}, "has a bad filter"),
        ({"rename": {"path": "metaxy_provenance"}}, "system columns of Metaxy keep their names"),
        ({"rename": {"metaxy_created_at": "made"}}, "system columns of Metaxy keep their names"),
        ({"rename": {"a": "x", "b": "x"}}, "renames several columns to 'x'"),
        ({"rename": {"a": "x"}, "select": ["a"]}, "selects 'a', which it renames: select the new name instead, 'x'"),
        ({"select": ["a", "a"]}, "selects 'a' twice"),
        ({"columns": ["a"]}, "Extra inputs"),
        ({"lineage": "1:1"}, "lineage"),
    ],
)
def test_a_bad_dependency_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FeatureDep(feature="video", **given)


def test_dependencies_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        FeatureDep(feature="a").optional = True  # type: ignore[misc]  # the point of the test


def test_a_spec_takes_dependencies_in_every_form() -> None:
    parent = FeatureSpec(key="a", id_columns=["id"], fields=[FieldSpec(key="x")])
    given: list[Any] = [parent, "b/c", ["d", "e"], {"feature": "f", "optional": True}, FeatureDep(feature="g")]
    spec = FeatureSpec(key="z", id_columns=["id"], deps=given)
    assert [str(dep.feature) for dep in spec.deps] == ["a", "b/c", "d/e", "f", "g"]
    assert [dep.optional for dep in spec.deps] == [False, False, False, True, False]


def test_a_dump_by_alias_has_the_names_that_are_passed() -> None:
    dep = FeatureDep(feature="video", filters=["height > 1"], select=["path"])
    dumped = dep.model_dump(by_alias=True)
    assert dumped["filters"] == ("height > 1",)
    assert "sql_filters" not in dumped
    assert FeatureDep.model_validate(dumped) == dep
    assert dep.model_dump()["sql_filters"] == ("height > 1",)  # what versions are made of
    spec = FeatureSpec(key="crop", id_columns=["id"], deps=[dep])
    assert spec.model_dump(by_alias=True, mode="json")["deps"][0]["filters"] == ["height > 1"]
