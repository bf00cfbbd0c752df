"""What a store has of a feature: its rows, as a number and in one text, those of parts, and a few of them."""

from datetime import datetime, timedelta, timezone

import narwhals as nw
import polars as pl
from tests.factory import define, rows

from metaxy.definitions.keys import FeatureKey
from metaxy.service.assets import State, contents, newest, state_of
from metaxy.store.store import MetadataStore

VIDEO = FeatureKey("video")


def test_a_data_version_changes_with_rows_and_with_nothing_else(store: MetadataStore) -> None:
    define("video")

    def now() -> State:
        return contents(store, VIDEO).whole

    def write(**versions: str) -> State:
        store.write("video", rows(list(versions.values()), id=list(versions), size=[1] * len(versions)))
        return now()

    seen = [write(a="1", b="2"), write(a="2", b="1")]
    assert write(a="2", b="1") == seen[-1]  # written again as they are
    seen.append(write(c="1"))
    store.delete("video", [nw.col("id") == "c"], soft=True)
    assert now() == seen[1]  # as if it had never been there
    store.delete("video", [nw.col("id") == "a"], soft=True)
    seen.append(now())
    store.delete("video", everything=True, soft=False)
    assert now() == State() == State(0, "empty")
    assert len({state.data_version for state in seen}) == len(seen)
    assert [state.rows for state in seen] == [2, 2, 3, 1]


def test_parts_are_counted_in_the_same_pass(store: MetadataStore) -> None:
    define("video")
    days = {day: lambda types, day=day: [nw.col("day") == day] for day in ("mon", "tue", "wed")}  # noqa: ARG005
    english = lambda types: [nw.col("lang") == "en"]  # noqa: ARG005, E731
    store.write("video", rows(day=["mon", "tue", None], lang=["en", "de", "en"], id=["a", "b", "c"]))
    store.write("video", rows(id=["d"], day=["mon"], lang=["en"]), materialization_id="run")
    found = contents(store, VIDEO, among=english, parts=days, run="run")
    counts = {day: part.rows for day, part in found.parts.items()}
    assert (found.whole.rows, found.in_parts.rows, found.written) == (3, 2, 1)
    assert counts == {"mon": 2, "tue": 0, "wed": 0}
    before = contents(store, VIDEO, parts=days)
    store.write("video", rows("2", id=["b"], day=["tue"], lang=["de"]))
    after = contents(store, VIDEO, parts=days)
    changed = [day for day in days if before.parts[day] != after.parts[day]]
    assert (changed, before.in_parts != after.in_parts, after.written) == (["tue"], True, 0)
    assert newest(store, VIDEO, among=english, limit=2)["id"].to_list()[-1] == "d"
    shown = newest(store, VIDEO, limit=9)
    assert (shown.shape[0], shown.columns[0]) == (4, "id")


def test_a_state_of_any_frame_tells_swaps_and_equal_means_apart() -> None:
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)

    def frame(seconds: list[int], versions: str = "xy") -> pl.LazyFrame:
        times = [start + timedelta(seconds=second) for second in seconds]
        columns = {"id": ["a", "b"], "metaxy_data_version": list(versions), "metaxy_created_at": times}
        return pl.LazyFrame({**columns, "metaxy_provenance_by_field": [{"default": "p"}] * 2})

    frames = [frame([1, 3]), frame([3, 1]), frame([2, 2]), frame([1, 3], "yx")]
    assert len({state_of(each) for each in frames}) == 4
    assert len({state_of(each, ["id"]) for each in frames}) == 2  # when rows were written says nothing of their data
    assert state_of(frames[0]) == state_of(frames[0].collect().reverse().to_arrow()) != state_of(frames[0].head(1))
    assert state_of(frames[0].head(0)).data_version == "empty"
