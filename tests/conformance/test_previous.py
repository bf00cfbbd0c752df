"""Which fields of a sample changed, and what its row held before: `resolve_update(previous=True)`."""

from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, rows, values

from metaxy.columns import INCREMENT_COLUMNS, METAXY_CHANGED_FIELDS, METAXY_PREVIOUS
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

ENGINES: Any = ("auto", "polars")
FIELDS = ("audio", "frames")


def told(frame: Any) -> dict[str, tuple[list[str], Any]]:
    """Return by ID which fields changed, and what was before."""
    columns = ["id", METAXY_CHANGED_FIELDS, METAXY_PREVIOUS]
    return {name: (changed, row) for name, changed, row in collect_to_polars(frame).select(columns).rows()}


def clips(frames: str = "1") -> None:
    define("video", fields=list(FIELDS))
    define("clip", "video", fields=["audio", {"key": "frames", "code_version": frames}])


def test_which_fields_changed_since_the_newest_row_of_any_version(store: MetadataStore) -> None:
    clips()
    store.write("video", rows({"audio": "1", "frames": "1"}, id=["a", "b", "c"]))
    first = store.resolve_update("clip", previous=True)
    assert told(first.new) == dict.fromkeys("abc", ([*FIELDS], None))
    store.write("clip", first.new.to_polars().with_columns(score=1.5, text=pl.lit("x")))
    store.write("video", rows({"audio": ["2", "1"], "frames": "1"}, id=["a", "d"]))
    row = {"score": 1.5, "text": "x"}
    for engine in ENGINES:
        increment = store.resolve_update("clip", previous=True, versioning_engine=engine)
        views = store.resolve_update("clip", previous=True, versioning_engine=engine, lazy=True)
        for found in (increment, views):
            assert (told(found.new), told(found.stale)) == ({"d": ([*FIELDS], None)}, {"a": (["audio"], row)})
        assert increment.changed_fields == {"audio": 2, "frames": 1}
    store.write("clip", increment.stale.to_polars().with_columns(score=2.5, text=None))
    store.write("clip", increment.new)
    assert not INCREMENT_COLUMNS & set(everything(store, "clip").columns)
    store.delete("clip", nw.col("id") == "c")
    with FeatureGraph().use():
        clips(frames="2")
        empty = {"score": None, "text": None}
        before = {"a": {"score": 2.5, "text": None}, "b": row, "d": empty}
        expected: dict[str, Any] = {name: (["frames"], held) for name, held in before.items()} | {
            "c": ([*FIELDS], None)
        }
        for engine in ENGINES:
            again = store.resolve_update("clip", previous=True, versioning_engine=engine)
            assert told(again.new) == expected
            assert again.changed_fields == {"audio": 1, "frames": 4}
        status = get_feature_metadata_status("clip", store, changed_fields=True)
        assert status.status.changed_fields == {"audio": 1, "frames": 4}
        assert len(status.sample_details()) == 1


def test_columns_are_named_as_they_like(store: MetadataStore) -> None:
    names = [
        "mx_r",
        "mx_n",
        "mx_t",
        "k0",
        "e0",
        "q0",
        "b0",
        "f0",
        "rb",
        "was",
        "p",
        "status",
        "it's",
        'a"b',
        "x.y",
        "ü",
    ]
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a"]))
    payload = {name: f"value of {name}" for name in names}
    new = store.resolve_update("clip").new.to_polars()
    store.write("clip", new.with_columns(pl.lit(value).alias(name) for name, value in payload.items()))
    store.write("video", rows("2", id=["a"]))
    for engine in ENGINES:
        stale = store.resolve_update("clip", previous=True, versioning_engine=engine).stale
        assert told(stale) == {"a": (["default"], payload)}


@pytest.mark.three_stores
def test_nothing_is_said_unless_it_is_asked(store: MetadataStore) -> None:
    clips()
    store.write("video", rows({"audio": "1", "frames": "1"}, id=["a"]))
    increment = store.resolve_update("clip")
    assert not INCREMENT_COLUMNS & set(increment.new.columns)
    assert increment.changed_fields is None
    assert get_feature_metadata_status("clip", store).to_representation().changed_fields is None


@pytest.mark.three_stores
def test_one_sample_has_as_many_rows_too_many_as_others_have_too_few(store: MetadataStore) -> None:
    clips()
    store.write("video", rows({"audio": "1", "frames": "1"}, id=["a", "b", "c"]))
    first = store.resolve_update("clip").new.to_polars()
    store.write("clip", first.filter(id="a").with_columns(score=1.5))
    store.write("clip", first.filter(id="a").with_columns(score=2.5))
    with FeatureGraph().use():
        clips(frames="2")
        new = ([*FIELDS], None)
        for engine in ENGINES:
            again = store.resolve_update("clip", previous=True, versioning_engine=engine)
            assert told(again.new) == {"a": (["frames"], {"score": 2.5}), "b": new, "c": new}


@pytest.mark.three_stores
@pytest.mark.filterwarnings("ignore::metaxy.errors.DriftedSamplesWarning")
def test_samples_and_rows_that_only_a_predicate_makes_stale(store: MetadataStore) -> None:
    define("video", fields=list(FIELDS))
    first = rows({"audio": "1", "frames": "1"}, id=["a", "b"], path=["x", "y"])
    store.write("video", store.resolve_update("video", samples=first, previous=True).new)
    samples = rows({"audio": ["1", "2", "2"], "frames": "1"}, id=["a", "b", "c"], path=["z", "z", "z"])
    asked: Any = {"samples": samples, "previous": True, "staleness_predicates": nw.col("path") == "x"}
    for engine in ENGINES:
        increment = store.resolve_update("video", versioning_engine=engine, **asked)
        assert told(increment.stale) == {"a": ([], {"path": "x"}), "b": (["audio"], {"path": "y"})}
        assert told(increment.new) == {"c": ([*FIELDS], None)}
        assert told(store.resolve_update("video", versioning_engine=engine, lazy=True, **asked).stale) == told(
            increment.stale
        )
    again = store.resolve_update("video", samples=increment.stale)
    assert not INCREMENT_COLUMNS & set(again.stale.columns)


@pytest.mark.three_stores
def test_children_of_one_parent_are_told_by_the_newest(store: MetadataStore) -> None:
    define("video", fields=list(FIELDS))
    parent = FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["id"]))
    define("chunk", parent, ids=["id", "n"], fields=list(FIELDS))
    store.write("video", rows({"audio": "1", "frames": "1"}, id=["a"]))
    new = store.resolve_update("chunk", previous=True).new.to_polars()
    store.write("chunk", new.join(pl.DataFrame({"n": [1, 2]}), how="cross"))
    store.write("video", rows({"audio": "1", "frames": "2"}, id=["a"]))
    for engine in ENGINES:
        increment = store.resolve_update("chunk", previous=True, versioning_engine=engine)
        assert told(increment.stale) == {"a": (["frames"], None)}
    stale = increment.stale.to_polars()
    store.write("chunk", stale.with_columns(n=1))
    for engine in ENGINES:  # one of two is done: the parent stays stale, but nothing has changed since the newest one
        increment = store.resolve_update("chunk", previous=True, versioning_engine=engine)
        assert told(increment.stale) == {"a": ([], None)}
        assert increment.changed_fields == {}
    assert values(store.read("chunk"), "n") == [1, 2]


@pytest.mark.three_stores
def test_samples_of_several_rows_are_counted_once(store: MetadataStore) -> None:
    define("video", ids=["id"])
    parent = FeatureDep(feature="video", lineage=LineageRelationship.aggregation(on=["speaker"]))
    define("voice", parent, ids=["speaker"], fields=list(FIELDS))
    store.write("video", rows(id=["a", "b", "c"], speaker=["x", "x", "y"]))
    increment = store.resolve_update("voice", previous=True)
    assert (len(increment.new), increment.changed_fields) == (3, {"audio": 2, "frames": 2})
    status = get_feature_metadata_status("voice", store, changed_fields=True).status
    assert status.changed_fields == increment.changed_fields
    assert "changed_fields={'audio': 2, 'frames': 2}" in repr(increment)
    assert "<td>audio changed</td><td>2</td>" in increment._repr_html_()
