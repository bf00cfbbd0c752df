"""Features as Ray datasets and back, on a cluster of two CPUs; blocks are also read here, as Ray would read them."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ray.data.datasource import WriteResult
from tests.factory import define, rows, values
from tests.ray.computing import Sizes, doubled, endless, mortal
from tests.services.ray import variables
from tests.stores import STORES

import ray
from metaxy import FeatureGraph
from metaxy.config import MetaxyConfig
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import ProcessError
from metaxy.ext.ray import MetaxyDatasink, MetaxyDatasource, MetaxyWriteResult, process
from metaxy.ext.ray.datasource import ROWS_PER_TASK, StoredRows
from metaxy.storage.port import AccessMode
from metaxy.store.store import MetadataStore
from metaxy.store.system.storage import SystemTableStorage

pytestmark = pytest.mark.usefixtures("cluster")
THREE = ("duckdb", "delta", "postgresql")


@pytest.fixture(params=THREE)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MetadataStore:
    define("video", fields=["audio", "frames"])
    define("crop", "video")
    return STORES[request.param](tmp_path)


@pytest.fixture
def lake(tmp_path: Path) -> MetadataStore:
    define("video", fields=["audio", "frames"])
    define("crop", "video")
    return STORES["delta"](tmp_path)


def write(store: MetadataStore, ids: Any, **columns: Any) -> None:
    with store.open("w"):
        store.write("video", rows({"audio": "1", "frames": "1"}, id=list(ids), **columns))


def read_all(source: MetaxyDatasource, parallelism: int = 4, limit: int | None = None) -> list[list[Any]]:
    """Read the blocks of each task."""
    return [list(task()) for task in source.get_read_tasks(parallelism, limit, data_context=None)]


def test_an_increment_is_computed_and_written_by_workers(store: MetadataStore) -> None:
    write(store, range(30), size=range(30))
    dataset = ray.data.read_datasource(MetaxyDatasource("crop", store, incremental=True))
    sink = MetaxyDatasink("crop", store)
    with pytest.raises(RuntimeError, match="feature crop: nothing was written yet"):
        _ = sink.result
    dataset.map_batches(doubled, batch_format="pyarrow").write_datasink(sink)
    assert sink.result == MetaxyWriteResult(rows_written=30, rows_failed=0)
    with store:
        written = store.read("crop").collect().to_polars().sort("id")
        assert written["double"].to_list() == [2 * size for size in range(30)]
        assert "metaxy_status" not in written.columns
        assert store.resolve_update("crop").counts["unchanged"] == 30
    write(store, [1, 99], size=[5, 7])
    with store.open("w"):
        store.write("video", rows({"audio": "2", "frames": "1"}, id=[2], size=[9]))
    again = ray.data.read_datasource(MetaxyDatasource("crop", store, incremental=True)).take_all()
    assert {row["id"]: row["metaxy_status"] for row in again} == {99: "new", 2: "stale"}


def test_ranges_of_ids_have_equally_many_of_them_and_miss_none(store: MetadataStore) -> None:
    ids = ["", " ", "B", "Z", "a", "aa", "b", "é", "ø", "\U0001f3a5"]
    write(store, ids)
    stored = StoredRows("video", (), {})
    with store:
        bounds = [None, *stored.bounds(store, "id", 3), None]
        ranges = [stored.between("id", *ends) for ends in itertools.pairwise(bounds)]
        found = [values(part.read(store)) for part in ranges]
    assert [len(part) for part in found] == [4, 4, 2]
    assert sorted(itertools.chain(*found)) == sorted(ids)


def test_rows_are_read_in_several_tasks(lake: MetadataStore) -> None:
    count = 2 * ROWS_PER_TASK + 5
    write(lake, range(count))
    source = MetaxyDatasource("video", lake, columns=["id"], filters="id >= 5")
    parts = read_all(source)
    assert [sum(block.num_rows for block in blocks) for blocks in parts] == [ROWS_PER_TASK] * 2
    assert source.estimate_inmemory_data_size() == 8 * (count - 5)
    dataset = ray.data.read_datasource(source)
    assert (dataset.sum("id"), dataset.schema().names) == (sum(range(5, count)), ["id"])


def test_an_increment_of_many_rows_is_shared_by_tasks_and_resolved_once(lake: MetadataStore) -> None:
    count = 5 * ROWS_PER_TASK // 2
    write(lake, range(count))
    source = MetaxyDatasource("crop", lake, incremental=True)
    assert [sum(block.num_rows for block in blocks) for blocks in read_all(source)] == [10_000, 10_000, 5_000]
    write(lake, [-1])
    assert len(read_all(source, parallelism=2)) == 2
    assert ray.data.read_datasource(source).count() == count  # as all that Ray asks of a source must agree
    assert MetaxyDatasource("crop", lake, incremental=True).get_read_tasks(1)[0].metadata.num_rows == count + 1


def test_blocks_have_as_many_rows_as_ray_wants_and_columns_where_there_are_none(lake: MetadataStore) -> None:
    write(lake, range(3))
    assert [block.num_rows for block in read_all(MetaxyDatasource("video", lake), limit=2)[0]] == [2, 1]
    for options in ({"filters": "id > 7"}, {"incremental": True}):
        if "incremental" in options:
            with lake.open("w"):
                lake.write("crop", lake.resolve_update("crop").new)
        source = MetaxyDatasource("video" if "filters" in options else "crop", lake, **options)
        [[block]] = read_all(source)
        assert block.num_rows == 0
        dataset = ray.data.read_datasource(source)
        assert dataset.count() == 0
        assert "metaxy_provenance" in dataset.schema().names


def test_reads_take_the_options_of_the_store(lake: MetadataStore) -> None:
    write(lake, range(3))
    write(lake, [0])
    with lake.open("w"):
        lake.delete("video", "id = 1")
    options: dict[int, dict[str, Any]] = {2: {}, 3: {"include_soft_deleted": True}, 4: {"with_sample_history": True}}
    for count, asked in options.items():
        [blocks] = read_all(MetaxyDatasource("video", lake, **asked))
        assert sum(block.num_rows for block in blocks) == count, asked
    predicate = MetaxyDatasource("crop", lake, incremental=True, filters="id = 0", staleness_predicates="id = 0")
    with lake.open("w"):
        lake.write("crop", lake.resolve_update("crop").new)
    assert [block["metaxy_status"].to_pylist() for block in read_all(predicate)[0]] == [["new", "stale"]]
    with lake.open("w"):
        lake.delete("video", "id = 2")
        assert lake.resolve_update("crop").counts["orphaned"] == 1
    assert [block.num_rows for block in read_all(MetaxyDatasource("crop", lake, incremental=True))[0]] == [0]


def test_a_block_that_cannot_be_written_fails_the_job_or_is_left_out_and_counted(lake: MetadataStore) -> None:
    write(lake, range(3))
    good = rows({"audio": "1", "frames": "1"}, id=[7, 8]).to_arrow()
    bad = pa.table({"id": [9]})
    with pytest.raises(ray.exceptions.RayTaskError, match="metaxy_provenance_by_field"):
        ray.data.from_arrow([good, bad]).write_datasink(MetaxyDatasink("video", lake))
    sink = MetaxyDatasink("video", lake, on_error="log")
    result = sink.write([good, bad, good.slice(0, 0), good.to_pandas()])
    assert result == MetaxyWriteResult(rows_written=4, rows_failed=1)
    sink.on_write_complete(WriteResult(5, 100, [result, result]))
    assert sink.result == MetaxyWriteResult(rows_written=8, rows_failed=2)


def test_blocks_of_a_task_are_written_at_once(lake: MetadataStore) -> None:
    blocks = [rows({"audio": "1", "frames": "1"}, id=[number]).to_arrow() for number in range(20)]
    MetaxyDatasink("video", lake).write(blocks)
    assert len(commits(lake)) == 1
    MetaxyDatasink("video", lake, rows_per_write=5).write(blocks)
    assert len(commits(lake)) == 5


@pytest.mark.parametrize("name", ["delta", "iceberg", "duckdb"])
def test_tasks_write_one_table_at_the_same_time_and_count_what_could_not_be(tmp_path: Path, name: str) -> None:
    define("video", fields=["audio", "frames"])
    options: dict[str, Any] = {"lock_timeout": 60.0} if name == "duckdb" else {}
    store = STORES[name](tmp_path, **options)
    versions = {"audio": "1", "frames": "1"}
    good: list[Any] = [rows(versions, id=list(range(each, each + 50))).to_arrow() for each in range(0, 400, 50)]
    sink = MetaxyDatasink("video", store, on_error="log")
    blocks: list[Any] = [*good, pa.table({"id": [9]})]
    ray.data.from_arrow(blocks).write_datasink(sink, concurrency=2)
    assert sink.result == MetaxyWriteResult(rows_written=400, rows_failed=1)
    with store:
        assert sorted(values(store.read("video"))) == list(range(400))
    if name == "delta":
        before = len(commits(store))
        ray.data.from_arrow(good).write_datasink(MetaxyDatasink("video", store, rows_per_write=200))
        assert len(commits(store)) - before == 2


def test_a_task_opens_the_store_once(lake: MetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[AccessMode] = []
    open_ = MetadataStore.open

    def counted(store: MetadataStore, mode: AccessMode = "r") -> Any:
        opened.append(mode)
        return open_(store, mode)

    monkeypatch.setattr(MetadataStore, "open", counted)
    blocks = [rows({"audio": "1", "frames": "1"}, id=[number]).to_arrow() for number in range(6)]
    MetaxyDatasink("video", lake, rows_per_write=2).write(blocks)
    assert opened == ["w"]


def test_features_of_others_are_synced_where_rows_are_written(lake: MetadataStore) -> None:
    with FeatureGraph().use(), lake.open("w"):
        define("theirs", project="theirs")
        SystemTableStorage(lake).push_graph_snapshot()
    graph = FeatureGraph.get_active()
    spec = FeatureSpec(key="theirs", id_columns=["id"], fields=["default"])
    graph.add_feature_definition(FeatureDefinition.external(spec=spec, project="theirs"))
    for sync in (False, True):
        MetaxyDatasink("video", lake, MetaxyConfig(sync=sync)).write([])
        assert graph.get_feature_definition("theirs").is_external != sync


def test_a_configuration_that_is_passed_is_that_of_the_workers(lake: MetadataStore) -> None:
    """Here it says that versions are maps, as they then are for Ray."""
    write(lake, range(3))
    source = MetaxyDatasource("video", lake, MetaxyConfig(enable_map_datatype=True))
    dataset = ray.data.read_datasource(source)
    versions = dataset.schema().base_schema.field("metaxy_provenance_by_field").type
    assert pa.types.is_map(versions)
    assert dataset.take(1)[0]["metaxy_provenance_by_field"] == [("audio", "1"), ("frames", "1")]
    assert source.get_name() == MetaxyDatasink("video", lake).get_name() == "Metaxy"


def commits(store: Any) -> list[Path]:
    return sorted(Path(str(store.storage.root)).glob("**/video.delta/_delta_log/*.json"))


def test_wrong_options_are_refused(lake: MetadataStore) -> None:
    with pytest.raises(ValueError, match="on_error='ignore' is none of"):
        MetaxyDatasink("video", lake, on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1, not 0"):
        MetaxyDatasink("video", lake, rows_per_write=0)


def test_settings_and_graph_reach_the_workers(lake: MetadataStore) -> None:
    """The workers know neither this graph, nor a module that defines it, nor the length of hashes."""
    with MetaxyConfig(hash_truncation_length=12).use(), FeatureGraph().use():
        define("video", fields=["audio", "frames"])
        define("short", "video")
        write(lake, range(3))
        dataset = ray.data.read_datasource(MetaxyDatasource("short", lake, incremental=True))
        dataset.map_batches(lambda batch: batch, batch_format="pyarrow").write_datasink(MetaxyDatasink("short", lake))
        with lake:
            assert lake.resolve_update("short").counts["unchanged"] == 3
            assert {len(version) for version in values(lake.read("short"), "metaxy_provenance")} == {12}


SCRIPT = """
import sys
import polars as pl
import ray
import metaxy as mx
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.ray import MetaxyDatasink, MetaxyDatasource

class Clip(mx.BaseFeature, spec=mx.FeatureSpec(key="clip", id_columns=["id"], fields=["audio"])):
    id: int

store = DeltaMetadataStore(sys.argv[1])
frame = pl.DataFrame({"id": [1, 2], "metaxy_provenance_by_field": [{"audio": "1"}] * 2})
ray.data.from_arrow(frame.to_arrow()).write_datasink(MetaxyDatasink(Clip, store))
print(ray.data.read_datasource(MetaxyDatasource(Clip, store)).sum("id"))
"""


def test_features_of_a_script_reach_the_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "lake")]
    done = subprocess.run(
        command, env={**os.environ, **variables()}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["3"], done.stderr


# -- computing ---------------------------------------------------------------------------------------------------------


def doubles(store: MetadataStore) -> dict[int, int]:
    with store:
        found = store.read("crop").collect().to_polars()
    return dict(zip(found["id"].to_list(), found["double"].to_list(), strict=True))


def test_a_class_is_made_once_by_each_actor_and_samples_that_fail_are_recorded(store: MetadataStore) -> None:
    write(store, range(20), size=range(20))
    options: dict[str, Any] = {"progress": False, "fn_constructor_kwargs": {"factor": 2}, "num_cpus": 0.5}
    report = process(store, "crop", Sizes, batch_size=5, on_error="record", **options)
    assert (report.done, report.failed) == (19, 1)
    assert doubles(store) == {size: 2 * size for size in range(20) if size != 7}
    with store:
        [error] = store.read_errors("crop").to_polars().to_dicts()
    assert (error["id"], error["error_type"], error["error_message"]) == (7, "ValueError", "cannot read 7")
    with store:
        workers = set(values(store.read("crop"), "worker"))
    assert 1 <= len(workers) <= 2
    assert os.getpid() not in workers


def test_an_actor_that_dies_or_hangs_is_replaced(lake: MetadataStore, tmp_path: Path) -> None:
    write(lake, range(6), size=range(6), mark=[str(tmp_path / "mark")] * 6)
    report = process(lake, "crop", mortal, concurrency=1, retries=1, progress=False)
    assert (report.done, report.failed) == (6, 0)
    assert doubles(lake) == {size: 2 * size for size in range(6)}
    define("face", "video")
    report = process(lake, "face", endless, concurrency=1, timeout=3, on_error="record", progress=False)
    assert (report.done, report.failed) == (5, 1)
    assert "did not return within 3 s; its actor was ended" in report.errors[0].message


def test_functions_that_cannot_be_called_are_refused(lake: MetadataStore) -> None:
    write(lake, [1], size=[1])
    with pytest.raises(TypeError, match="instances of object cannot be called"):
        process(lake, "crop", object)
    with pytest.raises(TypeError, match="are for a class"):
        process(lake, "crop", mortal, fn_constructor_kwargs={"factor": 1})
    with pytest.raises(ProcessError, match="Sizes cannot be constructed in an actor: RuntimeError: no such model"):
        process(lake, "crop", Sizes, fn_constructor_kwargs={"factor": -1}, progress=False)
