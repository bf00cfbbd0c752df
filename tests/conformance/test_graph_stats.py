"""What pictures say of rows is what SQL says that counts them by itself."""

import json
from contextlib import nullcontext
from datetime import timezone
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows
from tests.services import postgres
from tests.stores import STORES, StoreFactory, postgresql_database, postgresql_schema

from metaxy.columns import METAXY_DELETED_AT, METAXY_FEATURE_VERSION, METAXY_UPDATED_AT
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.formats import FORMATS, render
from metaxy.dag.stats import size_text
from metaxy.dag.view import GraphData
from metaxy.definitions.keys import FeatureKey
from metaxy.service.graph_stats import with_stats
from metaxy.service.project import Project
from metaxy.storage.port import Measurable
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.store.system.tables import ROW_ERRORS
from metaxy.versioning.frames import collect_to_polars

LAST = f"greatest({METAXY_UPDATED_AT}, {METAXY_DELETED_AT})"  # of a row; a deletion leaves the time of writing as it is
LATEST = f"""(SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY id ORDER BY {LAST} DESC) AS nth
    FROM {{}} WHERE {METAXY_FEATURE_VERSION} = '{{}}') WHERE nth = 1 AND {METAXY_DELETED_AT} IS NULL)"""
COUNTS = f"""SELECT
    (SELECT count(*) FROM {{crop}}) AS rows,
    (SELECT count(*) FROM {{video}} WHERE id NOT IN (SELECT id FROM {{crop}})) AS missing,
    (SELECT count(*) FROM {{video}} v JOIN {{crop}} c USING (id) WHERE v.{METAXY_UPDATED_AT} > c.{METAXY_UPDATED_AT})
        AS stale,
    (SELECT count(*) FROM {{crop}} WHERE id NOT IN (SELECT id FROM {{video}})) AS orphaned,
    (SELECT count(*) FROM errors WHERE feature_key = 'video/crop') AS failed,
    (SELECT max({METAXY_UPDATED_AT}) FROM crops) AS last_write"""


def table(store: MetadataStore, key: FeatureKey) -> pl.DataFrame:
    """Return all rows of a table, whatever they say."""
    return collect_to_polars(store.storage.scan(key).frame)


def counted_by_sql(store: MetadataStore, graph: FeatureGraph) -> dict[str, Any]:
    """Count with SQL that knows nothing of recipes; a sample is stale if its parent was written after it."""
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        for name, key in (
            ("videos", FeatureKey("video")),
            ("crops", FeatureKey("video/crop")),
            ("errors", ROW_ERRORS.key),
        ):
            database.register(name, table(store, key).to_arrow())
        versions = {name: graph.get_feature_version(name) for name in ("video", "video/crop")}
        latest = {
            "video": LATEST.format("videos", versions["video"]),
            "crop": LATEST.format("crops", versions["video/crop"]),
        }
        return database.sql(COUNTS.format(**latest)).pl().row(0, named=True)


def fill(store: MetadataStore) -> None:
    """Make crops of which two are missing, one of these as it failed, one is stale and one orphaned."""
    define("video")
    define("video/crop", "video")
    define("faces", "video/crop")
    store.write("video", rows(id=list("abcdef")))
    increment = store.resolve_update("video/crop")
    store.write("video/crop", increment.new.filter(nw.col("id") != "f"))
    failed = increment.new.filter(nw.col("id") == "f").to_polars()
    store.record_errors("video/crop", failed.with_columns(error_type=pl.lit("ValueError"), error_message=pl.lit("<b>")))
    store.write("video", rows({"default": "2"}, id=["b", "g"]))
    store.delete("video", filters=nw.col("id") == "c")


@pytest.mark.three_stores
def test_pictures_say_what_sql_counts(make: StoreFactory, graph: FeatureGraph) -> None:
    with make().open("w") as store:
        fill(store)
        expected = counted_by_sql(store, graph)
    store = make()
    project = Project().with_graph(graph).with_store(store)
    view = with_stats(project, GraphData.from_feature_graph(graph), RenderConfig())
    found_stats: list[Any] = [view.nodes[key].stats for key in ("video", "video/crop", "faces")]
    root, stats, leaf = found_stats
    found = {name: getattr(stats, name) for name in expected}
    assert {**found, "last_write": stats.last_write.astimezone(timezone.utc)} == expected
    assert (found["rows"], found["missing"], found["stale"], found["orphaned"], found["failed"]) == (5, 2, 1, 1, 1)
    assert (root.rows, root.state, root.missing) == (6, "root_feature", None)
    assert (leaf.rows, leaf.state, leaf.missing, leaf.last_write, leaf.size_bytes) == (None, "missing", 5, None, None)
    with store.open("r"):
        assert isinstance(store.storage, Measurable)
        assert stats.size_bytes == store.storage.size(FeatureKey("video/crop"))
    assert stats.size_bytes > 100

    assert "\x1b[33m📦 5 rows" in render(view, "terminal", RenderConfig(), color=True)
    said = ["5 rows, 2 missing, 1 stale, 1 orphaned, 1 failed", size_text(stats.size_bytes), "no table, 5 missing"]
    for name in FORMATS.keys() - {"json", "yaml"}:
        shown = render(view, name, RenderConfig())
        assert [text for text in said if text not in shown] == [], name
    [crop] = [node for node in json.loads(render(view, "json", RenderConfig()))["nodes"] if node["key"] == "video/crop"]
    assert crop["stats"] == stats.model_dump(mode="json")

    part = with_stats(project, GraphData.from_feature_graph(graph), RenderConfig(feature="video", down=0))
    assert [key for key, node in part.nodes.items() if node.stats] == ["video"]  # what is not shown is not counted


@pytest.mark.parametrize("name", ["duckdb", "ducklake", "postgresql"])
def test_a_view_in_the_place_of_a_table_has_no_size(name: str, tmp_path: Path) -> None:
    define("video")
    opened: Any = STORES[name](tmp_path)
    with opened.open("w") as store:
        store.write("video", rows(id=["a", "b"]))
        place = f"{postgresql_schema(tmp_path)}." if name == "postgresql" else ""
        statements = (
            f"ALTER TABLE {place}video RENAME TO videos",
            f"CREATE VIEW {place}video AS SELECT * FROM {place}videos",
        )
        connected = postgres.connect(postgresql_database()) if name == "postgresql" else nullcontext(store.connection)
        with connected as connection:
            for statement in statements:
                connection.execute(statement)
        found = get_feature_metadata_status("video", store, footprint=True).status
        assert (found.store_row_count, found.footprint.size_bytes) == (2, None)
        assert found.footprint.last_write is not None
