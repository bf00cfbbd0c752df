"""The SQL of SQLite, as data; functions that begin with ``mx_`` are ours."""

from metaxy.hashing import HashAlgorithm
from metaxy.versioning.dialect import Dialect

HASHLIB = (HashAlgorithm.MD5, HashAlgorithm.SHA256)  # others are slow for single texts, and left to Polars
# One row. As it is found by recursion, SQLite expects very many of them, and builds an index for each join of what is
# multiplied with it; with statistics of a table that was small once it would rather read all of it for every row.
ONCE = "WITH mx_once(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM mx_once WHERE n < 1) SELECT n FROM mx_once"

SQLITE = Dialect(
    name="sqlite",
    hashes={algorithm: f"mx_{algorithm.value}({{0}})" for algorithm in HASHLIB},
    left="substr({0}, 1, {1})",
    contains="(instr({0}, {1}) > 0)",
    ordered_join="mx_ordered_join({0}, {1}, {2})",
    text_type="TEXT",
    json_only=True,
    nested_as_text=True,
    json_member="json_extract({0}, {1})",
    timestamp_type="TIMESTAMPTZ",
    timestamp_value="{1}",
    nul="char(0)",
    repeats_expressions=True,
    hash_joins=False,
    many=f"{{0}} CROSS JOIN ({ONCE})",
    row_id="rowid",
)
