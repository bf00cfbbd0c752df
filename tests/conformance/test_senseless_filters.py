"""Filters that make no sense end in one line that names the feature, in every verb and store."""

import re
from collections.abc import Callable
from datetime import date, datetime, timezone
from typing import Any

import narwhals as nw
import pytest
from tests.factory import define, everything, rows

from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore

d, i, s, b, t = map(nw.col, ("d", "i", "s", "b", "t"))
SENSELESS: dict[str, nw.Expr] = {
    "a date beside a number": d > 5,
    "a date beside a text": d == "x",
    "a text beside a date": s == d,
    "a text beside a boolean": s > b,
    "a time beside a number": t < 7,
    "a number beside a date": i.is_in([date(2020, 1, 1)]),
    "a remainder by zero": i % 0 == 0,
    "a whole part by zero": (i + 1) // 0 > 1,
    "a ratio by zero": i / 0 > 1,
    "a remainder by zero in parts": b & ((i % nw.lit(0)) == 0),
    "a text less one": (s - 1) == 0,
    "the year of a text": s.dt.year() == 2020,
    "letters of a number": i.str.len_chars() > 1,
    "numbers for conditions": i & b,
    "a number": i + 1,
    "a text": s,
    "a member of a number": i.struct.field("x") == 1,
    "what the next row has": i.shift(-1) == 1,
    "what no database has": i.mode() == 1,
}


def test_a_filter_that_makes_no_sense_is_refused_in_one_line(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    at = datetime(2020, 1, 1, tzinfo=timezone.utc)
    store.write("video", rows(id=["a", "b"], d=[date(2020, 1, 1), None], i=[1, 2], s=["x", "y"], b=[True, False], t=at))
    for what, given in SENSELESS.items():
        verbs: dict[str, Callable[[nw.Expr], Any]] = {
            "read": lambda given: store.read("video", filters=given),
            "delete": lambda given: store.delete("video", given, soft=False),
            "hide": lambda given: store.delete("video", given),
            "count": lambda given: store.count_rows_to_delete("video", given),
            "update": lambda given: store.resolve_update("clip", filters={"video": given}),
        }
        for verb, call in verbs.items():
            with pytest.raises(MetadataSchemaError) as raised:
                call(given)
            assert re.fullmatch(r"feature video: a filter [^\n]+", str(raised.value)), (what, verb)
    assert everything(store, "video").height == 2
