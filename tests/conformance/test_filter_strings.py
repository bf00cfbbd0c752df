"""Filter strings choose the same rows in every store."""

from datetime import date, datetime, timezone
from typing import Any

import polars as pl

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.filters import parse_filter_string
from metaxy.definitions.spec import FeatureSpec
from metaxy.store.store import MetadataStore

ROWS: dict[str, list[Any]] = {
    "id": ["a", "b", "c", "d"],
    "n": [1, -2, 3, None],
    "name": ["Anna", "bob", "100%", None],
    "ok": [True, False, None, True],
    "day": [date(2026, 1, 1), date(2026, 2, 3), date(2025, 12, 31), None],
    "at": [datetime(2026, 1, 1, 12, tzinfo=timezone.utc), datetime(2026, 2, 3, tzinfo=timezone.utc), None, None],
}
FILTERS = [
    ("n BETWEEN 0 AND 3", "ac"),
    ("n NOT BETWEEN 0 AND 3", "b"),
    ("n IN (1, -2)", "ab"),
    ("n IS NULL OR n > 2", "cd"),
    ("n IS DISTINCT FROM 1", "bcd"),
    ("n IS NOT DISTINCT FROM 1", "a"),
    ("name LIKE 'A%'", "a"),
    ("name ILIKE 'B_B'", "b"),
    ("name LIKE '%n%'", "a"),
    ("lower(name) = 'anna'", "a"),
    ("length(name) = 4", "ac"),
    ("abs(n) = 2", "b"),
    ("coalesce(n, 0) = 0", "d"),
    ("starts_with(name, 'b')", "b"),
    ("ok", "ad"),
    ("NOT ok", "b"),
    ("TRUE", "abcd"),
    ("1 = 2", ""),
    ("day >= '2026-01-01'", "ab"),
    ("day = DATE '2026-02-03'", "b"),
    ("at > '2026-01-15'", "b"),
    ("at = TIMESTAMP '2026-01-01 12:00:00'", "a"),
    ("NOT at > '2026-01-15'", "a"),
    ("at > '2026-01-15' OR n = 1", "ab"),
    ("day IN ('2026-01-01', '2025-12-31 00:00:00')", "ac"),
    ("day NOT IN ('2026-01-01', '2027-01-01')", "bc"),
    ("at IN ('2026-02-03', '2026-01-01T13:00:00+01:00')", "ab"),
    ("at NOT IN ('2026-02-03', '2026-02-04 10:00:00')", "a"),
    ("name NOT IN ('2026-01-01', '2026-01-02')", "abc"),
    ("year(day) = 2026 AND month(day) = 1", "a"),
]


def test_filter_strings_choose_the_same_rows(store: MetadataStore, graph: FeatureGraph) -> None:
    spec = FeatureSpec(key="video", id_columns=["id"])
    graph.add_feature_definition(
        FeatureDefinition.from_stored_data(spec.model_dump(mode="json"), {}, "videos.Video", "media")
    )
    versions = [{"default": "1"}] * 4
    store.write("video", pl.DataFrame({**ROWS, "metaxy_provenance_by_field": versions}))
    found = {}
    for text, _ in FILTERS:
        rows = store.read("video", filters=[parse_filter_string(text)], columns=["id"]).collect()
        found[text] = "".join(sorted(rows["id"].to_list()))
    assert found == dict(FILTERS)
