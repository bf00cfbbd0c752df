"""Whole assets made of functions."""

import importlib
import os
import signal
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.factory import define, rows, values

import dagster as dg
import metaxy as mx
from metaxy.errors import MetadataSchemaError, UnknownFeatureError
from metaxy.ext import dagster as mxd
from metaxy.process import computed, run
from metaxy.service.project import Project


def resources(project: Project, key: str = "store") -> dict[str, Any]:
    with project.active():
        return {key: mxd.MetaxyStoreFromConfigResource()}


def materialize(project: Project, *assets: dg.AssetsDefinition, **options: Any) -> dg.ExecuteInProcessResult:
    return dg.materialize(assets, resources=resources(project), **options)


def metadata(result: dg.ExecuteInProcessResult, key: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(key)
    return {name: value.value for name, value in event.metadata.items()}


def counts(result: dg.ExecuteInProcessResult, key: str) -> list[Any]:
    found = metadata(result, key)
    return [found[f"metaxy/{name}"] for name in ("new", "stale", "orphaned", "computed", "failed")]


def test_a_run_computes_what_changed(project_on_each: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    found = rows(id=["a", "b", "c"], n=[1, 2, 3])

    @mxd.computes("video", samples=lambda: found, group_name="roots")
    def video(row: dict[str, Any]) -> dict[str, Any]:
        """Says what it does."""
        return {"n": row["n"]}

    @mxd.computes("clip", batch_size=2, retry_policy=dg.RetryPolicy(max_retries=0))
    def clip(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select("id", m=pl.col("n") * 10)

    assert video.group_names_by_key == {dg.AssetKey("video"): "roots"}
    assert video.descriptions_by_key == {dg.AssetKey("video"): "Says what it does."}
    assert clip.asset_deps == {dg.AssetKey("clip"): {dg.AssetKey("video")}}
    first = materialize(project_on_each, video, clip, instance=instance)
    assert (counts(first, "video"), counts(first, "clip")) == ([3, 0, 0, 3, 0], [3, 0, 0, 3, 0])
    known = metadata(first, "clip")
    assert (known["dagster/row_count"], known["metaxy/materialized_in_run"]) == (3, 3)
    [event] = first.asset_materializations_for_node("clip")
    assert (event.tags or {})["metaxy/feature"] == "clip"
    found = rows(["2", "1", "1"], id=["a", "c", "d"], n=[9, 3, 4])
    again = materialize(project_on_each, video, clip, instance=instance)
    assert (counts(again, "video"), counts(again, "clip")) == ([1, 1, 1, 2, 0], [1, 1, 0, 2, 0])
    with project_on_each.store() as store:
        kept = store.read("clip").collect()
        assert values(kept, "id", "m") == [("a", 90), ("b", 20), ("c", 30), ("d", 40)]
        assert set(kept["metaxy_materialization_id"]) == {first.run_id, again.run_id}
    assert [str(key) for key in computed()] == ["video", "clip"]
    assert run(project_on_each.store()).in_sync  # the functions are those of `mx run` as well


@pytest.mark.parametrize(("share", "succeeds"), [(0.5, True), (0.3, False)])
def test_failed_samples(project: Project, instance: dg.DagsterInstance, share: float, *, succeeds: bool) -> None:
    define("video")
    found = rows(id=["a", "b", "c"])

    @mxd.computes("video", samples=found, max_failed_share=share, workers=2)
    def video(row: dict[str, Any]) -> dict[str, Any]:
        if row["id"] == "b":
            raise ValueError("no sound at postgresql://me:secret@db")
        return {"n": 1}

    result = materialize(project, video, instance=instance, raise_on_error=False)
    assert result.success is succeeds
    if succeeds:
        assert (
            metadata(result, "video")["metaxy/errors"] == "- id = 'b': ValueError: no sound at postgresql://me:***@db"
        )
    else:
        [event] = result.get_step_failure_events()
        failure = event.step_failure_data.user_failure_data
        assert failure is not None
        assert "1 of 3 samples failed that had not failed before" in str(failure.description)
        assert failure.metadata["metaxy/failed"].value == 1
    logged = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert any(line.startswith("video: 2 of 3 samples, 1 failed") for line in logged)
    assert "sample id = 'b': ValueError: no sound at postgresql://me:***@db" in logged
    assert not any("secret" in line for line in logged)
    with project.store() as store:
        assert values(store.read("video")) == ["a", "c"]
        assert store.read_errors("video")["run_id"].to_list() == [result.run_id]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_writes_what_was_begun(
    project: Project, instance: dg.DagsterInstance, number: signal.Signals
) -> None:
    define("video")
    signals = [number]

    @mxd.computes("video", samples=rows(id=[f"{n}" for n in range(100)]), batch_size=1)
    def video(row: dict[str, Any]) -> dict[str, Any]:
        if signals:  # one, as the second ends it at once
            os.kill(os.getpid(), signals.pop())
        return {"n": 1}

    before = signal.getsignal(number)
    result = materialize(project, video, instance=instance, raise_on_error=False)
    assert not result.success
    assert signal.getsignal(number) is before
    with project.store() as store:
        assert 0 < len(values(store.read("video"))) < 100


def test_assets_of_all_functions(project: Project) -> None:
    define("clip", define("video").key)
    define("cut", "clip")
    calls: list[str] = []

    @mx.computes("clip", workers=3)
    def clip(row: dict[str, Any]) -> dict[str, Any]:
        calls.append(row["id"])
        return {}

    @mx.computes("video")
    def video() -> pl.DataFrame:
        """Lists videos."""
        return rows(id=["a"])

    assets = mxd.assets_from_functions(group_name="all", key_prefix="media")
    assert [asset.key.path for asset in assets] == [["media", "video"], ["media", "clip"]]
    assert assets[1].asset_deps[assets[1].key] == {assets[0].key}
    assert assets[0].descriptions_by_key[assets[0].key] == "Lists videos."
    assert materialize(project, *assets).success
    assert calls == ["a"]
    [only] = mxd.assets_from_functions({"cut": clip}, features=["cut"])
    assert only.key.path == ["cut"]
    kept = mxd.computes("clip", group_name="x")(clip)  # the options of the other decorator stay
    assert (computed()[mx.FeatureKey("clip")].options, kept.key.path) == ({"workers": 3}, ["clip"])
    with pytest.raises(ValueError, match=r"no function computes cut: decorate one with @mx.computes"):
        mxd.assets_from_functions(features=["cut"])


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"worker": 2}, TypeError, r"computes has no option 'worker'\. Did you mean 'workers'"),
        ({"max_failed_share": 2}, ValueError, "a share, from 0 to 1"),
        ({"key": "a", "name": "b"}, ValueError, "has key='a' and name='b': give one of them"),
    ],
)
def test_wrong_options(project: Project, wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    define("video")
    with pytest.raises(error, match=message):
        mxd.computes("video", **wrong)(lambda: None)
    with pytest.raises(UnknownFeatureError, match="Did you mean 'video'"):
        mxd.computes("vidoe")(lambda: None)


@pytest.mark.filterwarnings("ignore:Parameter `backfill_policy`")
def test_a_run_computes_its_partitions_only(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("other")
    dep = mx.FeatureDep(feature="video", rename={"day": "date"})
    define("clip", dep, "other")
    days = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2026-01-04")
    found = rows(id=["a", "b", "c"], day=[date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 3)])
    seen: list[str] = []

    @mxd.computes("video", samples=lambda: found, partitions_def=days, metadata={"partition_by": "day"})
    def video(row: dict[str, Any]) -> dict[str, Any]:
        return {"day": row["day"]}

    one_run = dg.BackfillPolicy.single_run()

    @mxd.computes("clip", partitions_def=days, metadata={"partition_by": "date"}, backfill_policy=one_run)
    def clip(row: dict[str, Any]) -> dict[str, Any]:
        seen.append(row["id"])
        return {"date": row["date"]}

    first = materialize(project, video, instance=instance, partition_key="2026-01-01")
    assert counts(first, "video") == [2, 0, 0, 2, 0]
    third = materialize(project, video, instance=instance, partition_key="2026-01-03")
    assert counts(third, "video") == [1, 0, 0, 1, 0]
    with project.store().open("w") as store:
        store.write("other", rows(id=["a", "b", "c"]))
    assert counts(materialize(project, clip, instance=instance, partition_key="2026-01-03"), "clip")[0] == 1
    assert seen == ["c"]
    found = rows(["1", "2"], id=["b", "c"], day=[date(2026, 1, 1), date(2026, 1, 3)])
    again = materialize(project, video, instance=instance, partition_key="2026-01-01")
    assert counts(again, "video") == [0, 0, 1, 0, 0]  # neither does another day change, nor is it orphaned
    tags = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-02"}
    ranged = materialize(project, clip, instance=instance, tags=tags)
    assert (ranged.success, sorted(seen)) == (True, ["a", "b", "c"])


def test_results_of_other_partitions_are_errors(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    days = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2026-01-04")
    with project.store().open("w") as store:
        store.write("video", rows(id=list("abcd"), day=[date(2026, 1, 2)] * 4))
    found: dict[str, dict[str, Any]] = {
        "a": {"day": date(2026, 1, 2)}, "b": {"day": date(2026, 1, 3)}, "c": {"day": None}, "d": {"other": 1},
    }  # fmt: skip

    @mxd.computes("clip", partitions_def=days, metadata={"partition_by": "day"}, max_failed_share=1)
    def clip(row: dict[str, Any]) -> dict[str, Any]:
        return found[row["id"]]

    def run(new: int, written: list[str]) -> list[str]:
        result = materialize(project, clip, instance=instance, partition_key="2026-01-02")
        assert counts(result, "clip") == [new, 0, 0, new - 4 + len(written), 4 - len(written)]
        with project.store() as store:
            assert values(store.read("clip")) == written
            return sorted(store.read_errors("clip").get_column("error_message").to_list())

    other = "which is in another partition than the sample"
    assert run(new=4, written=["a"]) == [
        "returned a row with day = 2026-01-03, " + other,
        "returned a row with day = None, " + other,
        "returned no column 'day', which other results have. It returned: id, other",
    ]
    found = {key: {"day": date(2026, 1, 2)} for key in "abcd"}
    assert run(new=3, written=["a", "b", "c", "d"]) == []


def test_assets_of_one_feature_compute_their_parts(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    found = rows(id=["a", "b", "c"], source=["x", "y", "z"])

    def compute(row: dict[str, Any]) -> dict[str, Any]:
        return {"source": row["source"]}

    parts = {"x": "x", "rest": ["y", "z"]}
    assets = [
        mxd.computes("video", samples=found, name=name, metadata={"metaxy/partition": {"source": value}})(compute)
        for name, value in parts.items()
    ]
    assert counts(materialize(project, assets[1], instance=instance), "rest") == [2, 0, 0, 2, 0]
    assert counts(materialize(project, assets[0], instance=instance), "x") == [1, 0, 0, 1, 0]
    with project.store() as store:
        assert values(store.read("video")) == ["a", "b", "c"]


def test_partitions_that_parents_do_not_know_are_refused(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    optional = mx.FeatureDep(feature="video", optional=True)
    grouped = mx.FeatureDep(feature="video", lineage=mx.LineageRelationship.aggregation(on=["id"]), select=["id"])
    define("a", define("base").key, optional)
    define("b", grouped)
    with project.store().open("w") as store:
        store.write("video", rows(id=["a"], day=["1"]))
        store.write("base", rows(id=["a"]))
    days = dg.StaticPartitionsDefinition(["1"])
    for feature in ("a", "b"):

        @mxd.computes(feature, partitions_def=days, metadata={"partition_by": "day"})
        def compute(row: dict[str, Any]) -> dict[str, Any]:
            return {}

        with pytest.raises(
            MetadataSchemaError, match=rf"feature {feature}: no parent that every sample needs has 'day'"
        ):
            materialize(project, compute, instance=instance, partition_key="1")


CODE = """
import metaxy as mx
import metaxy.ext.dagster as mxd
import polars as pl

__metaxy_project__ = "test"


class Far(mx.BaseFeature, spec=mx.FeatureSpec(key="far", id_columns=["id"])):
    id: str


SAMPLES = pl.DataFrame({"id": ["a"], "metaxy_provenance_by_field": [{"default": "1"}]})


@mxd.computes(Far, executor="process", samples=SAMPLES)
def far(row: dict) -> dict:
    '''Far away.'''
    import os

    return {"pid": os.getpid()}
"""


@pytest.mark.slow
def test_processes_find_a_function_by_the_name_of_its_asset(
    project: Project, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far_code.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    asset = importlib.import_module("far_code").far
    assert asset.descriptions_by_key == {dg.AssetKey("far"): "Far away."}
    assert counts(materialize(project, asset, instance=instance), "far") == [1, 0, 0, 1, 0]
    with project.store() as store:
        [pid] = values(store.read("far"), "pid")
    assert pid != os.getpid()
