"""Assets that get what must be computed of their own feature, in process on a database, a lake and a server."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows, values

import dagster as dg
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import DefinitionError, MetadataSchemaError, TooManyOrphansError
from metaxy.ext.dagster.incremental import IncrementalMetaxyIOManager
from metaxy.ext.dagster.io_manager import MetaxyIOManager
from metaxy.service.asset_increments import AssetIncrement
from metaxy.service.project import Project

DAILY = dg.DailyPartitionsDefinition("2026-01-01")
BY_DAY = {"metaxy/feature": "clip", "partition_by": "day"}
ONE, TWO, THREE = (date(2026, 1, day) for day in (1, 2, 3))

pytestmark = pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.BetaWarning")
VIDEO = {"metaxy/feature": "video"}
video = dg.AssetSpec("video", metadata={"metaxy/feature": "video", "partition_by": "day"}, partitions_def=DAILY)


def put(project: Project, days: dict[str, date], version: str = "1") -> None:
    with project.store().open("w") as store:
        store.write("video", rows(version, id=list(days), day=list(days.values())))


def stored(project: Project, *columns: str) -> list[Any]:
    with project.store() as store:
        return values(store.read("clip"), *columns) if store.has_feature("clip") else []


class Runs:
    """Runs one asset again and again."""

    def __init__(self, asset: dg.AssetsDefinition, instance: dg.DagsterInstance, **options: Any) -> None:
        self.asset, self.instance = asset, instance
        self.manager = IncrementalMetaxyIOManager(**options)

    def __call__(self, partition: str | None = None, **options: Any) -> dict[str, Any]:
        """Return counts that the last event shows."""
        resources = {"io_manager": self.manager}
        result = dg.materialize(
            [self.asset, video], instance=self.instance, resources=resources, partition_key=partition, **options
        )
        said = result.asset_materializations_for_node("clip")[-1].metadata
        names = ("metaxy/new", "metaxy/stale", "metaxy/orphaned", "metaxy/failed", "dagster/partition_row_count")
        return {name.split("/")[1]: said[name].value for name in names if name in said}


def test_an_asset_gets_what_is_new_stale_and_orphaned_in_its_partitions(
    project_on_each: Project, instance: dg.DagsterInstance
) -> None:
    define("video")
    define("clip", "video")
    put(project_on_each, {"a": ONE, "b": ONE, "c": TWO, "d": THREE})
    taken: list[Any] = []

    @dg.asset(metadata=BY_DAY, partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def clip(video: AssetIncrement) -> dg.Output[Any]:
        taken.append([values(batch) for batch in video.batches(1)])
        return dg.Output(batch.with_columns(n=nw.lit(1)) for batch in video.batches(1))

    run = Runs(clip, instance, orphaned="soft_delete", max_orphaned_share=0.7)
    assert run("2026-01-01") == {"new": 2, "stale": 0, "orphaned": 0, "failed": 0, "partition_row_count": 2}
    assert sorted(taken.pop()) == [["a"], ["b"]]
    assert run("2026-01-01")["new"] == 0
    both = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-02"}
    assert run(tags=both) == {"new": 1, "stale": 0, "orphaned": 0, "failed": 0, "partition_row_count": 1}
    assert stored(project_on_each, "id", "day") == [("a", ONE), ("b", ONE), ("c", TWO)]

    put(project_on_each, {"a": ONE, "c": TWO}, "2")
    with project_on_each.store().open("w") as store:
        store.delete("video", "id = 'b'")
    assert run("2026-01-02") == {"new": 0, "stale": 1, "orphaned": 0, "failed": 0, "partition_row_count": 1}
    assert run("2026-01-01") == {"new": 0, "stale": 1, "orphaned": 1, "failed": 0, "partition_row_count": 1}
    assert stored(project_on_each) == ["a", "c"]

    put(project_on_each, {"a": TWO}, "3")  # it moves to another day, and is in the new one from then on
    assert run("2026-01-02")["partition_row_count"] == 2
    assert run("2026-01-01") == {"new": 0, "stale": 0, "orphaned": 0, "failed": 0, "partition_row_count": 0}
    assert stored(project_on_each, "id", "day") == [("a", TWO), ("c", TWO)]


def test_what_was_written_stays_when_a_run_fails_and_errors_are_counted(
    project: Project, instance: dg.DagsterInstance
) -> None:
    define("video")
    define("clip", "video")
    put(project, dict.fromkeys("abcd", ONE))
    breaks = [True]

    @dg.asset(metadata={"metaxy/feature": "clip"})
    def clip(video: AssetIncrement) -> dg.Output[Any]:
        def results() -> Iterator[Any]:
            yield video.samples.filter(nw.col("id") < "c")
            if breaks:
                raise RuntimeError("no more")
            rest = video.samples.filter(nw.col("id") >= "c").collect()
            error = nw.lit("it is broken")
            video.record_errors(rest[:1].with_columns(error_type=nw.lit("ValueError"), error_message=error))
            yield rest[1:]

        return dg.Output(results())

    run = Runs(clip, instance)
    with pytest.raises(RuntimeError, match="no more"):
        run()
    assert stored(project) == ["a", "b"]
    breaks.clear()
    assert run() == {"new": 2, "stale": 0, "orphaned": 0, "failed": 1}
    assert stored(project) == ["a", "b", "d"]
    with project.store() as store:
        assert values(store.read_errors("clip"), "id", "error_message") == [("c", "it is broken")]


def test_rows_go_where_no_increment_belongs(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    put(project, {"a": ONE, "b": TWO})
    seen: list[Any] = []

    @dg.asset(io_manager_key="none")
    def report(video: nw.LazyFrame) -> None:  # type: ignore[type-arg]
        seen.extend(values(video))

    resources = {"io_manager": IncrementalMetaxyIOManager(), "none": dg.mem_io_manager}
    assert dg.materialize([report, video], instance=instance, resources=resources).success
    assert seen == ["a", "b"]


def test_children_replace_those_that_their_parents_had(project_on_each: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["id"])), ids=("id", "n"))
    put(project_on_each, dict.fromkeys("abc", ONE))
    numbers = {"a": [1, 2], "b": [], "c": [1]}
    stops: list[Any] = []
    fails: list[Any] = []

    @dg.asset(metadata=BY_DAY, partitions_def=DAILY)
    def clip(video: AssetIncrement) -> dg.Output[Any]:
        def results() -> Iterator[Any]:
            for batch in video.batches(1):
                if stops:
                    return
                [key] = batch["id"]
                if key in fails:
                    message = batch.with_columns(error_type=nw.lit("E"), error_message=nw.lit("m"))
                    video.record_errors(message)
                else:
                    schema = {"id": pl.String, "n": pl.Int64}
                    children = pl.DataFrame([(key, n) for n in numbers[key]], schema=schema, orient="row")
                    yield batch.to_polars().join(children, on="id")

        return dg.Output(results())

    run = Runs(clip, instance)
    stops.append(1)
    with pytest.raises(MetadataSchemaError, match="not all new parents were read"):
        run("2026-01-01")
    stops.clear()
    fails.append("c")
    assert run("2026-01-01") == {"new": 3, "stale": 0, "orphaned": 0, "failed": 1, "partition_row_count": 2}
    fails.clear()
    assert run("2026-01-01")["new"] == 1  # the one that failed, not the one without children
    put(project_on_each, {"a": ONE}, "2")
    numbers["a"] = [2]
    assert run("2026-01-01")["stale"] == 1
    assert stored(project_on_each, "id", "n") == [("a", 2), ("c", 1)]


def test_what_cannot_be_restricted_to_partitions_is_refused(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    with project.store().open("w") as store:
        store.write("video", rows(id=["a"]))

    @dg.asset(metadata=BY_DAY, partitions_def=DAILY)
    def clip(video: AssetIncrement) -> Any:
        return video.samples

    with pytest.raises(MetadataSchemaError, match=r"samples of feature clip that its parents give .* no column 'day'"):
        Runs(clip, instance)("2026-01-01")
    with pytest.raises(Exception, match="orphaned is 'keep', 'soft_delete', 'delete', not 'drop'"):
        IncrementalMetaxyIOManager(orphaned="drop")


def test_many_orphans_are_kept(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    put(project, {"a": ONE, "b": ONE})

    @dg.asset(metadata={"metaxy/feature": "clip"})
    def clip(video: AssetIncrement) -> Any:
        return video.samples

    Runs(clip, instance)()
    with project.store().open("w") as store:
        store.delete("video", everything=True)
    with pytest.raises(TooManyOrphansError):
        Runs(clip, instance, orphaned="delete")()
    assert Runs(clip, instance)()["orphaned"] == 2
    assert Runs(clip, instance, orphaned="delete", max_orphaned_share=1.0)()["orphaned"] == 2
    assert stored(project) == []


def test_a_parent_with_another_io_manager_is_refused_unless_the_input_names_its_own(
    project: Project, instance: dg.DagsterInstance
) -> None:
    define("video")
    define("clip", "video")
    put(project, {"a": ONE})

    def run(**ins: dg.AssetIn) -> dg.ExecuteInProcessResult:
        @dg.asset(metadata={"metaxy/feature": "clip"}, io_manager_key="incremental", ins=ins)
        def clip(video: AssetIncrement) -> Any:
            return video.samples

        resources = {"io_manager": MetaxyIOManager(), "incremental": IncrementalMetaxyIOManager()}
        return dg.materialize([clip, dg.AssetSpec("video", metadata=VIDEO)], instance=instance, resources=resources)

    with pytest.raises(DefinitionError, match=r"input 'video' takes an AssetIncrement.*AssetIn\(input_manager_key"):
        run()
    assert run(video=dg.AssetIn(input_manager_key="incremental")).success
    assert stored(project, "id") == ["a"]
