"""What events say of features, on a database, a lake and a server."""

import importlib
from typing import Any

import narwhals as nw
import pytest
from tests.factory import define, rows

import dagster as dg
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import FeatureNotFoundError
from metaxy.ext import dagster as mxd
from metaxy.ext.dagster.event_metadata import (
    COUNTED_PARTITIONS,
    asset_metadata,
    event_tags,
    feature_info,
    runtime_metadata,
)
from metaxy.ext.dagster.partitions import Partitions
from metaxy.service.project import Project

VIDEO = FeatureKey("video")


def test_one_statement_says_all_of_an_asset_and_of_its_partitions(project_on_each: Project) -> None:
    define("video")
    days = {day: lambda types, day=day: [nw.col("day") == day] for day in ("mon", "tue", "wed")}  # noqa: ARG005
    with project_on_each.store().open("w") as store:
        store.write("video", rows(id=["a", "b", "c"], day=["mon", "tue", None], lang=["en", "de", "en"]))
        store.write("video", rows(id=["d"], day=["mon"], lang=["en"]), materialization_id="run")

        def ask(**more: object) -> dict[str, object]:
            found = runtime_metadata(project_on_each, store, VIDEO, **more)  # type: ignore[arg-type]
            counts = {name: value for name, value in found.metadata.items() if "count" in name or "run" in name}
            return {**counts, "stats": found.stats.row_count, "each": dict(found.partitions)}

        assert ask() == {"dagster/row_count": 4, "stats": 4, "each": {}}
        english = lambda types: [nw.col("lang") == "en"]  # noqa: ARG005, E731
        assert ask(among=english, partitions=days, run="run") == {
            "dagster/row_count": 3,
            "dagster/partition_row_count": 2,
            "metaxy/materialized_in_run": 1,
            "stats": 2,
            "each": {"mon": 2, "tue": 0, "wed": 0},
        }
        many = Partitions(["mon", *(f"day {n}" for n in range(COUNTED_PARTITIONS))])
        found = asset_metadata(project_on_each, store, VIDEO, {"partition_by": "day"}, many)
        assert found.stats.row_count == 2
        assert "dagster/partition_row_count" not in found.metadata  # each event would say that of its partition


def test_events_name_definition_versions_and_place(project_on_each: Project) -> None:
    key = define("video/raw-clips").key
    with project_on_each.store().open("w") as store:
        store.write("video/raw-clips", rows(id=["a"]))
        found = runtime_metadata(project_on_each, store, key)
    version = project_on_each.graph.get_feature_version(key)
    info = found.metadata["metaxy/info"]
    assert info == feature_info(project_on_each, key)
    assert (info["feature"]["version"], info["feature"]["spec"]["key"]) == (version, "video/raw-clips")
    assert (set(info["metaxy"]), info["feature"]["type"]) == ({"version", "plugins"}, "code.video/raw-clips")
    described = found.metadata["metaxy/store"]
    assert (described["name"], described["versioning_engine"]) == ("dev", "auto")
    assert described["resolved_from"]["type"] == described["type"]
    assert found.metadata.keys() & {"dagster/table_name", "dagster/uri"}
    tags = event_tags(project_on_each, key)
    assert tags["metaxy/feature"] == "video__raw_clips"
    assert tags["metaxy/feature_version"] == version
    assert len(tags["metaxy/feature_code_version"]) <= 63


def test_functions_of_metaxy_0_1_are_where_they_were(project: Project) -> None:
    utils = importlib.import_module("metaxy.ext.dagster.utils")
    key = define("video").key
    with project.store().open("w") as store:
        store.write("video", rows(id=["a", "b", "c"], day=["mon", "mon", "tue"], lang=["en", "de", "en"]))
        count = utils.compute_row_count(store.read("video"))
    assert utils.build_feature_info_metadata("video") == feature_info(project, key)
    assert utils.build_feature_event_tags("video") == event_tags(project, key)
    spec = project.graph.get_feature_definition(key).spec
    assert (count, utils.get_asset_key_for_metaxy_feature_spec(spec)) == (3, dg.AssetKey("video"))
    context = dg.build_asset_context(partition_key="mon")

    def build(**more: object) -> tuple[dict[str, Any], mxd.FeatureStats]:
        found: tuple[dict[str, Any], mxd.FeatureStats] = utils.build_runtime_feature_metadata(
            "video", store, context, partition_col="day", **more
        )
        return found

    metadata, stats = build(metaxy_partition={"lang": ["en"]})
    assert (metadata["dagster/row_count"], metadata["dagster/partition_row_count"], stats.row_count) == (2, 1, 1)
    assert build(metaxy_partition={"language": "en"}) == ({}, mxd.FeatureStats(0, "empty"))
    assert mxd.compute_feature_stats(store, "video").row_count == 3
    define("other")
    with pytest.raises(FeatureNotFoundError):
        mxd.compute_feature_stats(store, "other")
