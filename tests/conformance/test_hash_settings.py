"""Hash settings: every algorithm gives its known values, others are refused, and a change of settings is found out."""

import re
from pathlib import Path
from typing import Any

import narwhals as nw
import pytest
from tests.factory import define, ids, rows, values
from tests.stores import STORES, StoreFactory

from metaxy import columns as c
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.errors import HashAlgorithmNotSupportedError, HashSettingsMismatchError, StoreNotOpenError
from metaxy.hashing import HashAlgorithm, HashSettings

# Databases that lack an algorithm leave it to Polars, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.* has no .*computed with Polars")

# What each algorithm makes of "a/b:v1|c/d:v2"; integers are written in decimal.
KNOWN = {
    HashAlgorithm.MD5: "96105a4ceb0540635531061da7c9adee",
    HashAlgorithm.SHA256: "13c7239db258d9e42bf5d7f7f460be1414d66959582d13c99f77592471a27a50",
    HashAlgorithm.XXHASH32: "3207314327",
    HashAlgorithm.XXHASH64: "1963292872601743785",
    HashAlgorithm.XXH3_64: "636724894299763905",
    HashAlgorithm.WYHASH: "241332058884259068",
}


@pytest.mark.parametrize("algorithm", KNOWN)
def test_every_algorithm_gives_its_known_value(make: StoreFactory, algorithm: HashAlgorithm) -> None:
    define("video", fields=["a", "b"])
    samples = rows({"a": "a/b:v1", "b": "c/d:v2"}, id=["x"])
    for length in (8, 16, 64):
        known = KNOWN[algorithm][:length]
        with MetaxyConfig(hash_truncation_length=length).use(), make(hash_algorithm=algorithm).open("w") as store:
            assert store.resolve_update("video", samples=samples).new[c.METAXY_PROVENANCE].to_list() == [known]
            store.write("video", samples)
            assert values(store.read("video"), c.METAXY_PROVENANCE) == [known]
            assert store.hash_truncation_length == length
            store.drop_feature_metadata("video")


@pytest.mark.parametrize("algorithm", KNOWN)
def test_all_engines_hash_alike(make: StoreFactory, algorithm: HashAlgorithm) -> None:
    define("video")
    define("clip", "video")
    with make(hash_algorithm=algorithm).open("w") as store:
        store.write("video", rows(["1", "", "é✓", "x" * 300, "|", "\\"], id=list("abcdef")))
        given = ("id", c.METAXY_PROVENANCE, c.METAXY_PROVENANCE_BY_FIELD)
        own: Any = "native" if store.engine.hashing(algorithm) is store.engine else "auto"
        native = values(store.resolve_update("clip", versioning_engine=own).new, *given)
        assert values(store.resolve_update("clip", versioning_engine="polars").new, *given) == native
        store.write("clip", store.resolve_update("clip").new)
        assert not store.resolve_update("clip", versioning_engine="polars")


def test_algorithms_of_a_store_are_all_tested(make: StoreFactory) -> None:
    assert make().engine.algorithms == set(KNOWN)


def test_unsupported_algorithms_are_refused_when_the_store_is_opened(make: StoreFactory) -> None:
    define("video")
    store = make(hash_algorithm=HashAlgorithm.FARMHASH)
    with pytest.raises(HashAlgorithmNotSupportedError, match="cannot compute farmhash") as caught, store:
        pass
    message = str(caught.value)
    assert "\n" not in message
    assert [a.value for a in KNOWN if a.value not in message] == []
    with pytest.raises(StoreNotOpenError):
        store.has_feature("video")


def test_the_default_is_the_same_in_every_store(make: StoreFactory) -> None:
    assert HashSettings(make().hash_algorithm, make().hash_truncation_length) == HashSettings(HashAlgorithm.MD5, 16)


# -- rows under other settings -----------------------------------------------------------------------------------------

OLD = {"hash_algorithm": HashAlgorithm.XXHASH32}


@pytest.fixture
def old(make: StoreFactory) -> None:
    """A parent and a child as metaxy 0.1 wrote them, with its default settings."""
    define("video", fields=["x", "y"])
    define("clip", "video")
    with MetaxyConfig(hash_truncation_length=8).use(), make(**OLD).open("w") as store:
        store.write("video", rows({"x": "1", "y": "2"}, id=["a", "b"]))
        store.write("clip", store.resolve_update("clip").new)


ASKED: dict[str, Any] = {
    "read": lambda store: store.read("video"),
    "read child": lambda store: store.read("clip", filters=[nw.col("id") == "a"]),
    "resolve root": lambda store: store.resolve_update("video", samples=rows({"x": "1", "y": "2"}, id=["a"])),
    "resolve child": lambda store: store.resolve_update("clip"),
    "resolve child lazily": lambda store: store.resolve_update("clip", lazy=True),
    "resolve child, no comparison": lambda store: store.resolve_update("clip", skip_comparison=True),
}


@pytest.mark.usefixtures("old")
def test_rows_of_other_settings_are_found_and_the_settings_named(make: StoreFactory) -> None:
    for ask in ASKED.values():
        with make() as store, pytest.raises(HashSettingsMismatchError) as caught:
            ask(store)
        message = str(caught.value)
        assert "\n" not in message
        assert re.match(
            r"feature (video|clip) has rows in .*, but they were hashed with xxhash32 and length 8", message
        )
        assert "not md5 and 16" in message
        assert "set in metaxy.toml hash_truncation_length = 8" in message
        assert 'hash_algorithm = "xxhash32"' in message


@pytest.mark.usefixtures("old")
@pytest.mark.three_stores
def test_nothing_is_computed_again_with_the_settings_that_are_named(make: StoreFactory) -> None:
    with MetaxyConfig(hash_truncation_length=8).use(), make(**OLD) as store:
        assert values(store.read("video")) == ["a", "b"]
        assert not store.resolve_update("video", samples=rows({"x": "1", "y": "2"}, id=["a", "b"]))
        assert not store.resolve_update("clip")


@pytest.mark.usefixtures("old")
@pytest.mark.three_stores
def test_rows_of_other_versions_are_no_reason_to_complain(make: StoreFactory) -> None:
    define("video", fields=["x", "z"])
    with make() as store:
        assert values(store.read("video")) == []
        assert ids(store.resolve_update("video", samples=rows({"x": "1", "z": "2"}, id=["a"]))) == (["a"], [], [])


@pytest.mark.usefixtures("old")
@pytest.mark.three_stores
def test_old_rows_can_still_be_read_by_their_version(make: StoreFactory, graph: FeatureGraph) -> None:
    with MetaxyConfig(hash_truncation_length=8).use():
        version = graph.get_feature_version("video")
    with make() as store:
        assert values(store.read("video", feature_version=version, with_feature_history=True)) == ["a", "b"]


@pytest.mark.usefixtures("old")
@pytest.mark.three_stores
def test_once_rows_are_written_with_the_new_settings_those_count(make: StoreFactory) -> None:
    with make().open("w") as store:
        store.write("video", rows({"x": "1", "y": "2"}, id=["c"]))
        assert values(store.read("video")) == ["c"]


def test_all_stores_hash_alike(tmp_path: Path) -> None:
    define("video", fields=["a", "b"])
    found: dict[str, Any] = {}
    for name, make in STORES.items():
        with make(tmp_path).open("w") as store:
            store.write("video", rows({"a": ["1", "ü"], "b": ["|", "\\|"]}, id=["a", "b"]))
            found[name] = values(store.read("video"), "id", c.METAXY_PROVENANCE, c.METAXY_FEATURE_VERSION)
    assert len({str(rows_found) for rows_found in found.values()}) == 1
