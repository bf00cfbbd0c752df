"""Values that a database would keep as others, and that are refused instead."""

import polars as pl

from metaxy.errors import MetadataSchemaError


def refuse_finer_times(rows: pl.DataFrame, database: str, *others: type[pl.DataType]) -> None:
    """Refuse times with nanoseconds, where a database has microseconds; ``others`` are types that it has besides.

    Raises:
        MetadataSchemaError: naming the first column that has one.

    >>> refuse_finer_times(pl.DataFrame({"at": pl.Series([1000], dtype=pl.Datetime("ns"))}), "SQLite")
    """
    for column in rows:
        if column.dtype == pl.Datetime("ns") or column.dtype in others:
            finer = column.filter(column.to_physical() % 1000 != 0)
            if len(finer):
                shown = finer.head(1).dt.to_string("iso").item()
                raise MetadataSchemaError(
                    f"column {column.name!r} holds {shown}, but times of {database} end at microseconds; round it"
                )
