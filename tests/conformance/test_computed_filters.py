"""Filters that compute select the same rows on every store, or are refused on each in one line."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from math import inf, nan
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows, values

from metaxy.errors import MetadataSchemaError, MetaxyError
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

IDS = list("abcdef")
MOMENTS = [datetime(2020, 1, 1), datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(2024, 2, 29, 12)]
COLUMNS: dict[str, pl.Series] = {
    "i8": pl.Series([-128, -7, 0, 7, 127, None], dtype=pl.Int8),
    "i16": pl.Series([-(2**15), -7, 0, 7, 2**15 - 1, None], dtype=pl.Int16),
    "i32": pl.Series([-(2**31), -7, 0, 7, 2**31 - 1, None], dtype=pl.Int32),
    "i64": pl.Series([-(2**62), -7, 0, 7, 2**53 + 1, None], dtype=pl.Int64),
    "u8": pl.Series([0, 1, 2, 200, 255, None], dtype=pl.UInt8),
    "u32": pl.Series([0, 1, 2, 3, 2**32 - 1, None], dtype=pl.UInt32),
    "u64": pl.Series([0, 1, 2, 3, 2**53 + 1, None], dtype=pl.UInt64),
    "f32": pl.Series([0.1, -2.5, 0.0, 0.5, inf, None], dtype=pl.Float32),
    "f": pl.Series([-7.5, -2.5, 0.0, 2.5, inf, None], dtype=pl.Float64),
    "h": pl.Series([-1.0, 0.0, -0.0, 3.0, 0.1, None], dtype=pl.Float64),
    "big": pl.Series([1e300, -1e19, 127.9, 128.0, -0.9, None], dtype=pl.Float64),
    "w": pl.Series([nan, 0.0, 1.0, 2.0, inf, None], dtype=pl.Float64),
    "b": pl.Series([True, False, True, False, True, None], dtype=pl.Boolean),
    "s": pl.Series(["1", "-7", "x", " 3", "1.5", None], dtype=pl.String),
    "q": pl.Series(["1", "-7", "12", "+300", "9" * 20, None], dtype=pl.String),
    "d": pl.Series([date(2020, 1, 1), date(1969, 12, 31), date(2024, 2, 29), None, None, None], dtype=pl.Date),
    "t": pl.Series([*MOMENTS, None, None, None], dtype=pl.Datetime("us")),
    "dec": pl.Series(
        [Decimal("1.50"), Decimal("-2.50"), Decimal(0), Decimal("2.25"), Decimal(7), None], dtype=pl.Decimal(10, 2)
    ),
}
i8, i16, i32, i64, u8, u32, u64, f32, f, h, big, w, b, s, q, d, t, dec = map(nw.col, COLUMNS)
NUMBERS: list[tuple[str, nw.Expr]] = [
    ("cde", i8 + 1 > 0),
    ("abc", i8 - 1 < 0),
    ("de", 1 - i8 < 0),
    ("e", i8 + i8 > 100),
    ("ae", i8 * i8 > 200),
    ("ab", -i8 > 0),
    ("a", i8.abs() > 127),
    ("e", i8 + b == 128),
    ("ace", b + b == 2),
    ("ace", b == 1),
    ("ace", b > 0.5),
    ("abc", ~(b < i8)),
    ("ae", i16 * i16 > 2**29),
    ("cde", i32 + 1 > 0),
    ("ab", -i32 > 0),
    ("a", i32 * i32 == 2**62),
    ("a", i32 - i8 < -1000),
    ("de", (i8 + 1).is_in([8, 128])),
    ("de", (i8 + 1).is_between(8, 200)),
    ("de", (i8 + 1) * 2 > 15),
    ("e", nw.sum_horizontal(i8, i8) > 200),
    ("e", nw.sum_horizontal("u8", "b") == 256),
    ("a", u8 - 1 < 0),
    ("cde", 1 - u8 < 0),
    ("e", u8 * u8 > 40_000),
    ("cde", -u8 < -1),
    ("e", u8 + u8 == 510),
    ("e", u32 + u32 > 2**32),
    ("d", u8 * 2.5 == 500),
    ("e", u64 + 1 == 2**53 + 2),
    ("de", nw.max_horizontal(i8, u8) > 100),
    ("a", nw.min_horizontal(i8, f) < -7),
    ("a", nw.max_horizontal(w, f) < 0),
    ("e", nw.max_horizontal(w, i8) > 100),
    ("d", f32 * 2 == 1),
    ("d", f32 + 0.5 == 1),
    ("abcd", f * 0 == 0),
    ("e", (f * 0).is_nan()),
    ("e", (f - f).is_nan()),
    ("de", f + f > 4),
    ("a", -f > 5),
    ("bd", f.abs() == 2.5),
    ("a", (w + 1).is_nan()),
    ("bcd", w * 0 == 0),
    ("de", -w < -1),
    ("ade", w.abs() > 1),
    ("a", f.floor() == -8),
    ("b", f.ceil() == -2),
    ("de", f.floor() > 1),
    ("c", w.floor() == 1),
    ("bcd", (w.ceil() - w) == 0),
    ("b", dec * dec == Decimal("6.25")),
    ("a", dec + 1 == Decimal("2.5")),
    ("e", i64 * 2 == 2**54 + 2),
]
DIVISIONS: list[tuple[str, nw.Expr]] = [
    ("c", i8 / i8 > 1),
    ("abde", i8 / i8 == 1),
    ("c", (i8 / i8).is_nan()),
    ("cde", ~(i8 / u8 < 0)),
    ("a", i8 / u8 == -inf),
    ("f", (i8 / u8).is_null()),
    ("b", i8 / h < 0),
    ("", i8 / h == inf),
    ("bcde", 1 / h > 0),
    ("b", 7 / i8 == -1),
    ("b", f / f32 == 1),
    ("c", (f / h).is_nan()),
    ("cd", w / w == 1),
    ("e", i64 / 2 == 2**52),
    ("c", nw.lit(1) / i8 == inf),
    ("c", b / u8 == 0.5),
    ("abde", i8 // i8 == 1),
    ("cf", (i8 // i8).is_null()),
    ("b", i8 // 3 == -3),
    ("b", i8 // -3 == 2),
    ("ab", 7 // i8 == -1),
    ("b", i8 // u8 == -7),
    ("e", i64 // 1 == 2**53 + 1),
    ("e", i64 // u64 == 1),
    ("bcde", u8 // u8 == 1),
    ("e", u64 // 2 == 2**52),
    ("b", i8 // 2.0 == -4),
    ("b", f // 2 == -2),
    ("e", f // h == inf),
    ("b", i8 // h < -100),
    ("ce", (f // f).is_nan()),
    ("ad", u64 // i8 == 0),
    ("b", i8 % 3 == 2),
    ("b", i8 % -3 == -1),
    ("bd", 7 % i8 == 0),
    ("ce", i64 % 3 == 0),
    ("abde", i8 % i8 == 0),
    ("af", (i8 % u8).is_null()),
    ("d", u8 % 7 == 4),
    ("bde", u64 % 2 == 1),
    ("ad", f % 2 == 0.5),
    ("ad", f % -2 == -1.5),
    ("e", (f % 2).is_nan()),
    ("bc", (i8 % h).is_nan()),
    ("b", i8 % f == -2),
    ("c", w % 2 == 1),
]
CASTS: list[tuple[str, nw.Expr]] = [
    ("ace", b.cast(nw.String) == "true"),
    ("bd", ~(b.cast(nw.String) == "true")),
    ("b", i8.cast(nw.String) == "-7"),
    ("e", u64.cast(nw.String()) == str(2**53 + 1)),
    ("b", d.cast(nw.String) == "1969-12-31"),
    ("c", s.cast(nw.String) == "x"),
    ("ace", b.cast(nw.Int8) + 1 == 2),
    ("bd", b.cast(nw.Float64) == 0),
    ("abde", i8.cast(nw.Boolean)),
    ("abde", f.cast(nw.Boolean)),
    ("b", ~w.cast(nw.Boolean)),
    ("a", f.cast(nw.Int64) == -7),
    ("d", f.cast(nw.Int64) == 2),
    ("ef", f.cast(nw.Int64).is_null()),
    ("bce", h.cast(nw.Int8) == 0),
    ("c", big.cast(nw.Int8) == 127),
    ("e", big.cast(nw.Int8) == 0),
    ("abf", big.cast(nw.Int64).is_null()),
    ("d", big.cast(nw.UInt8) == 128),
    ("aef", w.cast(nw.Int32).is_null()),
    ("b", f32.cast(nw.Int64) == -2),
    ("d", f32.cast(nw.Float64) == 0.5),
    ("", f32.cast(nw.Float64) == 0.1),
    ("e", f.cast(nw.Float64) == inf),
    ("d", i32.cast(nw.Int8) == 7),
    ("aef", i32.cast(nw.Int8).is_null()),
    ("e", i8.cast(nw.UInt8) == 127),
    ("abf", i8.cast(nw.UInt64).is_null()),
    ("e", i8.cast(nw.Int64) + 1 == 128),
    ("def", u8.cast(nw.Int8).is_null()),
    ("d", u64.cast(nw.Int64) == 3),
    ("d", i64.cast(nw.Float64) == 7),
    ("d", dec.cast(nw.Float64) == 2.25),
    ("a", s.cast(nw.Int64) == 1),
    ("cdef", s.cast(nw.Int64).is_null()),
    ("b", q.cast(nw.Int64) == -7),
    ("d", q.cast(nw.Int64) == 300),
    ("def", q.cast(nw.Int8).is_null()),
    ("c", q.cast(nw.UInt8) == 12),
    ("a", d.cast(nw.Datetime("us")) == MOMENTS[0]),
    ("b", t.cast(nw.Date) == date(1969, 12, 31)),
    ("c", t.cast(nw.Datetime("us", "UTC")) == MOMENTS[2].replace(tzinfo=timezone.utc)),
    ("b", t.cast(nw.Datetime("us")) < MOMENTS[0]),
]
TEXTS: list[tuple[str, nw.Expr]] = [
    ("a", s + q == "11"),
    ("c", s + "!" == "x!"),
    ("", "!" + s == "!x"),
    ("a", nw.concat_str("s", "q", separator="/") == "1/1"),
    ("f", nw.concat_str(s, q).is_null()),
    ("c", nw.concat_str(s, i8, separator="|") == "x|0"),
    ("a", nw.concat_str(b, d) == "true2020-01-01"),
    ("b", nw.concat_str(s, nw.when(b).then(q), separator="//", ignore_nulls=True) == "-7"),
    ("d", nw.concat_str(nw.when(b).then(q), s, separator="//", ignore_nulls=True) == " 3"),
    ("c", nw.concat_str("s", "q", ignore_nulls=True) == "x12"),
    ("f", nw.concat_str("s", "q", separator="/", ignore_nulls=True) == ""),
    ("c", nw.format("{}-{}", "s", "i8") == "x-0"),
]
CHOICES: list[tuple[str, nw.Expr]] = [
    ("e", nw.coalesce(i8, u8) > 100),
    ("f", i8.fill_null(300) == 300),
    ("f", f.fill_null(1) == 1),
    ("bdf", nw.when(b).then(i8).otherwise(1000) == 1000),
    ("ab", nw.when(b).then(i8).otherwise(f) < 0),
    ("cdef", t.fill_null(datetime(2021, 1, 1)) > MOMENTS[0]),
    ("b", nw.coalesce(t, d.cast(nw.Datetime("us"))) == MOMENTS[1]),
    ("abc", t.is_between(d, date(2024, 3, 1))),
    ("a", d == t),
]

REFUSED: Mapping[str, nw.Expr] = {
    "round": f.round() == 2,
    "round digits": f.round(1) == 2,
    "power": i8**2 > 1,
    "power of": 2**i8 > 1,
    "exp": f.exp() > 1,
    "log": f.log() > 1,
    "sin": f.sin() > 1,
    "cos": f.cos() > 1,
    "sqrt": f.sqrt() > 1,
    "clip": f.clip(0, 1) == 1,
    "clip from": f.clip(lower_bound=0) == 1,
    "is_close": f.is_close(2.5),
    "mean": nw.mean_horizontal("i8", "i16") > 1,
    "replace": i8.replace_strict([7], [1], default=0) == 1,
    "in depth": b & ~((i8 + f.round()) > 1),
    "text of a float": f.cast(nw.String) == "2.5",
    "text of a time": t.cast(nw.String) == "2020-01-01",
    "joined floats": nw.concat_str(s, f) == "x",
    "float of a text": s.cast(nw.Float64) == 1,
    "truth of a text": s.cast(nw.Boolean),
    "date of a text": s.cast(nw.Date) == date(2020, 1, 1),
    "time of a text": s.cast(nw.Datetime) == MOMENTS[0],
    "narrow float": f.cast(nw.Float32) == 0.1,
    "huge integer": i8.cast(nw.Int128) == 1,
    "decimal": f.cast(nw.Decimal(10, 2)) == 1,
    "days of a date": d.cast(nw.Int32) == 1,
    "date of days": i8.cast(nw.Date) == date(2020, 1, 1),
    "time of microseconds": i64.cast(nw.Datetime("us")) == MOMENTS[0],
    "another zone": t.cast(nw.Datetime("us", "Europe/Berlin")).is_null(),
    "coarser time": t.cast(nw.Datetime("ms")) == MOMENTS[0],
    "difference of dates": (d - d) == timedelta(),
    "date and time": nw.coalesce(d, t) > date(2020, 1, 1),
    "time or date": t.fill_null(date(2020, 1, 1)) > date(2020, 1, 1),
    "time else date": nw.when(b).then(t).otherwise(d) > date(2020, 1, 1),
    "greater of date and time": nw.max_horizontal(d, t) > date(2020, 1, 1),
    "time and zoned time": t.fill_null(datetime(2020, 1, 1, tzinfo=timezone.utc)).is_null(),
    "text or number": nw.coalesce(s, i8).is_null(),
    "number or text": i8.fill_null("x").is_null(),
    "number or truth": nw.coalesce(f, b) == 1,
}
OF_DECIMALS: Mapping[str, nw.Expr] = {
    "ratio": dec / 2 == 1,
    "ratio of decimals": dec / dec == 1,
    "whole part": dec // 2 == 1,
    "rest": dec % 2 == 1,
    "integer": dec.cast(nw.Int64) == 1,
    "text": dec.cast(nw.String) == "1.5",
}


def written(store: MetadataStore, frame: pl.DataFrame) -> pl.DataFrame:
    """Write a frame without the columns that the store refuses, and return it."""
    while True:
        try:
            store.write("video", frame)
        except MetadataSchemaError as error:
            frame = frame.drop(*(name for name in COLUMNS if f"column {name!r}" in str(error)))
        else:
            return frame


def test_what_is_computed_selects_the_same_rows(store: MetadataStore) -> None:
    """Each case is a copy of the rows, so that one statement answers all of them."""
    define("video")
    known = written(store, rows(id=IDS, **COLUMNS)).columns
    cases = {
        str(n): case
        for n, case in enumerate([*NUMBERS, *DIVISIONS, *CASTS, *TEXTS, *CHOICES])
        if all(name in known for name in re.findall(r"col\((\w+)\)", str(case[1])))
    }
    define("copies", ids=("case", "id"))
    stored = pl.DataFrame({"id": IDS, **COLUMNS}).select(set(known) & {"id", *COLUMNS})
    copies = pl.DataFrame({"case": list(cases)}).join(stored, how="cross")
    store.write("copies", rows(**copies.to_dict()))
    either = nw.any_horizontal(
        *((nw.col("case") == n) & condition for n, (_, condition) in cases.items()), ignore_nulls=False
    )
    wanted = {str(condition): selects for selects, condition in cases.values()}
    assert selected(store.read("copies", filters=either), cases) == wanted
    store.delete("copies", either, soft=False)
    left = {what: "".join(sorted(set(IDS) - set(selects))) for what, selects in wanted.items()}
    assert selected(store.read("copies"), cases) == left


def selected(frame: Any, cases: Mapping[str, tuple[str, nw.Expr]]) -> dict[str, str]:
    found = dict.fromkeys(cases, "")
    for case, sample in sorted(collect_to_polars(frame).select("case", "id").rows()):
        found[case] += sample
    return {str(cases[case][1]): samples for case, samples in found.items()}


def test_what_stores_compute_in_ways_of_their_own_is_refused(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    known = written(store, rows(id=IDS, **COLUMNS)).columns
    refused = re.compile(r"feature video: a filter (uses|casts|subtracts|divides|on column) [^\n]+; [^\n]+")
    for what, condition in {**REFUSED, **(OF_DECIMALS if "dec" in known else {})}.items():
        with pytest.raises(MetadataSchemaError) as raised:
            store.read("video", filters=condition)
        assert refused.fullmatch(str(raised.value)), what
    for verb in verbs(store, f.round() == 2):
        with pytest.raises(MetadataSchemaError, match=refused):
            verb()
    assert len(values(store.read("video"))) == len(IDS)


def verbs(store: MetadataStore, condition: nw.Expr) -> list[Callable[[], Any]]:
    """Ask for the samples of the feature "video" that fulfil a condition in each way; all but the last count them."""
    by = {"video": condition}
    return [
        lambda: len(values(store.read("video", filters=condition))),
        lambda: store.count_rows_to_delete("video", condition, soft=False),
        lambda: store.resolve_update("clip", filters=by).counts["new"],
        lambda: store.resolve_update("clip", filters=by, versioning_engine="polars").counts["new"],
        lambda: store.delete("video", condition & (nw.col("id") == "nothing"), soft=False),
    ]


def test_integers_beyond_64_bits_are_right_or_an_error_of_one_line(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    n = nw.col("n")
    store.write("video", rows(id=IDS[:4], n=[2**63 - 1, -(2**63), 7, None]))
    asked = {"ac": n + 1 > 0, "b": n - 1 < 0, "ab": n * n > 100, "a": -n < -100}
    for wanted, condition in asked.items():
        for count in verbs(store, condition)[:4]:
            found, error = answer(count)
            assert found in (len(wanted), None), str(condition)
            assert re.fullmatch("|[^\n]* out of range", error), error


def answer(verb: Callable[[], Any]) -> tuple[Any, str]:
    try:
        return verb(), ""
    except MetaxyError as error:
        return None, str(error)


def test_what_only_some_stores_compute_is_refused_in_one_line_by_the_others(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a"], s=["2020"], t=[datetime(2020, 1, 1)]))
    text, time = nw.col("s"), nw.col("t")
    asked = (
        text.str.to_titlecase() == "X",
        text.str.split("x").list.len() == 2,
        time.dt.timestamp("us") > 0,
        time.dt.date() + timedelta(days=1) == date(2020, 1, 2),
        (time - datetime(2020, 1, 1)).dt.total_seconds() == 0,
        text.str.to_datetime(format="%Y").is_null(),
    )
    for condition in asked:
        for verb in verbs(store, condition):
            _, error = answer(verb)
            assert re.fullmatch("|(feature video: a filter needs what|ClickHouse keeps lists) [^\n]+; [^\n]+", error)
