"""The words of ClickHouse's SQL."""

from metaxy.hashing import HashAlgorithm
from metaxy.versioning.dialect import Dialect

CLICKHOUSE = Dialect(
    name="clickhouse",
    hashes={
        HashAlgorithm.MD5: "lower(hex(MD5({0})))",
        HashAlgorithm.SHA256: "lower(hex(SHA256({0})))",
        HashAlgorithm.XXHASH32: "toString(xxHash32({0}))",
        HashAlgorithm.XXHASH64: "toString(xxHash64({0}))",
        HashAlgorithm.XXH3_64: "toString(xxh3({0}))",
    },
    text_type="Nullable(String)",
    nested_as_text=True,
    name_escapes={"\\": "\\\\"},
    literal_escapes={"\\": "\\\\", "'": "\\'"},
    contains="(position({0}, {1}) > 0)",
    # Aggregates have no order; tuples of the sorting columns and the value are sorted instead, text by bytes.
    ordered_join="arrayStringConcat(arrayMap(x -> x.2, arraySort(x -> x.1, groupArray(tuple(tuple({2}), {0})))), {1})",
    map_member="if(mapContains({0}, {1}), {0}[{1}], NULL)",  # what a map lacks would be ''
    given_map_member="JSONExtract(toJSONString({0}), {1}, 'Nullable(String)')",  # also of a Variant
    json_member="JSONExtract(CAST({0} AS Nullable(String)), {1}, 'Nullable(String)')",
    json_path="{0}",
    pack_struct="CAST(tuple({1}) AS Tuple({2}))",
    pack_map="mapFromArrays([{0}], [{1}])",
    pack_json="toJSONString(map({0}))",
    timestamp_type="Nullable(DateTime64(6, 'UTC'))",
    timestamp_value="fromUnixTimestamp64Micro(toInt64({1}), 'UTC')",
    nul="char(0)",
    materialized="AS",
    floats_differ="({0} IS DISTINCT FROM {1} AND NOT ifNull(isNaN({0}) AND isNaN({1}), 0))",
    row_hash="sipHash64({0})",
    nothing="any({0})",
    absent={
        "": "CAST(NULL AS Nullable({0}))",
        "Nullable(": "CAST(NULL AS {0})",
        "Map(": "CAST(map() AS {0})",
        **dict.fromkeys(("Array(", "Tuple(", "LowCardinality(", "Variant(", "Dynamic", "JSON")),
    },
    first_of_each="ORDER BY {0}, {1} LIMIT 1 BY {0}",
)
