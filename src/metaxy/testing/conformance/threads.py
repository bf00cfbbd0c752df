"""One store, or one place, and many threads."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Final

import narwhals as nw
import pytest

from metaxy import columns as c
from metaxy.errors import StoreNotOpenError
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.case import StoreCase, StoreFactory
from metaxy.testing.conformance.factory import define, everything, ids, rows, values

THREADS: Final = 8
PATIENCE: Final = 60  # seconds after which a thread that never comes counts as lost


def together(actions: Iterable[Callable[[], Any]]) -> list[Any]:
    """Run actions in threads that start at the same moment, each with the graph and the settings of this one."""
    todo = list(actions)
    barrier = threading.Barrier(len(todo), timeout=PATIENCE)

    def run(action: Callable[[], Any]) -> Any:
        barrier.wait()
        return action()

    with ThreadPoolExecutor(len(todo)) as pool:
        return [future.result(PATIENCE) for future in [pool.submit(copy_context().run, run, act) for act in todo]]


class Threads(StoreCase):
    """Threads that write at once lose nothing, and see no part of a row."""

    @pytest.fixture
    def features(self) -> None:
        """A feature and one that depends on it; without threads, there is nothing to test."""
        if not self.several_threads:
            pytest.skip("the store says that several_threads = False")
        define("video")
        define("clip", "video")

    @pytest.mark.usefixtures("features")
    def test_threads_write_and_read_one_store(self, store: MetadataStore) -> None:
        def work(number: int) -> list[int]:
            for turn in range(3):
                store.write("video", rows(str(turn), id=[number], turn=[turn]))
            return values(store.read("video", filters=[nw.col("id") == number]), "id", "turn")

        found = together(partial(work, number) for number in range(THREADS))
        assert found == [[(number, 2)] for number in range(THREADS)]
        stored = everything(store, "video")
        assert stored.height == 3 * THREADS
        assert stored[c.METAXY_UPDATED_AT].n_unique() == 3 * THREADS

    @pytest.mark.usefixtures("features")
    def test_threads_that_write_the_same_sample_leave_one_of_their_rows(self, store: MetadataStore) -> None:
        together(partial(store.write, "video", rows(str(n), id=["a"], u=[n], v=[n])) for n in range(THREADS))
        [(u, v, by_field)] = values(store.read("video"), "u", "v", c.METAXY_PROVENANCE_BY_FIELD)
        assert u == v == int(by_field["default"])
        assert values(store.read("video", with_sample_history=True), "u") == list(range(THREADS))

    @pytest.mark.usefixtures("features")
    def test_threads_resolve_and_delete(self, store: MetadataStore) -> None:
        store.write("video", rows(id=list(range(THREADS))))
        store.write("clip", store.resolve_update("clip").new)

        def work(number: int) -> Any:
            store.delete("video", nw.col("id") == number)
            return ids(store.resolve_update("clip", filters={"clip": [nw.col("id") == number]}))[2]

        assert together(partial(work, n) for n in range(THREADS)) == [[n] for n in range(THREADS)]
        assert ids(store.resolve_update("clip")) == ([], [], list(range(THREADS)))

    @pytest.mark.usefixtures("features")
    def test_each_thread_opens_and_closes_for_itself(self, make: StoreFactory) -> None:
        store = make()

        def work(number: int) -> None:
            for _ in range(3):
                with store.open("w"):
                    store.write("video", rows(id=[number]))

        together(partial(work, n) for n in range(4))
        with pytest.raises(StoreNotOpenError):
            store.read("video")
        with store:
            assert values(store.read("video")) == [0, 1, 2, 3]

    @pytest.mark.usefixtures("features")
    def test_stores_of_one_place_write_at_once(self, make: StoreFactory) -> None:
        if not self.several_writers:
            pytest.skip("the store says that several_writers = False")
        stores = [make() for _ in range(THREADS // 2)]

        def work(number: int) -> None:
            with stores[number].open("w") as store:
                for turn in range(2):
                    store.write("video", rows(id=[f"{number} {turn}"]))

        together(partial(work, number) for number in range(len(stores)))
        with stores[0] as store:
            written = values(store.read("video", with_sample_history=True))
        assert written == [f"{number} {turn}" for number in range(len(stores)) for turn in range(2)]
