"""Hash functions that DuckDB lacks, as vectorised Arrow functions: no extension, no download."""

from contextlib import suppress
from functools import cache
from typing import Any

import duckdb
import polars as pl
from duckdb.func import PythonUDFType

from metaxy.hashing import HashAlgorithm
from metaxy.versioning.polars import HASHES

ADDED = (HashAlgorithm.XXHASH32, HashAlgorithm.XXHASH64, HashAlgorithm.XXH3_64, HashAlgorithm.WYHASH)


def function_name(algorithm: HashAlgorithm) -> str:
    """Name the SQL function of an added algorithm."""
    return f"mx_{algorithm.value}"


def add_hash_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Register the added algorithms; all connections of this process to the same database see them."""
    for algorithm in ADDED:
        compute = _hasher(algorithm)
        with suppress(duckdb.CatalogException):  # another store of this process was first
            connection.create_function(
                function_name(algorithm), compute, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW, side_effects=False
            )


@cache  # only the connection that registers a function keeps it alive, but others of the process use it, too
def _hasher(algorithm: HashAlgorithm) -> Any:
    import pyarrow as pa

    namespace, function = HASHES[algorithm]
    text = pl.col("text")
    digest = getattr(getattr(text, namespace), function)().cast(pl.String)

    def compute(texts: Any) -> Any:
        hashed = pl.DataFrame({"text": pl.Series(texts)}).select(digest).to_series()
        return hashed.to_arrow().cast(pa.string())

    return compute
