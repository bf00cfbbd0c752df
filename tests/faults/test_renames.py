"""Renamings that are killed between any two writes, and done again: nothing is lost, doubled or computed again."""

from pathlib import Path

import narwhals as nw
import pytest
from tests.factory import define, everything, ids, rows
from tests.faults.children import children, rest
from tests.stores import STORES

from metaxy.dag.graph import FeatureGraph, current_graph

# Renames, and is killed right after its first write.
RENAMER = """
import os, signal
from metaxy.dag.graph import current_graph

for key in ("video", "clip"):
    current_graph().remove_feature(key)
define("film")
define("clip", "film")
define("cut", "clip")
with make().open("w") as store:
    append = store.storage.append

    def append_and_die(writes):
        append(writes)
        os.kill(os.getpid(), signal.SIGKILL)

    store.storage.append = append_and_die
    store.rename_feature("video", "film")
    say("there was nothing to write")
"""


@pytest.mark.parametrize("name", ["duckdb", "delta"])
def test_a_killed_renaming_can_be_repeated(tmp_path: Path, name: str, graph: FeatureGraph) -> None:
    define("cut", "clip")
    with STORES[name](tmp_path).open("w") as store:
        store.write("video", rows(id=["a", "b", "c"]))
        for key in ("clip", "cut"):
            store.write(key, store.resolve_update(key).new)
        store.write("video", rows("2", id=["b"]))
        store.delete("video", nw.col("id") == "c")
        before = [ids(store.resolve_update(key)) for key in ("clip", "cut")]
        heights = {key: everything(store, key).height for key in ("video", "clip", "cut")}
    said: list[str] = []
    while not said:  # each child gets one write further
        with children(1, RENAMER, name, tmp_path) as [child]:
            said = rest(child)
    assert said == ["there was nothing to write"]
    for key in ("cut", "clip", "video"):
        current_graph().remove_feature(key)
    define("film")
    define("clip", "film")
    define("cut", "clip")
    with STORES[name](tmp_path) as store:
        assert [ids(store.resolve_update(key)) for key in ("clip", "cut")] == before
        assert everything(store, "film").height == heights["video"] + 3
        assert {key: everything(store, key).height for key in ("clip", "cut")} == {"clip": 6, "cut": 6}
