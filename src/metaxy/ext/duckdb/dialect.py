"""The SQL of DuckDB, as data; functions that begin with ``mx_`` are ours."""

from metaxy.ext.duckdb.functions import ADDED, function_name
from metaxy.hashing import HashAlgorithm
from metaxy.versioning.dialect import Dialect

# The number of an infinite time is NULL.
SINCE_1970 = f"coalesce(epoch_us({{0}}), CASE WHEN {{0}} = 'infinity' THEN {2**63 - 1} END, 0)"

DUCKDB = Dialect(
    name="duckdb",
    hashes={
        HashAlgorithm.MD5: "md5({0})",
        HashAlgorithm.SHA256: "sha256({0})",
        **{algorithm: f"{function_name(algorithm)}({{0}})" for algorithm in ADDED},
    },
    row_id="rowid",
    pack_list="CASE WHEN {0} THEN [{1}] ELSE CAST([] AS VARCHAR[]) END",
    inlined="AS NOT MATERIALIZED",
    in_microseconds="CAST({0} AS TIMESTAMP)",
    number_of_text="hash(CAST({0} AS VARCHAR))",
    row_hash="hash(hash({0}))",  # of several values alone, it is linear in the bits of their hashes
    wide_time=f"(greatest({SINCE_1970}, 0)::HUGEINT << 64)",
    row_of_wide=f"CAST({{0}} & {2**64 - 1} AS BIGINT)",
)
