"""One store, many threads."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import narwhals as nw
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.stores import STORES, StoreFactory

from metaxy import columns as c
from metaxy.errors import StoreNotOpenError
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.threads import PATIENCE, THREADS, together


@pytest.fixture(autouse=True)
def features() -> None:
    define("video")
    define("clip", "video")


def test_threads_give_samples_at_once(store: MetadataStore) -> None:
    def new_ids(samples: Any) -> list[Any]:
        return ids(store.resolve_update("video", samples=samples))[0]

    samples = [rows(id=[n, n + 1]) for n in range(THREADS)]
    found = together(partial(new_ids, given) for given in samples)
    assert found == [[n, n + 1] for n in range(THREADS)]


def test_db12_blocks_of_threads_do_not_disturb_each_other(store: MetadataStore) -> None:
    """A thread that reads while another one writes takes nothing from it."""
    entered, written = threading.Event(), threading.Event()

    def read() -> None:
        with store:
            entered.set()
            assert written.wait(PATIENCE)
        store.read("video")

    def write() -> None:
        assert entered.wait(PATIENCE)
        store.write("video", rows(id=["a"]))
        written.set()

    together([read, write])
    assert values(store.read("video")) == ["a"]


def test_db12_soft_deletes_and_writes_keep_their_own_times(store: MetadataStore) -> None:
    store.write("video", rows(id=[f"gone {n}" for n in range(THREADS)]))
    actions: list[Callable[[], Any]] = []
    for n in range(THREADS):
        actions.append(partial(store.delete, "video", nw.col("id") == f"gone {n}"))
        actions.append(partial(store.write, "video", rows(id=[f"new {n}"])))
    together(actions)
    stored = everything(store, "video")
    assert stored[c.METAXY_UPDATED_AT].null_count() == 0
    assert values(store.read("video")) == [f"new {n}" for n in range(THREADS)]


def test_db12_a_store_that_is_read_elsewhere_is_not_reopened_for_writing(make: StoreFactory) -> None:
    store = make()
    with store.open("w"):
        store.write("video", rows(id=["a"]))
    inside, tried = threading.Event(), threading.Event()

    def read() -> Any:
        with store:
            inside.set()
            assert tried.wait(PATIENCE)
            return values(store.read("video"))

    def write() -> None:
        assert inside.wait(PATIENCE)
        try:
            refusal = pytest.raises(StoreNotOpenError, match=r"open for reading in another thread; open it with")
            with refusal, store.open("w"):
                pass
        finally:
            tried.set()

    assert together([read, write]) == [["a"], None]


def test_frames_may_be_collected_in_another_thread(store: MetadataStore) -> None:
    store.write("video", rows(id=["a", "b"]))
    frames = [
        store.read("video"),
        store.read("video", filters=[nw.col("id") != "z"]),
        store.resolve_update("clip", lazy=True).new,
        store.resolve_update("video", samples=rows("2", id=["a", "b"]), lazy=True).stale,
    ]
    assert together([lambda: [values(frame) for frame in frames]]) == [[["a", "b"]] * len(frames)]


def test_frames_may_be_written_in_another_thread(store: MetadataStore) -> None:
    store.write("video", rows(id=["a"]))
    lazy = store.resolve_update("clip", lazy=True).new
    given = store.resolve_update("video", samples=rows("2", id=["b"]), lazy=True).new
    together([lambda: store.write_multi({"clip": lazy, "video": given})])
    assert values(store.read("clip")) == ["a"]
    assert values(store.read("video")) == ["a", "b"]


def test_threads_add_columns_at_once(store: MetadataStore) -> None:
    store.write("video", rows(id=["a"]))
    together(partial(store.write, "video", rows(id=[str(n)], same=[n], **{f"own_{n}": [n]})) for n in range(4))
    assert values(store.read("video"), "id", "same") == [("0", 0), ("1", 1), ("2", 2), ("3", 3), ("a", None)]
    assert {f"own_{n}" for n in range(4)} < set(store.read("video").collect_schema())


@pytest.mark.parametrize("name", ["delta", "lancedb"])
def test_stores_of_one_process_write_to_the_same_lake(tmp_path: Path, name: str) -> None:
    stores = [STORES[name](tmp_path) for _ in range(THREADS)]

    def work(number: int) -> None:
        with stores[number].open("w") as store:
            store.write("video", rows(id=[number]))

    together(partial(work, n) for n in range(THREADS))
    with stores[0] as store:
        assert values(store.read("video", with_sample_history=True)) == list(range(THREADS))
