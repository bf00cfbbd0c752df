"""A whole graph in one call: parents before children, each feature by its function."""

from typing import Any

import pytest
from tests.factory import define, rows

import metaxy as mx
from metaxy.process import Computed, plan, run
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars


def add_one(row: dict[str, Any]) -> dict[str, Any]:
    return {"n": row.get("n", 0) + 1}


@pytest.mark.three_stores
def test_features_are_computed_in_order_and_what_is_left_is_reported(store: MetadataStore) -> None:
    define("video")
    define("crop", mx.FeatureDep(feature="video", select=["n"]))
    define("face", mx.FeatureDep(feature="crop", select=["n"]))
    define("name", "face")

    listed = rows(id=["a", "b"], n=[1, 2])
    functions = {"face": add_one, "crop": add_one, "video": Computed(add_one, samples=lambda: listed)}
    assert [(each.feature, each.function, each.new) for each in plan(store, functions)] == [
        ("video", "add_one", 2),
        ("crop", "add_one", 0),
        ("face", "add_one", 0),
    ]
    for how, new in ({"limit": 1}, [1, 0, 0]), ({"errors": "only"}, [0, 0, 0]):
        assert [each.new for each in plan(store, functions, **how)] == new
    report = run(store, functions, down=1, progress=False)
    assert [(each.feature, each.done) for each in report.reports] == [("video", 2), ("crop", 2), ("face", 2)]
    assert (report.without_function, report.failures, report.in_sync) == ({"name": 2}, {}, False)
    assert run(store, functions, progress=False).in_sync
    face = collect_to_polars(store.read("face")).sort("id")
    assert face["n"].to_list() == [4, 5]

    store.write("video", rows("2", id=["a"], n=[10]))
    store.write("video", rows(id=["c"], n=[3]))
    for how, counts in (
        ({"limit": 1}, (1, 0)),
        ({"limit": 2}, (1, 1)),
        ({"errors": "only"}, (0, 0)),
        ({"errors": "skip"}, (1, 1)),
    ):
        [crop] = plan(store, functions, features=["crop"], **how)
        assert (crop.new, crop.stale) == counts
    store.delete("video", "id = 'c'")
    only = run(store, functions, features=["crop"], progress=False)
    assert [(each.feature, each.done) for each in only.reports] == [("crop", 1)]
    above = run(store, functions, features=["face"], up=2, progress=False)
    assert [each.feature for each in above.reports] == ["video", "crop", "face"]


@pytest.mark.three_stores
def test_a_function_without_parameters_lists_the_samples_of_a_root(store: MetadataStore) -> None:
    define("video")
    define("crop", mx.FeatureDep(feature="video", select=["n"]))
    found = [rows(id=["a", "b"], n=[1, 2])]

    @mx.computes("video", batch_size=1)
    def videos() -> Any:
        return found[-1]

    mx.computes("crop")(add_one)
    assert [(each.function, each.new) for each in plan(store)] == [("videos", 2), ("add_one", 0)]
    report = run(store, progress=False)
    assert [(each.function, each.done) for each in report.reports] == [("videos", 2), ("add_one", 2)]
    assert collect_to_polars(store.read("video", columns=["id", "n"])).sort("id").rows() == [("a", 1), ("b", 2)]
    found.append(rows("2", id=["a"], n=[5]))
    report = run(store, {"video": videos}, orphaned="delete", progress=False)
    assert [(each.stale, each.orphaned) for each in report.reports] == [(1, 1)]
    assert collect_to_polars(store.read("video", columns=["id", "n"])).rows() == [("a", 5)]
    with pytest.raises(TypeError, match="function videos takes no row"):
        mx.computes("video", samples=found[0])(videos)


@pytest.mark.three_stores
def test_a_feature_that_fails_does_not_stop_the_others(store: MetadataStore) -> None:
    define("video")
    define("crop", "video")
    define("face", "crop")
    define("sound", "video")
    store.write("video", rows(id=["a", "b"]))

    @mx.computes("crop", on_error="raise")
    def crop(row: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("no picture")

    @mx.computes("face")
    def face(row: dict[str, Any]) -> dict[str, Any]:
        return {}

    @mx.computes("sound", workers=2)
    def sound(row: dict[str, Any]) -> dict[str, Any]:
        return {}

    report = run(store, progress=False)
    assert [(each.feature, each.done) for each in report.reports] == [("sound", 2)]
    assert list(report.failures) == ["crop", "face"]
    assert "function crop, sample id = 'a': ValueError: no picture" in report.failures["crop"]

    def unmounted() -> Any:
        raise OSError("no such folder")

    report = run(store, {"video": Computed(face, samples=unmounted), "sound": sound}, progress=False)
    assert report.failures == {"video": "feature video: OSError: no such folder"}
    assert [each.feature for each in report.reports] == ["sound"]
    assert not report.in_sync
