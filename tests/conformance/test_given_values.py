"""Values that Polars or Arrow hold, but not what reads tables, are refused in one line, at any depth."""

from datetime import date, datetime
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.factory import define, rows

from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

pytestmark = pytest.mark.three_stores
MICROSECONDS = pl.Datetime("us")
FAR = 2**62  # microseconds: in the year 148108
NEAR = {
    "dates": pl.Series([date.min, date.max, None]),
    "times": pl.Series([datetime.min, datetime.max, None]),
    "times in lists": pl.Series([[datetime.min], [], None]),
}
BEYOND = {
    "first date": pl.Series([date.max.toordinal() - date(1970, 1, 1).toordinal() + 1, 0], dtype=pl.Date),
    "last date": pl.Series([date.min.toordinal() - date(1970, 1, 1).toordinal() - 1, None], dtype=pl.Date),
    "dates": pl.Series([2**31 - 1, -(2**31)], dtype=pl.Date),
    "times": pl.Series([0, FAR], dtype=MICROSECONDS),
    "times of a zone": pl.Series([-FAR, 0], dtype=pl.Datetime("ms", "UTC")),
    "times in lists": pl.Series([[FAR], None], dtype=pl.List(MICROSECONDS)),
    "times in arrays": pl.Series([[0, FAR], None], dtype=pl.Array(MICROSECONDS, 2)),
    "dates in structs": pl.Series([{"x": [2**30]}, None], dtype=pl.Struct({"x": pl.List(pl.Date)})),
    "times in Arrow": pa.array([2**40, 0], pa.timestamp("s")),
    "times of more than 64 bits in Arrow": pa.array([2**60, 0], pa.timestamp("s")),
    "times in Pandas": pd.Series([2**40, 0], dtype="datetime64[s]"),
    "arrays without elements": pl.Series([[], None], dtype=pl.Array(pl.Int8, 0)),
    "such arrays in lists": pl.Series([[[]], None], dtype=pl.List(pl.Array(pl.Int8, 0))),
    "such arrays in Arrow": pa.array([[], None], pa.list_(pa.int8(), 0)),
    "decimals of a negative scale": pa.array([100, None], pa.decimal128(5, -2)),
    "decimals of a negative scale in Pandas": pd.Series([100, None], dtype=pd.ArrowDtype(pa.decimal128(5, -2))),
}


def with_column(column: Any) -> Any:
    frame = rows(id=["a", "b"])
    if isinstance(column, pl.Series):
        return frame.with_columns(u=column)
    if isinstance(column, pd.Series):
        return frame.to_pandas().assign(u=column)
    return frame.to_arrow().append_column("u", column)


def test_years_from_1_to_9999_are_kept(store: MetadataStore) -> None:
    define("video")
    frame = rows(id=["a", "b", "c"], **NEAR)
    store.write("video", frame.lazy())
    kept = collect_to_polars(store.read("video")).sort("id")
    for name, column in NEAR.items():
        assert kept[name].to_list() == column.to_list()


def test_what_nobody_could_read_is_refused(store: MetadataStore) -> None:
    define("video")
    for what, column in BEYOND.items():
        frame = with_column(column)
        lazy = [frame.lazy()] if isinstance(frame, pl.DataFrame) else []
        for given in (frame, *lazy):
            with pytest.raises(MetadataSchemaError, match=r"frame for feature video: column 'u' holds [^\n]+$"):
                store.write("video", given)
            with pytest.raises(MetadataSchemaError, match=r"samples for feature video: column 'u' holds [^\n]+$"):
                store.resolve_update("video", samples=given)
        assert not store.has_feature("video"), what
