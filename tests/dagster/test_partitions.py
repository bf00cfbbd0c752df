"""Conditions made of partition keys: typed as the column is, for every kind of partitions."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import dagster as dg
from metaxy import BaseFeature, FeatureGraph, FeatureSpec
from metaxy.errors import DefinitionError, MetadataSchemaError
from metaxy.ext.dagster.partitions import Partitions, conditions, get_partition_filter, partition_columns

BERLIN = ZoneInfo("Europe/Berlin")
DAILY = dg.DailyPartitionsDefinition("2026-01-01")
BERLIN_DAILY = dg.DailyPartitionsDefinition("2026-01-01", timezone="Europe/Berlin")
WEEKLY = dg.WeeklyPartitionsDefinition("2026-01-04")
MONTHLY = dg.MonthlyPartitionsDefinition("2026-01-01")
HOURLY = dg.HourlyPartitionsDefinition("2026-01-01-00:00")
BERLIN_HOURLY = dg.HourlyPartitionsDefinition("2026-10-25-00:00", timezone="Europe/Berlin")
MORNING = dg.DailyPartitionsDefinition("2026-01-01", hour_offset=6)
YEARLY = dg.TimeWindowPartitionsDefinition(start="2025", fmt="%Y", cron_schedule="0 0 1 1 *")
STATIC = dg.StaticPartitionsDefinition(["1", "2", "2026-01-02", "2026-01-02T06:00:00", "true"])
GRID = dg.MultiPartitionsDefinition({"day": DAILY, "camera": dg.StaticPartitionsDefinition(["l", "r", "t"])})


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[misc,arg-type]


def kept(values: Sequence[Any], metadata: dict[str, Any], partitions: Partitions) -> list[Any]:
    """Return which values of a column are those of some partitions."""
    frame = nw.from_native(pl.DataFrame({"at": pl.Series(values)}))
    return frame.filter(*conditions(metadata, partitions, frame.schema))["at"].to_list()


@pytest.mark.parametrize(
    ("definition", "keys", "values", "wanted"),
    [
        (DAILY, ["2026-01-02"], [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3), None], [1]),
        (DAILY, ["2026-01-02", "2026-01-03"], [date(2026, 1, day) for day in (1, 2, 3, 4)], [1, 2]),
        (DAILY, ["2026-01-02", "2026-01-04"], [date(2026, 1, day) for day in (1, 2, 3, 4)], [1, 3]),
        (WEEKLY, ["2026-01-04"], [date(2026, 1, day) for day in (3, 4, 10, 11)], [1, 2]),
        (MONTHLY, ["2026-02-01"], [date(2026, 1, 31), date(2026, 2, 1), date(2026, 2, 28), date(2026, 3, 1)], [1, 2]),
        (MORNING, ["2026-01-02"], [date(2026, 1, day) for day in (1, 2, 3)], [1]),
        (DAILY, ["2026-01-02"], ["2026-01-01", "2026-01-02", "2026-01-02T00:00:00"], [1]),
        (YEARLY, ["2026"], [2025, 2026, 2027], [1]),
        (YEARLY, ["2026"], [utc(2025, 12, 31, 23), utc(2026, 1, 1), utc(2026, 12, 31, 23), utc(2027, 1, 1)], [1, 2]),
        (HOURLY, ["2026-01-01-01:00"], [utc(2026, 1, 1, 0, 59), utc(2026, 1, 1, 1), utc(2026, 1, 1, 2)], [1]),
        # the day of Berlin begins an hour before that of UTC, whatever the clock of the column
        (BERLIN_DAILY, ["2026-01-02"], [utc(2026, 1, 1, 22), utc(2026, 1, 1, 23), utc(2026, 1, 2, 23)], [1]),
        (DAILY, ["2026-01-02"], [datetime(2026, 1, 2, hour, tzinfo=BERLIN) for hour in (0, 1)], [1]),
        # a time without a zone is one of the clock of the partitions
        (BERLIN_DAILY, ["2026-01-02"], [datetime(2026, 1, 1, 23), datetime(2026, 1, 2), datetime(2026, 1, 3)], [1]),
        # the day on which summer time begins has 23 hours
        (BERLIN_DAILY, ["2026-03-29"], [utc(2026, 3, 28, 23), utc(2026, 3, 29, 21, 59), utc(2026, 3, 29, 22)], [0, 1]),
        (BERLIN_DAILY, ["2026-03-29"], [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)], [1]),
        (STATIC, ["2"], [1, 2, 3], [1]),
        (STATIC, ["1", "2"], ["1", "2", "3", None], [0, 1]),
        (STATIC, ["true"], [False, True, None], [1]),
        (STATIC, ["2026-01-02"], [date(2026, 1, 1), date(2026, 1, 2)], [1]),
        (STATIC, ["2026-01-02"], [datetime(2026, 1, 1, 23), datetime(2026, 1, 2, 7), datetime(2026, 1, 3)], [1]),
        (STATIC, ["2026-01-02T06:00:00"], [utc(2026, 1, 2), utc(2026, 1, 2, 6)], [1]),
        (STATIC, [], ["1", "2"], []),
        (DAILY, [], [date(2026, 1, 2)], []),  # what a mapping finds of a parent that begins later
        (None, ["2"], [1, 2], [1]),
    ],
)  # fmt: skip
def test_keys_are_compared_as_what_the_column_holds(
    definition: Any, keys: list[str], values: list[Any], wanted: list[int]
) -> None:
    found = kept(values, {"partition_by": "at"}, Partitions(keys, definition))
    assert found == [values[i] for i in wanted]


@pytest.mark.parametrize(
    ("given", "values", "wanted"),
    [
        ("a", ["a", "b", None], [0]),
        (["a", "b"], ["a", "b", "c"], [0, 1]),
        ([], ["a"], []),
        (None, ["a", None], [1]),
        (["a", None], ["a", "b", None], [0, 2]),
        (2026, [2025, 2026], [1]),
        (["2025", 2026], [2025, 2026, 2027], [0, 1]),
        (True, [True, False], [0]),
        (date(2026, 1, 2), [date(2026, 1, 1), date(2026, 1, 2)], [1]),
        ("2026-01-02", [utc(2026, 1, 2, 3), utc(2026, 1, 3)], [0]),
        (utc(2026, 1, 2), [utc(2026, 1, 2), utc(2026, 1, 3)], [0]),
    ],
)
def test_fixed_values_may_be_one_or_several(given: Any, values: list[Any], wanted: list[int]) -> None:
    assert kept(values, {"metaxy/partition": {"at": given}}, Partitions()) == [values[i] for i in wanted]


@pytest.mark.parametrize("zone", ["+02:00", "Europe/Berlin"])
def test_frames_of_other_libraries_have_zones_of_other_kinds(zone: str) -> None:
    times = [utc(2026, 6, 1, 23, 59), utc(2026, 6, 2), utc(2026, 6, 3)]
    arrow: Any = pa.table({"at": pa.array(times, pa.timestamp("us", zone))})
    pandas = pd.DataFrame({"at": pd.Series(times).dt.tz_convert(zone)})
    for given in (arrow, pandas):
        frame: Any = nw.from_native(given)
        found = frame.filter(*conditions({"partition_by": "at"}, Partitions(["2026-06-02"], DAILY), frame.schema))
        assert [each.astimezone(timezone.utc) for each in found["at"].to_list()] == times[1:2]


def test_many_partitions_apart_are_no_deep_condition() -> None:
    days = [datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(days=n) for n in range(1_000)]
    frame: Any = nw.from_native(duckdb.from_arrow(pl.DataFrame({"at": days}).to_arrow()))
    keys = [f"{day:%Y-%m-%d}" for day in days[::2]]
    found = frame.filter(*conditions({"partition_by": "at"}, Partitions(keys, DAILY), frame.collect_schema()))
    assert found.collect("polars")["at"].to_list() == days[::2]


def test_dimensions_have_a_column_each_and_pairs_need_not_be_complete() -> None:
    rows = [(date(2026, 1, day), camera) for day in (1, 2, 3) for camera in "lrt"]
    frame = nw.from_native(pl.DataFrame(rows, schema=["taken", "side"], orient="row"))
    metadata = {"partition_by": {"camera": "side", "day": "taken"}}
    for keys in (["l|2026-01-02"], ["l|2026-01-01", "r|2026-01-02", "l|2026-01-02"], ["t|2026-01-01", "t|2026-01-03"]):
        wanted = {(date.fromisoformat(key[2:]), key[0]) for key in keys}
        for given in (keys, [GRID.get_partition_key_from_str(key) for key in keys]):
            found = frame.filter(*conditions(metadata, Partitions(given, GRID), frame.schema))
            assert set(found.rows()) == wanted
    assert conditions(metadata, Partitions(None, GRID), frame.schema) == []


@pytest.mark.parametrize(
    ("definition", "keys", "values", "message"),
    [
        (STATIC, ["1"], [1.5], "Float64, which partitions cannot be told apart by"),
        (STATIC, ["true"], [1], r"column 'at' holds Int64, and partition 'true' is no whole number"),
        (STATIC, ["1"], [date(2026, 1, 1)], "partition '1' is no date"),
        (HOURLY, ["2026-01-01-01:00"], [date(2026, 1, 1)], "no whole days need a column of times"),
        (BERLIN_HOURLY, ["2026-10-25-02:00+0200"], [datetime(2026, 10, 25, 2)], "without a zone, which are ambiguous"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(definition: Any, keys: list[str], values: list[Any], message: str) -> None:
    metadata = {"partition_by": "at", "metaxy/feature": "clip"}
    with pytest.raises(MetadataSchemaError, match=f"asset of feature clip: .*{message}"):
        kept(values, metadata, Partitions(keys, definition))
    with pytest.raises(MetadataSchemaError, match=r"no column 'ad'.*partition_by"):
        kept(values, {"partition_by": "ad"}, Partitions(keys, definition))


@pytest.mark.parametrize(
    ("given", "definition", "message"),
    [
        ("day", GRID, "have dimensions; let partition_by be .*camera"),
        ({"day": "day", "camara": "side"}, GRID, "no dimension of partitions is 'camara'. Did you mean 'camera'"),
        ({"day": "day"}, GRID, "has no column for camera"),
        ({"day": "day"}, DAILY, "is the name of a column"),
        (["day"], None, "is the name of a column"),
    ],
)
def test_columns_that_do_not_fit_the_partitions_are_refused(given: Any, definition: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        partition_columns({"partition_by": given}, definition)
    with pytest.raises(DefinitionError, match="metaxy/partition is such as"):
        conditions({"metaxy/partition": "a"})


def test_filters_of_a_run_know_what_the_class_declares(instance: dg.DagsterInstance) -> None:
    found: list[Any] = []
    with FeatureGraph().use():

        class Clip(BaseFeature, spec=FeatureSpec(key="clip", id_columns=["id"])):
            id: str
            day: date
            at: datetime

        by_day = dg.AssetSpec("clip", metadata={"metaxy/feature": "clip", "partition_by": "day"}, partitions_def=DAILY)
        by_time = by_day.merge_attributes(metadata={"partition_by": "at"})
        days = pl.DataFrame({"day": [date(2026, 1, 1), date(2026, 1, 2)]})

        @dg.asset(partitions_def=DAILY)
        def uses(context: dg.AssetExecutionContext) -> None:
            found.append(nw.from_native(days).filter(*get_partition_filter(context, by_day))["day"].to_list())
            types = {"at": nw.Datetime("us", "UTC")}
            found.append(len(get_partition_filter(context, by_time, types=types)))
            get_partition_filter(context, by_time)

        with pytest.raises(MetadataSchemaError, match="holds times, and nothing says in which zone; pass types"):
            dg.materialize([uses], instance=instance, partition_key="2026-01-02")
    assert found == [[date(2026, 1, 2)], 1]
