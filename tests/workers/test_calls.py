"""Functions that hang, die, exit or cannot be pickled, in threads, processes and event loops; no store is needed."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl
import pytest

from metaxy.workers.calls import Caller, StartError, ThreadRemote
from metaxy.workers.executors import callers
from metaxy.workers.function import Function
from metaxy.workers.jobs import Computation, Done, Job
from metaxy.workers.pool import Pool
from metaxy.workers.results import Contract, ResultError
from metaxy.workers.shape import Shape


@contextmanager
def caller_of(fn: Any, **options: Any) -> Iterator[Caller]:
    with callers(Function.of(fn), options.pop("executor", None), options.pop("timeout", None)) as make:
        caller = make()
        try:
            yield caller
        finally:
            caller.close()


def done(fn: Any, batches: int = 1, size: int = 4, workers: int = 1, **options: Any) -> list[Done]:
    """Compute batches of numbers."""
    how = Computation(Function.of(fn), Contract(("n",)), Shape({}), options.pop("retries", 0))
    jobs = [
        Job(pl.DataFrame({"n": range(size * batch, size * (batch + 1))}), range(size + 1)) for batch in range(batches)
    ]
    with callers(how.function, options.get("executor"), options.get("timeout")) as make:
        return sorted(Pool(how, make, workers).run(jobs, lambda: False), key=lambda each: each.job.rows["n"][0])


HANGS = threading.Event()


def hang(row: dict[str, int]) -> dict[str, int]:
    if row["n"] == 1:
        HANGS.wait()
    return {"twice": 2 * row["n"]}


async def hang_later(row: dict[str, int]) -> dict[str, int]:
    if row["n"] == 1:
        await asyncio.Event().wait()
    return {"twice": 2 * row["n"]}


async def block(row: dict[str, int]) -> dict[str, int]:
    return hang(row)


def die(row: dict[str, int]) -> dict[str, int]:
    if row["n"] == 2:
        os._exit(7)
    if row["n"] == 3:
        raise ValueError(lambda: "cannot be pickled")
    return {"twice": 2 * row["n"], "process": os.getpid()}


def give_lambda(row: dict[str, int]) -> Any:
    return lambda: row


@pytest.mark.parametrize(
    ("fn", "what"),
    [
        (hang, "did not return within 0.2 s; its thread goes on in the background, as threads cannot be ended"),
        (hang_later, "did not return within 0.2 s"),
        (block, "did not return within 0.2 s; it blocks the event loop, which goes on in the background"),
    ],
)
def test_a_call_that_hangs_is_given_up_and_the_others_go_on(fn: Any, what: str) -> None:
    HANGS.clear()
    found = done(fn, batches=2, timeout=0.2, workers=2)
    HANGS.set()
    failures = [(each.ids, each.error_type, each.message) for one in found for each in one.failures]
    assert ({"n": 1}, "TimeoutError", what) in failures
    numbers = [n for one in found for n in one.results["n"]]
    assert sorted([*numbers, *(ids["n"] for ids, _, _ in failures)]) == list(range(8))
    assert len(numbers) >= 6  # another call may have been in the loop that was blocked


def test_columns_are_those_of_most_results() -> None:
    """One that is strange, although it comes first, does not make all others fail."""

    def odd(row: dict[str, int]) -> dict[str, int]:
        return {"once": 1} if row["n"] == 0 else {"twice": 2 * row["n"]}

    found = done(odd, batches=6, size=1)
    failures = [(each.ids["n"], each.message) for one in found for each in one.failures]
    assert failures == [(1, "returned no column 'once', which other results have. It returned: n, twice")]


def test_processes_that_hang_or_die_are_replaced() -> None:
    [one] = done(die, executor="process")
    assert one.results["twice"].to_list() == [0, 2]
    assert [(each.ids["n"], each.error_type, each.message.partition(" at 0x")[0]) for each in one.failures] == [
        (2, "WorkerDied", "its process ended by itself with code 7"),
        (3, "ValueError", "<function die.<locals>.<lambda>"),
    ]
    assert os.getpid() not in one.results["process"]
    with caller_of(hang, executor="process", timeout=2.0) as caller:
        outcomes = [*caller.run([{"n": 1}, {"n": 5}])]
        assert [each.message for each in outcomes] == ["did not return within 2 s; its process was ended", ""]
        assert outcomes[1].value == {"twice": 10}
    with caller_of(give_lambda, executor="process") as caller:
        [outcome] = caller.run([{"n": 1}])
        assert outcome.failed
        assert outcome.message.startswith("what it returned cannot be pickled: ")


class Unloadable:
    """Is pickled as something that cannot be loaded."""

    def __call__(self, row: dict[str, int]) -> dict[str, int]:
        return row

    def __reduce__(self) -> Any:
        return int, ("x",)


def test_a_process_that_cannot_start_says_why() -> None:
    with caller_of(Unloadable(), executor="process") as caller, pytest.raises(StartError, match="cannot load function"):
        [*caller.run([{}])]


class OneAtATime:
    """Starts what a worker can have only when no other worker has it, as on a cluster that is full."""

    def __init__(self) -> None:
        self.waiting = threading.Semaphore(0)
        self.free = threading.Semaphore(1)

    def starting(self, function: Function) -> Any:
        launcher = self

        class Place(ThreadRemote):
            def __init__(self) -> None:
                launcher.waiting.release()
                launcher.free.acquire()
                super().__init__(function)

            def give_up(self, *, died: bool = False) -> str:
                launcher.free.release()
                return super().give_up(died=died)

        return Place


def test_workers_without_a_place_get_that_of_others_which_have_nothing_to_do() -> None:
    launcher = OneAtATime()

    def wait_for_the_others(row: dict[str, int]) -> dict[str, int]:
        for _ in range(0 if all_wait.is_set() else 3):
            launcher.waiting.acquire()
        all_wait.set()
        return row

    all_wait = threading.Event()
    found = done(wait_for_the_others, batches=5, size=1, workers=3, executor=launcher)
    assert [each.results["n"].to_list() for each in found] == [[0], [1], [2], [3], [4]]


def test_what_a_function_takes_is_read_from_its_annotation() -> None:
    def text(given: "pd.DataFrame") -> None: ...  # type: ignore[name-defined] # noqa: F821
    def rows(given: "list[Unknown]") -> None: ...  # type: ignore[name-defined] # noqa: F821
    def bare(given) -> None: ...  # type: ignore[no-untyped-def]

    assert [Function.of(fn).rows for fn in (text, rows, hang, Unloadable())] == ["frame", "many", "one", "one"]
    assert Function.of(text).frame == ("pandas", "DataFrame")
    with pytest.raises(TypeError, match="nothing says what function bare takes"):
        Function.of(bare)


def test_memory_is_bounded_by_the_workers() -> None:
    """No more batches are taken than workers have, and one more for each."""
    taken: list[int] = []
    most: list[int] = []
    release = threading.Semaphore(0)

    def wait(row: dict[str, int]) -> dict[str, int]:
        release.acquire()
        return row

    def jobs() -> Iterator[Job]:
        for number in range(20):
            taken.append(number)
            yield Job(pl.DataFrame({"n": [number]}), range(2))

    how = Computation(Function.of(wait), Contract(("n",)), Shape({}))
    with callers(how.function, None, None) as make:
        release.release(20)
        for count, _ in enumerate(Pool(how, make, 2).run(jobs(), lambda: False)):
            most.append(len(taken) - count)
    assert len(most) == 20
    assert max(most) <= 4


def test_once_it_must_stop_only_what_was_begun_is_done() -> None:
    began: list[int] = []
    stop = threading.Event()

    def work(row: dict[str, int]) -> dict[str, int]:
        began.append(row["n"])
        stop.set()
        return row

    how = Computation(Function.of(work), Contract(("n",)), Shape({}))
    jobs = [Job(pl.DataFrame({"n": [number]}), range(2)) for number in range(10)]
    with callers(how.function, None, None) as make:
        found = [*Pool(how, make, 1).run(jobs, stop.is_set)]
    assert [each.job.rows["n"].to_list() for each in found] == [[0]]
    assert began == [0]


def test_children_say_whose_they_are() -> None:
    contract, given = Contract(("id",), ("n",)), [{"id": "a"}, {"id": "b"}]
    for rows in ([{"n": 1}, {"n": 2}], [{"n": 1}, {"id": "b", "n": 1}, {"id": "b", "n": 2}]):
        with pytest.raises(ResultError, match=f"returned {len(rows)} rows for 2 without 'id', so that nothing says"):
            contract.of_many(given, rows)
    by_place = contract.of_many(given, [[{"n": 1}], []])
    assert by_place == [(0, [{"n": 1, "id": "a"}]), (1, [])]
