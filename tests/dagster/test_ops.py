"""Ops that look after rows."""

from pathlib import Path
from typing import Any

import pytest
from tests.dagster.conftest import configuration
from tests.dagster.test_computing import resources
from tests.factory import define, rows, values

import dagster as dg
from metaxy import FeatureGraph
from metaxy.config import MetaxyConfig
from metaxy.ext import dagster as mxd
from metaxy.service.project import Project


def execute(op: dg.OpDefinition, project: Project, **config: Any) -> tuple[int, dict[str, Any]]:
    """Run an op as the only one of a job; return its result and the metadata of it."""
    job = dg.JobDefinition(name="job", graph_def=dg.GraphDefinition("graph", node_defs=[op]))
    keys = op.required_resource_keys
    job = job.graph.to_job(resource_defs=resources(project, "metaxy_store") if keys else {})
    result = job.execute_in_process(run_config={"ops": {op.name: {"config": config}}})
    [event] = [event for event in result.all_events if event.is_successful_output]
    metadata = event.step_output_data.metadata
    found = {name.removeprefix("metaxy/"): value.value for name, value in metadata.items()}
    count: int = result.output_for_node(op.name)
    return count, found


def test_delete(project: Project) -> None:
    define("video/raw")
    with project.store().open("w") as store:
        store.write("video/raw", rows(id=["a", "b", "c"], size=[1, 2, 3]))
    config: dict[str, Any] = {"feature_key": ["video", "raw"], "filters": ["size > 1", "id <> 'c'"]}
    tried = execute(mxd.delete, project, dry_run=True, **config)
    assert tried == (1, {"rows": 1, "dry_run": True, "soft": True, "rows_by_feature": {"video/raw": 1}})
    assert execute(mxd.delete, project, **config)[0] == 1
    config = {"feature_key": "video/raw", "filters": ["size = 3"], "soft": False}
    assert execute(mxd.delete, project, **config)[1]["soft"] is False
    with project.store() as store:
        assert values(store.read("video/raw")) == ["a"]
        assert values(store.read("video/raw", include_soft_deleted=True)) == ["a", "b"]


def test_ops_know_the_project_of_their_store(project: Project) -> None:
    define("video")
    with project.store().open("w") as store:
        store.write("video", rows(id=["a"]))
    config: dict[str, Any] = {"feature_key": "video", "filters": ["TRUE"], "dry_run": True}
    with FeatureGraph().use():  # as beside a component, or in a thread of Dagster
        assert execute(mxd.delete, project, **config)[0] == 1
        assert execute(mxd.optimize, project, feature_keys=["video"], keep_days=0)[0] == 1


def test_jobs_beside_assets_that_have_an_io_manager_of_metaxy(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    with project.store().open("w") as store:
        store.write("video", rows(id=["a", "b"]))

    @dg.op
    def rows_again(count: int) -> int:
        return count

    @dg.job
    def forget() -> None:
        rows_again(mxd.delete())

    look = mxd.build_metaxy_multi_observation_job(
        "look", assets=[dg.AssetSpec("video", metadata={"metaxy/feature": "video"})]
    )
    ops = {"delete": {"config": {"feature_key": "video", "filters": ["id = 'b'"]}}}
    for manager in (mxd.MetaxyIOManager(), mxd.IncrementalMetaxyIOManager()):
        resources = {name: mxd.MetaxyStoreFromConfigResource() for name in ("metaxy_store", "store")}
        defs = dg.Definitions(jobs=[forget, look], resources={**resources, "io_manager": manager})
        done = defs.resolve_job_def("forget").execute_in_process(instance=instance, run_config={"ops": ops})
        assert done.output_for_node("rows_again") == done.output_for_node("delete")
        assert defs.resolve_job_def("look").execute_in_process(instance=instance).success
    with project.store() as store:
        assert values(store.read("video")) == ["a"]


def test_what_cannot_be_deleted(project: Project) -> None:
    define("video")
    with pytest.raises(dg.Failure, match="filters are empty, so nothing says what to delete"):
        execute(mxd.delete, project, feature_key="video", filters=[])
    with pytest.raises(dg.DagsterInvalidConfigError, match="feature_key"):
        execute(mxd.delete, project, filters=["TRUE"])
    with pytest.raises(dg.Failure, match="feature video: "):
        execute(mxd.delete, project, feature_key="video", filters=["TRUE"])
    with project.store().open("w") as store:
        store.write("video", rows(id=["a"]))
    with pytest.raises(dg.Failure, match=r"^feature video: a filter names column 'nope'"):
        execute(mxd.delete, project, feature_key="video", filters=["nope = 1"])


def test_optimize_and_rebase(project: Project) -> None:
    define("video")
    old = project.graph.get_feature_version(define("clip", "video").key)
    with project.store().open("w") as store:
        store.write("video", rows(id=["a", "b"]))
        store.write("clip", store.resolve_update("clip").new)
    define("clip", "video", fields=[{"key": "default", "code_version": "2"}])
    assert execute(mxd.optimize, project, keep_days=1.5) == (
        4,
        {"rows": 4, "dry_run": False, "rows_by_feature": {"video": 2, "clip": 2}},
    )
    for dry_run in (True, False):
        done = execute(mxd.rebase, project, feature_key="clip", from_version=old, dry_run=dry_run)
        assert done == (2, {"rows": 2, "dry_run": dry_run, "left_out": 0, "already_there": 0})
    with project.store() as store:
        assert store.resolve_update("clip").counts["unchanged"] == 2


def test_copy(project: Project, tmp_path: Path) -> None:
    stores = {**project.config.stores, "lake": configuration(tmp_path, "delta").stores["dev"]}
    project.config.stores.update(stores)
    define("video")
    with project.store().open("w") as store:
        store.write("video", rows(id=["a", "b"], size=[1, 2]))
    config = {"source": "dev", "target": "lake", "filters": ["size = 2"]}
    for dry_run in (True, False):
        count, metadata = execute(mxd.copy, project, dry_run=dry_run, **config)
        assert (count, metadata["features"], metadata["left_out"]) == (1, 1, [])
    with MetaxyConfig.get().get_store("lake") as store:
        assert values(store.read("video")) == ["b"]
