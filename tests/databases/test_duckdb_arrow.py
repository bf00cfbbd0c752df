"""Frames that DuckDB is given: what Arrow compares otherwise, DuckDB compares by itself."""

import math
from datetime import datetime, timedelta, timezone
from pathlib import Path

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows, values
from tests.stores import STORES

from metaxy.ext.duckdb import DuckDBMetadataStore


def test_moments_of_given_frames_are_compared_without_a_package_for_time_zones(tmp_path: Path) -> None:
    """DuckDB makes Python objects of the values of a list, to filter Arrow data with them."""
    define("video", ids=["at"])
    start = datetime(2000, 1, 1, tzinfo=timezone.utc)
    moments = [start, start + timedelta(microseconds=1), start + timedelta(days=1)]
    with STORES["duckdb"](tmp_path).open("w") as store:
        found = store.resolve_update("video", samples=rows(at=moments), global_filters=nw.col("at").is_in(moments[:2]))
        assert sorted(values(found.new, "at")) == moments[:2]


@pytest.mark.parametrize("is_deep", [False, True])
def test_nan_among_the_ids_of_given_frames_is_found(is_deep: bool) -> None:
    """For Arrow no number is at most NaN, which is what DuckDB learns of the other side of a join."""
    define("video")
    define("crop", "video")
    with DuckDBMetadataStore(":memory:", auto_create_tables=True).open("w") as store:
        store.connection.is_deep = lambda table, keys: is_deep  # type: ignore[method-assign]  # noqa: ARG005
        samples = rows(id=[math.nan, 1.0])
        store.write("video", samples)
        assert store.resolve_update("video", samples=samples).counts["unchanged"] == 2
        new = store.resolve_update("crop").new.to_polars()
        told = {"error_type": pl.lit("Error"), "error_message": pl.lit("")}
        store.record_errors("crop", new.select("id", "metaxy_provenance", **told))
        assert store.resolve_update("crop", errors="skip").counts["new"] == 0
        assert store.resolve_update("crop", errors="only").counts["new"] == 2
        assert store.resolve_update("crop", ids=new.select("id")).counts["new"] == 2
        assert store.delete("video", rows=samples).rows == 2
