"""What a page asks beside rows: stores of which one hangs, changes in words, versions with what changed in them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.factory import define, rows

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.field import FieldSpec
from metaxy.ext.sqlite import SQLiteMetadataStore
from metaxy.service.exact_values import exact
from metaxy.service.graph import compare, named_version, with_work
from metaxy.service.history import push, version_changes
from metaxy.service.project import Project
from metaxy.service.store_states import store_states

LET_GO = threading.Event()


class HangingStore(SQLiteMetadataStore):
    """A store whose server does not answer."""

    @contextmanager
    def open(self, mode: Any = "r") -> Iterator[Any]:
        LET_GO.wait()
        with super().open(mode) as store:
            yield store


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Stores that answer, cannot be reached, hang, and cannot be built; their addresses are secret."""
    hanging = f"{__name__}.HangingStore" if "." in __name__ else HangingStore.__qualname__
    lines = {
        "good": ("metaxy.ext.sqlite.SQLiteMetadataStore", "database", str(tmp_path / "good.db")),
        "away": (
            "metaxy.ext.postgresql.PostgreSQLMetadataStore",
            "connection_string",
            "postgresql://u:hush@localhost:1/x",
        ),
        "hangs": (hanging, "database", str(tmp_path / "hangs.db")),
        "wrong": ("metaxy.ext.delta.DeltaMetadataStore", "no_such_option", "hush"),
    }
    text = "".join(f'[stores.{n}]\ntype = "{t}"\n[stores.{n}.config]\n{o} = "{v}"\n' for n, (t, o, v) in lines.items())
    file = tmp_path / "metaxy.toml"
    file.write_text(f'project = "test"\nstore = "good"\nauto_create_tables = true\n{text}')
    with FeatureGraph().use() as graph:
        define("video", fields=[FieldSpec(key="audio", code_version="1"), FieldSpec(key="frames", code_version="1")])
        define("clip", "video")
        project = Project(file)
        with project.config.use():
            yield project.with_graph(graph)


def test_a_store_that_hangs_keeps_nobody_from_the_others(project: Project) -> None:
    with project.store("good").open("w") as store:
        store.write("video", rows({"audio": "1", "frames": "1"}, id=["a"]))
        push(project.with_store(store))
    LET_GO.clear()
    states = {each.store.name: each for each in store_states(project, patience=0.5)}
    assert next(iter(states)) == "good"
    assert (states["good"].is_reachable, states["good"].tables, states["good"].error) == (True, 1, None)
    assert states["hangs"].error == "no answer within 0.5 s"
    assert states["away"].error
    assert states["wrong"].error
    assert [each.is_reachable for each in states.values()].count(True) == 1
    assert "hush" not in str([each.data() for each in states.values()])
    threads = threading.active_count()
    store_states(project, patience=0)
    assert threading.active_count() <= threads + 3  # who hangs is not asked again
    LET_GO.set()
    again = {each.store.name: each for each in store_states(project, patience=60)}
    assert (again["hangs"].is_reachable, again["hangs"].tables, again["hangs"].error) == (True, 0, None)


def test_changes_are_told_as_data(project: Project) -> None:
    with project.store().open("w") as store:
        here = project.with_store(store)
        store.write("video", rows({"audio": "1", "frames": "1"}, id=["a", "b"]))
        store.write("clip", store.resolve_update("clip").new)
        push(here)
        define("video", fields=[FieldSpec(key="audio", code_version="2"), FieldSpec(key="speech", code_version="1")])
        push(here)
        define("clip", "video", fields=["default", "other"])
        found = with_work(here, compare(here, named_version("latest")))
        [clip] = found.data()
        assert (clip["key"], clip["status"], clip["work"]["unknown"]) == ("clip", "changed", None)
        assert [field["key"] for field in clip["fields"]] == ["other"]
        push(here)

        video = version_changes(here, "video")
        assert [each.is_current for each in video] == [True, False]
        assert video[0].changes == [
            "field speech is new",
            "field frames is gone",
            "audio: code version 1 → 2",
        ]
        assert video[1].changes == []
        clips = [each.changes for each in version_changes(here, "clip")]
        assert clips == [["field other is new"], ["through what it is computed from"], []]
        assert version_changes(here, "never") == []


def test_values_are_what_json_holds() -> None:
    frame = pl.DataFrame({"x": [[1.5, float("nan"), 2**60]]}, schema={"x": pl.List(pl.Float64)})
    assert exact(frame["x"].to_list()[0]) == '[1.5, "NaN", 1.152921504606847e+18]'
    assert exact({"a": b"\x00", "n": 2**53 + 1}) == '{"a": "0x00", "n": "9007199254740993"}'
    assert [exact(value) for value in (True, 2**53, -(2**53) - 1, float("-inf"))] == [
        True,
        2**53,
        "-9007199254740993",
        "-Infinity",
    ]
