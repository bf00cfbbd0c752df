"""Columns of features and where they come from, as Dagster shows them, and types that take their frames."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

import narwhals as nw
import polars as pl
import pytest
from pydantic import AwareDatetime, Field, NaiveDatetime
from tests.factory import define

import dagster as dg
from metaxy import BaseFeature, FeatureDefinition, FeatureDep, FeatureGraph, FeatureSpec, LineageRelationship
from metaxy.errors import UnknownFeatureError
from metaxy.ext import dagster as mxd
from metaxy.service.columns import columns
from metaxy.service.project import Project

VERSIONS = {"metaxy_provenance", "metaxy_provenance_by_field", "metaxy_data_version", "metaxy_data_version_by_field"}


def sources(feature: Any, **options: Any) -> dict[str, list[str]]:
    found = mxd.build_column_lineage(feature, **options)
    assert found is not None
    assert set(found.deps_by_column) >= VERSIONS
    assert list(found.deps_by_column) == sorted(found.deps_by_column)
    return {
        column: [f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in deps]
        for column, deps in found.deps_by_column.items()
        if column not in VERSIONS
    }


def test_schemas(project: Project) -> None:
    class Video(BaseFeature, spec=FeatureSpec(key="video", id_columns=["id"])):
        """A video."""

        id: str
        length: Annotated[int | None, Field(description="in seconds")] = None
        taken: AwareDatetime | None
        stored: NaiveDatetime
        seen: datetime
        day: date
        tags: list[str | None]
        sizes: dict[str, list[AwareDatetime]]
        kind: Literal["a", "b"]
        either: int | str | None
        anything: Any
        pair: tuple[int, ...]

    schema = mxd.build_column_schema(Video)
    found = {column.name: column.type for column in schema.columns}
    assert list(found) == sorted(found)
    assert {name: kind for name, kind in found.items() if not name.startswith("metaxy_")} == {
        "id": "str",
        "length": "int",
        "taken": "datetime (UTC)",
        "stored": "datetime (naive)",
        "seen": "datetime",
        "day": "date",
        "tags": "list[str]",
        "sizes": "dict[str, list[datetime (UTC)]]",
        "kind": "Literal[a, b]",
        "either": "int | str",
        "anything": "Any",
        "pair": "tuple[int, ...]",
    }
    assert found["metaxy_created_at"] == "datetime (UTC)"
    assert {column.name: column.description for column in schema.columns}["length"] == "in seconds"
    assert all(column.description for column in schema.columns if column.name.startswith("metaxy_"))
    assert (
        mxd.build_column_schema("video")
        == mxd.build_column_schema(project.graph.get_feature_definition("video"))
        == schema
    )
    stored = FeatureGraph.from_snapshot(project.graph.to_snapshot(project="tests")).get_feature_definition("video")
    types = {column.name: column.type for column in columns(stored)}
    assert list(types) == list(found)
    assert (types["length"], types["metaxy_created_at"], types["anything"]) == ("int", "datetime (UTC)", "Any")
    external = FeatureDefinition.external(spec=FeatureSpec(key="other", id_columns=["id"]), project="other")
    assert list(mxd.build_column_schema(external).columns) == []
    with pytest.raises(UnknownFeatureError, match="Did you mean 'video'"):
        mxd.build_column_schema("vidoe")


def test_lineage_of_each_kind(project: Project) -> None:
    class Raw(BaseFeature, spec=FeatureSpec(key="v/raw", id_columns=["vid"])):
        vid: str
        path: str
        lang: str
        size: int

    renamed = FeatureDep(feature=Raw, rename={"vid": "id", "path": "source"})

    class Same(BaseFeature, spec=FeatureSpec(key="same", id_columns=["id"], deps=[renamed])):
        id: str
        source: str
        path: str
        lang: str

    expanded = FeatureDep(feature=Raw, lineage=LineageRelationship.expansion(on=["vid"]), select=["lang"])

    class Chunk(BaseFeature, spec=FeatureSpec(key="chunk", id_columns=["vid", "n"], deps=[expanded])):
        vid: str
        n: int
        lang: str
        size: int

    grouped = FeatureDep(feature=Chunk, lineage=LineageRelationship.aggregation(on=["lang"]))

    class Stats(BaseFeature, spec=FeatureSpec(key="stats", id_columns=["lang"], deps=[grouped])):
        lang: str
        size: int

    regrouped = FeatureDep(feature=Chunk, lineage=LineageRelationship.aggregation())

    class Both(BaseFeature, spec=FeatureSpec(key="both", id_columns=["vid"], deps=[Raw, regrouped])):
        vid: str
        size: int

    assert sources(Same) == {"id": ["v/raw.vid"], "source": ["v/raw.path"], "lang": ["v/raw.lang"]}
    assert sources(Same, key_prefix=["p", "q"])["id"] == ["p/q/v/raw.vid"]
    assert sources(Chunk) == {"vid": ["v/raw.vid"], "lang": ["v/raw.lang"]}
    assert sources(Stats) == {"lang": ["chunk.lang"], "size": ["chunk.size"]}
    assert sources("both") == {"vid": ["chunk.vid", "v/raw.vid"], "size": ["chunk.size", "v/raw.size"]}
    assert sources(Both, feature_spec=FeatureSpec(key="both", id_columns=["vid"], deps=[Raw])) == {
        "vid": ["v/raw.vid"],
        "size": ["v/raw.size"],
    }
    assert mxd.build_column_lineage(Raw) is None
    define("bare", "v/raw", ids=["vid"])
    assert sources("bare") == {"vid": ["v/raw.vid"]}


def test_types(project: Project) -> None:
    define("v/raw")
    define("v/crop", "v/raw")
    kind = mxd.feature_to_dagster_type("v/crop", metadata={"mine": 1})
    assert (kind.key, kind.description) == ("v__crop", "Rows of the feature 'v/crop'.")
    assert set(kind.metadata) == {"mine", "metaxy/info", "dagster/column_schema", "dagster/column_lineage"}
    context: Any = dg.build_op_context()
    frame = pl.DataFrame({"id": ["a"]})
    for fine in (None, frame, frame.lazy(), nw.from_native(frame)):
        assert kind.type_check(context, fine).success
    for wrong in (5, "text", [1], frame["id"]):
        failed = kind.type_check(context, wrong)
        assert not failed.success
        assert failed.description is not None
        assert failed.description.startswith("feature 'v/crop' is a frame")
        assert failed.description.endswith(f"not {type(wrong).__name__}")
    bare = mxd.feature_to_dagster_type("v/raw", name="Raw", inject_column_schema=False, inject_column_lineage=False)
    assert (bare.key, set(bare.metadata)) == ("Raw", {"metaxy/info"})

    @mxd.metaxify
    @dg.asset(metadata={"metaxy/feature": "v/crop"}, dagster_type=kind)
    def crop() -> Any:
        return frame

    assert dg.materialize([crop], resources={"io_manager": dg.mem_io_manager}).success
