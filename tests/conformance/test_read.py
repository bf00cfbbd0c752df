"""Reading: which rows count, in which columns."""

from datetime import datetime, timezone
from typing import Any

import narwhals as nw
import pytest
from tests.factory import define, rows, values

from metaxy.dag.graph import FeatureGraph
from metaxy.errors import FeatureNotFoundError, MetadataSchemaError, UnknownFeatureError
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.reading import write_history

NOON = datetime(2020, 1, 1, 12, tzinfo=timezone.utc)


# -- which rows --------------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_rows_of_one_version(store: MetadataStore) -> None:
    first, second = write_history(store)

    def read(version: str) -> list[Any]:
        return values(store.read("video", feature_version=version, with_feature_history=True), "id", "n")

    assert read(first) == [("a", 0), ("old", 0)]
    assert read(second) == [("a", 2), ("c", 3)]
    assert read("unknown") == []
    with pytest.raises(ValueError, match="feature_version needs with_feature_history=True"):
        store.read("video", feature_version=first)


# -- which columns -----------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_db21_columns_may_leave_out_ids(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], u=["old"], v=["x"]))
    store.write("video", rows(id=["a"], u=["new"], v=["x"]))
    for filters in (None, [nw.col("v") == "x"], [nw.col("id") == "a"]):
        frame = store.read("video", columns=["u"], filters=filters)
        assert frame.collect_schema().names() == ["u"]
        assert values(frame, "u") == ["new"]


@pytest.mark.three_stores
def test_unknown_columns_are_refused_with_a_near_match(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], height=[1]))
    with pytest.raises(MetadataSchemaError, match=r"feature video has no column 'hieght'\. Did you mean 'height'\?"):
        store.read("video", columns=["hieght"])


def test_filters_on_unknown_columns_are_refused_in_one_line(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], height=[1]))
    for filters in ([nw.col("hieght") == 1], [nw.col("id") == "a", nw.col("id") == nw.col("hieght")]):
        with pytest.raises(MetadataSchemaError, match="hieght") as caught:
            store.read("video", filters=filters)
        assert "\n" not in str(caught.value)


# -- which features ----------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_a_feature_that_is_not_in_the_graph_is_refused(store: MetadataStore) -> None:
    define("video")
    with pytest.raises(UnknownFeatureError, match=r"feature 'vidoe' is not in the graph\. Did you mean 'video'\?"):
        store.read("vidoe")


def test_all_history_of_a_table_is_read_without_its_feature(store: MetadataStore) -> None:
    define("video", fields=["x", "y"])
    store.write("video", rows({"x": "1", "y": "2"}, id=["a", "b"], n=[1, 2]))
    store.write("video", rows({"x": "1", "y": "3"}, id=["a"], n=[3]))
    store.delete("video", nw.col("id") == "b")
    history: dict[str, Any] = {"with_feature_history": True, "with_sample_history": True}
    asked: list[dict[str, Any]] = [
        {},
        {"columns": ["n", "id"], "filters": [nw.col("n") > 1]},
        {"include_soft_deleted": True, "filters": [nw.col("id") == "b"]},
        {"feature_version": "none"},
    ]
    known = [values(store.read("video", **history, **options), "id", "n") for options in asked]
    assert [len(found) for found in known] == [3, 2, 2, 0]
    with FeatureGraph().use():
        assert [values(store.read("video", **history, **options), "id", "n") for options in asked] == known
        for feature, sample in ((False, False), (True, False), (False, True)):
            with pytest.raises(UnknownFeatureError, match="video"):
                store.read("video", with_feature_history=feature, with_sample_history=sample)
        with pytest.raises(FeatureNotFoundError, match="feature film has no table"):
            store.read("film", **history)


@pytest.mark.three_stores
def test_the_store_that_has_the_rows_is_named(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"]))
    frame, holder = store.read("video", with_store_info=True)
    assert values(frame) == ["a"]
    assert holder is store
    assert store.find_store_for_feature("video") is store
    assert store.has_feature("video")
