"""Cleaning: samples whose parents are gone are deleted, unless so many are that it looks like a mistake."""

import narwhals as nw
import pytest
from tests.factory import define, ids, rows, values

from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import DefinitionError, TooManyOrphansError, UnknownFeatureError
from metaxy.store.deleting import Deleted
from metaxy.store.store import MetadataStore
from metaxy.versioning.increment import Increment


@pytest.fixture(autouse=True)
def clips(store: MetadataStore) -> None:
    """Of four clips, one has lost its video."""
    define("video")
    define("clip", "video")
    store.write("video", rows(id=[*"abcd"], n=[1, 2, 3, 4]))
    store.write("clip", store.resolve_update("clip").new)
    store.delete("video", nw.col("id") == "a")


def test_orphans_are_found_counted_and_deleted(store: MetadataStore) -> None:
    assert store.delete_orphaned("clip", dry_run=True) == Deleted(1)
    assert values(store.read("clip")) == [*"abcd"]
    assert store.delete_orphaned("clip") == Deleted(1)
    assert values(store.read("clip")) == [*"bcd"]
    assert store.delete_orphaned("clip") == Deleted(0)
    assert ids(store.resolve_update("clip")) == ([], [], [])


def test_a_whole_folder_that_is_gone_looks_like_a_mistake(store: MetadataStore) -> None:
    there = store.read("video").collect()
    nothing = rows(id=["b"], n=[2])
    increment = store.resolve_update("video", samples=nothing)
    with pytest.raises(TooManyOrphansError, match="2 of its 3 samples are orphaned, more than max_share") as refused:
        store.delete_orphaned("video", increment)
    assert refused.value.details == {"feature": "video", "orphaned": 2, "rows": 3, "max_share": 0.5}
    assert store.read("video").collect().shape == there.shape
    lazy = store.resolve_update("video", samples=nothing, lazy=True)
    assert store.delete_orphaned("video", lazy, max_share=0.7) == Deleted(2)
    assert store.delete_orphaned("clip", max_share=1) == Deleted(3)
    assert values(store.read("clip")) == ["b"]


@pytest.mark.three_stores
def test_what_was_written_since_stays(store: MetadataStore) -> None:
    increment = store.resolve_update("clip")
    store.write("clip", store.read("clip", ids=["a"]))
    for found in (increment, increment.to_polars(), Increment(*increment)):
        assert store.delete_orphaned("clip", found) == Deleted(0, changed_since=1)
    assert values(store.read("clip")) == [*"abcd"]
    assert store.delete_orphaned("clip", max_share=0.25) == Deleted(1)  # as it is an orphan still


@pytest.mark.three_stores
def test_all_children_of_a_parent_that_is_gone_go(store: MetadataStore) -> None:
    lineage = LineageRelationship.expansion(on=["id"])
    define("frame", FeatureDep(feature="video", lineage=lineage), ids=["id", "n"])
    parents = store.resolve_update("frame").new.to_polars().drop("n")
    store.write("frame", parents.join(rows(n=[1, 2]).select("n"), how="cross"))
    store.delete("video", nw.col("id") == "b")
    assert store.delete_orphaned("frame") == Deleted(2)
    assert values(store.read("frame"), "id", "n") == [(sample, n) for sample in "cd" for n in (1, 2)]


@pytest.mark.three_stores
def test_what_cannot_be_cleaned_is_refused(store: MetadataStore) -> None:
    with pytest.raises(DefinitionError, match="video is a root"):
        store.delete_orphaned("video")
    with pytest.raises(TypeError, match="use delete"):
        store.delete_orphaned("clip", store.resolve_update("clip").orphaned)
    with pytest.raises(ValueError, match="share from 0 to 1"):
        store.delete_orphaned("clip", max_share=50)
    with pytest.raises(ValueError, match=r"such as .* not '10%'"):
        store.delete_orphaned("clip", max_share="10%")  # type: ignore[arg-type]
    with pytest.raises(UnknownFeatureError, match="Did you mean 'clip'"):
        store.delete_orphaned("clipp")
    with pytest.raises(TooManyOrphansError):
        store.delete_orphaned("clip", max_share=0)
    define("other", "video")
    assert store.delete_orphaned("other") == Deleted(0)
