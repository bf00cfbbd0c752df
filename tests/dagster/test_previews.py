"""Rows as Dagster shows them."""

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import polars as pl

import dagster as dg
from metaxy.ext import dagster as mxd


def test_values_of_all_kinds_are_shown() -> None:
    frame = pl.LazyFrame(
        {
            "text": ["x" * 600],
            "number": [1.5],
            "nan": [float("nan")],
            "none": [None],
            "bytes": [b"abc"],
            "day": [date(2026, 1, 2)],
            "span": [timedelta(seconds=90)],
            "decimal": [Decimal("1.50")],
            "struct": [{"a": date(2026, 1, 2), "b": [1, 2, 3]}],
            "short": [[1, 2]],
            "long": [[1, 2, 3, 4]],
            "map": pl.Series([{"k": 1}], dtype=pl.Map(pl.String, pl.Int64)),
        }
    )
    [record] = mxd.build_table_preview_metadata(frame).records
    shown = dict(record.data)
    assert shown.pop("text") == "x" * 499 + "…"
    assert shown == {
        "number": 1.5,
        "nan": "nan",
        "none": None,
        "bytes": "3 bytes",
        "day": "2026-01-02",
        "span": "0:01:30",
        "decimal": "1.50",
        "struct": '{"a": "2026-01-02", "b": [1, 2, 3]}',
        "short": "[1, 2]",
        "long": "[1,..,4]",
        "map": '{"k": 1}',
    }


def test_the_rows_that_were_written_last_are_shown() -> None:
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    plain = pl.LazyFrame({"id": list(range(9))})
    dated = plain.with_columns(metaxy_created_at=pl.lit(start) - pl.duration(hours=pl.col("id")))

    def ids(frame: pl.LazyFrame, count: int = 5) -> list[object]:
        return [record.data["id"] for record in mxd.build_table_preview_metadata(frame, n_rows=count).records]

    assert (ids(plain), ids(dated, 2), ids(plain.head(0))) == ([4, 5, 6, 7, 8], [1, 0], [])
    schema = dg.TableSchema([dg.TableColumn("id", "int")])
    assert mxd.build_table_preview_metadata(plain, schema).schema == schema
    assert [column.name for column in mxd.build_table_preview_metadata(plain.head(0)).schema.columns] == ["id"]
