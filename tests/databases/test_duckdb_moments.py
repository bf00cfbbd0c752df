"""Moments with a time zone that DuckDB is given."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import narwhals as nw
from tests.factory import define, rows, values
from tests.stores import STORES


def test_moments_of_given_frames_are_compared_without_a_package_for_time_zones(tmp_path: Path) -> None:
    """DuckDB makes Python objects of the values of a list, to filter Arrow data with them."""
    define("video", ids=["at"])
    start = datetime(2000, 1, 1, tzinfo=timezone.utc)
    moments = [start, start + timedelta(microseconds=1), start + timedelta(days=1)]
    with STORES["duckdb"](tmp_path).open("w") as store:
        found = store.resolve_update("video", samples=rows(at=moments), global_filters=nw.col("at").is_in(moments[:2]))
        assert sorted(values(found.new, "at")) == moments[:2]
