"""Functions in actors of Ray: what is wrong with them is said in one line, and what they need is asked for."""

from pathlib import Path

import pytest
from tests.factory import define, rows, values
from tests.ray.computing import Locked, Needs, Unloadable, wrong
from tests.stores import STORES

from metaxy.config import MetaxyConfig
from metaxy.errors import ProcessError
from metaxy.ext.ray import process
from metaxy.ext.ray.actors import Actors
from metaxy.ext.ray.surroundings import Surroundings
from metaxy.store.store import MetadataStore
from metaxy.workers.function import Function

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def lake(tmp_path: Path) -> MetadataStore:
    define("video")
    define("crop", "video")
    store = STORES["delta"](tmp_path)
    with store.open("w"):
        store.write("video", rows(id=range(10), size=range(10)))
    return store


def test_what_is_wrong_with_a_function_is_said_by_sample_and_stops_no_other(lake: MetadataStore) -> None:
    report = process(lake, "crop", wrong, batch_size=10, concurrency=1, progress=False)
    assert (report.done, report.failed) == (1, 9)
    assert {error.ids["id"]: f"{error.error_type}: {error.message}" for error in report.errors} == {
        1: "ResultError: returned None instead of a dict",
        2: "ResultError: returned a row for id = 99, which it was not given",
        3: "ResultError: returned 2 rows for one",
        4: "AttributeError: what it returned cannot be pickled: Can't pickle local object 'wrong.<locals>.<lambda>'",
        5: "ValueError: cannot read 5",
        6: "Unsendable: over two lines",
        7: "SystemExit: 3",
        8: "WorkerDied: The actor died unexpectedly before finishing this task.",
        9: "ResultError: returned 'double' as String, not Int64",
    }
    with lake:
        assert sorted(lake.read_errors("crop")["id"].to_list()) == list(range(1, 10))
        assert values(lake.read("crop")) == [0]
    with pytest.raises(ProcessError) as caught:
        process(lake, "crop", wrong, batch_size=1, on_error="raise", concurrency=1, progress=False, order_by="id")
    assert str(caught.value) == (
        "feature crop, function wrong, sample id = 1: ResultError: returned None instead of a dict; 0 of 9 samples are "
        "computed and written; process again to go on"
    )


def test_functions_that_do_not_reach_an_actor_are_refused(lake: MetadataStore) -> None:
    with pytest.raises(TypeError, match=r"^function Locked cannot be pickled, .*pickle '_thread.lock' object\);"):
        process(lake, "crop", Locked(), progress=False)
    with pytest.raises(ProcessError, match=r"^feature crop, function Unloadable: Unloadable cannot be loaded in an"):
        process(lake, "crop", Unloadable(), progress=False)


def test_actors_get_what_they_need_and_wait_for_it_where_there_are_too_many(lake: MetadataStore) -> None:
    needs = {"runtime_env": {"env_vars": {"ASKED": "yes"}}}
    process(
        lake, "crop", Needs, batch_size=1, concurrency=3, num_gpus=1, num_cpus=0, ray_remote_args=needs, progress=False
    )
    with lake:
        found = lake.read("crop").collect().to_polars()
    assert set(found["gpu"]) == {"0"}
    assert set(found["variable"]) == {"yes"}


def test_what_no_node_has_is_said(caplog: pytest.LogCaptureFixture) -> None:
    surroundings = Surroundings.of(MetaxyConfig())
    for needs in ({"num_cpus": 1, "num_gpus": 1}, {"num_cpus": 1, "num_gpus": 4, "resources": {"tape": 1}}):
        Actors(surroundings, needs).starting(Function.of(wrong))
    assert caplog.messages == [
        "function wrong waits for a node with CPU: 1, GPU: 4, tape: 1, as none of the cluster has that"
    ]
