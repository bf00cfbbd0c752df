"""The SQL of DuckDB, as data; functions that begin with ``mx_`` are ours."""

from metaxy.ext.duckdb.functions import ADDED, function_name
from metaxy.hashing import HashAlgorithm
from metaxy.versioning.dialect import Dialect

DUCKDB = Dialect(
    name="duckdb",
    hashes={
        HashAlgorithm.MD5: "md5({0})",
        HashAlgorithm.SHA256: "sha256({0})",
        **{algorithm: f"{function_name(algorithm)}({{0}})" for algorithm in ADDED},
    },
    row_id="rowid",
)
