"""Jobs whose workers are killed at random: in the end each sample is there once, and none was computed too often."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.factory import define, everything, rows, values
from tests.faults.children import children, rest
from tests.ray.computing import KILLS, SAMPLES, Computes, ComputesBatches, ComputesFrames
from tests.services.ray import variables
from tests.stores import STORES

import ray
from metaxy import FeatureGraph
from metaxy.ext.ray import MetaxyDatasink, MetaxyDatasource, process
from metaxy.store.store import MetadataStore

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.slow]


# The driver of a job, which dies when its workers have begun some of the samples.
DRIVER = """
import os
os.environ["RAY_ADDRESS"] = sys.argv[3]
import ray
from metaxy.ext.ray import process
from tests.ray import computing

ray.init(log_to_driver=False)
made_with = {"log": sys.argv[5], "kills": int(sys.argv[6]), "driver": os.getpid(), "driver_ends_at": int(sys.argv[7])}
process(make(), "clip", getattr(computing, sys.argv[4]), fn_constructor_kwargs=made_with, batch_size=100, retries=5,
        progress=False)
say("came to its end")
"""


@pytest.mark.parametrize(("name", "fn"), [("duckdb", Computes), ("postgresql", Computes), ("delta", ComputesFrames)])
def test_samples_are_computed_as_often_as_is_allowed_whoever_is_killed(
    tmp_path: Path, name: str, fn: type[Computes]
) -> None:
    with FeatureGraph().use():
        store = prepared(name, tmp_path)
        logs = [tmp_path / f"log{run}" for run in range(3)]
        all_notes = sum(len(each) + 1 for each in all_ids())
        ends_at = random.randint(
            all_notes // 3, all_notes * 9 // 10
        )  # before the notes end, or nobody kills the driver
        arguments = (name, tmp_path, variables()["RAY_ADDRESS"], fn.__name__, logs[0], KILLS, ends_at)
        with children(1, DRIVER, *arguments) as [driver]:
            assert rest(driver) == []
        first, before = noted(logs[0]), written(store)
        assert max(first.values()) <= 6
        retries = 0 if fn is Computes else 5
        made_with: dict[str, Any] = {"log": str(logs[1]), "kills": KILLS}
        options: dict[str, Any] = {"batch_size": 100, "progress": False}
        report = process(store, "clip", fn, fn_constructor_kwargs=made_with, retries=retries, **options)
        second, to_do = noted(logs[1]), set(all_ids()) - before
        assert report.done + report.failed == len(to_do)
        assert set(second) <= to_do
        assert len(second) >= report.done
        assert max(second.values()) <= 1 + retries
        assert len(written(store)) == SAMPLES - report.failed
        last = process(store, "clip", fn, fn_constructor_kwargs={"log": str(logs[2])}, **options)
        assert (last.done, last.failed) == (report.failed, 0)
        assert set(noted(logs[2]).values()) <= {1}
        with store:
            there = Counter(everything(store, "clip")["id"])
    assert there == Counter(all_ids())


def all_ids() -> list[str]:
    return [f"v{number}" for number in range(SAMPLES)]


def prepared(name: str, folder: Path) -> MetadataStore:
    define("video")
    define("clip", "video")
    store = STORES[name](folder)
    with store.open("w"):
        store.write("video", rows(id=all_ids()))
    return store


def noted(log: Path) -> Counter[str]:
    return Counter(log.read_text().splitlines() if log.exists() else [])


def written(store: MetadataStore) -> set[str]:
    with store:
        return set(values(store.read("clip"))) if store.has_feature("clip") else set()


def test_datasets_are_computed_again_as_often_as_tasks_died(tmp_path: Path) -> None:
    """Ray itself runs a task again whose process died, as often as that is."""
    with FeatureGraph().use():
        store, kills = prepared("delta", tmp_path), 3
        computes, sink = ComputesBatches(tmp_path / "job", kills), MetaxyDatasink("clip", store)
        samples = ray.data.read_datasource(MetaxyDatasource("clip", store, incremental=True))
        samples.map_batches(computes, batch_format="pyarrow", batch_size=100).write_datasink(sink)
        begun = noted(computes.log)
        assert written(store) == set(begun) == set(all_ids())
        assert max(begun.values()) <= 1 + kills
        with store:
            assert len(values(store.read("clip"))) == sink.result.rows_written == SAMPLES
        again = ray.data.read_datasource(MetaxyDatasource("clip", store, incremental=True))
        assert again.count() == 0
