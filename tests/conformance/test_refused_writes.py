"""A write that is refused for a value leaves nothing: no table, no column, no rows of other features."""

from datetime import date

import polars as pl
from tests.factory import define, everything, rows, values
from tests.stores import StoreFactory

from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore

# Each of them is refused by some store, and kept by others.
REFUSED_SOMEWHERE = {
    "date": pl.Series([date(1, 1, 1), date(2026, 1, 1)]),
    "nanoseconds": pl.Series([1, 0], dtype=pl.Datetime("ns")),
    "integers": pl.Series([2**64 - 1, 0], dtype=pl.UInt64),
    "integers inside": pl.Series([[2**64 - 1], []], dtype=pl.List(pl.UInt64)),
    "not a number": pl.Series([float("nan"), 0.5]),
    "nanoseconds of the day": pl.Series([1, 0], dtype=pl.Time),
    "seconds": pl.Series([1, 0], dtype=pl.Duration),
}


def refusal(store: MetadataStore, frame: pl.DataFrame, *, after: pl.DataFrame | None = None) -> str | None:
    """Write a frame, and return why it was refused."""
    try:
        if after is None:
            store.write("video", frame)
        else:
            store.write_multi({"image": after, "video": frame})
    except MetadataSchemaError as error:
        return str(error)
    return None


def test_nothing_is_left_of_a_refused_write(make: StoreFactory) -> None:
    define("video")
    define("image")
    plain = rows(id=["a", "b"])
    with make().open("w") as store:
        for what, column in REFUSED_SOMEWHERE.items():
            refused = refusal(store, rows(id=["a", "b"], u=column))
            if refused is None:
                store.drop_feature_metadata("video")
                continue
            assert "'u'" in refused, what
            assert not store.has_feature("video")
            assert refusal(store, rows(id=["a", "b"], u=column), after=plain)
            assert not store.has_feature("image")
            store.write("video", plain)
            columns = everything(store, "video").columns
            assert refusal(store, rows(id=["c", "d"], more=[1, 2], u=column))
            assert everything(store, "video").columns == columns
            assert values(store.read("video")) == ["a", "b"]
            store.drop_feature_metadata("video")
