"""Rows page by page and statistics of columns, on every store: the values of columns of each type, exactly."""

import json
from typing import Any

import polars as pl
import pytest
from tests.column_types import CASES, REFUSED
from tests.factory import define, rows
from tests.stores import StoreFactory

from metaxy.dag.graph import FeatureGraph
from metaxy.service.browsing import column_statistics, page
from metaxy.service.project import Project
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

N = 25


def project_of(graph: FeatureGraph, store: MetadataStore) -> Project:
    return Project().with_graph(graph).with_store(store)


@pytest.mark.filterwarnings("ignore::metaxy.errors.UntypedColumnWarning")
def test_columns_of_each_type_are_shown_and_counted(store: MetadataStore, graph: FeatureGraph, request: Any) -> None:
    define("video")
    name = request.node.callspec.params["make_store"]
    kept = [column for case in CASES for column in case.columns if case.outcome(name) is not REFUSED]
    store.write("video", rows(id=["a", "b", "null"], **{f"u{n}": column for n, column in enumerate(kept)}))
    project = project_of(graph, store)
    read = collect_to_polars(store.read("video")).sort("id")
    found = page(project, "video", system_columns=True)
    assert json.loads(json.dumps(found.rows)) == found.rows
    assert sorted(column.name for column in found.columns) == sorted(read.columns)
    types = {each.name: each.type for each in found.columns}
    shown = dict(zip([c.name for c in found.columns], zip(*found.rows, strict=True), strict=True))
    counted = {each.name: each for each in column_statistics(project, "video", system_columns=True).columns}
    for column in read:
        dtype, values = column.dtype, shown[column.name]
        assert [value is None for value in values] == column.is_null().to_list()
        if dtype.is_integer():
            assert [None if v is None else int(v) for v in values] == column.to_list()
        if dtype.is_temporal() or dtype.is_decimal() or dtype.is_nested() or dtype == pl.Binary:
            assert {type(value) for value in values} <= {str, type(None)}
        stats, present = counted[column.name], column.drop_nulls()
        assert (stats.nulls, stats.type) == (column.null_count(), types[column.name])
        if dtype.is_float():
            assert stats.nans == present.is_nan().sum()
            present = present.filter(~present.is_nan())
        if not dtype.is_nested() and dtype != pl.Object:
            assert stats.distinct == present.n_unique(), (column.name, dtype)
        if dtype.is_numeric() and len(present):
            assert float(stats.least) == float(present.min()), column.name  # type: ignore[arg-type]
            assert float(stats.greatest) == float(present.max()), column.name  # type: ignore[arg-type]
        assert (stats.mean is None) == (not dtype.is_numeric() or not len(present))


def test_pages_follow_each_other(store: MetadataStore, graph: FeatureGraph) -> None:
    define("video", ids=("id", "n"))
    numbers = [(7 * n) % N for n in range(N)]
    store.write("video", rows(id=["x"] * N, n=numbers, size=[n * 2 for n in numbers]))
    project = project_of(graph, store)
    pages = [page(project, "video", limit=10, offset=offset) for offset in (0, 10, 20, 30)]
    assert [row for each in pages for row in each.rows] == [["x", n, 2 * n] for n in range(N)]
    assert [each.more for each in pages] == [True, True, False, False]
    found = page(project, "video", columns=["size"], filters=["n >= 20", "size < 48"], limit=2, offset=1)
    assert ([c.name for c in found.columns], found.rows, found.more) == (["size"], [[42], [44]], True)
    stats = column_statistics(project, "video", filters=["n >= 20"])
    assert (stats.rows, stats.columns[2].mean, stats.columns[2].least) == (5, 44.0, 40)


@pytest.mark.three_stores
def test_no_rows_have_no_statistics(make: StoreFactory, graph: FeatureGraph) -> None:
    define("video")
    with make().open("w") as store:
        store.write("video", rows(id=["a"], x=[1.0], text=["é" * 1500]))
        project = project_of(graph, store)
        [[_, _, long]] = page(project, "video").rows
        assert long == {"text": "é" * 1000, "length": 1500}
        nothing = column_statistics(project, "video", filters=["id = 'z'"])
    assert nothing.rows == 0
    by_name = {each.name: (each.nulls, each.distinct, each.least, each.mean) for each in nothing.columns}
    assert by_name == {"id": (0, 0, None, None), "x": (0, 0, None, None), "text": (0, 0, None, None)}
