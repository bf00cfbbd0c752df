"""Members of structs may have any name that people and formats give them; the few that cannot be kept are refused."""

from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows, values
from tests.stores import STORES

from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

NAMES = (
    *("content-type", "a.b", "x y", "it's", 'q"q', "ü", "😀", "$ref", "@id", "n\nl", "`", "\\b", "a'b\"c\\d\ne"),
    *("0", "[0]", "$", "*.*", "true", "a,b;{}()=\t", "%s", "{0}", " ", "x" * 300),
)


def struct(value: float) -> dict[str, Any]:
    """Make a struct with all names, which has them in structs and lists, too."""
    flat = {name: value + n for n, name in enumerate(NAMES)}
    return {**flat, "inner": {**flat, "more": [flat]}}


@pytest.mark.parametrize("name", STORES)
def test_members_may_have_any_ordinary_name(name: str, tmp_path: Path) -> None:
    define("video")
    given = [struct(0.5), struct(100.5)]
    inner = nw.col("u").struct.field("inner")
    is_first = [nw.col("u").struct.field(name) == 0.5 + n for n, name in enumerate(NAMES)]
    is_first += [inner.struct.field(name) == 0.5 + n for n, name in enumerate(NAMES[:5])]
    with STORES[name](tmp_path).open("w") as store:
        store.write("video", rows(id=["a", "b"], u=given))
        store.write("video", rows(id=["c", "d"], u=given))  # these meet a table
        assert collect_to_polars(store.read("video")).sort("id")["u"].to_list() == given * 2
        assert values(store.read("video", filters=[nw.all_horizontal(*is_first, ignore_nulls=False)])) == ["a", "c"]
        assert values(store.read("video", filters=[nw.any_horizontal(*is_first, ignore_nulls=False)])) == ["a", "c"]
        store.delete("video", is_first[4], soft=False)
        assert values(store.read("video")) == ["b", "d"]


PAIRS = {
    "text": pl.Series(["it's", "x'y\\"]),
    "integers": pl.Series([2**53 + 1, 2**53 + 2]),
    "numbers": pl.Series([1e-20, 1e50]),
    "infinite": pl.Series([float("-inf"), float("inf")]),
    "small": pl.Series([0.5, 1.5], dtype=pl.Float32),
    "truth": pl.Series([False, True]),
    "days": pl.Series([date(1969, 12, 31), date(2026, 1, 2)]),
    "naive": pl.Series([datetime(1969, 1, 1, 1, 1, 1, 1), datetime(2026, 1, 1, 1, 1, 1, 2)]),
    "times": pl.Series([datetime(2026, 1, 1, 1, 1, 1, n, tzinfo=timezone.utc) for n in (1, 2)]),
    "bytes": pl.Series([b"\x00", b"\xff"]),
    "decimals": pl.Series([Decimal("1.10"), Decimal("1.20")]),
    "large": pl.Series([2**64 - 2, 2**64 - 1], dtype=pl.UInt64),
}
NOT_COMPARED = {"sqlite": {"decimals", "large"}, "delta": {"large"}, "iceberg": {"large"}}


@pytest.mark.parametrize("name", STORES)
def test_members_are_compared_as_what_they_are(name: str, tmp_path: Path) -> None:
    define("video")
    kept = {what: pair for what, pair in PAIRS.items() if not (what == "large" and name in ("delta", "iceberg"))}
    column = pl.DataFrame(kept).select(u=pl.struct(pl.all())).to_series()
    same, greater = [], []
    for what, (low, _) in kept.items():
        if what not in NOT_COMPARED.get(name, ()):
            same.append(nw.col("u").struct.field(what) == low)
            greater.append(nw.col("u").struct.field(what) > low)
    with STORES[name](tmp_path).open("w") as store:
        store.write("video", rows(id=["a", "b"], u=column))
        for conditions, wanted in ((same, ["a"]), (greater, ["b"])):
            for combined in (nw.all_horizontal, nw.any_horizontal):
                condition = combined(*conditions, ignore_nulls=False)
                assert values(store.read("video", filters=[condition])) == wanted
        if name == "sqlite":
            with pytest.raises(MetadataSchemaError, match="'large': SQLite does not compare uint64 in JSON exactly"):
                store.delete("video", nw.col("u").struct.field("large") > 1, soft=False)


REFUSED = {
    "member '' of column 'u' has no name": {"": 1},
    "member 'a\\x00b' of column 'u' has a NUL character in its name": {"a\0b": 1},
    "member '*' of column 'u' has a name that Polars reads as a pattern": {"*": 1},
    "member '^a$' of column 'u' has a name that Polars reads as a pattern": [{"b": {"^a$": 1}}],
    "members 'A' and 'a' of column 'u' differ only by case": {"a": 1, "A": 2},
    "members 'Ä' and 'ä' of column 'u' differ only by case": [{"b": [{"ä": 1, "Ä": 2}]}],
}


@pytest.mark.three_stores
def test_names_that_not_every_store_keeps_are_refused(store: MetadataStore) -> None:
    define("video")
    for message, value in REFUSED.items():
        with pytest.raises(MetadataSchemaError) as caught:
            store.write("video", rows(id=["a"], u=[value]))
        assert str(caught.value) == f"the frame for feature video: {message}; rename it"
        with pytest.raises(MetadataSchemaError, match="rename it"):
            store.resolve_update("video", samples=rows(id=["a"], u=[value]))
    for column in ("", "a\0b", "*", "^a$"):
        with pytest.raises(MetadataSchemaError, match="rename it") as caught:
            store.write("video", rows(id=["a"]).with_columns(pl.lit(1).alias(column)))
        assert f"column {column!r} has" in str(caught.value)
    assert not store.has_feature("video")
