"""Features that are observed: as assets, and by jobs."""

from collections.abc import Mapping
from typing import Any

import narwhals as nw
import pytest
from tests.dagster.conftest import observe_all
from tests.factory import define, rows

import dagster as dg
import metaxy as mx
from metaxy.ext import dagster as mxd
from metaxy.service.project import Project

DAYS = dg.StaticPartitionsDefinition([f"day-{n:03}" for n in range(150)])


def spec(key: str | list[str], feature: str, lang: str | None = None, **more: Any) -> dg.AssetSpec:
    fixed = {"metaxy/partition": {"lang": lang}} if lang else {}
    return dg.AssetSpec(key, metadata={"metaxy/feature": feature, "partition_by": "day", **fixed}, **more)


def seen(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], Mapping[str, Any]]:
    """Return what was observed of each asset and partition."""
    found: dict[tuple[str, str | None], Mapping[str, Any]] = {}
    for event in result.get_asset_observation_events() or [e for e in result.all_events if e.is_asset_observation]:
        each = event.asset_observation_data.asset_observation
        metadata = {name: value.value for name, value in each.metadata.items()}
        counts = {name.removeprefix("dagster/"): value for name, value in metadata.items() if "row_count" in name}
        found[each.asset_key.to_user_string(), each.partition] = {**metadata, **counts, "version": each.data_version}
    return found


def fill(project: Project) -> None:
    with project.store().open("w") as store:
        days = ["day-001", "day-002", "day-120", "day-120"]
        store.write("video", rows(id=["a", "b", "c", "d"], day=days, lang=["en", "de", "en", "de"]))


@pytest.mark.filterwarnings("ignore:Property `OpDefinition.version`:DeprecationWarning")  # Dagster asks for it itself
def test_an_observable_asset_looks_at_rows(project_on_each: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    looked: list[int] = []

    def look(context: Any, store: mx.MetadataStore, lazy_df: nw.LazyFrame[Any]) -> dict[str, Any]:
        looked.append(len(lazy_df.collect()))
        return {"store": store.name, "run": context.run_id}

    english = {"metaxy/partition": {"lang": "en"}}
    assets = [
        mxd.observable_metaxy_asset("video", key=["raw", "english"], metadata=english)(look),
        mxd.observable_metaxy_asset("video", name="named", store_resource_key="other")(look),
        mxd.observable_metaxy_asset("video")(look),
        mxd.observable_metaxy_asset("video", key_prefix="pre", partitions_def=DAYS, metadata={"partition_by": "day"})(
            look
        ),
    ]
    assert [asset.key.path for asset in assets] == [["raw", "english"], ["named"], ["video"], ["pre", "video"]]
    resources = {"store": project_on_each.store(), "other": project_on_each.store()}
    missing = seen(observe_all(assets[:1], instance, resources=resources))["raw/english", None]
    assert (missing["row_count"], missing["version"], looked) == (0, "empty", [])
    assert "has no table" in missing["error"]
    fill(project_on_each)
    found = seen(observe_all(assets, instance, resources=resources))
    assert {key: each.get("row_count") for key, each in found.items()} == {
        ("raw/english", None): 2,
        ("named", None): 4,
        ("video", None): 4,
        ("pre/video", "day-001"): None,
        ("pre/video", "day-002"): None,
        ("pre/video", "day-120"): None,
    }
    assert sorted(looked) == [2, 4, 4, 4]
    assert found["raw/english", None]["store"] == "dev"
    assert found["named", None]["version"] == found["video", None]["version"] != found["raw/english", None]["version"]
    assert len({each["version"] for each in found.values()}) == 5


def test_jobs_observe_each_asset_and_partition(project_on_each: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("other/clip", "video")

    @dg.multi_asset(
        specs=[
            *(spec(lang, "video", lang, partitions_def=DAYS) for lang in ("en", "de")),
            spec("clips", "other/clip", partitions_def=DAYS),
            dg.AssetSpec("plain", partitions_def=DAYS),
        ]
    )
    def assets():  # type: ignore[no-untyped-def]
        ...

    jobs = {job.name: job for job in mxd.build_metaxy_observation_job(assets, tags={"team": "a"})}
    assert sorted(jobs) == ["observe_other__clip", "observe_video__de", "observe_video__en"]
    job = jobs["observe_video__de"]
    assert (job.tags["metaxy/feature"], job.tags["team"], job.partitions_def) == ("video", "a", DAYS)
    assert job.metadata["metaxy/asset"] == dg.MetadataValue.asset(dg.AssetKey("de"))
    fill(project_on_each)
    resources = {"store": project_on_each.store()}

    def run(name: str, **more: Any) -> dict[tuple[str, str | None], Mapping[str, Any]]:
        return seen(jobs[name].execute_in_process(resources=resources, instance=instance, **more))

    [(key, first)] = run("observe_video__de", partition_key="day-120").items()
    assert (key, first["row_count"], first["partition_row_count"]) == (("de", "day-120"), 2, 1)
    [(key, none)] = run("observe_other__clip", partition_key="day-120").items()
    assert (key, none["row_count"], none["partition_row_count"]) == (("clips", "day-120"), 0, 0)
    all_days = {"dagster/asset_partition_range_start": "day-000", "dagster/asset_partition_range_end": "day-149"}
    found = run("observe_video__de", tags=all_days)
    counts = {day: each["partition_row_count"] for (_, day), each in found.items()}
    assert (len(counts), sum(counts.values())) == (150, 2)
    assert found["de", "day-120"]["version"] == first["version"]


def test_one_job_observes_many_assets(project_on_each: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    listed = [
        spec(["a", "b"], "video", "en"),
        spec("a__b", "video", "de"),
        spec("clips", "clip"),
        dg.AssetSpec("plain"),
    ]
    fill(project_on_each)
    resources = {"store": project_on_each.store()}
    everything = dg.Definitions(assets=listed, resources=resources)
    job = mxd.build_metaxy_multi_observation_job(
        "look",
        asset_selection=dg.AssetSelection.assets(*(each.key for each in listed)),
        defs=everything,
        tags={"team": "a"},
    )
    assert (job.metadata["metaxy/features"].value, job.tags["team"]) == (["video", "clip"], "a")
    assert job.metadata["metaxy/asset/a/b"] == dg.MetadataValue.asset(dg.AssetKey(["a", "b"]))
    assert "- `a/b` → `video`" in (job.description or "")
    of_list = mxd.build_metaxy_multi_observation_job("look", assets=listed)

    def run(job: dg.JobDefinition, *keys: str) -> dict[str, int]:
        config = {"ops": {"look_fanout": {"config": {"asset_keys": list(keys)}}}} if keys else None
        found = seen(job.execute_in_process(run_config=config, resources=resources, instance=instance))
        return {asset: each["row_count"] for (asset, _), each in found.items()}

    assert run(job) == run(of_list) == {"a/b": 2, "a__b": 2, "clips": 0}
    assert run(job, "a/b") == {"a/b": 2}
    with pytest.raises(ValueError, match=r"no asset 'clip'\. Did you mean"):
        run(job, "clip")


def test_what_cannot_be_observed_is_refused_when_it_is_defined(project: Project) -> None:
    define("video")
    plain, feature = dg.AssetSpec("plain"), spec("video", "video")
    build, several = mxd.build_metaxy_observation_job, mxd.build_metaxy_multi_observation_job
    with pytest.raises(ValueError, match="no feature to observe in plain"):
        build(plain)
    with pytest.raises(TypeError, match="not a str"):
        build("video")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="vide"):
        build(spec("vide", "vide"))
    for wrong in ({}, {"assets": [plain]}, {"assets": [feature], "defs": dg.Definitions()}, {"defs": dg.Definitions()}):
        with pytest.raises(ValueError, match=r"no feature to observe|say which assets"):
            several("job", **wrong)
    with pytest.raises(ValueError, match="not the same partitions"):
        several("job", assets=[feature, spec("days", "video", "en", partitions_def=DAYS)])
    with pytest.raises(KeyError, match="vide"):
        mxd.observable_metaxy_asset("vide")(lambda *_: None)


def test_a_job_fails_without_secrets(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    fill(project)
    wrong = dg.AssetSpec("video", metadata={"metaxy/feature": "video", "metaxy/partition": {"langage": "en"}})
    [job] = mxd.build_metaxy_observation_job(wrong)
    with pytest.raises(dg.Failure, match=r"asset video cannot be observed: .*no column 'langage'"):
        job.execute_in_process(resources={"store": project.store()}, instance=instance)
