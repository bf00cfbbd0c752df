"""Functions that DuckDB lacks, as vectorised Arrow functions: no extension, no download.

They are hash functions, and the case of letters: DuckDB turns one letter into one, so that ``ß`` and others would not
become what they become elsewhere.
"""

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


CASES = {"lower": "to_lowercase", "upper": "to_uppercase"}  # names of DuckDB's functions and of Polars'
# Put before those of DuckDB; only texts that are not ASCII need ours. Each cursor has macros of its own.
CASE_MACROS = tuple(
    f"CREATE OR REPLACE TEMP MACRO {name}(x) AS"
    f" CASE WHEN strlen(x) = length(x) THEN system.main.{name}(x) ELSE mx_{name}(x) END"
    for name in CASES
)


def add_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Register the functions; all connections of this process to the same database see them."""
    functions = {function_name(algorithm): _hasher(algorithm) for algorithm in ADDED}
    functions |= {f"mx_{name}": _cased(method) for name, method in CASES.items()}
    for name, compute in functions.items():
        with suppress(duckdb.CatalogException):  # another store of this process was first
            connection.create_function(
                name, compute, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW, side_effects=False
            )


@cache  # only the connection that registers a function keeps it alive, but others of the process use it, too
def _hasher(algorithm: HashAlgorithm) -> Any:
    namespace, function = HASHES[algorithm]
    return _of_texts(getattr(getattr(pl.col("text"), namespace), function)().cast(pl.String))


@cache
def _cased(method: str) -> Any:
    return _of_texts(getattr(pl.col("text").str, method)())


def _of_texts(value: pl.Expr) -> Any:
    import pyarrow as pa

    def compute(texts: Any) -> Any:
        found = pl.DataFrame({"text": pl.Series(texts)}).select(value).to_series()
        return found.to_arrow().cast(pa.string())

    return compute
