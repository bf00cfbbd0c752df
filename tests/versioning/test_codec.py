"""Versions by field as maps: what Polars packs, value by value."""

import polars as pl
import pytest

from metaxy.versioning.codec import map_polars

MAP = pl.Map(pl.String, pl.String)
ROWS = pl.DataFrame({"a": ["1", None, "3"], "b": [None, "y", "z"]})


def packed(frame: pl.DataFrame, **values: pl.Expr) -> list[object]:
    column = frame.select(m=map_polars(values, MAP))["m"]
    assert column.dtype == MAP
    return [dict(row) if row is not None else None for row in column.to_list()]


def test_a_map_holds_each_value_of_its_row_and_nulls() -> None:
    assert packed(ROWS, x=pl.col("a"), y=pl.col("b")) == [
        {"x": "1", "y": None},
        {"x": None, "y": "y"},
        {"x": "3", "y": "z"},
    ]


def test_constants_stand_in_every_row() -> None:
    rows = packed(ROWS, x=pl.lit("v"), y=pl.col("b"), z=pl.lit(None))
    assert rows == [{"x": "v", "y": b, "z": None} for b in ROWS["b"]]


def test_values_become_text() -> None:
    assert packed(pl.DataFrame({"n": [1, 2]}), n=pl.col("n")) == [{"n": "1"}, {"n": "2"}]


@pytest.mark.parametrize("count", [0, 1])
def test_frames_may_be_as_small_as_they_like(count: int) -> None:
    assert packed(ROWS.head(count), x=pl.col("a"), y=pl.col("a")) == [{"x": "1", "y": "1"}] * count
