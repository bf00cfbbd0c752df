"""Results with what is known of rows, as runs on a database, a lake and a server give them."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
import pytest
from tests.dagster.conftest import observe_all
from tests.factory import define, rows

import dagster as dg
import metaxy as mx
from metaxy.ext import dagster as mxd
from metaxy.service.project import Project

BETA = pytest.mark.filterwarnings("ignore:Function `multi_observable_source_asset`:dagster.BetaWarning")
KEPT = ("dagster/row_count", "dagster/partition_row_count", "metaxy/materialized_in_run")


def store_of_run(project: Project) -> dg.ResourceDefinition:
    """Make the configured store, for one run."""

    def make(context: dg.InitResourceContext) -> mx.MetadataStore:
        assert context.run is not None
        store: mx.MetadataStore = project.config.get_store(materialization_id=context.run.run_id)
        return store

    return dg.ResourceDefinition(make)


def spec(key: str, feature: str, **more: Any) -> dg.AssetSpec:
    metadata = more.pop("metadata", {})
    return dg.AssetSpec(key, metadata={"metaxy/feature": feature, **metadata}, **more)


def counts(event: Any) -> dict[str, Any]:
    found = event.metadata.get
    return {name: value.value for name in KEPT if (value := found(name)) is not None}


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    return {e.asset_key.to_user_string(): e.step_materialization_data.materialization for e in _events(result)}  # type: ignore[union-attr]


def _events(result: dg.ExecuteInProcessResult) -> list[dg.DagsterEvent]:
    return list(result.get_asset_materialization_events())


def test_each_asset_of_a_feature_gets_its_own_result(project_on_each: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    define("missing", "clip")
    parts = [spec(lang, "video", metadata={"metaxy/partition": {"lang": lang}}) for lang in ("en", "de")]
    optional = spec("gone", "missing", skippable=True)

    @dg.multi_asset(specs=[optional, spec("clips", "clip"), *parts, dg.AssetSpec("other", skippable=True)])
    def assets(context: dg.AssetExecutionContext, store: dg.ResourceParam[mx.MetadataStore]) -> Iterator[Any]:
        with store.open("w"):
            store.write("video", rows(id=["a", "b", "c"], lang=["en", "de", "en"]))
            store.write("clip", store.resolve_update("clip").new)
        yield from mxd.generate_materialize_results(context, store)

    result = dg.materialize([assets], resources={"store": store_of_run(project_on_each)}, instance=instance)
    events = materialized(result)
    assert list(events) == ["en", "de", "clips"]  # parents first, and nothing of what no store has
    assert {name: counts(event) for name, event in events.items()} == {
        "en": {"dagster/row_count": 2, "metaxy/materialized_in_run": 2},
        "de": {"dagster/row_count": 1, "metaxy/materialized_in_run": 1},
        "clips": {"dagster/row_count": 3, "metaxy/materialized_in_run": 3},
    }
    assert len({event.tags["dagster/data_version"] for event in events.values()}) == 3
    assert events["clips"].tags["metaxy/feature"] == "clip"
    shown = [dict(record.data)["id"] for record in events["en"].metadata["dagster/table"].records]
    assert sorted(shown) == ["a", "c"]
    logged = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert any("asset gone is left out: feature missing has no table" in message for message in logged)


def test_partitions_have_counts_and_data_versions_of_their_own(
    project_on_each: Project, instance: dg.DagsterInstance
) -> None:
    define("video")
    days = dg.StaticPartitionsDefinition(["mon", "tue"])
    sources = [
        spec(lang, "video", metadata={"metaxy/partition": {"lang": lang}, "partition_by": "day"}, partitions_def=days)
        for lang in ("en", "de")
    ]

    @dg.multi_asset(specs=sources, backfill_policy=dg.BackfillPolicy.single_run())
    def assets(context: dg.AssetExecutionContext, store: dg.ResourceParam[mx.MetadataStore]) -> Iterator[Any]:
        keys = list(context.partition_keys)
        with store.open("w"):
            store.write(
                "video",
                rows(
                    id=[f"{key}{n}" for key in keys for n in "ab"],
                    lang=["en", "de"] * len(keys),
                    day=[key for key in keys for _ in "ab"],
                ),
            )
        yield from mxd.generate_materialize_results(context, store)

    def run(**tags: Any) -> list[dg.AssetMaterialization]:
        options: dict[str, Any] = {"resources": {"store": project_on_each.store()}, "instance": instance}
        events = _events(dg.materialize([assets], **options, **tags))
        return [event.step_materialization_data.materialization for event in events]

    monday, _ = run(partition_key="mon")
    assert counts(monday) == {"dagster/row_count": 1, "dagster/partition_row_count": 1}
    tuesday, _ = run(partition_key="tue")
    assert counts(tuesday) == {"dagster/row_count": 2, "dagster/partition_row_count": 1}
    again, _ = run(partition_key="mon")
    versions = [event.tags["dagster/data_version"] for event in (monday, tuesday, again)]  # type: ignore[index]
    assert versions[0] == versions[2] != versions[1]  # what happens to others changes nothing
    both = run(tags={"dagster/asset_partition_range_start": "mon", "dagster/asset_partition_range_end": "tue"})
    expected = {"dagster/row_count": 2, "dagster/partition_row_count": 1}
    told = {(event.asset_key.to_user_string(), str(event.partition)): counts(event) for event in both}
    assert told == {(lang, day): expected for lang in ("en", "de") for day in ("mon", "tue")}


@BETA
def test_what_fails_is_told_and_counts_nothing(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    wrong = spec("video", "video", metadata={"metaxy/partition": {"langage": "en"}})

    @dg.multi_observable_source_asset(specs=[wrong])  # type: ignore[untyped-decorator]
    def observed(context: dg.AssetExecutionContext) -> Iterator[dg.ObserveResult]:
        yield from mxd.generate_observe_results(context, project.store())

    with project.store().open("w") as store:
        store.write("video", rows(id=["a"], lang=["en"]))
    result = observe_all([observed], instance)
    [event] = result.get_asset_observation_events()
    observation = event.asset_observation_data.asset_observation
    assert "no column 'langage'" in str(observation.metadata["metaxy/error"].value)
    assert (counts(observation), observation.data_version) == ({}, None)


@BETA
def test_observations_change_with_rows_only(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")

    @dg.multi_observable_source_asset(specs=[spec("video", "video")])  # type: ignore[untyped-decorator]
    def observed(context: dg.AssetExecutionContext) -> Iterator[dg.ObserveResult]:
        yield from mxd.generate_observe_results(context, project.store())

    def observe(frame: pl.DataFrame) -> Mapping[str, Any]:
        with project.store().open("w") as store:
            store.write("video", frame)
        [event] = observe_all([observed], instance).get_asset_observation_events()
        observation = event.asset_observation_data.asset_observation
        assert not observation.metadata.keys() & {"metaxy/materialized_in_run", "dagster/table"}
        return {**counts(observation), "version": observation.data_version}

    first, same, other = observe(rows(id=["a"])), observe(rows(id=["a"])), observe(rows("2", id=["a"]))
    assert first == same
    assert (other["dagster/row_count"], other["version"] != first["version"]) == (1, True)


def test_an_op_must_say_which_assets_it_means(project: Project, instance: dg.DagsterInstance) -> None:
    @dg.op
    def observe(context: dg.OpExecutionContext) -> None:
        list(mxd.generate_observe_results(context, project.store()))

    @dg.job
    def job() -> None:
        observe()

    with pytest.raises(ValueError, match="pass specs="):
        job.execute_in_process(instance=instance)


def test_a_resource_is_as_good_as_its_store(project: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    with project.store().open("w") as store:
        store.write("video", rows(id=["a"]))

    @dg.multi_asset(specs=[spec("video", "video")])
    def asset(context: dg.AssetExecutionContext, store: mxd.MetaxyStoreFromConfigResource) -> Iterator[Any]:
        yield from mxd.generate_materialize_results(context, store)

    resource = mxd.MetaxyStoreFromConfigResource()

    @dg.op
    def look(context: dg.OpExecutionContext) -> list[int]:
        specs = [spec("video", "video")]
        results = mxd.generate_observe_results(context, resource, specs, preview=1)
        return [len(result.metadata["dagster/table"].records) for result in results]  # type: ignore[index,union-attr]

    @dg.job
    def job() -> None:
        look()

    [event] = _events(dg.materialize([asset], resources={"store": resource}, instance=instance))
    assert counts(event.step_materialization_data.materialization)["metaxy/materialized_in_run"] == 0
    assert job.execute_in_process(instance=instance).output_for_node("look") == [1]
