"""A sampled copy has the same samples in all features: nothing in it is to compute, but groups that it has in part."""

from pathlib import Path

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
