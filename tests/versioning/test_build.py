"""From a plan to a recipe: what parents' columns must be like, in one line each."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.agreement.memory import memory_store
from tests.factory import define, ids, put, rows, values

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import MetaxyError
from metaxy.store.store import MetadataStore


@pytest.fixture
def store() -> Iterator[MetadataStore]:
    """Give two features with columns `path` and `n`, or `path` and `rate`."""
    with FeatureGraph().use(), MetaxyConfig().use(), memory_store().open("w") as store:
        define("video")
        define("media/audio")
        store.write("video", rows(id=["a"], path=["x"], n=[1]))
        store.write("media/audio", rows(id=["a"], path=["y"], rate=[2]))
        yield store


WRONG: dict[str, tuple[list[Any], str]] = {
    "two parents with one name": (
        ["video", "media/audio"],
        (
            "feature clip: column 'path' comes from media/audio and from another parent; rename it: "
            'FeatureDep(feature="media/audio", rename={"path": "audio_path"})'
        ),
    ),
    "a name that is renamed into another": (
        ["video", FeatureDep(feature="media/audio", rename={"path": "sound", "rate": "n"})],
        "feature clip: column 'n' comes from media/audio and from another parent",
    ),
    "names that differ by case": (
        ["video", FeatureDep(feature="media/audio", rename={"path": "sound", "rate": "N"})],
        "feature clip: columns 'n' and 'N' differ only by case; rename one of them",
    ),
    "two columns with one new name": (
        [FeatureDep(feature="video", rename={"n": "path"})],
        "feature clip: two columns of parent video would be named 'path'",
    ),
    "a column that is not there, renamed": (
        [FeatureDep(feature="video", rename={"pth": "file"})],
        "feature clip: parent video has no column 'pth' to rename. Did you mean 'path'?",
    ),
    "a column that is not there, selected": (
        [FeatureDep(feature="video", select=["pth"])],
        "feature clip: parent video has no column 'pth'. Did you mean 'path'?",
    ),
    "a column that is not there, filtered": (
        [FeatureDep(feature="video", filters=["pth = 'x'"])],
        "Did you mean 'path'?",
    ),
    "groups by a column that is not there": (
        [FeatureDep(feature="video", lineage=LineageRelationship.aggregation(on=["speaker"]))],
        "feature clip: parent video has no column 'speaker'.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_columns_that_do_not_fit_are_refused_in_one_line(store: MetadataStore, name: str) -> None:
    deps, words = WRONG[name]
    define("clip", *deps)
    with pytest.raises(MetaxyError) as caught:
        store.resolve_update("clip")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


FITS: dict[str, tuple[list[Any], set[str]]] = {
    "the rename that is proposed": (
        ["video", FeatureDep(feature="media/audio", rename={"path": "audio_path"})],
        {"path", "n", "audio_path", "rate"},
    ),
    "a selection": (["video", FeatureDep(feature="media/audio", select=["rate"])], {"path", "n", "rate"}),
    "no column at all": (["video", FeatureDep(feature="media/audio", select=())], {"path", "n"}),
    "names that change places": ([FeatureDep(feature="video", rename={"path": "n", "n": "path"})], {"path", "n"}),
}


@pytest.mark.parametrize("name", FITS)
def test_columns_that_fit(store: MetadataStore, name: str) -> None:
    deps, columns = FITS[name]
    define("clip", *deps)
    new = store.resolve_update("clip").new
    assert ids(store.resolve_update("clip")) == (["a"], [], [])
    assert {column for column in new.columns if not column.startswith("metaxy_")} == {"id", *columns}


def test_columns_that_change_places_keep_their_values(store: MetadataStore) -> None:
    define("clip", FeatureDep(feature="video", rename={"path": "n", "n": "path"}))
    assert values(store.resolve_update("clip").new, "n", "path") == [("x", 1)]


def test_a_table_without_the_ids_of_its_feature_is_refused(store: MetadataStore) -> None:
    define("clip", "video")
    store.write("clip", store.resolve_update("clip").new)
    found = store.read("clip").collect().to_polars()
    put(store, "clip", found.rename({"id": "name"}))
    with pytest.raises(MetaxyError, match="feature clip: its table lacks column 'id'"):
        store.resolve_update("clip")
