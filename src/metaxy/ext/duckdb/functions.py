"""Hash functions that DuckDB lacks, as vectorised Arrow functions: no extension, no download."""

from typing import TYPE_CHECKING, Any

import polars as pl
from duckdb.func import PythonUDFType

from metaxy.hashing import HashAlgorithm
from metaxy.versioning.polars import HASHES

if TYPE_CHECKING:
    import duckdb

ADDED = (HashAlgorithm.XXHASH32, HashAlgorithm.XXHASH64, HashAlgorithm.XXH3_64, HashAlgorithm.WYHASH)


def function_name(algorithm: HashAlgorithm) -> str:
    """Name the SQL function of an added algorithm."""
    return f"mx_{algorithm.value}"


def add_hash_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Register the added algorithms; all cursors of the connection see them."""
    for algorithm in ADDED:
        compute = _hasher(algorithm)
        connection.create_function(
            function_name(algorithm), compute, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW, side_effects=False
        )


def _hasher(algorithm: HashAlgorithm) -> Any:
    import pyarrow as pa

    namespace, function = HASHES[algorithm]
    text = pl.col("text")
    digest = getattr(getattr(text, namespace), function)().cast(pl.String)

    def compute(texts: Any) -> Any:
        hashed = pl.DataFrame({"text": pl.Series(texts)}).select(digest).to_series()
        return hashed.to_arrow().cast(pa.string())

    return compute
