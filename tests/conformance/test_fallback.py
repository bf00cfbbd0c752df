"""Fallback stores: what is missing here is read there, from stores of any kind, and written only here."""

import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.factory import define, ids, rows, values
from tests.stores import STORES, StoreFactory

from metaxy.config import MetaxyConfig
from metaxy.errors import FeatureNotFoundError, InvalidConfigError, PolarsMaterializationWarning, StoreNotOpenError
from metaxy.hashing import HashAlgorithm
from metaxy.store.fallback import FallbackStoreList
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.versioning.polars_engine import PolarsEngine


@pytest.fixture(autouse=True)
def features() -> None:
    define("video")
    define("clip", "video")


@pytest.fixture(params=["the same kind", "another kind"])
def far(request: pytest.FixtureRequest, make: StoreFactory, tmp_path: Path) -> MetadataStore:
    """A closed store that has video."""
    (tmp_path / "far").mkdir()
    if request.param == "the same kind":
        store = make("far", name="far")
    else:
        store = STORES["duckdb" if isinstance(make().engine, PolarsEngine) else "delta"](tmp_path / "far", name="far")
    with store.open("w"):
        store.write("video", rows(id=["a", "b"], n=[1, 2]))
    return store


def close(store: MetadataStore) -> bool:
    """Return whether a store is closed."""
    try:
        store.has_feature("video")
    except StoreNotOpenError:
        return True
    return False


@pytest.mark.filterwarnings("ignore::metaxy.errors.PolarsMaterializationWarning")
def test_db13_frames_can_be_collected_until_the_outermost_block_ends(make: StoreFactory, far: MetadataStore) -> None:
    near = make("near", fallback_stores=[far])
    with near.open("w"):
        with near:
            read = near.read("video")
            update = near.resolve_update("clip", lazy=True)
        assert values(read) == ["a", "b"]
        assert ids(update.collect()) == (["a", "b"], [], [])
        near.write("clip", update.new)
    assert close(far)
    with near:
        assert ids(near.resolve_update("clip")) == ([], [], [])
        assert not near.has_feature("video")


@pytest.mark.three_stores
def test_db13_a_fallback_stays_open_although_its_user_closes_it(make: StoreFactory, far: MetadataStore) -> None:
    with make("near", fallback_stores=[far]) as near:
        with far:
            read = near.read("video")
        assert values(read) == ["a", "b"]
        assert values(near.read("video", filters=[])) == ["a", "b"]
    assert close(far)


@pytest.mark.three_stores
def test_db13_another_thread_may_close_the_last_block(make: StoreFactory, far: MetadataStore) -> None:
    near = make("near", fallback_stores=[far])
    block = near.open("r")
    block.__enter__()
    near.read("video")
    thread = threading.Thread(target=block.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert close(near)
    assert close(far)
    with far.open("w"):
        far.write("video", rows(id=["c"], n=[3]))


@pytest.mark.three_stores
def test_an_empty_table_is_a_table(make: StoreFactory, far: MetadataStore) -> None:
    with make("near", fallback_stores=[far]).open("w") as near:
        near.write("video", rows(id=pl.Series([], dtype=pl.String), n=pl.Series([], dtype=pl.Int64)))
        assert values(near.read("video")) == []
        assert near.find_store_for_feature("video") is near


@pytest.mark.three_stores
def test_a_fallback_of_a_fallback_is_asked(make: StoreFactory, far: MetadataStore) -> None:
    middle = make("middle", fallback_stores=[far])
    with make("empty").open("w"), make("near", fallback_stores=[make("empty"), middle]) as near:
        found, holder = near.read("video", with_store_info=True)
        assert values(found) == ["a", "b"]
        assert holder is far
        assert near.has_feature("video", check_fallback=True)
    assert close(middle)
    assert close(far)


@pytest.mark.three_stores
def test_fallbacks_are_not_asked_if_told_so(make: StoreFactory, far: MetadataStore) -> None:
    with make("near", fallback_stores=[far]) as near:
        with pytest.raises(FeatureNotFoundError, match="feature video has no table"):
            near.read("video", allow_fallback=False)
        assert near.find_store_for_feature("video", check_fallback=False) is None
        assert close(far)


@pytest.mark.three_stores
def test_db20_closed_fallbacks_are_opened_to_look(make: StoreFactory, far: MetadataStore) -> None:
    with make("near", fallback_stores=[far]) as near:
        assert near.has_feature("video", check_fallback=True)
        assert near.find_store_for_feature("video") is far
        assert not near.has_feature("clip", check_fallback=True)


@pytest.mark.three_stores
def test_leaving_the_database_warns(make: StoreFactory, far: MetadataStore) -> None:
    define("frame", "video")
    define("face", "frame")
    with make("near", fallback_stores=[far]) as near:
        if near.engine.implementation.is_polars():
            assert ids(near.resolve_update("clip")) == (["a", "b"], [], [])
        else:
            told = (
                "video comes from a fallback store, .*; versions, and those of 2 more features that have parents there,"
            )
            with pytest.warns(PolarsMaterializationWarning, match=told):
                near.resolve_update("clip")
            near.resolve_update("frame")  # and nothing is said once more
            assert get_feature_metadata_status("frame", near).status.missing_count == 2


# -- names -------------------------------------------------------------------------------------------------------------


def config(tmp_path: Path, **stores: dict[str, Any]) -> MetaxyConfig:
    """Configure Delta stores in folders of their names."""
    kind = "metaxy.ext.delta.DeltaMetadataStore"
    entries = {
        name: {"type": kind, "config": {"root_path": str(tmp_path / name), **options}}
        for name, options in stores.items()
    }
    return MetaxyConfig.model_validate({"stores": entries, "store": next(iter(entries))})


def test_names_become_stores_when_they_are_needed(tmp_path: Path) -> None:
    settings = config(tmp_path, dev={"fallback_stores": ["prod"]}, prod={})
    with settings.use():
        with settings.get_store("prod").open("w") as prod:
            prod.write("video", rows(id=["a"]))
        with settings.get_store("dev").open("w") as dev:
            dev.write("clip", rows(id=["z"], n=[1]).with_columns(metaxy_provenance=pl.lit("p")))
            assert not dev.fallback_stores.all_resolved
            assert values(dev.read("video")) == ["a"]
            assert dev.fallback_stores.all_resolved
        assert close(dev.fallback_stores[0])


def test_named_stores_must_hash_alike(tmp_path: Path) -> None:
    settings = config(tmp_path, dev={"fallback_stores": ["prod"]}, prod={"hash_algorithm": "sha256"})
    with settings.use(), settings.get_store("dev") as dev:
        for _ in range(2):
            with pytest.raises(InvalidConfigError, match="fallback store 0 hashes with sha256, its parent with md5"):
                dev.read("video")


@pytest.mark.three_stores
def test_a_list_without_an_algorithm_is_checked_too(make: StoreFactory, tmp_path: Path) -> None:
    settings = config(tmp_path, prod={"hash_algorithm": "sha256"})
    near = make("near", fallback_stores=FallbackStoreList(["prod"], config=settings))
    with near, pytest.raises(InvalidConfigError, match="hashes with sha256"):
        near.read("video")


@pytest.mark.three_stores
def test_stores_must_hash_alike(make: StoreFactory) -> None:
    near = make("near", fallback_stores=[make("far", hash_algorithm=HashAlgorithm.SHA256)])
    with pytest.raises(InvalidConfigError, match=r"fallback store 0 .* hashes with sha256"), near:
        pass
    assert close(near)


@pytest.mark.parametrize("stores", [{"a": ["a"]}, {"a": ["b"], "b": ["a"]}], ids=["itself", "each other"])
def test_circles_are_refused(tmp_path: Path, stores: dict[str, list[str]]) -> None:
    settings = config(tmp_path, **{name: {"fallback_stores": names} for name, names in stores.items()})
    with settings.use(), pytest.raises(InvalidConfigError, match="in a circle: a →"):
        settings.get_store("a")


def test_unknown_names_say_what_is_configured(tmp_path: Path) -> None:
    settings = config(tmp_path, dev={}, prod={})
    names = FallbackStoreList(["prd"], config=settings)
    with pytest.raises(InvalidConfigError, match="Did you mean 'prod'"):
        names[0]
    with pytest.raises(InvalidConfigError, match="need a configuration"):
        FallbackStoreList(["prod"])
