"""Counts are asked for seldom, one at a time, and the last ones are given while a store is busy."""

from datetime import datetime, timezone
from threading import Event
from typing import Any

import pytest

from metaxy.dag.stats import FeatureStats
from metaxy.errors import MetaxyError, StoreLockedError
from metaxy.service.counts import Counts
from metaxy.ui.counts import MOMENT, UNKNOWN, Counting, Subject

CROP = Subject("video/crop", None)


class Store:
    """Something that is counted, at times that a test sets."""

    def __init__(self, token: str | None = "1") -> None:
        self.token, self.rows, self.now = token, 0, 0.0
        self.asked: list[Counts | None] = []
        self.error: Exception | None = None
        self.counting = Counting(self.count, lambda: self.now)

    def count(self, subject: Subject, known: Counts | None) -> Counts:
        assert subject.feature == CROP.feature
        self.asked.append(known)
        if self.error:
            raise self.error
        self.rows += 1
        return Counts(FeatureStats(state="up_to_date", rows=self.rows), datetime.now(timezone.utc), self.token)

    def answer(self, subject: Subject = CROP) -> tuple[Any, Any]:
        found = self.counting.answer(subject).result(timeout=60)
        return found["rows"], found["is_old"]


def test_an_answer_holds_for_a_moment_and_then_as_the_store_says() -> None:
    store = Store()
    assert (store.answer(), store.answer(), len(store.asked)) == ((1, False), (1, False), 1)
    assert store.answer(Subject("video/crop", "other")) == (2, False)
    store.now = MOMENT + 1
    assert store.answer() == (3, False)
    assert store.asked[-1] is not None
    assert store.asked[-1].stats.rows == 1
    unknown = Store(token=None)
    unknown.answer()
    unknown.now = UNKNOWN - 1
    assert unknown.answer() == (1, False)
    unknown.now = UNKNOWN + 1
    assert unknown.answer() == (2, False)


def test_while_a_store_is_locked_the_last_answer_is_given_as_an_old_one() -> None:
    store = Store()
    store.error = StoreLockedError("locked")
    with pytest.raises(StoreLockedError):
        store.answer()
    store.error = None
    assert store.answer() == (1, False)
    store.now, store.error = MOMENT + 1, StoreLockedError("locked")
    assert store.answer() == (1, True)
    assert store.counting.last(CROP) is not None
    store.error = MetaxyError("broken")
    with pytest.raises(MetaxyError, match="broken"):
        store.answer()


def test_a_question_is_asked_once_at_a_time() -> None:
    begun, go_on = Event(), Event()

    class Slow(Store):
        def count(self, subject: Subject, known: Counts | None) -> Counts:
            begun.set()
            assert go_on.wait(60)
            return super().count(subject, known)

    store = Slow()
    first = store.counting.answer(CROP)
    assert begun.wait(60)
    others = [store.counting.answer(CROP) for _ in range(50)]
    go_on.set()
    assert {each.result(timeout=60)["rows"] for each in (first, *others)} == {1}
    assert len(store.asked) == 1
