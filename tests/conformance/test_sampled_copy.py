"""A sampled copy has the same samples in all features: nothing in it is to compute, but groups that it has in part."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows, values
from tests.stores import STORES, StoreFactory

from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

pytestmark = pytest.mark.three_stores
EVERY = ("video", "text", "faces", "clips", "crops", "both", "days")
SAMPLE = 10


def define_all() -> None:
    define("video")
    define("text", ids=["doc"])
    define("faces", FeatureDep(feature="video", rename={"id": "key"}), ids=["key"])
    define("clips", FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["id"])), ids=["id", "clip"])
    define("crops", "clips", ids=["id", "clip"])
    define("both", FeatureDep(feature="text"), FeatureDep(feature="video", rename={"id": "doc"}), ids=["doc"])
    define("days", FeatureDep(feature="video", lineage=LineageRelationship.aggregation(on=["day"])), ids=["day"])


def compute(store: MetadataStore) -> None:
    ids = list(range(100))
    store.write("video", rows(id=ids, day=[f"day {n % 4}" for n in ids]))
    store.write("text", rows(doc=ids))
    for feature in EVERY[2:]:
        new = collect_to_polars(store.resolve_update(feature).new)
        if feature == "clips":
            new = new.join(pl.DataFrame({"clip": ["a", "b"]}), how="cross")
        store.write(feature, new.unique("day") if feature == "days" else new)


def test_samples_belong_together_whatever_is_copied(make: StoreFactory, tmp_path: Path) -> None:
    with STORES["duckdb"](tmp_path, name="prod") as prod, prod.open("w"):
        define_all()
        compute(prod)
        with make("sampled").open("w") as store:
            counts = store.copy_metadata(prod, EVERY, sample=SAMPLE)
            assert counts["features_copied"] == len(EVERY)
            chosen = values(store.read("video"), "id")
            assert len(chosen) == SAMPLE
            assert chosen != sorted(range(100), key=repr)[:SAMPLE]
            assert values(store.read("faces"), "key") == chosen
            assert values(store.read("crops"), "id", "clip") == sorted([(n, c) for n in chosen for c in "ab"], key=repr)
            assert not any(store.resolve_update(feature) for feature in ("faces", "clips", "crops"))
            assert store.copy_metadata(prod, EVERY, sample=SAMPLE)["rows_copied"] == 0
            assert store.resolve_update("days").counts["new"] == store.resolve_update("days").counts["orphaned"] == 0
            assert values(store.read("both"), "doc") == values(store.read("text"), "doc") == chosen
        with make("alone").open("w") as store:
            store.copy_metadata(prod, ["crops"], sample=SAMPLE)
            assert sorted(set(values(store.read("crops"), "id")), key=repr) == chosen


def test_there_may_be_less_than_wanted(make: StoreFactory, tmp_path: Path) -> None:
    with STORES["duckdb"](tmp_path, name="prod") as prod, prod.open("w"), make("sampled").open("w") as store:
        define("video")
        prod.write("video", rows(id=["a", "b"]))
        assert store.copy_metadata(prod, ["video"], sample=5, dry_run=True)["rows_copied"] == 2
        assert store.copy_metadata(prod, ["video"], sample=1)["rows_copied"] == 1
        with pytest.raises(ValueError, match="from 1 on"):
            store.copy_metadata(prod, ["video"], sample=0)


def copied(source: MetadataStore, folder: Path, *features: str, sample: int = 2) -> list[list[Any]]:
    """Return the IDs that a sampled copy of each feature has."""
    folder.mkdir()
    with STORES["duckdb"](folder).open("w") as store:
        store.copy_metadata(source, features, sample=sample)
        columns = [store.session.scope("r").definition(feature).id_columns for feature in features]
        there = zip(features, columns, strict=True)
        return [values(store.read(key), *ids) if store.has_feature(key) else [] for key, ids in there]


def test_roots_are_chosen_whatever_their_ids_are_and_whichever_there_are(make: StoreFactory, tmp_path: Path) -> None:
    for key in ("gone", "empty"):
        define(key, ids=[key])
        define(f"of_{key}", key, ids=[key])
    for key in ("numbers", "texts", "floats", "left", "right"):
        define(key)
    define("times", ids=["at"])
    define("bytes", ids=["content"])
    define("either", FeatureDep(feature="left", optional=True), FeatureDep(feature="right", optional=True))
    with make("source").open("w") as source:
        for key in ("gone", "empty"):
            source.write(key, rows(**{key: ["a", "b", "c"]}))
            source.write(f"of_{key}", source.resolve_update(f"of_{key}").new)
        source.drop_feature_metadata("gone")
        source.delete("empty", filters=nw.col("empty") == nw.col("empty"))
        source.write("times", rows(at=[datetime(2026, 1, n, tzinfo=timezone.utc) for n in range(1, 9)]))
        source.write("bytes", rows(content=[b"\xff", b"a", b"b"]))
        source.write("texts", rows(id=list(map(str, range(9)))))
        source.write("floats", rows(id=[float(n) for n in range(9)]))
        source.write("numbers", rows(id=list(range(9))))
        source.write("left", rows(id=[1, 2, 3, 4]))
        source.write("right", rows(id=[4, 5, 6, 7, 8]))
        source.write("either", source.resolve_update("either").new)

        assert [len(ids) for ids in copied(source, tmp_path / "1", "of_gone", "empty", "of_empty")] == [2, 0, 0]
        numbers, texts, floats = copied(source, tmp_path / "2", "numbers", "texts", "floats")
        assert list(map(str, numbers)) == texts
        assert numbers == floats  # each type has a choice of its own, by the same text
        left, right, either = copied(source, tmp_path / "3", "left", "right", "either", sample=5)
        assert either == sorted({*left, *right}, key=repr)
        assert set(left) - set(right)
        assert set(right) - set(left)
        [[time], [content]] = copied(source, tmp_path / "4", "times", "bytes", sample=1)
        assert (time.day, bytes(content)) == (3, b"b")  # on every store
        assert [len(ids) for ids in copied(source, tmp_path / "5", "times", sample=10**30)] == [8]
