"""Errors of samples: what is recorded of them, when it counts, and updates that mind it."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.stores import StoreFactory

from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import DriftedSamplesWarning, MetadataSchemaError
from metaxy.store.request import UpdateRequest
from metaxy.store.resolving import Resolution
from metaxy.store.store import MetadataStore
from metaxy.store.system.tables import ROW_ERRORS
from metaxy.testing.conformance.factory import change

TABLE = str(ROW_ERRORS.key)


def failing(frame: Any, message: str = "no frames") -> pl.DataFrame:
    """Say of samples of an increment that they failed."""
    rows: pl.DataFrame = frame.to_polars()
    return rows.with_columns(error_type=pl.lit("ValueError"), error_message=pl.lit(message))


def only(frame: Any, *samples: Any, by: str = "id") -> Any:
    return frame.filter(nw.col(by).is_in(list(samples)))


def resolved(store: MetadataStore, feature: str, **options: Any) -> Any:
    """Resolve at once, lazily, with Polars and by counting; all must find the same."""
    at_once = store.resolve_update(feature, **options)
    found = [values(frame, *_shared(store, feature, frame)) for frame in at_once]
    lazy = store.resolve_update(feature, lazy=True, **options)
    polars = store.resolve_update(feature, versioning_engine="polars", **options)
    for increment in (lazy, polars):
        frames = (increment.new, increment.stale, increment.orphaned)
        assert [values(frame, *_shared(store, feature, frame)) for frame in frames] == found, increment
    assert polars.counts == at_once.counts
    scope = store.session.scope("r")
    plan = scope.graph.get_feature_plan(feature)
    request = UpdateRequest.build(plan, versioning_engine="auto", **options)
    tally, counts = Resolution.of(store, scope, plan, request).tally(), at_once.counts
    assert tally[:3] == (counts["new"], counts["stale"], counts["orphaned"])
    assert tally.failed == counts.get("failed", 0)
    return at_once


def _shared(store: MetadataStore, feature: str, frame: Any) -> Sequence[str]:
    names = frame.collect_schema().names()
    spec = store.session.scope("r").definition(feature).spec
    return [name for name in spec.id_columns if name in names] or names[:1]


def test_samples_that_failed_are_tried_again_left_out_or_alone(store: MetadataStore) -> None:
    change(store)
    before = store.resolve_update("clip")
    assert ids(before) == (["e"], ["b"], ["d"])
    assert values(store.read_errors("clip")) == values(store.read_errors(), "ids") == []
    assert ids(store.resolve_update("clip", errors="skip")) == ids(before)
    assert ids(store.resolve_update("clip", errors="only")) == ([], [], [])
    assert not store.has_feature(ROW_ERRORS.key), "nobody asked for it"
    store.record_errors("clip", failing(before.new))
    assert ids(store.resolve_update("clip")) == ids(before)
    skipping = store.resolve_update("clip", errors="skip")
    assert ids(skipping) == ([], ["b"], ["d"])
    assert skipping.counts == {"new": 0, "stale": 1, "orphaned": 1, "failed": 1, "unchanged": 2}
    assert ids(resolved(store, "clip", errors="only")) == (["e"], [], [])
    assert ids(store.resolve_update("clip", max_attempts=1)) == ([], ["b"], ["d"])
    assert ids(store.resolve_update("clip", max_attempts=2)) == ids(before)
    store.record_errors("clip", failing(before.new, "still none").vstack(failing(before.stale)))
    assert ids(resolved(store, "clip", errors="skip", previous=True)) == ([], [], ["d"])
    assert ids(store.resolve_update("clip", max_attempts=2)) == ([], ["b"], ["d"])
    assert ids(resolved(store, "clip", errors="only", max_attempts=2)) == ([], ["b"], [])
    assert ids(resolved(store, "clip", errors="skip", skip_comparison=True)) == (["a", "c"], [], [])
    told = ("id", "attempt", "error_message")
    assert values(store.read_errors("clip"), *told) == [("b", 1, "no frames"), ("e", 2, "still none")]
    every = [("b", 1, "no frames"), ("e", 1, "no frames"), ("e", 2, "still none")]
    [first, *_, last] = sorted(store.read_errors("clip", all_attempts=True)["recorded_at"])
    for moment in (first, last):
        asked = {"failed_before": moment.replace(tzinfo=timezone.utc)}
        assert ids(resolved(store, "clip", **asked)) == ([], [], ["d"])
        assert ids(resolved(store, "clip", errors="only", **asked)) == ([], [], [])
    later = {"failed_before": last.replace(tzinfo=timezone.utc) + timedelta(microseconds=1)}
    assert ids(store.resolve_update("clip", **later)) == ids(before)
    assert ids(store.resolve_update("clip", errors="only", max_attempts=2, **later)) == ([], ["b"], [])
    assert values(store.read_errors("clip", all_attempts=True), *told) == every
    assert values(store.read_errors(), "feature_key", "ids") == [("clip", '{"id": "b"}'), ("clip", '{"id": "e"}')]


def test_an_error_counts_until_the_sample_is_written_or_its_inputs_change(store: MetadataStore) -> None:
    change(store)
    increment = store.resolve_update("clip")
    for frame in (increment.new, increment.stale):
        store.record_errors("clip", failing(frame))
    store.write("clip", increment.new)
    assert values(store.read_errors("clip")) == ["b"]
    store.delete("clip", nw.col("id") == "e")  # to have it computed again
    assert ids(store.resolve_update("clip", errors="skip")) == (["e"], [], ["d"])
    before = store.read("video", filters=nw.col("id") == "b").collect()
    store.write("video", rows("3", id=["b"], n=[20]))
    assert values(store.read_errors(), "ids") == values(store.read_errors("clip")) == []
    assert ids(store.resolve_update("clip", errors="skip")) == (["e"], ["b"], ["d"])
    store.write("video", before.drop("metaxy_updated_at", "metaxy_created_at"))
    assert values(store.read_errors("clip")) == ["b"], "as it was when it failed"
    store.delete("video", nw.col("id") == "b")
    assert values(store.read_errors("clip")) == []
    store.write("video", before.drop("metaxy_updated_at", "metaxy_created_at"))
    define("clip", "video", fields=[{"key": "default", "code_version": "2"}])
    assert values(store.read_errors("clip")) == []
    assert ids(store.resolve_update("clip", errors="only")) == ([], [], [])


MOMENT = datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=timezone.utc)
IDS: dict[str, pl.Series] = {
    "integer": pl.Series([2**53, 2**53 + 1, -1]),
    "unsigned": pl.Series([0, 1, 2**32 - 1], dtype=pl.UInt32),
    "number": pl.Series([0.1, 1e300, -2.5]),
    "words": pl.Series(["ä'\"\\ \u2028", "日本 😀", "a\u0301"]),
    "day": pl.Series([date(1970, 1, 1), date(2026, 1, 1), date(2199, 12, 31)]),
    "naive": pl.Series([datetime(1971, 1, 1, 0, 0, 0, 1), datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 0, 1)]),
    "moment": pl.Series([MOMENT, MOMENT + timedelta(hours=1), MOMENT - timedelta(hours=1)]),
    "amount": pl.Series([Decimal("1.50"), Decimal("-0.01"), Decimal("12345678901234.25")], dtype=pl.Decimal(30, 2)),
    "flag": pl.Series([True, False, True]),
}


def test_ids_of_all_types_are_found_again(store: MetadataStore) -> None:
    given = pl.DataFrame(IDS)
    if store.native_implementation() == nw.Implementation.IBIS:
        given = given.drop("amount")  # SQLite has no decimals
    names = given.columns
    define("parent", ids=names)
    define("child", "parent", ids=names)
    store.write("parent", given.with_columns(rows(x=[0] * 3)["metaxy_provenance_by_field"], n=pl.int_range(3)))
    new = store.resolve_update("child").new
    store.record_errors("child", failing(new.filter(nw.col("n") < 2)))
    assert values(resolved(store, "child", errors="skip").new, "n") == [2]
    assert values(resolved(store, "child", errors="only").new, "n") == [0, 1]
    stored = store.read("parent", filters=nw.col("n") < 2, columns=names).collect().to_polars()
    errors = store.read_errors("child").select(names).to_polars()
    assert errors.schema == stored.schema
    assert errors.sort("integer").equals(stored.sort("integer"))
    store.write("child", new)
    assert store.read_errors("child").is_empty()


def test_errors_of_an_expansion_are_those_of_parents(store: MetadataStore) -> None:
    define("video")
    define("frame", {"feature": "video", "lineage": LineageRelationship.expansion(on=["id"])}, ids=["id", "n"])
    store.write("video", rows(id=[*"abc"], size=[1, 2, 3]))
    increment = store.resolve_update("frame")
    children = increment.new.filter(nw.col("id") != "c").to_polars()
    children = children.join(pl.DataFrame({"n": [1, 2]}), how="cross")
    store.write("frame", children)
    store.write("video", rows("2", id=["a"], size=[9]))
    increment = store.resolve_update("frame")
    store.record_errors("frame", failing(nw.concat([increment.new, increment.stale])))
    assert values(store.read_errors("frame"), "id", "attempt") == [("a", 1), ("c", 1)]
    skipping, alone = resolved(store, "frame", errors="skip"), resolved(store, "frame", errors="only")
    assert ids(skipping) == ([], [], [])
    assert (skipping.counts["failed"], ids(alone)[:2]) == (2, (["c"], ["a"]))
    store.write("frame", children.head(0), replaces=increment.new)
    assert values(store.read_errors("frame")) == ["a"], "c has no frames, which is an answer"
    one = children.filter(pl.col("id") == "a").head(1)
    with suppress(ZeroDivisionError), store.replacing("frame", increment.stale) as replacement:
        replacement.write(one)
        raise ZeroDivisionError
    store.record_errors("frame", failing(increment.stale))
    assert values(store.read_errors("frame"), "id", "attempt") == [("a", 1)], "one child was written in between"


def test_errors_of_an_aggregation_are_those_of_groups(store: MetadataStore) -> None:
    define("crop", ids=["video", "n"])
    define("video", {"feature": "crop", "lineage": LineageRelationship.aggregation(on=["video"])}, ids=["video"])
    store.write("crop", rows(video=[*"aabb"], n=[1, 2, 1, 2], x=[1, 2, 3, 4]))
    increment = store.resolve_update("video")
    store.record_errors("video", failing(only(increment.new, "a", by="video")))
    assert values(store.read_errors("video"), "video", "attempt") == [("a", 1)]
    skipping = resolved(store, "video", errors="skip")
    assert values(skipping.new, "video") == ["b", "b"]
    assert skipping.counts == {"new": 1, "stale": 0, "orphaned": 0, "failed": 1, "unchanged": 0}
    assert values(resolved(store, "video", errors="only", one_row_per_group=True).new, "video") == ["a"]


def test_samples_that_are_given_may_have_failed(store: MetadataStore) -> None:
    define("video")
    samples = rows(id=[*"abc"], size=[1, 2, 3])
    new = store.resolve_update("video", samples=samples).new
    store.record_errors("video", failing(only(new, "b")))
    assert values(resolved(store, "video", samples=samples, errors="skip").new) == ["a", "c"]
    assert values(resolved(store, "video", samples=samples.to_arrow(), errors="only").new) == ["b"]
    assert values(store.read_errors("video")) == ["b"]
    store.write("video", only(new, "a"))
    assert values(store.resolve_update("video", samples=samples, errors="skip", ids=["b", "c"]).new) == ["c"]
    assert values(store.read_errors("video")) == ["b"]
    changed = samples.with_columns(rows("2", x=[0] * 3)["metaxy_provenance_by_field"])
    assert values(store.resolve_update("video", samples=changed, errors="skip").new) == ["b", "c"]


@pytest.mark.three_stores
def test_samples_whose_payload_drifted_may_have_failed(store: MetadataStore) -> None:
    define("video")
    samples = rows(id=[*"abc"], size=[1, 2, 3])
    store.write("video", samples)
    drifted = samples.with_columns(pl.col("size") * 10)
    options: dict[str, Any] = {"samples": drifted, "payload": "stale"}
    store.record_errors("video", failing(only(store.resolve_update("video", **options).stale, "b")))
    assert values(resolved(store, "video", errors="skip", **options).stale) == ["a", "c"]
    assert values(resolved(store, "video", errors="only", **options).stale) == ["b"]
    with pytest.warns(DriftedSamplesWarning):
        shown = store.resolve_update("video", samples=drifted, payload="warn", errors="skip")
    assert values(shown.drifted) == [*"abc"], "shown, but not to compute"


@pytest.mark.three_stores
def test_messages_are_one_short_line_without_secrets(store: MetadataStore) -> None:
    change(store)
    new = store.resolve_update("clip").new
    secret = "cannot open postgresql://me:hunter2@host/db\n\n\tpassword='hunter2' \0" + "x" * 600
    store.record_errors("clip", failing(new, secret).with_columns(run_id=pl.lit("run-1")))
    (found,) = store.read_errors("clip").rows(named=True)
    assert found["error_message"].startswith("cannot open postgresql://me:***@host/db password=*** xxx")
    assert (len(found["error_message"]), found["run_id"], found["error_type"]) == (500, "run-1", "ValueError")
    assert "hunter2" not in str(everything(store, TABLE).rows())


@pytest.mark.three_stores
def test_what_says_nothing_is_refused(store: MetadataStore) -> None:
    change(store)
    new = failing(store.resolve_update("clip").new)
    complaints = [
        (new.drop("error_type"), "lack column 'error_type'.* They need: id, metaxy_provenance, error_type"),
        (new.rename({"id": "ids"}), "lack column 'id'. Did you mean 'ids'"),
        (new.with_columns(id=pl.lit(None, pl.String)), "ID column 'id' is NULL in 1 rows"),
        (new.with_columns(metaxy_provenance=pl.lit(None)), "'metaxy_provenance' is NULL in 1 rows"),
    ]
    for frame, said in complaints:
        with pytest.raises(MetadataSchemaError, match=said):
            store.record_errors("clip", frame)
    senseless: list[tuple[dict[str, Any], str]] = [
        ({"errors": "ignore"}, "errors='ignore' is none of 'retry', 'skip', 'only'"),
        ({"max_attempts": 0}, "from 1 on"),
        ({"errors": "skip", "max_attempts": 2}, "tries no sample again"),
        ({"errors": "skip", "failed_before": datetime.now(timezone.utc)}, "failed_before goes with"),
        ({"failed_before": datetime(2026, 1, 1)}, "failed_before needs a time zone"),
    ]
    for options, said in senseless:
        with pytest.raises(ValueError, match=said):
            store.resolve_update("clip", **options)
    store.record_errors("clip", new.head(0))
    assert not store.has_feature(ROW_ERRORS.key)


@pytest.mark.three_stores
def test_errors_are_forgotten_on_demand_and_with_the_table(store: MetadataStore) -> None:
    change(store)
    increment = store.resolve_update("clip")
    store.forget_errors("clip")
    assert not store.has_feature(ROW_ERRORS.key)
    store.record_errors("clip", failing(increment.new))
    store.forget_errors("clip")
    assert values(store.read_errors("clip")) == values(store.read_errors(), "ids") == []
    store.record_errors("clip", failing(increment.new))
    assert values(store.read_errors("clip"), "id", "attempt") == [("e", 1)]
    store.drop_feature_metadata("clip")
    assert values(store.read_errors("clip")) == []
    store.drop_feature_metadata("video")
    assert values(store.read_errors("clip", all_attempts=True), "attempt") == []


@pytest.mark.three_stores
def test_a_store_over_others_sees_their_errors_and_keeps_its_own(make: StoreFactory) -> None:
    with make("base").open("w") as base:
        change(base)
        increment = base.resolve_update("clip")
        base.record_errors("clip", failing(increment.new))
    with make("branch", fallback_stores=[make("base")], fallback="rows").open("w") as branch:
        assert values(branch.read_errors("clip")) == ["e"]
        branch.record_errors("clip", failing(nw.concat([increment.new, increment.stale])))
        assert values(branch.read_errors("clip"), "id", "attempt") == [("b", 1), ("e", 2)]
        assert ids(resolved(branch, "clip", errors="skip")) == ([], [], ["d"])
        branch.write("clip", increment.new)
        assert values(branch.read_errors("clip")) == ["b"]
    with make("base") as base:
        assert values(base.read_errors("clip"), "id", "attempt") == [("e", 1)]
