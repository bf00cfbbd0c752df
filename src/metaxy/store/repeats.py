"""Rows of one sample: equal ones collapse, different ones are refused, for nothing says which of them is right."""

from collections.abc import Sequence
from typing import Any

import narwhals as nw

from metaxy.errors import MetadataSchemaError
from metaxy.versioning.frames import collect_to_polars


def without_repeats(rows: nw.LazyFrame[Any], ids: Sequence[str], where: str, advice: str) -> nw.LazyFrame[Any]:
    """Leave one row of each sample.

    Raises:
        MetadataSchemaError: if rows of one sample differ, with the IDs of such a sample.
    """
    rows = rows.unique()
    several = rows.group_by(list(ids)).agg(nw.len().alias("mx_rows")).filter(nw.col("mx_rows") > 1)
    example = collect_to_polars(several.head(1)).drop("mx_rows")
    if example.is_empty():
        return rows
    repeated = collect_to_polars(several.select(nw.col("mx_rows").sum() - nw.len())).item()
    raise MetadataSchemaError(
        f"{where}: {repeated} rows repeat the ID of another row with other values, for example "
        f"{example.row(0, named=True)}; {advice}"
    )
