"""Nothing to do: an update without samples goes through every library, through code of users, and is written."""

from collections.abc import Callable
from typing import Any

import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.conformance.test_frames import FRAMES
from tests.factory import define, everything, ids, rows, values

from metaxy.store.batched_writer import BufferedMetadataWriter
from metaxy.store.store import MetadataStore

pytestmark = pytest.mark.three_stores
PAYLOAD = {"n": [1], "x": [1.5], "note": ["n"], "tags": [["x"]], "size": [{"w": 1}], "seen": [True]}


def labelled(rows: list[Any]) -> pd.DataFrame:
    """A frame that code of users builds from its results, and labels as a whole."""
    frame = pd.DataFrame(rows)
    frame["model"] = "v1"
    return frame


# Frames that are built from no results, in all the ways in which code of users may do so.
REBUILT: dict[str, Callable[[], Any]] = {
    "pandas": lambda: pd.DataFrame([]),
    "pandas with a label": lambda: labelled([]),
    "pandas with names": lambda: pd.DataFrame(columns=["id", "metaxy_provenance_by_field"]),
    "pandas with lists": lambda: pd.DataFrame({"id": [], "metaxy_provenance_by_field": []}),
    "polars": lambda: pl.DataFrame([]),
    "polars with lists": lambda: pl.DataFrame({"id": [], "metaxy_provenance_by_field": []}),
    "polars with other types": lambda: rows(id=[1], tags=["x"]).head(0),
    "polars lazy": lambda: pl.LazyFrame([]),
    "pyarrow": lambda: pa.table({}),
    "pyarrow from rows": lambda: pa.Table.from_pylist([]),
    "narwhals": lambda: nw.from_native(pl.DataFrame({"id": []})),
}


@pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning:ibis")  # not ours
def test_an_update_without_samples_is_written_from_every_library(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    samples = rows(id=["a"], **PAYLOAD)
    for convert in FRAMES.values():
        store.write("video", convert(samples.head(0)))  # the first day, without a table
        store.drop_feature_metadata("video")
    store.write("video", samples)
    store.write("clip", store.resolve_update("clip").new)
    for convert in FRAMES.values():
        for frame in store.resolve_update("clip").to_polars():
            store.write("clip", convert(frame))
        store.write_multi({"video": convert(samples.head(0))})
    assert [everything(store, feature).height for feature in ("video", "clip")] == [1, 1]


def test_frames_rebuilt_from_no_results_are_written(store: MetadataStore) -> None:
    define("video")
    for build in REBUILT.values():
        store.write("video", build())
        assert not store.has_feature("video") or values(store.read("video")) == []
        store.drop_feature_metadata("video")
    store.write("video", rows(id=["a"], **PAYLOAD))
    stored = everything(store, "video")
    for build in REBUILT.values():
        store.write("video", build())
        store.write_multi({"video": build()})
    with BufferedMetadataWriter(store) as writer:
        for build in REBUILT.values():
            writer.put({"video": build()})
    assert everything(store, "video").equals(stored)


@pytest.mark.filterwarnings("ignore::metaxy.errors.EmptySamplesWarning")
def test_samples_that_are_none_leave_all_that_is_stored_orphaned(store: MetadataStore) -> None:
    define("video")
    builds = [build for name, build in REBUILT.items() if name != "polars with other types"]
    for build in builds:
        update = store.resolve_update("video", samples=build())
        assert ids(update) == ([], [], [])
        store.write("video", update.new)
    store.write("video", rows(id=["a"], **PAYLOAD))
    for build in builds:
        for lazy in (False, True):
            assert ids(store.resolve_update("video", samples=build(), lazy=lazy)) == ([], [], ["a"])
