"""A process for each step, as Dagster runs them by default."""

import json
from datetime import date
from multiprocessing import forkserver
from pathlib import Path

import pytest
from tests.dagster import jobs
from tests.dagster.conftest import configuration
from tests.factory import values

import dagster as dg
from metaxy import FeatureGraph

MULTIPROCESS = {"max_concurrent": 2, "start_method": {"forkserver": {"preload_modules": ["tests.dagster.jobs"]}}}
RANGE = {"dagster/asset_partition_range_start": "2026-01-03", "dagster/asset_partition_range_end": "2026-01-04"}


@pytest.fixture(autouse=True)
def _processes_of_this_test() -> None:
    """Let the process that all others are copies of see the variables of this test, and not those of the one before."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["duckdb", "delta", "postgresql"])
def test_steps_of_a_range_share_a_store(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configuration(tmp_path, name).model_dump(mode="json") | {"wait": 60}
    monkeypatch.setenv(jobs.CONFIGURATION, json.dumps(config))
    job, run_config = (
        dg.reconstructable(jobs.assets),
        {"execution": {"config": {"multiprocess": MULTIPROCESS}}},
    )
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert dg.execute_job(job, instance=instance, run_config=run_config, tags=RANGE).success
        last = instance.get_latest_materialization_event(dg.AssetKey("clip"))
    assert last is not None
    assert last.asset_materialization is not None
    assert last.asset_materialization.metadata["metaxy/new"].value == 2
    days = [date(2026, 1, day) for day in (3, 4)]
    with FeatureGraph().use(), jobs.defined().get_store() as store:
        for feature in jobs.FEATURES:
            assert values(store.read(feature), "day") == days


@pytest.mark.slow
def test_a_step_that_is_terminated_writes_what_was_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configuration(tmp_path).model_dump(mode="json") | {"wait": 60}
    monkeypatch.setenv(jobs.CONFIGURATION, json.dumps(config))
    run_config = {"execution": {"config": {"multiprocess": MULTIPROCESS}}}
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        job = dg.reconstructable(jobs.computing)
        (tmp_path / jobs.TERMINATED).touch()
        assert not dg.execute_job(job, instance=instance, run_config=run_config).success
        with FeatureGraph().use(), jobs.defined().get_store() as store:
            assert 0 < len(values(store.read("clip"))) < len(values(store.read("video")))
        assert dg.execute_job(job, instance=instance, run_config=run_config).success
        with FeatureGraph().use(), jobs.defined().get_store() as store:
            assert len(values(store.read("clip"))) == 100
            steps = {*store.read("clip").collect()["step"], *store.read("video").collect()["step"]}
    assert len(steps) == 3  # a process each, and one after the termination
