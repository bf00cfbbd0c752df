"""Times with a time zone and times without one: both are kept, and never taken for each other."""

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows, values

from metaxy.definitions.filters import parse_filter_string
from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

NOON = datetime(2024, 7, 1, 12)
UTC = NOON.replace(tzinfo=timezone.utc)
BERLIN = pl.Series([NOON]).dt.replace_time_zone("Europe/Berlin")  # 10:00 in UTC
EAST = UTC.astimezone(timezone(timedelta(hours=5, minutes=30)))
bare, zoned = nw.col("bare"), nw.col("zoned")


def refused(act: Callable[[], Any], *words: str) -> None:
    with pytest.raises(MetadataSchemaError) as caught:
        act()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_they_are_not_written_into_each_other(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], bare=[NOON], zoned=BERLIN))
    store.write("video", rows(id=["b"], bare=[NOON], zoned=[UTC]))
    found = collect_to_polars(store.read("video")).sort("id")
    assert found["bare"].to_list() == [NOON] * 2
    assert [time.astimezone(timezone.utc) for time in found["zoned"]] == [UTC - timedelta(hours=2), UTC]
    for column, wrong in {"bare": [BERLIN, [UTC]], "zoned": [[NOON], [date(2024, 7, 1)]]}.items():
        for values_ in wrong:
            refused(lambda: store.write("video", rows(id=["c"], **{column: values_})), f"column {column!r} is ", "2024")  # noqa: B023
    assert values(store.read("video")) == ["a", "b"]


def test_they_are_not_compared_by_filters(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a", "b"], bare=[NOON, datetime(2020, 1, 1)], zoned=[UTC, UTC.replace(year=2020)]))
    for condition in (bare == NOON, bare.is_in([NOON]), bare > datetime(2023, 1, 1), zoned == UTC, zoned == EAST):
        assert values(store.read("video", filters=[condition])) == ["a"], condition
    for text in ("bare > '2023-01-01'", "zoned > '2023-01-01'", "zoned = '2024-07-01T12:00:00+00:00'"):
        define("clip", {"feature": "video", "filters": [text]})
        assert values(store.resolve_update("clip").new) == ["a"], text
    for condition in (
        bare == UTC,
        zoned == NOON,
        zoned.is_in([NOON]),
        bare.is_between(NOON, EAST),
        (nw.col("id") == "a") | ~(zoned < NOON),
        bare < zoned,
        nw.col("metaxy_updated_at") > NOON,
    ):
        for act in (
            lambda f: store.read("video", filters=[f]),
            lambda f: store.delete("video", f),
            lambda f: store.delete("video", f, soft=False),
            lambda f: store.resolve_update("clip", filters={"video": [f]}),
            lambda f: store.resolve_update("video", samples=store.read("video"), target_filters=[f]),
            lambda f: store.resolve_update("video", samples=store.read("video"), staleness_predicates=[f]),
        ):
            refused(lambda: act(condition), "filter on column", "has a time zone with one that has none")  # noqa: B023
    samples = rows(id=["a", "b"], zoned=pl.concat([BERLIN, BERLIN.dt.offset_by("1d")]))
    for text in ("zoned = '2024-07-01T10:00:00Z'", "zoned < '2024-07-01T15:30:01+05:30'"):
        found = store.resolve_update(
            "video", samples=samples, target_filters=[parse_filter_string(text)], skip_comparison=True
        )
        assert values(found.new) == ["a"], text
    for condition in (zoned == EAST - timedelta(hours=2), zoned.is_in([UTC - timedelta(hours=2)])):
        found = store.resolve_update("video", samples=samples, target_filters=[condition], skip_comparison=True)
        assert values(found.new) == ["a"], condition
    store.delete("video", zoned > UTC.replace(year=2023), soft=False)
    assert values(store.read("video")) == ["b"]


def test_they_do_not_tell_the_same_samples_apart(store: MetadataStore) -> None:
    define("bare", ids=["at"])
    define("zoned", ids=["at"])
    store.write("bare", rows(at=[NOON]))
    store.write("zoned", rows(at=[UTC]))
    both = "ID column 'at' is "
    for feature, wrong in {"bare": UTC, "zoned": NOON}.items():
        for unit in ("ms", "us", "ns"):
            given = rows(at=pl.Series([wrong]).dt.cast_time_unit(unit))
            refused(lambda: store.resolve_update(feature, samples=given), both)  # noqa: B023
    define("clip", "bare", "zoned", ids=["at"])
    refused(lambda: store.resolve_update("clip"), both)
