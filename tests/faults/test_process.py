"""Processing that is killed or interrupted: what is written is not computed again, and nothing is lost."""

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.factory import define, rows, values
from tests.faults.children import children, hear, rest
from tests.stores import STORES, THREE

from metaxy.dag.graph import FeatureGraph
from metaxy.store import outbox
from metaxy.store.store import MetadataStore

SAMPLES = 400

# Computes, and says each sample; what is written is put and flushed often.
WORKER = """
from metaxy.store import outbox
outbox.PUT_ROWS, outbox.FLUSH_ROWS = 5, 10

def compute(row):
    say(row["id"])
    return {"n": 1}

make().process("clip", compute, rows="one", workers=2, batch_size=5, progress=False)
"""


def prepared(name: str, folder: Path) -> MetadataStore:
    store = STORES[name](folder)
    define("video")
    define("clip", "video")
    with store.open("w"):
        store.write("video", rows(id=[f"v{n}" for n in range(SAMPLES)]))
    return store


@pytest.mark.parametrize("name", THREE)
def test_after_kills_nothing_that_was_written_is_computed_again(tmp_path: Path, name: str) -> None:
    with FeatureGraph().use():
        store = prepared(name, tmp_path)
        before: set[str] = set()
        for _ in range(2):
            with children(1, WORKER, name, tmp_path) as [child]:
                heard = [hear(child) for _ in range(random.randint(30, 90))]
                child.process.kill()
                heard += rest(child)
            assert not before & set(heard)
            assert len(set(heard)) == len(heard)
            with store:
                before = set(values(store.read("clip"))) if store.has_feature("clip") else set()
        computed: list[str] = []

        def compute(row: dict[str, Any]) -> dict[str, Any]:
            computed.append(row["id"])
            return {"n": 2}

        report = store.process("clip", compute, progress=False)
        assert report.done == len(computed) == SAMPLES - len(before)
        assert not before & set(computed)
        with store:
            assert len(values(store.read("clip"))) == SAMPLES


INTERRUPTED = """
import sys, threading

def compute(given):
    say(len(given))
    listen()
    return [{"n": 1} for row in given]

try:
    make().process("clip", compute, rows="many", batch_size=100, progress=False)
except KeyboardInterrupt as error:
    say(error)
"""


def test_ctrl_c_finishes_the_batch_writes_it_and_says_how_to_go_on(tmp_path: Path) -> None:
    with FeatureGraph().use():
        store = prepared("duckdb", tmp_path)
        with children(1, INTERRUPTED, "duckdb", tmp_path) as [child]:
            assert hear(child) == "100"
            assert child.process.pid is not None
            os.kill(child.process.pid, signal.SIGINT)
            child.line.send("go on")
            said = hear(child)
        assert said == (
            "feature clip, function compute: 100 of 400 samples are computed and written; process again to go on"
        )
        assert store.process("clip", lambda _: {"n": 1}, rows="one", progress=False).total == 300


def test_a_store_that_goes_away_is_named_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PUT_ROWS", 5)
    monkeypatch.setattr(outbox, "FLUSH_ROWS", 10)
    with FeatureGraph().use():
        store = prepared("delta", tmp_path)
        calls = 0

        def compute(row: dict[str, Any]) -> dict[str, Any]:
            nonlocal calls
            calls += 1
            if calls == 100:
                Path(tmp_path, "delta").rename(tmp_path / "gone")
                Path(tmp_path, "delta").write_text("no folder")
            return {"n": 1}

        with pytest.raises(Exception, match="cannot be written") as caught:
            store.process("clip", compute, batch_size=5, progress=False)
        assert str(caught.value).startswith("feature clip, function ")
        Path(tmp_path, "delta").unlink()
        Path(tmp_path, "gone").rename(tmp_path / "delta")
        with store:
            written = len(values(store.read("clip")))
        assert store.process("clip", compute, progress=False).done == SAMPLES - written
