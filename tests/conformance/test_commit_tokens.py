"""Tokens tell whether counts of a feature still hold: they change with all that these are made from."""

from pathlib import Path

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows
from tests.faults.children import children, finish
from tests.stores import StoreFactory

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.keys import FeatureKey
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.sqlite import SQLiteMetadataStore
from metaxy.service.counts import commit_token, counts
from metaxy.service.project import Project
from metaxy.store.commit_tokens import feature_token
from metaxy.store.config import Fallback
from metaxy.store.store import MetadataStore

UNSURE = {"duckdb", "sqlite"}  # what they could say is of one connection, or made of clocks
COARSE = {"ducklake", "postgresql"}  # their tokens change with other tables, too
WRITE = """
with make().open("w") as store:
    store.write("clip", rows(id=["by another process"]))
"""


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["make_store"])


def token_of(store: MetadataStore, feature: str) -> str | None:
    """Return a token on which nobody else has had an influence."""
    for _ in range(100):
        with store.open("r"):
            seen = [feature_token(store, store.session.scope("r"), FeatureKey(feature)) for _ in range(2)]
        if seen[0] == seen[1]:
            return seen[0]
    raise AssertionError("an unchanged feature has another token each time")


def test_a_feature_has_another_token_after_each_change_that_counts(
    make: StoreFactory, name: str, tmp_path: Path
) -> None:
    define("video")
    define("clip", "video")
    define("leaf", "clip")
    store = make()
    error = {"error_type": pl.lit("ValueError"), "error_message": pl.lit("no")}
    with store.open("w"):
        store.write("video", rows(id=list("abc")))
        failed = store.resolve_update("clip").new.to_polars()
        tokens = [token_of(store, "clip")]
        if name in UNSURE:
            assert tokens == [None]
            return
        for change in (
            lambda: store.write("clip", store.resolve_update("clip").new.filter(nw.col("id") != "a")),
            lambda: store.record_errors("clip", failed.filter(pl.col("id") == "a").with_columns(**error)),
            lambda: store.forget_errors("clip"),
            lambda: store.write("video", rows("2", id=["b"])),
            lambda: store.delete("video", nw.col("id") == "c"),
            lambda: store.delete("clip", nw.col("id") == "c", soft=False),
        ):
            change()
            tokens.append(token_of(store, "clip"))
        store.write("leaf", store.resolve_update("leaf").new)
        assert name in COARSE or token_of(store, "clip") == tokens[-1]
    with children(1, WRITE, name, tmp_path) as [child]:
        finish(child)
    tokens.append(token_of(make(), "clip"))
    assert None not in tokens
    assert len(set(tokens)) == len(tokens)


@pytest.mark.parametrize("fallback", ["tables", "rows"])
def test_tokens_are_of_all_stores_that_are_read(tmp_path: Path, fallback: Fallback) -> None:
    define("video")
    define("clip", "video")
    far, unsure = DeltaMetadataStore(tmp_path / "far"), SQLiteMetadataStore(tmp_path / "unsure.db")
    near = DeltaMetadataStore(tmp_path / "near", fallback_stores=[far], fallback=fallback)
    before = token_of(near, "clip")
    with far.open("w"):
        far.write("video", rows(id=["a"]))
    assert token_of(near, "clip") != before
    both = DeltaMetadataStore(tmp_path / "near", fallback_stores=[far, unsure], fallback=fallback)
    assert token_of(both, "clip") is None


@pytest.mark.three_stores
def test_counts_hold_while_nothing_changes(make: StoreFactory, graph: FeatureGraph, name: str) -> None:
    define("video")
    define("clip", "video")
    with make().open("w") as store:
        store.write("video", rows(id=["a", "b"]))
    project = Project().with_graph(graph).with_store(make())
    first = counts(project, "clip")
    assert (first.stats.missing, first.token is None) == (2, name in UNSURE)
    for _ in range(100):  # other tests change the token of a database
        again = counts(project, "clip", known=first)
        if first.token == again.token:
            break
        first = again
    assert (again is first) == (name not in UNSURE)
    assert again.stats == first.stats
    with make().open("w") as store:
        store.write("video", rows(id=["c"]))
    assert counts(project, "clip", known=first).stats.missing == 3
    assert (commit_token(project, "clip") is None) == (name in UNSURE)
