"""Features, rows and answers for tests, each in one line: those of the conformance kit, and what only we need."""

import polars as pl

from metaxy.columns import METAXY_PROVENANCE_BY_FIELD
from metaxy.testing.conformance.factory import PROJECT, define, everything, fill, ids, put, rows, values
from metaxy.versioning.codec import member_polars

__all__ = ["PROJECT", "define", "everything", "fill", "ids", "put", "rows", "values", "with_members"]


def with_members(table: pl.DataFrame, *fields: str) -> pl.DataFrame:
    """Give the versions of some fields columns of their own, in whichever form a table keeps them."""
    column = METAXY_PROVENANCE_BY_FIELD
    dtype = table.schema[column]
    return table.with_columns(member_polars(dtype, column, field).alias(field) for field in fields)
