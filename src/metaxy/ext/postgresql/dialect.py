"""The SQL of PostgreSQL, as data."""

from metaxy.hashing import HashAlgorithm
from metaxy.versioning.dialect import Dialect

POSTGRESQL = Dialect(
    name="postgresql",
    hashes={
        HashAlgorithm.MD5: "md5({0})",
        HashAlgorithm.SHA256: "encode(sha256(convert_to({0}, 'UTF8')), 'hex')",
    },
    contains="(strpos({0}, {1}) > 0)",
    byte_order='{0} COLLATE "C"',
    same="ARRAY[{0}] = ARRAY[{1}]",  # what IS NOT DISTINCT FROM means, but it can be hashed
    json_only=True,
    nested_as_text=True,
    json_member="(CAST({0} AS jsonb) ->> {1})",
    json_path="{0}",
    pack_json="jsonb_object(CAST(ARRAY[{1}] AS text[]), CAST(ARRAY[{2}] AS text[]))",
    row_hash="hashtextextended(CAST(ROW({0}) AS text), 0)",
    nul=None,  # no text of PostgreSQL holds it
    repeats_expressions=True,
)
