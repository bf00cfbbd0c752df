"""Many who look while a pipeline writes: nobody sees an error, and no lock is kept from the pipeline."""

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.ui.conftest import FEATURES, Site

from metaxy.testing import TempMetaxyProject

READERS, WRITES = 50, 8
QUESTIONS = ("counts.json", "rows.json?limit=5", "counts.json", "columns.json")
STORES = {
    "duckdb": ("metaxy.ext.duckdb.DuckDBMetadataStore", "database", "store.duckdb"),
    "sqlite": ("metaxy.ext.sqlite.SQLiteMetadataStore", "database", "store.db"),
    "delta": ("metaxy.ext.delta.DeltaMetadataStore", "root_path", "lake"),
}


@pytest.fixture
def written(tmp_path: Path) -> TempMetaxyProject:
    """A project whose stores have a few rows each."""
    stores = {name: {"type": kind, option: str(tmp_path / file)} for name, (kind, option, file) in STORES.items()}
    project = TempMetaxyProject(tmp_path, FEATURES, project="vision", stores=stores, store="duckdb")
    with project.use():
        for name in STORES:
            write(project, name, 0)
    return project


def write(project: TempMetaxyProject, name: str, number: int) -> None:
    versions = [{"audio": "1", "frames": "1"}]
    row = {"id": [f"{number}"], "path": ["p"], "size": [number], "metaxy_provenance_by_field": versions}
    with project.store(name).open("w") as store:
        store.write("video/raw", pl.DataFrame(row))
        store.write("video/crop", store.resolve_update("video/crop").new)


def test_nobody_sees_an_error_and_no_lock_is_kept(written: TempMetaxyProject) -> None:
    site = Site(written.path)
    try:
        for name in STORES:
            seen = asked_while_writing(site, written, name)
            assert seen.pop(("counts.json", 200)) > 0
            busy = {key: seen.pop(key) for key in [*seen] if key[1] in (200, "busy")}
            assert (seen, bool(busy)) == ({}, True), name
            with written.use(), written.store(name).open("w") as store:
                assert store.read("video/crop").select("id").collect().shape[0] == WRITES + 1
            counts = site.get(f"features/video/crop/counts.json?store={name}")
            assert counts["error"] is None
            assert not list(written.path.glob(".*.queue"))
    finally:
        assert site.stop() == ""


def asked_while_writing(site: Site, project: TempMetaxyProject, name: str) -> "Counter[Any]":
    """Let many ask all the time while rows are written, and return how often they got which answer."""
    site.get(f"features/video/crop/counts.json?store={name}")
    ends, seen = threading.Event(), Counter[Any]()

    def look(number: int) -> None:
        while not ends.is_set():
            question = QUESTIONS[number % len(QUESTIONS)]
            mark = "&" if "?" in question else "?"
            answer = site.ask(f"/api/features/video/crop/{question}{mark}store={name}")
            busy = answer.status == 503 and "STORE_LOCKED" in json.dumps(answer.data)
            seen[question, "busy" if busy else answer.status] += 1
            number += 1

    readers = [threading.Thread(target=look, args=(number,)) for number in range(READERS)]
    for reader in readers:
        reader.start()
    try:
        with project.use():
            for number in range(1, WRITES + 1):
                write(project, name, number)
    finally:
        ends.set()
        for reader in readers:
            reader.join()
    return seen
