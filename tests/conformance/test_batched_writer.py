"""The background writer: order, batches, limits, and where rows are when something fails."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.factory import define, everything, rows, values
from tests.stores import StoreFactory, duckdb_store

from metaxy import columns as c
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import BufferedWriterError, MetadataSchemaError, StoreConnectionError, UnknownFeatureError
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.batched_writer import BufferedMetadataWriter

VIDEO, CLIP = FeatureKey("video"), FeatureKey("clip")
NEVER = 3600.0  # seconds between flushes, where a test asks for them itself

pytestmark = pytest.mark.three_stores


@pytest.fixture(autouse=True)
def features() -> None:
    define("video")
    define("clip", "video")


class Watched(DuckDBMetadataStore):
    """A store that counts its writes, and does something before each of them."""

    before: Callable[[], None] = staticmethod(lambda: None)
    writes = 0

    def write_multi(self, metadata: Mapping[Any, Any], materialization_id: str | None = None, **options: Any) -> None:
        self.writes += 1
        self.before()
        super().write_multi(metadata, materialization_id, **options)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "store.duckdb", auto_create_tables=True)


@pytest.fixture
def gate(watched: Watched) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Make writes report that they began, and wait until they may go on."""
    began, go_on = threading.Event(), threading.Event()

    def before() -> None:
        began.set()
        assert go_on.wait(60)

    watched.before = before
    yield began, go_on
    go_on.set()


def calls(writer: BufferedMetadataWriter) -> list[Callable[[], None]]:
    return [writer.flush, lambda: writer.put({"video": rows(id=["z"])})]


def fail() -> None:
    raise ZeroDivisionError("out of luck")


# -- what is written ---------------------------------------------------------------------------------------------------


def test_rows_of_several_features_are_written(make: StoreFactory) -> None:
    store = make()
    with BufferedMetadataWriter(store) as writer:
        writer.put({"video": rows(id=["a", "b"])})
        writer.put({"video": rows(id=["c"]).lazy(), CLIP: with_provenance(rows(id=["a"]))})
        writer.flush()
        assert writer.num_written == {VIDEO: 3, CLIP: 1}
        writer.put({"video": rows(id=["d"])})
    assert writer.num_written == {VIDEO: 4, CLIP: 1}
    assert not writer.has_error
    assert writer.pending == []
    with store:
        assert values(store.read("video")) == ["a", "b", "c", "d"]
        assert values(store.read("clip")) == ["a"]


def with_provenance(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.lit("p").alias(c.METAXY_PROVENANCE))


def test_db10_the_last_of_many_puts_wins(make: StoreFactory) -> None:
    store = make()
    with BufferedMetadataWriter(store, flush_interval=NEVER) as writer:
        for number in range(20):
            writer.put({"video": rows(str(number), id=["a", number_id(number)], value=[number] * 2)})
        writer.flush()
    with store:
        assert values(store.read("video"), "id", "value")[0] == ("a", 19)
        assert everything(store, "video").height == 21
    assert writer.num_written == {VIDEO: 21}


def number_id(number: int) -> str:
    return f"own-{number}"


def test_db11_frames_with_different_columns_are_written_together(make: StoreFactory) -> None:
    store = make()
    with BufferedMetadataWriter(store, flush_interval=NEVER) as writer:
        writer.put({"video": rows(id=["a", "b"], path=["p", "q"])})
        writer.put({"video": rows(id=["b", "c"], size=[1, 2])})
    with store:
        found = values(store.read("video"), "id", "path", "size")
    assert found == [("a", "p", None), ("b", None, 1), ("c", None, 2)]


def test_db10_stop_writes_everything_at_once(watched: Watched) -> None:
    with BufferedMetadataWriter(watched, flush_interval=NEVER) as writer:
        for number in range(20):
            writer.put({"video": rows(id=[number])})
    assert watched.writes == 1
    assert writer.num_written == {VIDEO: 20}


def test_enough_rows_start_a_flush(watched: Watched, gate: tuple[threading.Event, threading.Event]) -> None:
    began, go_on = gate
    with BufferedMetadataWriter(watched, flush_batch_size=3, flush_interval=NEVER) as writer:
        writer.put({"video": rows(id=["a", "b"])})
        assert not began.is_set()
        writer.put({"video": rows(id=["c"])})
        assert began.wait(60)
        go_on.set()


def test_time_starts_a_flush(watched: Watched, gate: tuple[threading.Event, threading.Event]) -> None:
    began, go_on = gate
    with BufferedMetadataWriter(watched, flush_interval=0.01) as writer:
        writer.put({"video": rows(id=["a"])})
        assert began.wait(60)
        go_on.set()


def test_db09_an_idle_writer_waits_without_a_deadline(watched: Watched) -> None:
    waits: list[float | None] = []
    idle = threading.Event()

    class Noting(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            if threading.current_thread().name == "metaxy-buffered-writer":
                waits.append(timeout)
                idle.set()
            return super().wait(timeout)

    writer = BufferedMetadataWriter(watched, flush_interval=0.0)
    writer._changed = Noting()
    with writer:
        assert idle.wait(60)
        idle.clear()
        writer.put({"video": rows(id=["a"])})
        writer.flush()
        assert idle.wait(60)
    assert waits
    assert set(waits) == {None}


def test_graph_and_configuration_are_those_of_the_maker(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    with FeatureGraph().use(), MetaxyConfig(hash_truncation_length=20).use():
        define("only-here")
        writer = BufferedMetadataWriter(store)
    with writer:
        writer.put({"only-here": rows(id=["a"])})
    with store:
        [provenance] = everything(store, "only-here")[c.METAXY_PROVENANCE]
    assert len(provenance) == 20


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_full_queue_blocks_until_the_flush_ends(
    watched: Watched, gate: tuple[threading.Event, threading.Event]
) -> None:
    began, go_on = gate
    third = threading.Event()
    with BufferedMetadataWriter(watched, flush_batch_size=1, max_queue_size=1) as writer:
        writer.put({"video": rows(id=["a"])})
        assert began.wait(60)
        writer.put({"video": rows(id=["b"])})

        def put() -> None:
            writer.put({"video": rows(id=["c"])})
            third.set()

        thread = threading.Thread(target=put)
        thread.start()
        assert not third.wait(0.05)
        go_on.set()
        assert third.wait(60)
        thread.join()
    assert writer.num_written == {VIDEO: 3}


def test_db11_a_put_that_waits_learns_of_the_failure(
    watched: Watched, gate: tuple[threading.Event, threading.Event]
) -> None:
    began, go_on = gate
    wait = watched.before

    def wait_and_fail() -> None:
        wait()
        fail()

    watched.before = wait_and_fail
    writer = BufferedMetadataWriter(watched, flush_batch_size=1, max_queue_size=1).start()
    writer.put({"video": rows(id=["a"])})
    assert began.wait(60)
    writer.put({"video": rows(id=["b"])})
    threading.Timer(0.05, go_on.set).start()
    with pytest.raises(BufferedWriterError, match="out of luck"):
        writer.put({"video": rows(id=["c"])})
    assert [values(put[VIDEO]) for put in writer.pending] == [["a"], ["b"]]


@pytest.mark.parametrize("options", [{"flush_batch_size": 0}, {"flush_interval": -1}, {"max_queue_size": -1}])
def test_impossible_options_are_refused(watched: Watched, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        BufferedMetadataWriter(watched, **options)


# -- life --------------------------------------------------------------------------------------------------------------


def test_a_writer_that_does_not_run_says_so(watched: Watched) -> None:
    writer = BufferedMetadataWriter(watched)
    assert writer.stop() == {}
    for call in calls(writer):
        with pytest.raises(RuntimeError, match="is not started"):
            call()
    writer.start()
    with pytest.raises(RuntimeError, match="started already"):
        writer.start()
    assert writer.stop() == writer.stop() == {}
    for call in calls(writer):
        with pytest.raises(RuntimeError, match="is stopped"):
            call()


def test_a_slow_store_makes_flush_and_stop_give_up(
    watched: Watched, gate: tuple[threading.Event, threading.Event]
) -> None:
    writer = BufferedMetadataWriter(watched).start()
    writer.put({"video": rows(id=["a"])})
    with pytest.raises(RuntimeError, match=r"did not end within 0\.01 s; rows not written.*1 of video"):
        writer.flush(timeout=0.01)
    with pytest.raises(RuntimeError, match=r"did not stop within 0\.01 s"):
        writer.stop(timeout=0.01)
    gate[1].set()
    assert writer.stop() == {VIDEO: 1}


# -- failures ----------------------------------------------------------------------------------------------------------


def test_bad_frames_are_refused_when_they_are_put(make: StoreFactory) -> None:
    with BufferedMetadataWriter(make()) as writer:
        with pytest.raises(MetadataSchemaError, match="lacks ID column"):
            writer.put({"video": rows(idd=["a"])})
        with pytest.raises(UnknownFeatureError):
            writer.put({"video": rows(id=["a"]), "vidoe": rows(id=["a"])})
        with pytest.raises(ValueError, match="given twice"):
            writer.put({"video": rows(id=["a"]), VIDEO: rows(id=["a"])})
        assert writer.pending == []


def test_a_failed_flush_keeps_rows_for_the_next_one(watched: Watched) -> None:
    watched.before = fail
    with BufferedMetadataWriter(watched, flush_interval=NEVER) as writer:
        writer.put({"video": rows(id=["a"])})
        with pytest.raises(
            RuntimeError, match=r"the flush failed: out of luck; rows not written.*1 of video"
        ) as caught:
            writer.flush()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert not writer.has_error
        assert [values(put[VIDEO]) for put in writer.pending] == [["a"]]
        del watched.before
        writer.put({"video": rows(id=["b"])})
        writer.flush()
    with watched:
        assert values(watched.read("video")) == ["a", "b"]


def test_a_failed_flush_in_the_background_ends_the_writer(watched: Watched) -> None:
    failed = threading.Event()

    def tell_and_fail() -> None:
        failed.set()
        fail()

    watched.before = tell_and_fail
    writer = BufferedMetadataWriter(watched, flush_interval=0.0).start()
    writer.put({"video": rows(id=["a"])})
    assert failed.wait(60)
    with pytest.raises(RuntimeError, match="out of luck") as caught:
        writer.stop()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert writer.has_error
    for call in calls(writer):
        with pytest.raises(BufferedWriterError, match=r"the writer failed: out of luck; .*1 of video"):
            call()
    del watched.before
    [left] = writer.pending
    with watched.open("w"):
        watched.write_multi(left)
        assert values(watched.read("video")) == ["a"]


def test_columns_whose_types_do_not_fit_lose_nothing(make: StoreFactory) -> None:
    with BufferedMetadataWriter(make(), flush_interval=NEVER) as writer:
        writer.put({"video": rows(id=["a"], size=[1])})
        writer.put({"video": rows(id=["b"], size=[[1]])})
        with pytest.raises(BufferedWriterError, match=r"feature video: .*do not fit"):
            writer.flush()
        assert len(writer.pending) == 2
        writer._puts.clear()


def test_an_error_in_the_block_is_not_hidden(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.before = fail
    writer = BufferedMetadataWriter(watched, flush_interval=NEVER)

    def work() -> None:
        with writer:
            writer.put({"video": rows(id=["a"])})
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        work()
    assert "out of luck" in caplog.text
    assert [values(put[VIDEO]) for put in writer.pending] == [["a"]]


def test_a_store_that_cannot_be_reached_is_tried_again(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaxy.store.batched_writer.RETRY_SECONDS", (0.0, 0.0))

    def unreachable() -> None:
        if watched.writes < 3:
            raise StoreConnectionError("gone")

    watched.before = unreachable
    with BufferedMetadataWriter(watched) as writer:
        writer.put({"video": rows(id=["a"])})
        writer.flush()
    assert (watched.writes, writer.num_written) == (3, {VIDEO: 1})


def test_trying_again_ends(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaxy.store.batched_writer.RETRY_SECONDS", (0.0,))

    def unreachable() -> None:
        raise StoreConnectionError("gone")

    watched.before = unreachable
    writer = BufferedMetadataWriter(watched).start()
    writer.put({"video": rows(id=["a"])})
    with pytest.raises(BufferedWriterError, match="gone"):
        writer.stop()
    assert watched.writes == 2


# -- rows that outlive the process -------------------------------------------------------------------------------------

VICTIM = """
import os, sys
from pathlib import Path
from tests.factory import define, rows
from tests.stores import STORES
from metaxy.store.batched_writer import BufferedMetadataWriter
define("video"); define("a/b-c")
store = STORES[sys.argv[1]](Path(sys.argv[2]))
writer = BufferedMetadataWriter(store, flush_interval=3600, spill=sys.argv[3]).start()
writer.put({"video": rows(id=["a", "b"], n=[1, 1])})
writer.flush()
writer.put({"video": rows(id=["b"], n=[2]), "a/b-c": rows(id=["x"])})
writer.put({"video": rows("2", id=["c", "b"], n=[3, 3])})
os.kill(os.getpid(), 9)
"""


def test_rows_of_a_killed_process_are_recovered(make: StoreFactory, tmp_path: Path, request: Any) -> None:
    define("a/b-c")
    name, spill = request.node.callspec.params["make_store"], tmp_path / "spill"
    killed = subprocess.run([sys.executable, "-c", VICTIM, name, str(tmp_path), str(spill)], check=False)
    assert killed.returncode != 0
    store = make()
    with store:
        assert values(store.read("video"), "id", "n") == [("a", 1), ("b", 1)]
    assert BufferedMetadataWriter.recover(store, spill) == {VIDEO: 3, FeatureKey("a/b-c"): 1}
    with store:
        assert values(store.read("video"), "id", "n") == [("a", 1), ("b", 3), ("c", 3)]
        assert values(store.read("a/b-c")) == ["x"]
    assert BufferedMetadataWriter.recover(store, spill) == {}
    assert list(spill.iterdir()) == []


def test_recovered_rows_keep_the_version_they_were_made_for(watched: Watched, tmp_path: Path) -> None:
    watched.before = fail
    writer = BufferedMetadataWriter(watched, flush_interval=NEVER, spill=tmp_path / "spill").start()
    writer.put({"video": rows(id=["a"])})
    with pytest.raises(BufferedWriterError):
        writer.stop()
    define("video", fields=[FieldSpec(key="default", code_version="2")])
    assert BufferedMetadataWriter.recover(watched, tmp_path / "spill") == {VIDEO: 1}
    with watched:
        assert values(watched.read("video")) == []
        assert values(watched.read("video", with_feature_history=True)) == ["a"]


def test_rows_that_do_not_fit_any_more_stay_in_the_folder(watched: Watched, tmp_path: Path) -> None:
    watched.before = fail
    writer = BufferedMetadataWriter(watched, flush_interval=NEVER, spill=tmp_path / "spill").start()
    writer.put({"video": rows(id=["a"])})
    with pytest.raises(BufferedWriterError):
        writer.stop()
    define("video", fields=["default", "audio"])
    with pytest.raises(MetadataSchemaError, match="lacks field 'audio'"):
        BufferedMetadataWriter.recover(watched, tmp_path / "spill")
    define("video")
    assert BufferedMetadataWriter.recover(watched, tmp_path / "spill") == {VIDEO: 1}
