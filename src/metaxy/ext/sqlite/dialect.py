"""The SQL of SQLite, as data; functions that begin with ``mx_`` are ours."""

from metaxy.hashing import HashAlgorithm
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.polars import HASHES

HASHLIB = (HashAlgorithm.MD5, HashAlgorithm.SHA256)

SQLITE = Dialect(
    name="sqlite",
    hashes={algorithm: f"mx_{algorithm.value}({{0}})" for algorithm in (*HASHLIB, *HASHES)},
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
)
