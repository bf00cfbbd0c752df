"""Samples whose versions are equal to what is stored, but whose payload is not: `resolve_update(payload=)`."""

import warnings
from math import nan
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.column_types import CASES, REFUSED
from tests.factory import define, rows, values
from tests.stores import STORES

from metaxy import columns as c
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import DriftedSamplesWarning
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore

ENGINES: Any = ("auto", "polars")


def test_samples_of_equal_versions_and_another_payload(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    first = rows(["1", "1", "1", "1"], id=["a", "b", "c", "d"], path=["x", "y", None, "z"], size=[1, 2, 3, 4])
    own = pl.struct(default=pl.lit("own")).alias(c.METAXY_DATA_VERSION_BY_FIELD)
    store.write("video", first.with_columns(own))
    store.write("clip", store.resolve_update("clip").new)
    samples = first.with_columns(
        path=pl.Series(["x", "moved", None, "z"]), size=pl.Series([1, 2, 3, 5], dtype=pl.Int32)
    )
    for engine in ENGINES:
        with pytest.warns(DriftedSamplesWarning, match="2 samples have the versions that are stored"):
            increment = store.resolve_update("video", samples=samples, payload="warn", versioning_engine=engine)
        assert increment.counts == {"new": 0, "stale": 0, "orphaned": 0, "drifted": 2, "unchanged": 2}
        assert not increment
        stale = store.resolve_update("video", samples=samples, payload="stale", versioning_engine=engine)
        assert (values(stale.stale), stale.drifted) == (["b", "d"], None)
    assert increment.drifted is not None
    store.write("video", increment.drifted)
    assert values(store.read("video"), "id", "path", "size") == [
        ("a", "x", 1),
        ("b", "moved", 2),
        ("c", None, 3),
        ("d", "z", 5),
    ]
    assert not store.resolve_update("clip")
    again = store.resolve_update("video", samples=samples, payload="warn")
    assert again.counts == {"new": 0, "stale": 0, "orphaned": 0, "drifted": 0, "unchanged": 4}


def test_children_that_have_older_copies_of_columns_are_behind(store: MetadataStore) -> None:
    define("video")
    define("clip", {"feature": "video", "select": ["path", "n"], "rename": {"size": "n"}}, "sound")
    define("sound")
    first = rows(id=["a", "b", "c", "d"], path=["x", "y", None, "z"], size=[1, 2, 3, 4], note=["p", "q", "r", "s"])
    store.write("video", first)
    store.write("sound", first.select("id", c.METAXY_PROVENANCE_BY_FIELD, loud=pl.lit(1.5)))
    own = pl.struct(default=pl.lit("own")).alias(c.METAXY_DATA_VERSION_BY_FIELD)
    new = store.resolve_update("clip").new.to_polars().drop("loud", c.METAXY_DATA_VERSION)
    store.write("clip", new.with_columns(own, words=pl.concat_str("id", pl.lit("!"))))
    again = first.with_columns(path=pl.Series(["x", "y2", "w", "z"]), size=pl.Series([1, 2, 3, 9]), note=pl.lit("n"))
    store.write("video", again)
    for engine in ENGINES:
        options: Any = {"versioning_engine": engine}
        assert store.resolve_update("clip", **options).behind is None
        with pytest.warns(DriftedSamplesWarning, match=r"columns of their parents \(path in 2, n in 1\), such as id="):
            increment = store.resolve_update("clip", payload="warn", **options)
        assert increment.counts == {"new": 0, "stale": 0, "orphaned": 0, "behind": 3, "unchanged": 1}
        assert values(store.resolve_update("clip", payload="stale", **options).stale) == ["b", "c", "d"]
        views = store.resolve_update("clip", payload="warn", lazy=True, **options)
        assert views.behind is not None
        assert values(views.behind, "id", "n") == [("b", 2), ("c", 3), ("d", 9)]
    asked = get_feature_metadata_status("clip", store, behind=True)
    assert (asked.status.behind_count, asked.status.needs_update) == (3, False)
    assert asked.status.format_status_line().endswith("0 new, 0 stale, 0 orphaned, 3 behind")
    assert asked.sample_details(limit=1)[0].startswith("Behind samples (3):\n  ")
    assert get_feature_metadata_status("clip", store).status.behind_count is None
    assert increment.behind is not None
    store.write("clip", increment.behind)
    found = [("a", "x", 1, "a!"), ("b", "y2", 2, "b!"), ("c", "w", 3, "c!"), ("d", "z", 9, "d!")]
    assert values(store.read("clip"), "id", "path", "n", "words") == found
    assert "loud" not in store.read("clip").columns
    versions = store.read("clip", columns=[c.METAXY_DATA_VERSION]).collect()[c.METAXY_DATA_VERSION].unique()
    assert len(versions) == 1
    assert store.resolve_update("clip", payload="warn").counts["behind"] == 0


def test_children_of_an_expansion_that_have_older_copies_are_behind(store: MetadataStore) -> None:
    lineage = LineageRelationship.expansion(on=["id"])
    define("video")
    define("part", {"feature": "video", "select": ["path"], "lineage": lineage}, ids=["id", "n"])
    first = rows(id=["a", "b", "c", "d"], path=["x", "y", None, "z"])
    store.write("video", first)
    new = store.resolve_update("part").new.to_polars()
    many = new.join(pl.DataFrame({"n": [1, 2]}), how="cross").with_columns(words=pl.col("id") + pl.col("n").cast(str))
    parts = many.filter(pl.col("id") != "d")
    store.write("part", parts, replaces=new)
    store.write("part", parts.filter(id="b", n=2).with_columns(path=pl.lit("y2")))
    store.write("video", first.with_columns(path=pl.Series(["x", "y2", "w", "moved"])))
    found = [("b", 1, "y2", "b1"), ("c", 1, "w", "c1"), ("c", 2, "w", "c2")]
    for engine in ENGINES:
        options: Any = {"versioning_engine": engine}
        assert store.resolve_update("part", **options).behind is None
        with pytest.warns(DriftedSamplesWarning, match=r"3 samples have older .* \(path in 3\), such as id="):
            increment = store.resolve_update("part", payload="warn", **options)
        assert increment.counts == {"new": 0, "stale": 0, "orphaned": 0, "behind": 3, "unchanged": 2}
        assert increment.behind is not None
        assert values(increment.behind, "id", "n", "path", "words") == found
        views = store.resolve_update("part", payload="warn", lazy=True, **options)
        assert views.behind is not None
        assert values(views.behind, "id", "n", "path", "words") == found
        assert values(store.resolve_update("part", payload="stale", **options).stale) == ["b", "c"]
    status = get_feature_metadata_status("part", store, behind=True).status
    assert (status.behind_count, status.store_row_count, status.needs_update) == (3, 6, False)
    assert "0 new and 0 stale parents, 0 orphaned, 3 behind" in status.format_status_line()
    store.write("part", increment.behind)
    again = store.resolve_update("part", payload="warn", previous=True)
    assert again.counts == {"new": 0, "stale": 0, "orphaned": 0, "behind": 0, "unchanged": 4}
    assert len(values(store.read("part"))) == 6


@pytest.mark.three_stores
def test_an_aggregation_cannot_say_what_is_behind(store: MetadataStore) -> None:
    lineage = LineageRelationship.aggregation(on=["path"])
    define("video")
    define("all", {"feature": "video", "select": ["path", "size"], "lineage": lineage}, ids=["path"])
    first = rows(id=["a", "b"], path=["x", "x"], size=[1, 2])
    store.write("video", first)
    store.write("all", store.resolve_update("all", one_row_per_group=True).new.to_polars().with_columns(size=1))
    store.write("video", first.with_columns(size=pl.lit(3)))
    with pytest.warns(
        DriftedSamplesWarning, match="payload='stale' finds no samples that are behind, as an aggregation"
    ):
        assert not store.resolve_update("all", payload="stale")
    with pytest.warns(DriftedSamplesWarning, match="make what matters a field of the parent"):
        assert store.resolve_update("all", payload="warn").behind is None
    assert get_feature_metadata_status("all", store, behind=True).status.behind_count is None


def test_copies_that_cannot_be_compared_stay(store_in_memory: MetadataStore) -> None:
    define("video")
    define("clip", {"feature": "video", "select": ["path", "tags"]})
    first = rows(id=["a"], path=["x"], tags=[["t"]])
    store_in_memory.write("video", first)
    store_in_memory.write("clip", store_in_memory.resolve_update("clip").new)
    store_in_memory.write("video", first.with_columns(path=pl.lit("y"), tags=pl.lit(["u"])))
    with pytest.warns(DriftedSamplesWarning):
        increment = store_in_memory.resolve_update("clip", payload="warn")
    store_in_memory.write("clip", increment.behind)
    assert values(store_in_memory.read("clip"), "id", "path", "tags") == [("a", "y", ["t"])]


def turned(column: pl.Series) -> pl.Series:
    return pl.Series([*column][::-1], dtype=pl.Object) if column.dtype == pl.Object else column.gather([2, 1, 0])


@pytest.mark.parametrize("name", STORES)
def test_what_was_written_has_not_drifted_whatever_its_type(name: str, tmp_path: Any) -> None:
    with STORES[name](tmp_path).open("w") as store:
        define("video")
        columns: dict[str, pl.Series] = {}
        for n, case in enumerate(case for case in CASES if case.outcome(name) is not REFUSED):
            columns |= {f"c{n}_{m}": column for m, column in enumerate(case.columns)}
        samples = rows(id=["a", "b", "c"]).with_columns(column.alias(n) for n, column in columns.items())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            store.write("video", samples)
        with warnings.catch_warnings():
            warnings.simplefilter("error", DriftedSamplesWarning)
            increment = store.resolve_update("video", samples=samples, payload="warn")
        assert increment.counts == {"new": 0, "stale": 0, "orphaned": 0, "drifted": 0, "unchanged": 3}
        others = samples.with_columns(turned(column).alias(n) for n, column in columns.items())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            store.write("video", store.resolve_update("video", samples=others, payload="stale").stale)
            increment = store.resolve_update("video", samples=others, payload="warn")
        assert increment.counts == {"new": 0, "stale": 0, "orphaned": 0, "drifted": 0, "unchanged": 3}
        assert values(store.resolve_update("video", samples=samples, payload="stale").stale) == ["a", "c"]


@pytest.mark.three_stores
def test_stale_samples_and_those_that_a_filter_leaves_out_have_not_drifted(store: MetadataStore) -> None:
    define("video")
    empty = store.resolve_update("video", samples=rows(id=["a"], n=[1.5]), payload="warn")
    assert empty.counts["drifted"] == 0
    store.write("video", rows(id=["a", "b", "c"], n=[1.5, 2.5, 3.5]))
    samples = rows(["1", "2", "1"], id=["a", "b", "c"], n=[9.0, 9.0, 9.0])
    asked: Any = {"samples": samples, "payload": "warn", "staleness_predicates": nw.col("id") == "a"}
    with pytest.warns(DriftedSamplesWarning, match=r"id='c', whose n is 9.0 and not 3.5"):
        increment = store.resolve_update("video", **asked)
    assert (values(increment.stale), values(increment.drifted)) == (["a", "b"], ["c"])
    assert not store.resolve_update("video", **asked, target_filters="id = 'a'").counts["drifted"]
    views = store.resolve_update("video", **asked | {"payload": "stale"}, lazy=True)
    assert values(views.stale) == ["a", "b", "c"]


def test_options_that_make_no_sense(store_in_memory: MetadataStore) -> None:
    define("video")
    with pytest.raises(ValueError, match="is none of"):
        store_in_memory.resolve_update("video", samples=rows(id=["a"]), payload="no")  # type: ignore[call-overload]


@pytest.fixture
def store_in_memory() -> Any:
    from tests.agreement.memory import memory_store

    with memory_store().open("w") as store:
        yield store


def test_nan_is_nan(store_in_memory: MetadataStore) -> None:
    define("video")
    samples = rows(id=["a", "b"], n=[nan, None])
    store_in_memory.write("video", samples)
    assert store_in_memory.resolve_update("video", samples=samples, payload="warn").counts["drifted"] == 0
