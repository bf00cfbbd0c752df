"""What differs between databases, and must not show: order of text, backslashes, digits in text, zones, long names."""

import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import narwhals as nw
import pytest
from tests.factory import define, ids, rows, values
from tests.stores import STORES, StoreFactory

from metaxy import columns as c
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import MetadataStoreError
from metaxy.hashing import HashAlgorithm
from metaxy.store.store import MetadataStore

# By bytes, in no locale's order; the last two are the other way round in UTF-16.
WORDS = ["B", "Z", "_", "a", "a\u0301", "b", "\u00e4", "\u0130", "\uffee", "\U0001f600"]


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process whose local time is that of Tokyo."""
    apply = getattr(time, "tzset", lambda: None)  # Windows has none, and looks at TZ anew each time
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        apply()
        yield
    apply()


def test_bytes_decide_the_order_of_what_is_aggregated(store: MetadataStore) -> None:
    define("part", ids=["id", "n"])
    whole = FeatureDep(feature="part", lineage=LineageRelationship.aggregation(on=["id"]))
    define("whole", whole, ids=["id"])
    store.write("part", rows(WORDS, id=["x"] * len(WORDS), n=WORDS[::-1]))
    here = values(store.resolve_update("whole").new, c.METAXY_PROVENANCE)
    assert here == values(store.resolve_update("whole", versioning_engine="polars").new, c.METAXY_PROVENANCE)


@pytest.mark.parametrize("algorithm", [HashAlgorithm.MD5, HashAlgorithm.SHA256])
def test_backslashes_and_quotes_are_hashed_as_they_are(make: StoreFactory, algorithm: HashAlgorithm) -> None:
    versions = ["\\", "\\x41", "\\\\", "'", '"', "\\'", "%", "{0}", "\t\n", "|"]
    define("video")
    define("clip", "video")
    with make(hash_algorithm=algorithm).open("w") as store:
        store.write("video", rows(versions, id=range(len(versions))))
        here = values(store.resolve_update("clip").new, "id", c.METAXY_PROVENANCE)
        polars = store.resolve_update("clip", versioning_engine="polars").new
        assert here == values(polars, "id", c.METAXY_PROVENANCE)
        assert len({provenance for _, provenance in here}) == len(versions)


def test_ids_of_digits_stay_text(store: MetadataStore) -> None:
    digits = ["007", "7", "7.0", "1e3", "1000", " 7"]
    define("video")
    define("clip", "video")
    store.write("video", rows(id=digits))
    store.write("clip", store.resolve_update("clip").new)
    store.write("video", rows("2", id=["007"]))
    assert ids(store.resolve_update("clip")) == ([], ["007"], [])
    assert values(store.read("clip")) == sorted(digits, key=repr)
    store.delete("video", nw.col("id") == "7")
    assert ids(store.resolve_update("clip")) == ([], ["007"], ["7"])


@pytest.mark.usefixtures("far_away")
def test_the_zone_of_the_process_changes_nothing(make: StoreFactory) -> None:
    define("video")
    define("clip", "video")
    before = datetime.now(timezone.utc) - timedelta(minutes=1)
    with make().open("w") as store:
        store.write("video", rows(id=["a"]))
        store.write("clip", store.resolve_update("clip").new)
        written = nw.col(c.METAXY_UPDATED_AT)
        assert values(store.read("video", filters=[written > before])) == ["a"]
        assert values(store.read("video", filters=[written < before])) == []
        assert values(store.read("video", filters=[written > before + timedelta(hours=1)])) == []
        assert values(store.read("video", as_of=before)) == []
        assert not store.resolve_update("clip")


def test_fields_whose_names_begin_alike_are_told_apart(store: MetadataStore) -> None:
    long = "f" * 70
    define("video", fields=[f"{long}1", f"{long}2"])
    define("clip", "video", fields=[f"{long}1", f"{long}2"])
    store.write("video", rows({f"{long}1": "1", f"{long}2": "2"}, id=["a"]))
    store.write("clip", store.resolve_update("clip").new)
    store.write("video", rows({f"{long}1": "1", f"{long}2": "3"}, id=["a"]))
    assert ids(store.resolve_update("clip")) == ([], ["a"], [])


DAYS = [
    *(date(1, 1, 1), date(1899, 12, 31), date(1900, 1, 1), date(1969, 12, 31)),
    *(date(2299, 12, 31), date(9999, 12, 31)),
]


def test_dates_are_kept_or_refused(store: MetadataStore) -> None:
    define("video", ids=["day"])
    store.write("video", rows(day=[date(2024, 2, 29)]))
    for day in DAYS:
        message = ""
        try:
            store.write("video", rows(day=[day]))
        except MetadataStoreError as error:
            message = str(error)
        assert not message or str(day) in message
        expected = [] if message else [day]
        assert values(store.read("video", filters=[nw.col("day") == day]), "day") == expected
        store.delete("video", nw.col("day") == day)
        assert values(store.read("video"), "day") == [date(2024, 2, 29)]


# Of tables, of their columns, and of steps in our statements, and in those that Ibis writes.
OURS = [*"abcefghkprstv", "ch", "flat", "here", "i0", "k0", "k1", "low", "mx_0", "status", "stored", "t0", "t1", "v0"]


def test_columns_may_be_called_what_our_statements_call_theirs(store: MetadataStore) -> None:
    define("video", ids=["t", "a"])
    define("clip", FeatureDep(feature="video", filters=["status <> 'x'"]), ids=["t", "a"])
    payload = {name: [f"{name}{n}" for n in range(3)] for name in OURS}
    store.write("video", rows(["1", "1", "1"], **payload))
    store.write("clip", store.resolve_update("clip").new)
    store.write("video", rows(["2"], **{name: values[:1] for name, values in payload.items()}))
    store.delete("video", nw.col("status") == "status1")
    lazily = store.resolve_update("clip", lazy=True)
    assert values(lazily.stale, *OURS) == values(store.resolve_update("clip").stale, *OURS)
    assert values(lazily.stale.filter(nw.col("status") == "status0"), "t") == ["t0"]
    assert values(lazily.orphaned, "t") == ["t1"]
    store.write("clip", store.resolve_update("clip").stale)
    expected = [values for values in zip(*payload.values(), strict=True) if "t1" not in values]
    assert values(store.read("clip", filters=[nw.col("t") != "t1"]), *OURS) == expected


in_databases = pytest.mark.parametrize("name", ["duckdb", "sqlite", "postgresql"])


@in_databases
def test_who_may_only_read_may_bring_rows(tmp_path: Path, name: str) -> None:
    define("video")
    define("clip", "video")
    with STORES[name](tmp_path).open("w") as store:
        store.write("video", rows(id=["a", "b"]))
        store.write("clip", store.resolve_update("clip").new)
    with STORES[name](tmp_path) as reader:
        given = rows(id=["b", "c"])
        assert ids(reader.resolve_update("video", samples=given, versioning_engine="native")) == (["c"], [], ["a"])
        before = reader.rebase("clip", reader.read("clip"))
        assert ids(reader.resolve_update("video", samples=given, versioning_engine="native")) == (["c"], [], ["a"])
        assert values(before) == ["a", "b"]


@in_databases
def test_lazy_frames_are_views_even_of_a_table_that_was_made_anew(tmp_path: Path, name: str) -> None:
    define("video")
    define("clip", "video")
    with STORES[name](tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        read, lazy = store.read("video"), store.resolve_update("clip", lazy=True)
        store.write("video", rows(id=["b"]))
        assert values(read) == values(lazy.new) == ["a", "b"]
        store.storage.drop(FeatureKey("video"))
        store.write("video", rows(id=["c"]))
        assert values(read) == values(lazy.new) == ["c"]
