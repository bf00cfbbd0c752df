"""Many small jobs in threads: results in the order of the jobs, bounded memory, a bar on terminals."""

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, TypeVar, cast

from typing_extensions import Self

from metaxy.progress import Progress, progress

Item = TypeVar("Item")
Result = TypeVar("Result")
TICK: Final = 0.2  # seconds between two looks at what was done
PATIENCE: Final = 0.5  # seconds that work may take without a bar


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_workers(workers: int | None) -> None:
    """Refuse anything but a number of threads, or None.

    Raises:
        ValueError: if it is none.
    """
    if workers is not None:
        check_number("workers", workers, 1, " on, or None")


def check_number(name: str, value: Any, least: int, others: str = " on") -> None:
    """Refuse anything but a whole number from some one on.

    Raises:
        ValueError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is a number from {least}{others}, not {value!r}")


@dataclass
class Threads(Generic[Item, Result]):
    """Calls a function for items in threads; where it raises, all of them stop and the error is raised."""

    function: Callable[[Item], Result]
    items: Sequence[Item]
    workers: int
    results: "list[Result | None]" = field(init=False)
    stopped: bool = False
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.results = [None] * len(self.items)
        self._places = itertools.count()  # the next one is taken in one step of the interpreter
        self._finished: list[int] = []

    def run(self) -> Iterator[list[int]]:
        """Yield the places of what was finished since the last time, now and then, until everything is.

        Raises:
            BaseException: what the function raised; what was begun by other threads is finished first.
        """
        threads = [
            threading.Thread(target=self._work, name=f"metaxy-content-{number}", daemon=True)
            for number in range(min(self.workers, len(self.items)))
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(TICK)
                    yield self._take()
            yield self._take()
        finally:  # after Ctrl-C, nobody waits for what is being done
            self.stopped = True
        if self.error is not None:
            raise self.error

    def _take(self) -> list[int]:
        finished = self._finished[:]
        del self._finished[: len(finished)]  # threads append to the same list meanwhile
        return finished

    def _work(self) -> None:
        items, results, function = self.items, self.results, self.function
        try:
            while not self.stopped and (place := next(self._places)) < len(items):
                results[place] = function(items[place])
                self._finished.append(place)
        except BaseException as error:
            self.error, self.stopped = error, True


def in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    bar: "LateBar | None" = None,
    finished: Callable[[Sequence[tuple[Item, Result]]], None] | None = None,
) -> list[Result]:
    """Return what a function gives for each item, in their order; it is called in threads.

    Args:
        function: Should return errors rather than raise them: what it raises ends everything.
        items: The jobs.
        workers: How many threads; as many as there are processors if it is None.
        bar: Is told how many are done.
        finished: Is called now and then in this thread, with what was finished since the last time.

    >>> in_threads(lambda number: number * 2, [1, 2, 3], workers=2)
    [2, 4, 6]
    """
    check_workers(workers)
    threads = Threads(function, items, workers or processors())
    for places in threads.run():
        if bar is not None:
            bar.advance(len(places), 0)
        if finished is not None and places:
            finished([(items[place], cast("Result", threads.results[place])) for place in places])
    return cast("list[Result]", threads.results)


class LateBar:
    """A bar that begins once the work has taken longer than a moment, on terminals unless it is said otherwise."""

    def __init__(self, what: str, total: int, *, unit: str, shown: bool | None = None) -> None:
        self._begin = partial(progress, what, total, shown=True, unit=unit)
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._began, self._done = time.monotonic(), 0
        self._bar: Progress | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def advance(self, done: int, failed: int) -> None:
        """Count what was done, and begin if it is time."""
        self._done += done
        if self._bar is not None:
            self._bar.advance(done, failed)
        elif self._shown and time.monotonic() - self._began > PATIENCE:
            self._bar = self._stack.enter_context(self._begin())
            self._bar.advance(self._done, 0)

    def note(self, text: str) -> None:
        """Say something, if there is a bar."""
        if self._bar is not None:
            self._bar.note(text)
