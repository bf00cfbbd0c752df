"""Looking back: the state of features at an earlier time."""

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import narwhals as nw
import pytest
from tests.factory import define, everything, ids, rows, values

from metaxy import columns as c
from metaxy.store.store import MetadataStore


@pytest.fixture(autouse=True)
def features() -> None:
    define("video")
    define("clip", "video")


def test_later_writes_and_deletions_do_not_count(store: MetadataStore) -> None:
    changes: list[tuple[Callable[[], object], list[tuple[str, int]]]] = [
        (lambda: None, []),
        (lambda: store.write("video", rows("1", id=["a", "b"], n=[1, 1])), [("a", 1), ("b", 1)]),
        (lambda: store.write("video", rows("2", id=["a"], n=[2])), [("a", 2), ("b", 1)]),
        (lambda: store.delete("video", nw.col("id") == "a"), [("b", 1)]),
        (lambda: store.write("video", rows("3", id=["a"], n=[3])), [("a", 3), ("b", 1)]),
    ]
    store.write("video", rows("0", id=["a"], n=[0]))
    store.delete("video", everything=True, soft=False)
    states = []
    for change, state in changes:
        change()
        states.append((store.clock.now(), state))
    for moment, state in states:
        assert values(store.read("video", as_of=moment), "id", "n") == state
        local = moment.astimezone(timezone(timedelta(hours=5)))
        assert values(store.read("video", as_of=local, filters=[nw.col("n") > 0]), "id", "n") == state
    assert values(store.read("video"), "id", "n") == states[-1][1]


def test_the_moment_of_a_write_counts(store: MetadataStore) -> None:
    store.write("video", rows(id=["a"]))
    moment = everything(store, "video")[c.METAXY_UPDATED_AT].item()
    assert values(store.read("video", as_of=moment)) == ["a"]
    assert values(store.read("video", as_of=moment - timedelta(microseconds=1))) == []


def test_updates_compare_the_state_of_a_moment(store: MetadataStore) -> None:
    store.write("video", rows("1", id=["a", "b"]))
    store.write("clip", store.resolve_update("clip").new)
    before = store.clock.now()
    store.write("video", rows("2", id=["a", "c"]))
    store.delete("video", nw.col("id") == "b")

    def state(moment: datetime | None, engine: Any, lazy: Any) -> object:
        return ids(store.resolve_update("clip", versioning_engine=engine, as_of=moment, lazy=lazy).collect())

    for engine, lazy in itertools.product(("auto", "polars"), (True, False)):
        assert state(None, engine, lazy) == (["c"], ["a"], ["b"]), (engine, lazy)
        assert state(before, engine, lazy) == ([], [], []), (engine, lazy)


@pytest.mark.three_stores
def test_a_time_without_a_zone_is_refused(store: MetadataStore) -> None:
    store.write("video", rows(id=["a"]))
    for act in (store.read, store.resolve_update):
        with pytest.raises(ValueError, match="as_of needs a time zone"):
            act("video", as_of=datetime(2026, 1, 1))
