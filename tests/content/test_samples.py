"""A folder over time, as samples of a store."""

import os
from pathlib import Path

import polars as pl
import pytest
from tests.content.test_scan import FIELDS, FILES, put
from tests.factory import define

import metaxy.content as content
from metaxy.ext.duckdb import DuckDBMetadataStore


def counts(store: DuckDBMetadataStore, samples: pl.DataFrame) -> dict[str, list[str]]:
    """Return the IDs of each kind, and write what is new, stale and drifted, as a nightly run does."""
    increment = store.resolve_update("video", samples=samples)
    for frame in (increment.new, increment.stale, increment.drifted):
        if frame is not None and len(frame):
            store.write("video", frame)
    kinds = {"new": increment.new, "stale": increment.stale, "orphaned": increment.orphaned}
    return {kind: sorted(frame["id"].to_list()) for kind, frame in kinds.items() if len(frame)}


@pytest.mark.filterwarnings("ignore::metaxy.errors.DriftedSamplesWarning")
def test_a_folder_over_time(tmp_path: Path) -> None:
    define("video", fields=list(FIELDS))
    folder, cache = put(tmp_path / "videos", FILES), tmp_path / "cache"

    def scan() -> pl.DataFrame:
        return content.scan(folder, FIELDS, trust="mtime", cache=cache)

    with DuckDBMetadataStore(tmp_path / "store.duckdb", auto_create_tables=True).open("w") as store:
        assert counts(store, scan()) == {"new": ["a", "b"]}
        assert counts(store, scan()) == {}
        (folder / "a" / "frames" / "1.png").write_text("other")
        (folder / "b.wav").unlink()
        (folder / "b.wav").symlink_to("nowhere")  # b cannot be read now
        put(folder, {"c.wav": "C"})
        (folder / "d.wav").symlink_to("nowhere")  # and d never could
        found = scan()
        assert counts(store, found) == {"new": ["c"], "stale": ["a"]}
        assert store.resolve_update("video", samples=found).unread == 2
        (folder / "b.wav").unlink()
        put(folder, {"b.wav": "B"})
        os.utime(folder / "b.wav", (1, 1))
        (folder / "d.wav").unlink()
        (folder / "a.wav").unlink()
        (folder / "a" / "frames" / "1.png").unlink()
        (folder / "a" / "frames" / "2.png").unlink()
        assert counts(store, scan()) == {"orphaned": ["a"]}  # b is as it was, and a is gone
        assert "metaxy_error" not in store.read("video").collect_schema().names()
