"""Keys of two types: equal if they mean the same, never because a cast made them equal."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from metaxy.versioning.key_types import alike

FAR = datetime(3000, 1, 1)  # nanoseconds end in 2262
LARGE = 2**53 + 1  # floats have no such number
CASES: dict[str, tuple[list[Any], Any, list[Any], Any, int]] = {
    "times out of range": ([FAR], pl.Datetime("ms"), [0], pl.Datetime("ns"), 0),
    "times in range": ([datetime(1970, 1, 1)], pl.Datetime("ms"), [0, 1], pl.Datetime("ns"), 1),
    "fractions of microseconds": ([0, 1], pl.Datetime("us"), [1, 1000], pl.Datetime("ns"), 1),
    "zones": ([0], pl.Datetime("us", "Asia/Tokyo"), [0, 1], pl.Datetime("ms", "America/Lima"), 1),
    "durations": ([timedelta(1)], pl.Duration("ms"), [86_400_000_000_000, 1], pl.Duration("ns"), 1),
    "large numbers": ([LARGE, LARGE - 1], pl.UInt64, [LARGE], pl.Int64, 1),
    "large numbers as decimals": ([LARGE], pl.UInt64, [Decimal(LARGE), Decimal(LARGE - 1)], pl.Decimal(20, 0), 1),
    "decimals": ([Decimal("1.50")], pl.Decimal(10, 2), [Decimal("1.500"), Decimal("1.501")], pl.Decimal(20, 3), 1),
    "numbers too large for the other": ([2**64 - 1], pl.UInt64, [-1], pl.Int64, 0),
    "categories": (["b", "a"], pl.Enum(["b", "a"]), ["a", "c"], pl.Enum(["c", "a"]), 1),
    "categories and text": (["b", "a"], pl.Categorical, ["a", "c"], pl.String, 1),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("swapped", [False, True])
def test_keys_are_equal_if_they_mean_the_same(name: str, swapped: bool) -> None:
    first, its_type, second, other_type, wanted = CASES[name]
    left, right = (
        pl.DataFrame({"k": [*first, None]}, {"k": its_type}),
        pl.DataFrame({"c": [*second, None]}, {"c": other_type}),
    )
    if swapped:
        left, right = right.rename({"c": "k"}), left.rename({"k": "c"})
    keys = alike(left.schema, right.schema, [("k", "c")])
    assert left.join(right, left_on=keys[0], right_on=keys[1]).height == wanted
