"""What events say of features, on a database, a lake and a server."""

import narwhals as nw
from tests.factory import define, rows

from metaxy.definitions.keys import FeatureKey
from metaxy.ext.dagster.event_metadata import event_tags, feature_info, runtime_metadata
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
