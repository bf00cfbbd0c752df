"""IDs of one family whose types differ: compared by what they mean, by every engine, in every place where IDs meet."""

import struct
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from itertools import product
from math import nan
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.factory import define, rows, values
from tests.stores import StoreFactory, delta_store

from metaxy import columns as c
from metaxy.errors import MetadataSchemaError
from metaxy.store.config import VersioningEngineOptions
from metaxy.store.store import MetadataStore
from metaxy.versioning.polars_engine import PolarsEngine

# Each value is one that all types of its family can hold: two that are stored, and one that is not.
TIMES = [datetime(2024, 7, day, 12) for day in (1, 2, 3)]
UTC = [time.replace(tzinfo=timezone.utc) for time in TIMES]
Column = tuple[list[Any], Any]
FAMILIES: dict[str, list[Column]] = {
    "times": [(TIMES, pl.Datetime("us")), (TIMES, pl.Datetime("ms")), (TIMES, pl.Datetime("ns"))],
    "times of a zone": [
        (UTC, pl.Datetime("us", "UTC")),
        (UTC, pl.Datetime("ms", "Europe/Berlin")),
        (UTC, pl.Datetime("ns", "America/New_York")),
    ],
    "texts": [
        (["a", "b", "c"], dtype)
        for dtype in (pl.String, pl.Categorical, pl.Enum(["c", "b", "a"]), pl.Enum(["b", "c", "a", "d"]))
    ],
    "integers": [([1, 2, 3], dtype) for dtype in (pl.UInt64, pl.Int64, pl.Int8, pl.UInt32)],
    "small integers": [([1, 2, 3], dtype) for dtype in (pl.Int16, pl.UInt64)],
    "floats": [([0.5, 1.5, 2.5], dtype) for dtype in (pl.Float64, pl.Float32)],
    "durations": [([timedelta(days) for days in (1, 2, 3)], pl.Duration(unit)) for unit in ("us", "ms", "ns")],
    "decimals": [
        ([Decimal("1.5"), Decimal("2.5"), Decimal("3.5")], pl.Decimal(precision, scale))
        for precision, scale in ((10, 2), (20, 3))
    ],
}


def keyed(column: Column, *places: int) -> pl.DataFrame:
    """Rows whose IDs are some values of a column; those of the other places are not there."""
    given, dtype = column
    return rows(k=pl.Series([given[place] for place in places], dtype=dtype))


def kept(store: MetadataStore, feature: str, column: Column, *places: int) -> bool:
    """Write rows anew, and return whether the store has their type."""
    store.drop_feature_metadata(feature)
    try:
        store.write(feature, keyed(column, *places))
    except MetadataSchemaError:
        return False
    return True


def engines(store: MetadataStore) -> tuple[VersioningEngineOptions, ...]:
    return ("polars",) if isinstance(store.engine, PolarsEngine) else ("auto", "polars")


def test_samples_meet_rows_that_are_stored_in_another_type(store: MetadataStore) -> None:
    define("thing", ids=["k"])
    for family, (first, *others) in FAMILIES.items():
        if not kept(store, "thing", first, 0, 1):
            continue
        for engine, column in product(engines(store), (first, *others)):
            found = store.resolve_update("thing", samples=keyed(column, 0, 2), versioning_engine=engine)
            assert found.counts == {"new": 1, "stale": 0, "orphaned": 1, "drifted": 0, "unchanged": 1}, (family, engine)
            assert engine == "auto" or found.new.to_polars().schema["k"] == column[1], family


def test_parents_meet_whose_ids_have_other_types(store: MetadataStore) -> None:
    for name in ("left", "right"):
        define(name, ids=["k"])
    define("both", "left", "right", ids=["k"])
    for family, (first, *_, last) in FAMILIES.items():
        if not (kept(store, "left", first, 0, 1) and kept(store, "right", last, 1, 2)):
            continue
        store.drop_feature_metadata("both")
        for engine in engines(store):
            new = store.resolve_update("both", versioning_engine=engine).new
            assert len(new) == 1, (family, engine)
        store.write("both", new)
        for engine in engines(store):
            found = store.resolve_update("both", versioning_engine=engine)
            assert found.counts == {"new": 0, "stale": 0, "orphaned": 0, "unchanged": 1}, (family, engine)


@pytest.mark.three_stores
def test_optional_parents_and_those_of_other_stores_meet_too(make: StoreFactory, tmp_path: Path) -> None:
    for name in ("left", "right", "far"):
        define(name, ids=["k"])
    define("any", {"feature": "left", "optional": True}, {"feature": "right", "optional": True}, ids=["k"])
    define("apart", "left", "far", ids=["k"])
    with delta_store(tmp_path / "far").open("w") as far, make(fallback_stores=[far]).open("w") as store:
        for family, (first, *_, last) in FAMILIES.items():
            if not (kept(store, "left", first, 0, 1) and kept(store, "right", last, 1, 2)):
                continue
            versions = set()
            for engine in engines(store):
                new = store.resolve_update("any", versioning_engine=engine).new.to_polars()
                assert new["k"].drop_nulls().n_unique() == 3, (family, engine)
                versions.add(str(values(new, c.METAXY_PROVENANCE)))
            assert len(versions) == 1, family
            if kept(far, "far", last, 1, 2):
                assert len(store.resolve_update("apart", versioning_engine="polars").new) == 1, family


def test_both_zeros_are_one_id_and_so_is_every_nan(store: MetadataStore) -> None:
    (other_nan,) = struct.unpack("<d", struct.pack("<Q", 0xFFF8 << 48))
    define("thing", ids=["k"])
    define("child", "thing", ids=["k"])
    for one, other in ((-0.0, 0.0), (0.0, -0.0), (nan, other_nan)):
        if not kept(store, "thing", ([one, 1.5], pl.Float64()), 0, 1):
            continue
        store.drop_feature_metadata("child")
        store.write("child", store.resolve_update("child").new)
        store.write("thing", rows("2", k=[other]))
        for engine in engines(store):
            found = store.resolve_update("thing", samples=rows("2", k=[other, 1.5]), versioning_engine=engine)
            assert found.counts == {"new": 0, "stale": 1, "orphaned": 0, "drifted": 0, "unchanged": 1}, (one, engine)
            found = store.resolve_update("child", versioning_engine=engine)
            assert found.counts == {"new": 0, "stale": 1, "orphaned": 0, "unchanged": 1}, (one, engine)


@pytest.mark.three_stores
def test_ids_of_several_values_are_refused(store: MetadataStore) -> None:
    define("thing", ids=["k"])
    columns = {
        "List": pl.Series([[1], [2]]),
        "Struct": pl.Series([{"a": 1}, {"a": 2}]),
        "Map": pl.Series([{"a": 1}, {"a": 2}], dtype=pl.Map(pl.String, pl.Int64)),
        "Array": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)),
    }
    for kind, column in columns.items():
        with pytest.raises(
            MetadataSchemaError, match=f"feature thing: ID column 'k' is {kind}.*but an ID is one value"
        ):
            store.write("thing", rows(k=column))
        with pytest.raises(MetadataSchemaError, match=f"the samples for feature thing: ID column 'k' is {kind}"):
            store.resolve_update("thing", samples=rows(k=column))
    assert not store.has_feature("thing")
