"""A resolution computes nothing before it is asked, and its expected rows go into another one like a table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import narwhals as nw
import pytest
from tests.agreement.memory import memory_store
from tests.factory import define, ids, rows, values
from tests.stores import delta_store, duckdb_store, sqlite_store

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.lineage import LineageRelationship
from metaxy.store.request import UpdateRequest
from metaxy.store.resolving import Resolution
from metaxy.store.store import MetadataStore
from metaxy.versioning.polars_engine import PolarsEngine
from metaxy.versioning.sql_engine import SqlEngine

STORES: dict[str, Callable[[Path], MetadataStore]] = {
    "polars": lambda _: memory_store(),
    "delta": delta_store,
    "duckdb": duckdb_store,
    "sqlite": sqlite_store,
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with FeatureGraph().use(), STORES[request.param](tmp_path).open("w") as store:
        yield store


def resolution(store: MetadataStore, key: str, *parents: Resolution, **asked: Any) -> Resolution:
    """Resolve a feature, with the expected rows of some parents in place of their tables."""
    scope = store.session.scope("r")
    plan = scope.graph.get_feature_plan(key)
    request = UpdateRequest.build(plan, versioning_engine=store.versioning_engine, **asked)
    expected = {FeatureKey(parent.recipe.feature): parent.as_parent() for parent in parents}
    return Resolution.of(store, scope, plan, request, expected)


def test_a_chain_says_what_will_change_before_anything_is_computed(store: MetadataStore) -> None:
    define("video")
    define("crop", "video")
    define("face", "crop")
    store.write("video", rows(id=["a", "b"], size=[1, 2]))
    for key in ("crop", "face"):
        store.write(key, store.resolve_update(key).new)
    store.write("video", rows("2", id=["b"], size=[2]))
    store.write("video", rows(id=["c"], size=[3]))
    assert ids(store.resolve_update("face")) == ([], [], [])  # nothing is known of it yet
    chained = resolution(store, "face", resolution(store, "crop"))
    predicted = chained.changes()
    assert ids(predicted) == (["c"], ["b"], [])
    assert (chained.tally().new, chained.tally().stale) == (1, 1)
    crop = store.resolve_update("crop")
    store.write("crop", crop.new)
    store.write("crop", crop.stale)
    real = store.resolve_update("face")
    for frame, other in zip(predicted[:2], real[:2], strict=True):
        assert values(frame, "id", "metaxy_provenance") == values(other, "id", "metaxy_provenance")


def test_rows_of_a_chain_are_filtered_renamed_and_grouped_like_those_of_a_table(store: MetadataStore) -> None:
    define("chunk", ids=("chunk", "video"))
    define("clean", "chunk", ids=("chunk", "video"))
    grouped = FeatureDep(
        feature="clean",
        rename={"size": "bytes"},
        filters=["bytes > 1"],
        lineage=LineageRelationship.aggregation(on=["video"]),
    )
    define("video", grouped, ids=("video",))
    chunks = {"chunk": ["1", "2", "3"], "video": ["a", "a", "b"], "size": [2, 3, 1]}
    store.write("chunk", rows(["1", "2", "3"], **chunks))
    predicted = resolution(store, "video", resolution(store, "clean")).changes()
    store.write("clean", store.resolve_update("clean").new)
    real = store.resolve_update("video")
    assert set(values(real.new, "video")) == {"a"}
    columns = ("video", "bytes", "metaxy_provenance")
    assert values(predicted.new, *columns) == values(real.new, *columns)


def test_an_orphan_of_a_chain_is_one_of_its_children(store: MetadataStore) -> None:
    define("video")
    define("crop", "video")
    define("face", "crop")
    store.write("video", rows(id=["a", "b"]))
    for key in ("crop", "face"):
        store.write(key, store.resolve_update(key).new)
    store.delete("video", nw.col("id") == "a")
    chained = resolution(store, "face", resolution(store, "crop"))
    assert ids(chained.changes()) == ([], [], ["a"])
    assert chained.tally().orphaned == 1


def test_nothing_is_computed_before_it_is_asked(store: MetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    define("video")
    define("crop", "video")
    store.write("video", rows(id=["a"]))
    computed: list[str] = []
    for kind in (SqlEngine, PolarsEngine):
        for name in ("changes", "lazy", "count"):
            function = getattr(kind, name)

            def watched(*given: Any, name: str = name, function: Any = function) -> Any:
                computed.append(name)
                return function(*given)

            monkeypatch.setattr(kind, name, watched)
    found = resolution(store, "crop")
    assert computed == []
    lazy = found.lazy()
    assert computed == []
    assert values(lazy.new) == ["a"]
    assert computed == ["lazy"]  # of three frames and the input, one was asked for
    assert found.tally().new == 1
    assert computed == ["lazy", "count"]
