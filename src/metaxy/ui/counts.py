"""Counts of features, which stores are asked for seldom: a page may show hundreds of them, in several windows.

A question that is being asked is never asked twice at the same time. An answer holds for a moment, and then as long as
the store says by its commit token that nothing changed; where it cannot say, for many times as long as counting took.
While a store is busy, or locked by a process that writes, the last answer is given, and said to be old.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from threading import Lock
from typing import Any, Final, NamedTuple

from metaxy.service.counts import Counts, counts
from metaxy.service.failures import Failure
from metaxy.service.project import Project

THREADS: Final = 2
MOMENT: Final = 2.0  # seconds
UNKNOWN: Final = 5.0  # seconds that an answer holds at least where the store cannot say whether it still does
SHARE: Final = 20  # times as long as counting took

Ask = Callable[["Subject", "Counts | None"], Counts]


class Subject(NamedTuple):
    """What is counted: a feature in a store."""

    feature: str
    store: str | None


@dataclass(frozen=True)
class Kept:
    """An answer, and until when it holds without asking."""

    counts: Counts
    until: float


class Counting:
    """Counts features, a few at a time.

    Args:
        ask: Counts one feature, or returns the counts that are known if they still hold.
        clock: Seconds, from anywhere.
    """

    def __init__(self, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, "metaxy-counts")
        self._lock = Lock()
        self._kept: dict[Subject, Kept] = {}
        self._running: dict[Subject, Future[dict[str, Any]]] = {}

    @classmethod
    def of(cls, project: Project) -> "Counting":
        """Count the features of a project."""

        def ask(subject: Subject, known: Counts | None) -> Counts:
            with project.active():
                return counts(project, subject.feature, store=subject.store, known=known)

        return cls(ask)

    def answer(self, subject: Subject) -> "Future[dict[str, Any]]":
        """Return the counts of a feature, soon: as JSON, with when they were counted, and whether they are old."""
        with self._lock:
            if subject in self._running:
                return self._running[subject]
            kept = self._kept.get(subject)
            if kept and self._clock() < kept.until:
                done: Future[dict[str, Any]] = Future()
                done.set_result(shown_counts(kept.counts))
                return done
            ask = partial(self._count, subject, kept.counts if kept else None)
            running = self._threads.submit(copy_context().run, ask)
            self._running[subject] = running
        running.add_done_callback(partial(self._done, subject))
        return running

    def last(self, subject: Subject) -> Counts | None:
        """Return the last counts of a feature, None if there are none."""
        kept = self._kept.get(subject)
        return kept.counts if kept else None

    def stop(self) -> None:
        """Count no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _count(self, subject: Subject, known: Counts | None) -> dict[str, Any]:
        began = self._clock()
        try:
            found = self._ask(subject, known)
        except Exception as error:
            if known is None or Failure.of(error).kind != "unreachable":
                raise
            return shown_counts(known, is_old=True)
        if found is known:  # it holds still
            found = replace(found, as_of=datetime.now(timezone.utc))
        now = self._clock()
        holds = MOMENT if found.token else max(UNKNOWN, SHARE * (now - began))
        self._kept[subject] = Kept(found, now + holds)
        return shown_counts(found)

    def _done(self, subject: Subject, _: "Future[dict[str, Any]]") -> None:
        with self._lock:
            self._running.pop(subject, None)


def shown_counts(found: Counts, *, is_old: bool = False) -> dict[str, Any]:
    """Return counts as JSON, with when they were counted, and whether they are old."""
    return found.stats.model_dump(mode="json") | {"as_of": found.as_of.isoformat(), "is_old": is_old}
