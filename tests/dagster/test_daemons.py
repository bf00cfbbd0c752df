"""Backfills and automation as the daemons of Dagster drive them: their own code, in this process."""

import logging
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import time
from typing import Any

import pytest
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.instance_for_test import instance_for_test
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.sensor import execute_sensor_iteration
from tests.factory import values

import dagster as dg
from metaxy.service.project import Project

CODE = """
from datetime import date

import dagster as dg
import metaxy as mx
import polars as pl
from metaxy.ext import dagster as mxd
from tests.factory import define, rows

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-04")
OPTIONS = {"partitions_def": DAYS, "metadata": {"partition_by": "day"}, "automation_condition": mxd.has_changes()}
define("video")
define("clip", "video")


@mxd.computes("video", samples=rows(id=list("abc"), day=[date(2026, 1, n) for n in (1, 2, 3)]), **OPTIONS)
def video(row: dict):
    return {"day": row["day"]}


@mxd.computes("clip", backfill_policy=dg.BackfillPolicy.single_run(), **OPTIONS)
def clip(row: dict):
    return {"day": row["day"]}


automation = mxd.automation_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
resources = {"store": mxd.MetaxyStoreFromConfigResource()}
defs = dg.Definitions([video, clip], resources=resources, sensors=[automation], executor=dg.in_process_executor)
"""
DAYS = [f"2026-01-0{day}" for day in (1, 2, 3)]
LAUNCHER = {
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
}
PARTITION = "dagster/partition"
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


class Code(WorkspaceLoadTarget):
    """A code location in this process."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def create_origins(self) -> list[InProcessCodeLocationOrigin]:
        loaded = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(self.file))
        return [InProcessCodeLocationOrigin(loadable_target_origin=loaded, location_name="code")]


class Daemons:
    """What looks after a workspace, one iteration at a time."""

    def __init__(self, workspace: Any) -> None:
        self.workspace, self.instance, self.logger = workspace, workspace.instance, logging.getLogger("daemons")
        self.now, self.seen = datetime.now(timezone.utc), set[str]()

    def backfill(self, name: str, days: list[str]) -> None:
        """Ask for partitions of both assets."""
        graph, keys = self.workspace.create_request_context().asset_graph, [dg.AssetKey("video"), dg.AssetKey("clip")]
        new = PartitionBackfill.from_asset_partitions(
            backfill_id=name,
            tags={},
            backfill_timestamp=time(),
            asset_graph=graph,
            asset_selection=keys,
            partition_names=days,
            dynamic_partitions_store=self.instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
        self.instance.add_backfill(new)

    def look(self) -> list[tuple[str, str, str]]:
        """Work on backfills until there is nothing to do; return the new runs: their asset, first and last day."""
        while any(each.status.value == "REQUESTED" for each in self.instance.get_backfills()):
            assert [error for error in execute_backfill_iteration(self.workspace, self.logger) if error] == []
        assert {each.status.value for each in self.instance.get_backfills()} <= {"COMPLETED_SUCCESS"}
        runs = [run for run in self.instance.get_runs() if run.run_id not in self.seen]
        self.seen.update(run.run_id for run in runs)
        assert all(run.is_success for run in runs)
        days = [
            (run.tags.get(PARTITION, run.tags.get(START)), run.tags.get(PARTITION, run.tags.get(END))) for run in runs
        ]
        names = [key.to_user_string() for run in runs for key in run.asset_selection]
        return sorted((name, *each) for name, each in zip(names, days, strict=True))

    def tick(self) -> list[tuple[str, str, str]]:
        """Evaluate sensors a minute later, and do what they ask for."""
        self.now += timedelta(minutes=1)
        with freeze_time(self.now):
            errors = execute_sensor_iteration(self.workspace, self.logger, None, None)
            assert [error for error in errors if error] == []
            return self.look()


@pytest.fixture
def daemons(project: Project, tmp_path: Path) -> Iterator[Daemons]:
    (tmp_path / "code_of_daemons.py").write_text(CODE, encoding="utf-8")
    with (
        instance_for_test(overrides=LAUNCHER) as instance,
        create_test_daemon_workspace_context(Code(tmp_path / "code_of_daemons.py"), instance) as workspace,
    ):
        yield Daemons(workspace)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of daemons about their own code
def test_backfills_and_automation(daemons: Daemons, project: Project) -> None:
    daemons.backfill("some", DAYS[1:])
    each = [("video", day, day) for day in DAYS]
    assert daemons.look() == [("clip", DAYS[1], DAYS[2]), *each[1:]]  # one run for all days, or one for each
    assert daemons.tick() == [each[0]]  # the day that nobody asked for
    assert daemons.tick() == [("clip", DAYS[0], DAYS[0])]  # when its parent is there
    assert daemons.tick() == []
    with project.store() as store:
        assert values(store.read("clip")) == list("abc")
    for key in map(dg.AssetKey, ("video", "clip")):
        assert daemons.instance.get_materialized_partitions(key) == {*DAYS}
