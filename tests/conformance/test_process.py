"""From increment to result: what is new and stale is computed by a function, and written as it comes."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.factory import define, rows, values
from tests.stores import STORES

from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import ProcessError, StoreNotOpenError, TooManyOrphansError
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars, polars_chunks


def size(row: dict[str, Any]) -> dict[str, Any]:
    return {"size": 10 * row["n"]}


@pytest.fixture
def videos(store: MetadataStore) -> MetadataStore:
    """Three videos; clips depend on them, and there are none."""
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a", "b", "c"], n=[1, 2, 3]))
    return store


def clips(store: MetadataStore) -> list[Any]:
    return values(store.read("clip"), "id", "size")


def test_what_is_new_and_stale_is_computed_and_nothing_else(videos: MetadataStore) -> None:
    seen: list[str] = []

    def sizes(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        seen.extend(row["id"] for row in given)
        assert all(row.keys() == {"id", "n"} for row in given)
        return [{**size(row), "id": row["id"]} for row in reversed(given)]

    report = videos.process("clip", sizes, batch_size=2, limit=2, order_by="id", progress=False)
    assert (report.total, report.done, report.rows, report.new, seen) == (2, 2, 2, 2, ["a", "b"])
    assert (report.limited, report.in_sync) == (True, False)
    assert not videos.process("clip", sizes, limit=0, progress=False).in_sync
    videos.write("video", rows("2", id=["a"], n=[5]))
    report = videos.process("clip", sizes, first="stale", limit=2, progress=False)
    assert (report.total, report.done, report.new, report.stale, report.in_sync) == (2, 2, 1, 1, True)
    assert seen[2:] == ["a", "c"]
    assert clips(videos) == [("a", 50), ("b", 20), ("c", 30)]
    assert videos.process("clip", sizes, progress=False).total == 0
    increment = videos.resolve_update("clip")
    assert (len(increment.new), len(increment.stale)) == (0, 0)


async def size_later(row: dict[str, Any]) -> dict[str, Any]:
    return size(row)


async def sizes_later(given: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for row in given:
        yield size(row)


def sizes_one_by_one(given: "list[dict[str, Any]]") -> Iterator[dict[str, Any]]:
    yield from map(size, given)


def sizes_of_frame(given: pl.DataFrame) -> pl.DataFrame:
    return given.select("id", size=pl.col("n") * 10)


def sizes_in_parts(given: "pl.DataFrame") -> Iterator[pl.DataFrame]:
    for part in given.iter_slices(1):
        yield sizes_of_frame(part)


@pytest.mark.three_stores
def test_functions_of_all_shapes_compute_alike(videos: MetadataStore) -> None:
    shapes: list[tuple[Any, dict[str, Any]]] = [
        (size, {}),
        (lambda row: size(row), {"rows": "one"}),
        (lambda given: list(map(size, given)), {"rows": "many", "workers": 3, "batch_size": 1}),
        (lambda given: given.select("id", size=given["n"] * 10).to_arrow(), {"rows": "frame"}),
        (size_later, {"workers": 4}),
        (size_later, {"executor": "thread"}),
        (size_later, {"timeout": 60}),
        (sizes_later, {}),
        (sizes_one_by_one, {"timeout": 60}),
        (sizes_of_frame, {"batch_size": 2}),
        (sizes_in_parts, {}),
    ]
    for fn, options in shapes:
        report = videos.process("clip", fn, skip_comparison=True, progress=False, **options)
        assert (report.done, clips(videos)) == (3, [("a", 10), ("b", 20), ("c", 30)]), fn
        videos.delete("clip", everything=True)


def test_a_closed_store_is_opened_when_it_is_needed(make: Any) -> None:
    store: MetadataStore = make()
    define("video")
    define("clip", "video")
    with store.open("w"):
        store.write("video", rows(id=["a"], n=[1]))
    with store, pytest.raises(StoreNotOpenError, match="is open for reading only"):
        store.process("clip", size)
    assert store.process("clip", size, progress=False).done == 1
    assert store.session.mode is None
    with store:
        assert clips(store) == [("a", 10)]


@pytest.mark.three_stores
def test_samples_of_a_root_come_from_the_user(store: MetadataStore) -> None:
    define("video")
    listed = rows(id=["a", "b", "c"], n=[1, 2, 3])
    assert store.process("video", size, samples=listed, progress=False).done == 3
    with pytest.raises(TooManyOrphansError):  # before anything is computed
        store.process("video", size, samples=rows(id=["d"], n=[4]), orphaned="delete", progress=False)
    assert values(store.read("video"), "id") == ["a", "b", "c"]

    def delete_others(row: dict[str, Any]) -> dict[str, Any]:
        store.delete("video", "id != 'a' AND id != 'b'", soft=False)
        return size(row)

    few = rows(id=[f"d{n}" for n in range(9)], n=list(range(9)))
    all_few = pl.concat([listed, few])
    assert store.process("video", size, samples=all_few, progress=False).done == 9
    one = pl.concat([all_few.tail(10), rows(id=["x"], n=[1])])
    with pytest.raises(
        ProcessError, match="function delete_others: 1 of 1 samples are computed and written, but"
    ) as late:
        store.process("video", delete_others, samples=one, orphaned="soft_delete", progress=False)
    assert late.value.report.done == 1
    store.delete("video", everything=True, soft=False)
    assert store.process("video", size, samples=listed, progress=False).done == 3
    assert store.process("video", size, samples=listed.tail(2), orphaned="soft_delete", progress=False).orphaned == 1
    renewed = pl.concat([rows("2", id=["b"], n=[2]), listed.tail(1)])
    assert store.process("video", size, samples=renewed, progress=False).stale == 1
    # one sample, of which there are two rows
    assert store.process("video", size, samples=listed.tail(1), orphaned="delete", progress=False).orphaned == 1
    assert values(store.read("video", include_soft_deleted=True), "id", "size") == [("a", 10), ("c", 30)]


@pytest.mark.three_stores
def test_children_shrink_and_vanish(store: MetadataStore) -> None:
    define("text", ids=["text"])
    define("chunk", FeatureDep(feature="text", lineage=LineageRelationship.expansion(on=["text"])), ids=["text", "k"])

    def cut(row: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"k": k} for k in range(row["n"])]

    def cut_many(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"text": row["text"], "k": k} for row in given for k in range(row["n"])]

    def cut_by_place(given: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        return list(map(cut, given))

    def cut_frame(given: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame(cut_many(given.rows(named=True)), {"text": pl.String, "k": pl.Int64})

    def numbers(**counts: int) -> list[tuple[str, int]]:
        return [(text, k) for text, count in counts.items() for k in range(count)]

    for version, (fn, counts) in enumerate(
        [
            (cut, {"a": 3, "b": 0, "c": 2}),
            (cut_many, {"a": 1, "b": 0, "c": 0}),
            (cut_by_place, {"a": 0, "b": 2, "c": 3}),
            (cut_frame, {"a": 2, "b": 0, "c": 1}),
        ]
    ):
        store.write("text", rows(str(version), text=list(counts), n=list(counts.values())))
        report = store.process("chunk", fn, progress=False)
        assert (report.done, report.rows) == (3, sum(counts.values()))
        assert values(store.read("chunk"), "text", "k") == numbers(**counts)
        assert store.process("chunk", fn, progress=False).total == 0


@pytest.mark.three_stores
def test_groups_come_whole(store: MetadataStore) -> None:
    define("frame", ids=["video", "k"])
    define("video", FeatureDep(feature="frame", lineage=LineageRelationship.aggregation(on=["video"])), ids=["video"])
    frames = [(f"v{n % 7}", n) for n in range(50)]
    store.write("frame", rows(video=[video for video, _ in frames], k=[k for _, k in frames]))

    def sums(given: pl.DataFrame) -> pl.DataFrame:
        return given.group_by("video").agg(total=pl.col("k").sum(), size=pl.len())

    report = store.process("video", sums, batch_size=2, limit=5, progress=False)
    assert (report.total, report.done) == (5, 5)
    assert store.process("video", sums, batch_size=2, progress=False).done == 2
    expected = [(f"v{v}", sum(n for n in range(50) if n % 7 == v)) for v in range(7)]
    assert values(store.read("video"), "video", "total") == expected

    def once(row: dict[str, Any]) -> dict[str, Any]:
        return {"total": len(row["video"]), "size": 0}

    assert store.process("video", once, skip_comparison=True, progress=False).done == 7


BAD: list[tuple[Any, str]] = [
    (lambda _: None, "ResultError: returned None instead of a dict"),
    (lambda _: [], "ResultError: returned 0 rows for one"),
    (lambda _: "x", "ResultError: returned a str instead of a dict"),
    (lambda _: {"id": "z"}, "ResultError: returned a row for id = 'z', which it was not given"),
    (lambda _: {"metaxy_provenance": "x"}, "ResultError: returned 'metaxy_provenance', a column that Metaxy fills"),
    (lambda _: {"size": "x"}, "ResultError: returned 'size' as String, not Int64"),
    (lambda _: {"size": object()}, "ResultError: returned 'size' as a object, which cannot be stored"),
    (lambda _: {"size": "\ud800"}, "ResultError: returned 'size' as a str, which cannot be stored"),
    (lambda _: {"size": 1, "more": 2}, "ResultError: returned a column 'more', which other results do not have"),
    (lambda _: {"SIZE": 1, "size": 1}, "ResultError: returned columns that differ only by case: 'SIZE', 'size'"),
    (lambda _: {"size": 1, "": 2}, "ResultError: returned a column '', which has no name"),
    (lambda _: {"size": 1, 3: 2}, "ResultError: returned a column 3, which has a name that is no text"),
    (lambda _: {"id": np.zeros(2)}, "ValueError: The truth value of an array with more than one element is ambiguous."),
    (lambda _: 1 / 0, "ZeroDivisionError: division by zero"),
    (lambda _: exit(3), "SystemExit: 3"),
]


@pytest.mark.three_stores
def test_a_bad_result_is_named_with_its_sample_and_the_others_are_written(videos: MetadataStore) -> None:
    videos.process("clip", size, filters={"video": "id = 'a'"}, progress=False)
    for bad, message in BAD:

        def mostly(row: dict[str, Any], bad: Any = bad) -> Any:
            return bad(row) if row["id"] == "b" else size(row)

        with pytest.raises(ProcessError) as caught:
            videos.process("clip", mostly, batch_size=2, skip_comparison=True, on_error="raise", progress=False)
        assert f"feature clip, function mostly, sample id = 'b': {message}" in str(caught.value)
        assert caught.value.report.failed == 1
        assert "\n" not in str(caught.value)
    assert ("b", 20) not in clips(videos)


@pytest.mark.three_stores
def test_a_failing_batch_is_split_until_the_culprit_is_alone(videos: MetadataStore) -> None:
    videos.write("video", rows(id=[f"v{n}" for n in range(20)], n=list(range(20))))
    calls: list[int] = []

    def bad(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        calls.append(len(given))
        if any(row["id"] == "v7" for row in given):
            raise ValueError("cannot\nread")
        return list(map(size, given))

    def short(given: pl.DataFrame) -> pl.DataFrame:
        return sizes_of_frame(given.filter(pl.col("id") != "v7"))

    with pytest.raises(ProcessError, match="function bad, sample id = 'v7': ValueError: cannot read; 22 of 23 samples"):
        videos.process("clip", bad, on_error="raise", progress=False)
    assert calls[0] == 23
    assert len(calls) < 15
    with pytest.raises(ProcessError, match="sample id = 'v7': ResultError: returned no row for id = 'v7'; 22 of 23"):
        videos.process("clip", short, skip_comparison=True, on_error="raise", progress=False)
    assert len(clips(videos)) == 22


@pytest.mark.three_stores
def test_errors_are_recorded_and_forgotten_when_the_sample_is_written(videos: MetadataStore) -> None:
    def picky(row: dict[str, Any]) -> dict[str, Any]:
        return {"size": 10 // (row["n"] - 2)}

    for attempt in (1, 2):
        report = videos.process("clip", picky, materialization_id="run", progress=False)
        assert (report.failed, report.total, report.in_sync) == (1, 3 if attempt == 1 else 1, False)
        columns = ["id", "attempt", "error_type", "error_message", "run_id"]
        found = videos.read_errors("clip").select(columns).rows()
        assert found == [("b", attempt, "ZeroDivisionError", "integer division or modulo by zero", "run")]
    assert videos.process("clip", picky, errors="skip", progress=False).total == 0
    assert videos.process("clip", size, progress=False).done == 1
    assert len(videos.read_errors("clip")) == 0


@pytest.mark.three_stores
def test_parents_that_fail_keep_their_children(store: MetadataStore) -> None:
    define("text", ids=["text"])
    define("chunk", FeatureDep(feature="text", lineage=LineageRelationship.expansion(on=["text"])), ids=["text", "k"])

    def cut(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for k in range(row["n"]):
            if k == 2:
                raise ValueError("too long")
            yield {"k": k}

    store.write("text", rows("1", text=["a", "b"], n=[2, 1]))
    store.process("chunk", cut, progress=False)
    store.write("text", rows("2", text=["a", "b"], n=[3, 0]))
    report = store.process("chunk", cut, progress=False)
    assert (report.done, report.failed) == (1, 1)
    assert values(store.read("chunk"), "text", "k") == [("a", 0), ("a", 1)]
    assert values(store.read_errors("chunk"), "text", "error_message") == [("a", "too long")]


@pytest.mark.three_stores
def test_a_call_is_tried_again(videos: MetadataStore) -> None:
    calls: list[str] = []

    def flaky(row: dict[str, Any]) -> dict[str, Any]:
        calls.append(row["id"])
        if calls.count(row["id"]) < 3:
            raise OSError("busy")
        return size(row)

    assert videos.process("clip", flaky, retries=2, batch_size=3, progress=False).done == 3
    assert sorted(calls) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3


def test_arguments_are_checked_before_anything_is_done(make: Any) -> None:
    define("video")
    define("clip", "video")
    store: MetadataStore = make()
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (size, {"batch_size": 0}, "batch_size is at least 1, not 0"),
        (size, {"orphaned": "x"}, "orphaned is 'keep' or 'soft_delete' or 'delete', not 'x'"),
        (size, {"retires": 1}, "process has no option 'retires'. Did you mean 'retries'?"),
        (lambda row: row, {}, "nothing says what function <lambda> takes"),
        (3, {}, "fn is a int, which cannot be called"),
    ]
    for fn, options, message in wrong:
        with pytest.raises((ValueError, TypeError), match=message.replace("?", ".")):
            store.process("clip", fn, **options)
    with store.open("w"):
        store.write("video", rows(id=["a"], n=[1]))
        with pytest.raises(ValueError, match=r"order_by: samples have no column 'm'\. They have: id, n"):
            store.process("clip", size, order_by="m", progress=False)
        with pytest.raises(TypeError, match="function <lambda> cannot be pickled"):
            store.process("clip", lambda row: row, rows="one", executor="process", progress=False)
        with pytest.raises(ValueError, match="function size is not async"):
            store.process("clip", size, executor="async", progress=False)


def test_types_are_those_of_the_table(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a", "b", "c", "d"], n=[1, 2, 3, 4]))
    store.process("clip", lambda _: {"x": 0.5, "t": None}, rows="one", limit=1, order_by="id", progress=False)
    store.process("clip", lambda row: {"x": row["n"], "t": None}, rows="one", progress=False)
    found = collect_to_polars(store.read("clip", columns=["id", "x"])).sort("id")
    assert found["x"].to_list() == [0.5, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("name", ["postgresql", "sqlite", "clickhouse"])
def test_rows_of_servers_come_piece_by_piece(tmp_path: Path, name: str) -> None:
    define("video")
    times = [datetime(2026, 1, 1, 12, n, tzinfo=timezone.utc) for n in range(7)]
    texts = ["", "two\nlines", 'a "quote", and more', None, "\\N", "é", "7"]
    with STORES[name](tmp_path).open("w") as store:
        store.write(
            "video", rows(id=list("abcdefg"), n=range(7), t=times, text=texts, many=[[n] * n for n in range(7)])
        )
        frame = store.read("video").sort("id")
        whole = collect_to_polars(frame)
        for size, heights in ((3, [3, 3, 1]), (7, [7]), (10, [7])):
            pieces = list(polars_chunks(frame, size))
            assert [piece.height for piece in pieces] == heights
            assert_frame_equal(pl.concat(pieces), whole)
        assert sum(piece.height for piece in polars_chunks(frame.filter(nw.col("n") > 9), 3)) == 0
        first = next(polars_chunks(frame, 2))  # who does not want the rest leaves the database free for others
        assert first["id"].to_list() == ["a", "b"]
        store.write("video", rows("2", id=["a"]))
