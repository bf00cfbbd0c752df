"""Checks of assets, and when they are materialized by themselves."""

from datetime import date
from typing import Any

import pytest
from tests.dagster.test_computing import resources
from tests.factory import define, rows

import dagster as dg
import metaxy as mx
from metaxy.ext import dagster as mxd
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.service.computing import Target
from metaxy.service.project import Project


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    found = result.get_asset_check_evaluations()
    return {f"{each.asset_key.to_user_string()}: {each.check_name}": each for each in found}


def plain(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name.removeprefix("metaxy/"): value.value for name, value in evaluation.metadata.items()}


def test_checks_count(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    define("cut", define("lost").key)
    found = rows(id=["a", "b", "c"])

    @mxd.computes("video", samples=lambda: found, key_prefix="media")
    def video(row: dict[str, Any]) -> dict[str, Any]:
        if row["id"] == "b":
            raise ValueError("no sound")
        return {}

    @mxd.computes("clip")
    def clip(row: dict[str, Any]) -> dict[str, Any]:
        return {}

    others = [dg.AssetSpec("other"), dg.AssetSpec("lost", metadata={"metaxy/feature": "lost"})]
    cut = dg.AssetSpec("cut", metadata={"metaxy/feature": "cut"})
    checks = mxd.build_in_sync_checks([video, clip, cut, *others], severity=dg.AssetCheckSeverity.ERROR)
    checks += mxd.build_row_error_checks(video)
    for spec in others:
        with pytest.raises(ValueError, match="none of the assets is a feature that the check 'in_sync'"):
            mxd.build_in_sync_checks(spec)

    defs = dg.Definitions([video, clip, cut, *others], asset_checks=checks, resources=resources(project))
    job = defs.resolve_implicit_global_asset_job_def()
    first = evaluations(job.execute_in_process(instance=instance))
    assert {name: (each.passed, each.severity.value) for name, each in first.items()} == {
        "media/video: in_sync": (False, "ERROR"),
        "media/video: no_row_errors": (False, "WARN"),
        "clip: in_sync": (True, "ERROR"),
        "cut: in_sync": (False, "ERROR"),
    }
    assert plain(first["media/video: in_sync"]) == {"new": 1, "stale": 0, "orphaned": 0}
    errors = {"failed": 1, "errors": "- {'id': 'b'}: ValueError: no sound"}
    assert plain(first["media/video: no_row_errors"]) == errors
    assert "lost" in str(first["cut: in_sync"].description)
    with project.store().open("w") as store:
        store.write("video", rows(["2", "1"], id=["a", "d"]))
        store.delete("video", "id = 'c'")
    [alone] = [check for check in checks if dg.AssetCheckKey(dg.AssetKey("clip"), "in_sync") in check.check_keys]
    selection = dg.AssetSelection.checks(alone)
    checked = dg.materialize([clip, alone], selection=selection, instance=instance, resources=resources(project))
    assert plain(evaluations(checked)["clip: in_sync"]) == {"new": 1, "stale": 1, "orphaned": 1}


def test_blocking_checks_keep_children_waiting(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")

    @mxd.computes("video", samples=rows(id=["a", "b", "c"]))
    def video(row: dict[str, Any]) -> dict[str, Any]:
        if row["id"] == "b":
            raise ValueError("no sound")
        return {}

    @mxd.computes("clip")
    def clip(row: dict[str, Any]) -> dict[str, Any]:
        return {}

    checks = mxd.build_row_error_checks([video], severity=dg.AssetCheckSeverity.ERROR, blocking=True)
    everything = [video, clip, *checks]
    result = dg.materialize(everything, instance=instance, resources=resources(project), raise_on_error=False)
    assert not result.success
    assert [event.asset_key for event in result.get_asset_materialization_events()] == [video.key]


# -- automation --------------------------------------------------------------------------------------------------------


def requested(
    project: Project, assets: Any, instance: dg.DagsterInstance, cursor: Any = None
) -> tuple[dict[str, list[str | None]], Any]:
    defs = dg.Definitions(assets, resources=resources(project))
    result = dg.evaluate_automation_conditions(defs, instance, dg.AssetSelection.assets(*assets), cursor=cursor)
    found = {each.key.to_user_string(): sorted(result.get_requested_partitions(each.key), key=str) for each in assets}
    return {key: partitions for key, partitions in found.items() if partitions}, result.cursor


def test_assets_are_requested_while_samples_are_new_or_stale(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    found = rows(id=["a", "b"])
    broken = {"b"}

    @mxd.computes("video", samples=lambda: found, automation_condition=mxd.has_changes())
    def video(row: dict[str, Any]) -> dict[str, Any]:
        return {}

    @mxd.computes("clip", automation_condition=mxd.has_changes(max_attempts=2))
    def clip(row: dict[str, Any]) -> dict[str, Any]:
        if row["id"] in broken:
            raise ValueError("no sound")
        return {}

    assets = [video, clip]
    store = resources(project)
    asked, cursor = requested(project, assets, instance)
    assert asked == {"video": [None]}  # nothing is known of clips before
    dg.materialize([video], instance=instance, resources=store)
    asked, cursor = requested(project, assets, instance, cursor)
    assert asked == {"clip": [None]}
    for expected in ({"clip": [None]}, {}):  # b is tried twice, which fails no run
        dg.materialize([clip], instance=instance, resources=store)
        asked, cursor = requested(project, assets, instance, cursor)
        assert asked == expected
    broken.add("a")
    found = rows(["2", "1"], id=["a", "b"])
    asked, cursor = requested(project, assets, instance, cursor)
    assert asked == {"video": [None]}
    dg.materialize([video], instance=instance, resources=store)
    asked, cursor = requested(project, assets, instance, cursor)
    assert asked == {"clip": [None]}
    failed = dg.materialize([clip], instance=instance, resources=store, raise_on_error=False)
    asked, cursor = requested(project, assets, instance, cursor)
    assert (failed.success, asked) == (False, {})  # nothing is different, so it is not tried again
    found = rows(["2", "1", "1"], id=["a", "b", "c"])
    dg.materialize([video], instance=instance, resources=store)
    asked, cursor = requested(project, assets, instance, cursor)
    assert asked == {"clip": [None]}


def test_partitions_are_requested_where_samples_changed(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    days = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2026-01-05")

    @mxd.computes("clip", partitions_def=days, metadata={"partition_by": "day"}, automation_condition=mxd.has_changes())
    def clip(row: dict[str, Any]) -> dict[str, Any]:
        return {"day": row["day"]}

    with project.store().open("w") as store:
        store.write("video", rows(id=["a", "b"], day=[date(2026, 1, 2), date(2026, 1, 4)]))
    asked, cursor = requested(project, [clip], instance)
    assert asked == {"clip": ["2026-01-02", "2026-01-04"]}
    dg.materialize([clip], partition_key="2026-01-02", instance=instance, resources=resources(project))
    asked, cursor = requested(project, [clip], instance, cursor)
    assert asked == {"clip": ["2026-01-04"]}


def test_what_fails_for_one_asset_does_not_stop_the_others(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("audio")

    def samples() -> Any:
        raise OSError("the disk is not there")

    @mxd.computes("video", samples=samples, automation_condition=mxd.has_changes())
    def video(row: dict[str, Any]) -> dict[str, Any]:
        return {}

    @mxd.computes("audio", samples=rows(id=["a"]), automation_condition=mxd.has_changes())
    def audio(row: dict[str, Any]) -> dict[str, Any]:
        return {}

    asked, _ = requested(project, [video, audio], instance)
    assert asked == {"audio": [None]}


def test_the_code_location_evaluates_the_sensor(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")

    @mxd.computes("video", samples=rows(id=["a"]), automation_condition=mxd.has_changes())
    def video(row: dict[str, Any]) -> dict[str, Any]:
        return {}

    sensor = mxd.automation_sensor(minimum_interval_seconds=60)
    defs = dg.Definitions([video], sensors=[sensor], resources=resources(project))
    repository = defs.get_repository_def()
    assert [each.name for each in repository.sensor_defs] == ["metaxy_automation"]
    assert sensor.sensor_type.value == "AUTOMATION"
    with mx.FeatureGraph().use():  # the thread that evaluates has nothing of the project active
        context = dg.build_sensor_context(instance=instance, repository_def=repository)
        data = sensor.evaluate_tick(context)
    assert [request.asset_selection for request in data.run_requests or ()] == [[dg.AssetKey("video")]]


def test_what_a_feature_needs_is_one_count(project: Project) -> None:
    define("video")
    define("clip", "video")
    with DuckDBMetadataStore(":memory:", auto_create_tables=True).open("w") as store:
        store.write("video", rows(id=["a", "b"]))
        store.write("clip", store.resolve_update("clip").new)
        connection = store.connection.cursor
        connection.execute("CALL enable_logging('QueryLog', storage = 'memory')")
        Target(project, store, mx.FeatureKey("clip")).needs()
        connection.execute("SELECT 1")  # what runs is logged when the next one begins
        sent = [row[0] for row in connection.execute("SELECT message FROM duckdb_logs()").fetchall()]
    [count] = [statement for statement in sent if not statement.startswith("EXPLAIN") and statement != "SELECT 1"]
    assert "GROUP BY status" in count


def test_an_asset_that_is_no_feature_has_no_changes(project: Project, instance: dg.DagsterInstance) -> None:
    @dg.asset(automation_condition=mxd.has_changes())
    def other() -> None: ...

    with pytest.raises(Exception, match="Error while evaluating conditions for other") as error:
        requested(project, [other], instance)
    assert "asset other is no feature, so has_changes says nothing of it" in str(error.value.__cause__)
