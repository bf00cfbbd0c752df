"""What lists, structs and maps hold, at any depth: stored and read again as it was, or refused before anything is."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.factory import define, rows
from tests.stores import STORES

from metaxy.errors import MetadataSchemaError
from metaxy.versioning.frames import collect_to_polars

VALUES = {
    "numbers": pl.Series([1e50, 5e-324, -1.7976931348623157e308, 0.1]),
    "whole numbers": pl.Series([-0.0, 1e15, 123456789012345678.0, None]),
    "not finite": pl.Series([float("inf"), float("-inf"), float("nan"), None]),
    "small numbers": pl.Series([1.1, float("nan"), -3.4e38, 1e-45], dtype=pl.Float32),
    "integers": pl.Series([-(2**63), 2**63 - 1, 2**53 + 1, None]),
    "small integers": pl.Series([-128, 127, 0, None], dtype=pl.Int8),
    "larger integers": pl.Series([2**64 - 1, 0, 1, None], dtype=pl.UInt64),
    "decimals": pl.Series([Decimal("12345678901234567890123456789.123456789"), None, Decimal(0), Decimal("-0.5")]),
    "truth": pl.Series([True, False, None, None]),
    "text": pl.Series(["é𝒳\\'\"`\u2028", "null\n\t\r\x01\x7f", "", "\\N{},[]"]),
    "bytes": pl.Series([b"\x00\xff", b"", None, b"abc"]),
    "dates": pl.Series([date(1, 1, 1), date(9999, 12, 31), None, date(1970, 1, 1)]),
    "times": pl.Series([datetime(1, 1, 1, 0, 0, 0, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), None, None]),
    "times of a zone": pl.Series([datetime(2024, 7, 1, tzinfo=timezone.utc), None, None, None]).dt.convert_time_zone(
        "Europe/Berlin"
    ),
    "nanoseconds": pl.Series([1719792000000000001, None, 0, -1]).cast(pl.Datetime("ns")),
    "times of the day": pl.Series([time(1, 2, 3, 4), None, time(0, 0), time(23, 59, 59, 999999)]),
    "durations": pl.Series([timedelta(days=-1, microseconds=3), None, timedelta(0), timedelta(days=9999)]),
}
KEYS = {"integers", "small integers", "decimals", "text", "dates", "times of the day", "times"}  # of maps
SLIM = {"larger integers", "nanoseconds", "times of the day", "durations"}
REFUSED = {
    "delta": SLIM,
    "iceberg": SLIM,
    "ducklake": {"durations"},
    "postgresql": {"durations"},
    "sqlite": {"durations"},
    "clickhouse": {"durations"},
}


def shaped(value: pl.Series) -> dict[str, pl.Series]:
    """Put values into lists, structs and maps."""
    entries = pl.concat_list(pl.struct(key=pl.lit("a key"), value="v")).cast(pl.Map(pl.String, value.dtype))
    shapes = {
        "struct": pl.struct(a="v", b=pl.lit(1)),
        "struct or NULL": pl.when(pl.col("v").is_not_null()).then(pl.struct(a=pl.struct(b="v"))),
        "list": pl.concat_list("v", "v"),
        "list of structs": pl.concat_list(pl.struct(a="v")),
        "struct of lists": pl.struct(a=pl.concat_list("v")),
        "map": entries,
        "struct of maps": pl.struct(a=entries),
    }
    return pl.DataFrame({"v": value}).select(**shapes).to_dict(as_series=True)


def keyed(value: pl.Series) -> pl.Series:
    """Make values keys of maps; NULL cannot be one."""
    entry = pl.struct(key="v", value=pl.lit(1))
    entries = pl.when(pl.col("v").is_not_null()).then(pl.concat_list(entry))
    return pl.DataFrame({"v": value}).select(entries.cast(pl.Map(value.dtype, pl.Int32))).to_series()


def columns() -> Iterator[tuple[str, str, pl.Series]]:
    for what, value in VALUES.items():
        yield from ((what, f"{shape} of {what}", column) for shape, column in shaped(value).items())
        if what in KEYS:
            yield what, f"map by {what}", keyed(value)


def is_kept(store: str, what: str, column: str) -> bool:
    if store == "delta" and what == "times" and "map" in column:
        return False
    return what not in REFUSED.get(store, set())


def written(value: Any) -> Any:
    """Write a value such that -0.0 differs from 0.0, and NaN does not from itself; decimals may be integers."""
    if isinstance(value, dict):
        return {name: written(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [written(inner) for inner in value]
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(timezone.utc)
    return str(value) if isinstance(value, Decimal) else repr(value)


@pytest.mark.parametrize("name", STORES)
def test_values_are_kept_at_any_depth_or_refused(name: str, tmp_path: Path) -> None:
    define("video")
    wanted = {column: series for what, column, series in columns() if is_kept(name, what, column)}
    others = {column: series for what, column, series in columns() if not is_kept(name, what, column)}
    refused = {
        column: series for column, series in others.items() if column.startswith(("struct of maps", "list of s"))
    }
    names = ["a", "b", "c", "d"]
    with STORES[name](tmp_path).open("w") as store:
        for column, series in refused.items():
            with pytest.raises(MetadataSchemaError) as caught:
                store.write("video", rows(id=names, **{column: series}))
            assert f"column {column!r}" in str(caught.value)
            assert "\n" not in str(caught.value)
            assert not store.has_feature("video")
        store.write("video", rows(id=names, **wanted))
        store.write("video", rows(id=["e", "f", "g", "h"], **wanted))  # these meet a table
        found = collect_to_polars(store.read("video")).sort("id")
    for column, series in wanted.items():
        assert written(found[column].to_list()) == written(series.to_list() * 2), column
