"""Rows in and out of assets, executed in process on a database, a lake and a server."""

from datetime import date, datetime, timezone
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows, values

import dagster as dg
from metaxy.errors import MetaxyError
from metaxy.ext.dagster.io_manager import MetaxyIOManager
from metaxy.ext.dagster.resources import MetaxyStoreFromConfigResource
from metaxy.service.project import Project

DAILY = dg.DailyPartitionsDefinition("2026-01-01")
DAYS = [date(2026, 1, day) for day in range(1, 6)]


def computed(frame: nw.LazyFrame[Any], version: str = "1") -> pl.DataFrame:
    """Return rows of a child: those of the parent, with its version as theirs."""
    own: pl.DataFrame = frame.collect("polars").to_native().select("id", "day")
    return own.with_columns(
        metaxy_provenance_by_field=pl.struct(default=pl.lit(version)), metaxy_provenance=pl.lit("p")
    )


def metadata_of(result: dg.ExecuteInProcessResult, key: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(key)
    return {name: value.value for name, value in event.metadata.items()}


def failing(assets: list[Any], instance: dg.DagsterInstance, **options: Any) -> str:
    with pytest.raises(MetaxyError) as caught:
        dg.materialize(assets, instance=instance, resources={"io_manager": MetaxyIOManager()}, **options)
    return str(caught.value)


def test_rows_of_a_day_go_in_and_out_by_day(project_on_each: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    seen: list[list[Any]] = []

    @dg.asset(metadata={"metaxy/feature": "video", "partition_by": "day"}, partitions_def=DAILY)
    def video(context: dg.AssetExecutionContext) -> pl.DataFrame:
        days = [date.fromisoformat(key) for key in context.partition_keys for _ in range(2)]
        return rows(id=[f"{day:%d}{n % 2}" for n, day in enumerate(days)], day=days, n=list(range(len(days))))

    @dg.asset(metadata={"metaxy/feature": "clip", "partition_by": "day"}, partitions_def=DAILY)
    def clip(video: nw.LazyFrame) -> dg.Output[Any]:  # type: ignore[type-arg]
        seen.append(values(video))
        frame = computed(video)
        return dg.Output(frame.slice(n, 1) for n in range(frame.height))

    @dg.asset(metadata={"metaxy/feature": "clip"}, key="all")
    def everything(clip: nw.LazyFrame) -> None:  # type: ignore[type-arg]
        seen.append(values(clip.filter(nw.col("day") > DAYS[0]).select("id")))

    io_manager = MetaxyIOManager(store=MetaxyStoreFromConfigResource(name="dev"))
    jobs = {"io_manager": io_manager}
    for key in ("2026-01-01", "2026-01-03"):
        result = dg.materialize([video, clip], instance=instance, resources=jobs, partition_key=key)
    assert seen == [["010", "011"], ["030", "031"]]
    said = metadata_of(result, "clip")
    assert (said["dagster/row_count"], said["dagster/partition_row_count"]) == (4, 2)
    assert said["metaxy/materialized_in_run"] == 2
    with project_on_each.store() as store:
        assert set(values(store.read("clip"), "metaxy_materialization_id")) >= {result.run_id}
    [loaded] = [event for event in result.all_events if event.event_type_value == "LOADED_INPUT"]
    assert loaded.event_specific_data.metadata["name"].value == "dev"  # type: ignore[union-attr]

    assets = [video, clip, everything]
    assert dg.materialize(assets, instance=instance, resources=jobs, selection=[everything]).success
    assert seen[-1] == ["030", "031"]


@pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.BetaWarning")
def test_a_range_in_one_run_is_one_set_of_rows(project_on_each: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    policy, seen = dg.BackfillPolicy.single_run(), []

    @dg.asset(metadata={"metaxy/feature": "video", "partition_by": "at"}, partitions_def=DAILY, backfill_policy=policy)
    def video(context: dg.AssetExecutionContext) -> pl.DataFrame:
        window = context.partition_time_window
        return rows(id=["a", "b"], at=[window.start, window.start.replace(hour=23)])

    weekly = dg.WeeklyPartitionsDefinition("2025-12-28")

    @dg.asset(metadata={"metaxy/feature": "clip", "partition_by": "week"}, partitions_def=weekly)
    def clip(video: nw.LazyFrame) -> None:  # type: ignore[type-arg]
        seen.append(sorted(values(video)))

    with project_on_each.store().open("w") as store:
        moments = [datetime(2026, 1, day, 12, tzinfo=timezone.utc) for day in (1, 2, 3, 4, 5)]
        store.write("video", rows(id=["1", "2", "3", "4", "5"], at=moments))
    tags = {"dagster/asset_partition_range_start": "2026-01-02", "dagster/asset_partition_range_end": "2026-01-03"}
    resources = {"io_manager": MetaxyIOManager()}
    result = dg.materialize([video], instance=instance, resources=resources, tags=tags)
    events = result.asset_materializations_for_node("video")
    assert [event.partition for event in events] == ["2026-01-02", "2026-01-03"]
    assert [event.metadata["dagster/partition_row_count"].value for event in events] == [3, 1]
    assert {event.metadata["dagster/row_count"].value for event in events} == {7}
    [version] = {event.tags["dagster/data_version"] for event in events if event.tags}
    result = dg.materialize([video], instance=instance, resources=resources, tags=tags)
    [again] = {event.tags["dagster/data_version"] for event in result.asset_materializations_for_node("video")}  # type: ignore[index]
    assert again == version
    with_videos = [video, clip]
    assert dg.materialize(
        with_videos, instance=instance, resources=resources, selection=[clip], partition_key="2026-01-04"
    ).success
    assert seen == [["4", "5"]]


def test_dimensions_and_fixed_values_go_in_and_out(project_on_each: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    cameras = dg.DynamicPartitionsDefinition(name="cameras")
    instance.add_dynamic_partitions("cameras", ["1", "2"])
    grid = dg.MultiPartitionsDefinition({"day": DAILY, "camera": cameras})
    by = {"partition_by": {"day": "at", "camera": "camera"}}
    seen: dict[str, list[Any]] = {}

    @dg.asset(metadata={"metaxy/feature": "video", **by, "metaxy/partition": {"kind": ["a", "b"]}}, partitions_def=grid)
    def video(context: dg.AssetExecutionContext) -> pl.DataFrame:
        key: Any = context.partition_key
        day, camera = date.fromisoformat(key.keys_by_dimension["day"]), int(key.keys_by_dimension["camera"])
        return rows(
            id=[f"{day:%d}-{camera}{kind}" for kind in "ab"], at=[day] * 2, camera=[camera] * 2, kind=["a", "b"]
        )

    @dg.asset(metadata={"metaxy/feature": "video", "metaxy/partition": {"kind": "c"}})
    def others() -> pl.DataFrame:
        return rows(id=["c"], at=[DAYS[0]], camera=[1], kind=["c"])

    @dg.asset(partitions_def=grid, io_manager_key="none")
    def uses(context: dg.AssetExecutionContext, video: nw.LazyFrame) -> None:  # type: ignore[type-arg]
        seen[context.partition_key] = values(video)

    @dg.asset(io_manager_key="none")
    def uses_others(others: nw.LazyFrame) -> None:  # type: ignore[type-arg]
        seen["others"] = values(others)

    resources = {"io_manager": MetaxyIOManager(), "none": dg.mem_io_manager}
    for key in ("1|2026-01-01", "2|2026-01-01", "1|2026-01-02"):
        result = dg.materialize([video, uses], instance=instance, resources=resources, partition_key=key)
    said = metadata_of(result, "video")
    assert dg.materialize([others, uses_others], instance=instance, resources=resources).success
    assert (said["dagster/row_count"], said["dagster/partition_row_count"]) == (6, 2)
    assert seen == {
        "1|2026-01-01": ["01-1a", "01-1b"],
        "2|2026-01-01": ["01-2a", "01-2b"],
        "1|2026-01-02": ["02-1a", "02-1b"],
        "others": ["c"],
    }


def test_rows_of_other_partitions_are_refused_before_any_is_written(
    project_on_each: Project, instance: dg.DagsterInstance
) -> None:
    define("video")
    right, wrong = rows(id=["a"], day=[DAYS[1]]), rows(id=["b", "c", "d"], day=[DAYS[1], DAYS[2], None])
    returned: list[Any] = []

    @dg.asset(metadata={"metaxy/feature": "video", "partition_by": "day"}, partitions_def=DAILY)
    def video() -> dg.Output[Any]:
        return dg.Output(returned.pop())

    def written() -> list[Any]:
        with project_on_each.store() as store:
            return values(store.read("video")) if store.has_feature("video") else []

    for frame in (wrong, wrong.lazy(), wrong.to_arrow(), wrong.to_pandas()):
        returned.append(frame)
        said = failing([video], instance, partition_key="2026-01-02")
        assert "asset of feature video: rows are of other partitions" in said
        assert "id = c, day = 2026-01-03" in said
        assert "id = d, day = None" in said
        assert "id = b" not in said
    returned.append(wrong.drop("day"))
    assert "rows have no column 'day'" in failing([video], instance, partition_key="2026-01-02")
    assert written() == []
    returned.append(iter([right, wrong]))
    assert "id = c" in failing([video], instance, partition_key="2026-01-02")
    assert written() == ["a"]


def test_what_is_returned_may_be_of_any_library(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    frame = rows(id=["a"])
    returned: list[Any] = []

    @dg.asset(metadata={"metaxy/feature": "video"})
    def video() -> dg.Output[Any]:
        return dg.Output(returned[-1])

    def run() -> dg.ExecuteInProcessResult:
        return dg.materialize([video], instance=instance, resources={"io_manager": MetaxyIOManager()})

    returned.append(None)
    assert metadata_of(run(), "video") == {}
    kinds = [frame, frame.lazy(), frame.to_arrow(), frame.to_pandas(), nw.from_native(frame), [frame, frame.lazy()], ()]
    for kind in kinds:
        returned.append(kind)
        said = metadata_of(run(), "video")
        assert (said["dagster/row_count"], len(said["dagster/table"].records)) == (1, 1)
    for bad in ("a", {"id": ["a"]}, 5, [frame, 5]):
        returned.append(bad)
        assert "which is no dataframe; return a Polars" in failing([video], instance)


def test_assets_that_are_no_features_are_refused(project: Project, instance: dg.DagsterInstance) -> None:
    @dg.asset
    def video() -> pl.DataFrame:
        return rows(id=["a"])

    assert "asset 'video' is no feature: give it the metadata" in failing([video], instance)
