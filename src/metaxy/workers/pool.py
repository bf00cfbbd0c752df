"""Workers: threads that do jobs at once, a few of which wait, so that memory does not grow with their number."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from functools import partial

from metaxy.workers.calls import Caller
from metaxy.workers.jobs import Computation, Done, Job


class Pool:
    """Does jobs in several threads; as many jobs as there are workers wait beside those that are done."""

    def __init__(self, how: Computation, caller: Callable[[], Caller], workers: int) -> None:
        self._how = how
        self._caller = caller
        self._workers = workers
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Done | BaseException | None] = queue.SimpleQueue()

    def run(self, jobs: Iterable[Job], stop: Callable[[], bool]) -> Iterator[Done]:
        """Yield jobs as they are done; once it must stop, only those that were begun."""
        left = threading.Event()
        for number in range(self._workers):
            work = partial(copy_context().run, self._work, lambda: left.is_set() or stop())
            threading.Thread(target=work, name=f"metaxy-worker-{number}", daemon=True).start()
        try:
            yield from self._results(iter(jobs), stop)
        finally:
            left.set()
            self._send_home()

    def _results(self, jobs: Iterator[Job], stop: Callable[[], bool]) -> Iterator[Done]:
        running, more = 0, True
        while True:
            while more and running < 2 * self._workers:
                job = None if stop() else next(jobs, None)
                if job is None:
                    more = False
                    self._send_home()
                else:
                    self._jobs.put(job)
                    running += 1
            if not running:
                return
            done = self._done.get()
            running -= 1
            if isinstance(done, BaseException):
                raise done
            if done is not None:
                yield done

    def _send_home(self) -> None:
        """Let workers end that get no more jobs: others may wait for what they have, such as CPUs of a cluster."""
        for _ in range(self._workers):
            self._jobs.put(None)

    def _work(self, stop: Callable[[], bool]) -> None:
        caller = self._caller()
        try:
            while (job := self._jobs.get()) is not None:
                try:
                    self._done.put(None if stop() else self._how.do(caller, job))
                except BaseException as error:  # whoever waits for the job must learn of it
                    self._done.put(error)
        finally:
            caller.close()
