"""What each store does with columns of each type: tests hold the stores to it, and `docs/stores.md` shows it.

`make reference` writes the tables of the page anew.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from math import inf, nan
from pathlib import PurePosixPath
from typing import Any, Final
from uuid import UUID

import pandas as pd
import polars as pl
import pyarrow as pa

NAMES: Final = {
    "duckdb": "DuckDB",
    "ducklake": "DuckLake",
    "delta": "Delta",
    "iceberg": "Iceberg",
    "lancedb": "LanceDB",
    "postgresql": "PostgreSQL",
    "sqlite": "SQLite",
    "clickhouse": "ClickHouse",
}


class Fate(Enum):
    """What becomes of a column; the page shows the values."""

    KEPT = "✓"
    REFUSED = "refused"
    LEFT_OUT = "not stored"  # until a value says of which type it is


KEPT, REFUSED, LEFT_OUT = Fate
# A type: the same values are read, of that type. A series: other values are read, and the page shows its name.
Outcome = Fate | pl.DataType | pl.Series


@dataclass(frozen=True)
class Case:
    """Columns of a type, what most stores make of them, and what others do.

    Each column has two values and NULL. Those that may be IDs may be so on each store that keeps the column.
    """

    what: str
    columns: tuple[pl.Series, ...]
    most: Outcome
    on: Mapping[str, Outcome]
    may_be_id: bool

    def outcome(self, store: str) -> Outcome:
        return self.on.get(store, self.most)

    def is_id_on(self, store: str) -> bool:
        return self.may_be_id and self.outcome(store) is not REFUSED


def case(what: str, *columns: pl.Series, most: Outcome = KEPT, may_be_id: bool = True, **on: Any) -> Case:
    return Case(what, columns, most, on, may_be_id)


def column(values: Iterable[Any], dtype: Any = None) -> pl.Series:
    return pl.Series([*values, None], dtype=dtype)


def in_zone(zone: str, unit: Any = "us") -> pl.Series:
    return column([datetime(2024, 7, 1), datetime(1950, 1, 1)], pl.Datetime(unit)).dt.replace_time_zone(zone)


def on(stores: str, outcome: Outcome) -> dict[str, Any]:
    return dict.fromkeys(stores.split(), outcome)


MICROSECONDS, IN_UTC = pl.Datetime("us"), pl.Datetime("us", "UTC")
LAKES, NOT_DUCKDB = "delta iceberg", "ducklake delta iceberg postgresql sqlite clickhouse"
COARSE = "delta iceberg postgresql sqlite clickhouse"  # whose times end at microseconds
NOT_LANCE = f"duckdb {NOT_DUCKDB}"
EARLIEST = [date(1, 1, 1), date(9999, 12, 31)]
STRUCT = [{"a": "x", "b": [1, 2]}, {"a": None, "b": [3, 4]}]

BERLIN = pl.Datetime("us", "Europe/Berlin")
ZONED = datetime(2024, 7, 1, tzinfo=timezone.utc)
MEMBERS = ("content-type", "a.b", "x y", '"', "'", "`", "日本", "$ref", "@id", "\n")

CASES: Final = (
    case("Boolean", column([True, False])),
    case("Int8", column([-128, 127], pl.Int8), iceberg=pl.Int32(), postgresql=pl.Int16()),
    case("Int16", column([-(2**15), 2**15 - 1], pl.Int16), iceberg=pl.Int32()),
    case("Int32, Int64", column([-(2**31), 2**31 - 1], pl.Int32), column([-(2**63), 2**63 - 1])),
    case("UInt8", column([0, 255], pl.UInt8), delta=pl.Int16(), iceberg=pl.Int32(), postgresql=pl.Int16()),
    case("UInt16", column([0, 2**16 - 1], pl.UInt16), **on(f"{LAKES} postgresql", pl.Int32())),
    case("UInt32", column([0, 2**32 - 1], pl.UInt32), **on(f"{LAKES} postgresql", pl.Int64())),
    case("UInt64", column([0, 2**63 - 1], pl.UInt64), **on(LAKES, pl.Int64()), postgresql=pl.Decimal(20, 0)),
    case(
        "UInt64, from 2⁶³",
        column([2**63, 2**64 - 1], pl.UInt64),
        **on(f"{LAKES} sqlite", REFUSED),
        postgresql=pl.Decimal(20, 0),
    ),
    case("Int128, UInt128", column([1, 2], pl.Int128), column([1, 2], pl.UInt128), most=REFUSED),
    case("Float16", column([1.5, -2.5], pl.Float16), most=pl.Float32(), lancedb=KEPT),
    case("Float32, Float64", column([1.1, inf], pl.Float32), column([-inf, 5e-324])),
    case("NaN", column([nan, 1.0], pl.Float32), column([nan, 1.0]), sqlite=REFUSED),
    case("-0.0", column([-0.0, 1.0]), **on("sqlite clickhouse", pl.Series("0.0", [0.0, 1.0, None]))),
    case(
        "Decimal, up to 38 digits",
        column([Decimal("1.23"), Decimal("-4.5")], pl.Decimal(10, 2)),
        column([Decimal("1" * 28 + "." + "2" * 10), Decimal(0)], pl.Decimal(38, 10)),
        sqlite=REFUSED,
    ),
    case("String", column(["é𝒳\\'\"`", "%_;--\n"]), column(["", " "])),
    case("String with NUL characters", column(["a\0b", "c"]), postgresql=REFUSED, may_be_id=False),
    case("Categorical", column(["b", "a"], pl.Categorical), most=pl.String()),
    case("Enum", column(["a", "b"], pl.Enum(["b", "a"])), most=pl.String()),
    case("Binary", column([b"\x00\xff", b""])),
    case("Date", column([date(1900, 1, 1), date(2299, 12, 31)])),
    case("Date, before 1900 or from 2300", column([date(1899, 12, 31), date(2300, 1, 1)]), clickhouse=REFUSED),
    case("Date, year 1 to 9999", column(EARLIEST), clickhouse=REFUSED),
    case("Datetime('us')", column([datetime(1, 1, 1, 1, 1, 1, 123456), datetime(9999, 12, 31)])),
    case(
        "Datetime('ms')",
        column([datetime(1950, 1, 1), datetime(2200, 1, 1)], pl.Datetime("ms")),
        **on(COARSE, MICROSECONDS),
    ),
    case("Datetime('ns')", column([1_000, 2_000], pl.Datetime("ns")), **on(COARSE, MICROSECONDS)),
    case("Datetime('ns'), parts of μs", column([1, 2_001], pl.Datetime("ns")), **on(COARSE, REFUSED)),
    case("Datetime('us', 'UTC')", in_zone("UTC")),
    case(
        "Datetime of another unit or zone",
        in_zone("UTC", "ms"),
        in_zone("UTC", "ns"),
        in_zone("Europe/Berlin"),
        most=IN_UTC,
        lancedb=KEPT,
    ),
    case("Time", column([time(1, 2, 3, 4), time(23, 59, 59, 999999)]), **on(f"{LAKES} sqlite", REFUSED)),
    case("Time, parts of μs", column([1, 2], pl.Int64).cast(pl.Time), most=REFUSED, lancedb=KEPT, clickhouse=KEPT),
    case(
        "Duration('us')", column([timedelta(days=-1, microseconds=3), timedelta(days=400)]), **on(NOT_DUCKDB, REFUSED)
    ),
    case(
        "Duration('ms'), Duration('ns')",
        column([timedelta(-1), timedelta(400)], pl.Duration("ms")),
        column([1_000, 2_000], pl.Duration("ns")),
        duckdb=pl.Duration("us"),
        **on(NOT_DUCKDB, REFUSED),
    ),
    case("Duration('ns'), parts of μs", column([1, 2], pl.Duration("ns")), most=REFUSED, lancedb=KEPT),
    case("Object of UUIDs", column([UUID(int=1), UUID(int=2)], pl.Object), most=pl.String()),
    case(
        "Object of anything else",
        column([PurePosixPath("a"), PurePosixPath("b")], pl.Object),
        column([{1}, {2}], pl.Object),
        most=REFUSED,
    ),
    case("Null", column([None, None]), most=LEFT_OUT, may_be_id=False),
    case(
        "List, also of lists and structs, with any values that have a column of their own",
        column([[1, None], []]),
        column([[nan, -0.0, 0.1], [None]]),
        column([['a"\\', "", "日本"], ["\n"]]),
        column([[Decimal("1.10")], []]),
        column([[b"\xff"], []]),
        column([[date(1, 1, 1)], []]),
        column([[datetime(2024, 1, 1)], []]),
        column([[True], []]),
        column([[["a"], [], None], []]),
        column([[{"a": 1}, None], []]),
        may_be_id=False,
    ),
    case(
        "List(UInt64), from 2⁶³",
        column([[2**64 - 1], []], pl.List(pl.UInt64)),
        **on(LAKES, REFUSED),
        postgresql=pl.List(pl.Decimal(20, 0)),
        may_be_id=False,
    ),
    case("List(Int128)", column([[1], []], pl.List(pl.Int128)), most=REFUSED, may_be_id=False),
    case(
        "List(Float16)",
        column([[nan, 1.5], []], pl.List(pl.Float16)),
        most=pl.List(pl.Float32()),
        lancedb=KEPT,
        may_be_id=False,
    ),
    case(
        "List(Enum)",
        column([["b"], []], pl.List(pl.Enum(["b"]))),
        most=pl.List(pl.String()),
        lancedb=KEPT,
        may_be_id=False,
    ),
    case(
        "List(Datetime('ns')), parts of μs",
        column([[1], []], pl.List(pl.Datetime("ns"))),
        **on(LAKES, REFUSED),
        may_be_id=False,
    ),
    case(
        "List of times of another zone",
        column([[ZONED], []], pl.List(BERLIN)),
        **on("duckdb ducklake delta iceberg", pl.List(IN_UTC)),
        may_be_id=False,
    ),
    case("List(Time)", column([[time(1, 2, 3, 4)], []]), **on(LAKES, REFUSED), may_be_id=False),
    case("List(Duration('us'))", column([[timedelta(1)], []]), **on(NOT_DUCKDB, REFUSED), may_be_id=False),
    case(
        "Array(Float32, 2)",
        column([[1.5, nan], [3.5, 4.5]], pl.Array(pl.Float32, 2)),
        **on(NOT_DUCKDB, pl.List(pl.Float32())),
        may_be_id=False,
    ),
    case(
        "Array(String, 2)",
        column([["a,", '"b'], ["", "c"]], pl.Array(pl.String, 2)),
        most=pl.List(pl.String()),
        duckdb=KEPT,
        may_be_id=False,
    ),
    case(
        "Struct, with any names of members, and values as in lists",
        column([{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        column([dict.fromkeys(MEMBERS, "x"), dict.fromkeys(MEMBERS)]),
        column([{"a": 1e50, "b": inf, "c": nan, "d": -0.0, "e": 0.1}, {"e": 1.0}]),
        column([{"a": 2**63 - 1, "b": 2**53 + 1, "c": Decimal("1.10"), "d": b"\xff", "e": date(1, 1, 1)}] * 2),
        may_be_id=False,
    ),
    case(
        "Struct of a Float16",
        column([{"a": -0.0}, {"a": 1.5}], pl.Struct({"a": pl.Float16})),
        most=pl.Struct({"a": pl.Float32()}),
        lancedb=KEPT,
        may_be_id=False,
    ),
    case(
        "Struct of a Categorical and an Array",
        column(STRUCT, pl.Struct({"a": pl.Categorical(), "b": pl.Array(pl.Int64, 2)})),
        most=pl.Struct({"a": pl.String(), "b": pl.List(pl.Int64())}),
        duckdb=pl.Struct({"a": pl.String(), "b": pl.Array(pl.Int64(), 2)}),
        lancedb=KEPT,
        may_be_id=False,
    ),
    case(
        "Map, with any keys",
        column([{"a": 1}, {}], pl.Map(pl.String, pl.Int64)),
        column([{1: "x"}, {2: None}], pl.Map(pl.Int64, pl.String)),
        column([{1.5: "x"}, {2.5: "y"}], pl.Map(pl.Float64, pl.String)),
        column([{date(2024, 1, 1): [1]}, {date(1, 1, 1): []}], pl.Map(pl.Date, pl.List(pl.Int64))),
        may_be_id=False,
    ),
    case(
        "List(Null), Struct of Null, Struct without members",
        column([[], [None]], pl.List(pl.Null)),
        column([{"a": None}] * 2, pl.Struct({"a": pl.Null})),
        column([{}, {}]),
        most=LEFT_OUT,
        may_be_id=False,
    ),
)


@dataclass(frozen=True)
class Given:
    """A column of another library, and the column of Polars that it is taken for; None where it is refused."""

    what: str
    column: Any
    taken: pl.Series | None


TEXTS, NUMBERS, DAYS = column(["b", "a"]), column([2, 1]), column([date(2024, 2, 29), date(1950, 1, 1)])
UUIDS = [UUID(int=1), UUID(int=2)]
UUID_TEXTS = column(map(str, UUIDS))


HALVES = [Decimal("1.5"), Decimal("2.5")]
WRAPPED = pa.struct([("a", pa.list_(pa.binary(1))), ("b", pa.map_(pa.string(), pa.date64()))])
UNWRAPPED = pl.Struct({"a": pl.List(pl.Binary), "b": pl.Map(pl.String, pl.Date)})


def arrow(values: Any, dtype: Any = None) -> Any:
    return pa.array([*values, None], dtype)


def objects(*values: Any) -> Any:
    return pd.Series([*values, None], dtype=object)


def texts(*types: Any) -> list[Any]:
    return [pa.array(["b", "a", None]).cast(dtype) for dtype in types]


GIVEN: Final = (
    *(Given(f"Arrow {a.type}", a, TEXTS) for a in texts(pa.large_string(), pa.string_view())),
    *(Given(f"Arrow {t}", arrow([b"ab", b"cd"], t), column([b"ab", b"cd"])) for t in (pa.large_binary(), pa.binary(2))),
    Given("Arrow dictionary of texts", arrow("ba").dictionary_encode(), TEXTS.cast(pl.Categorical)),
    Given(
        "Arrow list, struct and map of such types",
        arrow([{"a": [b"x"], "b": {"c": DAYS[0]}}, {"a": [None], "b": {}}], WRAPPED),
        column([{"a": [b"x"], "b": {"c": DAYS[0]}}, {"a": [None], "b": {}}], UNWRAPPED),
    ),
    Given("Arrow decimal64", arrow(HALVES, pa.decimal64(3, 1)), column(HALVES, pl.Decimal(3, 1))),
    Given("Arrow dictionary of anything else", arrow([2, 1]).dictionary_encode(), NUMBERS),
    Given("Arrow run_end_encoded", pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3]), arrow("ba")), TEXTS),
    Given("Arrow date64", arrow(DAYS[:2].to_list(), pa.date64()), DAYS),
    Given("Arrow time32", arrow([time(1), time(2)], pa.time32("s")), column([time(1), time(2)])),
    Given(
        "Arrow timestamp of an offset", arrow([ZONED, ZONED], pa.timestamp("us", "+05:30")), column([ZONED] * 2, IN_UTC)
    ),
    Given("Arrow halffloat", arrow([1.5, 2.5], pa.float16()), column([1.5, 2.5], pl.Float16)),
    Given("Arrow large_list", arrow([[2], []], pa.large_list(pa.int64())), column([[2], []])),
    Given(
        "Arrow fixed_size_list", arrow([[2], [1]], pa.list_(pa.int64(), 1)), column([[2], [1]], pl.Array(pl.Int64, 1))
    ),
    Given(
        "Arrow map",
        arrow([{"a": 1}, {}], pa.map_(pa.string(), pa.int64())),
        column([{"a": 1}, {}], pl.Map(pl.String, pl.Int64)),
    ),
    Given("Arrow null", arrow([None, None]), column([None, None])),
    Given(
        "Arrow extension arrow.uuid",
        pa.ExtensionArray.from_storage(pa.uuid(), arrow([u.bytes for u in UUIDS], pa.binary(16))),
        UUID_TEXTS,
    ),
    Given("Arrow extension arrow.json", arrow(["{}", "1"], pa.json_()), column(["{}", "1"])),
    Given("Arrow extension of any other kind", arrow([0, 1], pa.int8()).cast(pa.bool8()), None),
    Given("Arrow month_day_nano_interval", arrow([(1, 2, 3)] * 2, pa.month_day_nano_interval()), None),
    Given("Arrow decimal256", arrow([Decimal(1), Decimal(2)], pa.decimal256(60, 2)), None),
    Given("Pandas object of str", objects("b", "a"), TEXTS),
    Given(
        "Pandas object of Decimal",
        objects(*HALVES),
        column(HALVES, pl.Decimal(2, 1)),
    ),
    Given("Pandas object of date", objects(*DAYS[:2]), DAYS),
    Given("Pandas object of bytes", objects(b"b", b"a"), column([b"b", b"a"])),
    Given("Pandas object of bool", objects(True, False), column([True, False])),
    Given("Pandas object of list", objects([1], []), column([[1], []])),
    Given("Pandas object of dict", objects({"a": 1}, {"a": None}), column([{"a": 1}, {"a": None}])),
    Given("Pandas object of UUID", objects(*UUIDS), UUID_TEXTS),
    Given("Pandas object of several types", objects(1, "x"), None),
    Given("Pandas object of Path", objects(PurePosixPath("a"), PurePosixPath("b")), None),
    Given("Pandas object of set", objects({1}, {2}), None),
    Given("Pandas Int64", pd.array([2, 1, None], "Int64"), NUMBERS),
    Given("Pandas boolean", pd.array([True, False, None], "boolean"), column([True, False])),
    Given("Pandas string", pd.array(["b", "a", None], "string"), TEXTS),
    Given("Pandas float64, where NaN is NULL", pd.Series([1.5, inf, nan]), column([1.5, inf])),
    Given("Pandas category of texts", pd.Categorical(["b", "a", None]), TEXTS.cast(pl.Categorical)),
    Given("Pandas category of numbers", pd.Categorical([2, 1, None]), NUMBERS),
    Given("Pandas category of UUID", pd.Categorical([*UUIDS, None]), UUID_TEXTS),
    Given(
        "Pandas datetime64",
        pd.Series([datetime(2024, 1, 1), datetime(1950, 1, 1), None]).astype("datetime64[us]"),
        column([datetime(2024, 1, 1), datetime(1950, 1, 1)]),
    ),
    Given(
        "Pandas datetime64 of a zone",
        pd.Series([ZONED, ZONED, None]).dt.tz_convert("Europe/Berlin").dt.as_unit("us"),
        column([ZONED] * 2, BERLIN),
    ),
    Given(
        "Pandas datetime64 of an offset",
        pd.Series([ZONED, ZONED, None]).dt.tz_convert("+05:30").dt.as_unit("us"),
        column([ZONED] * 2, IN_UTC),
    ),
    Given(
        "Pandas timedelta64",
        pd.Series([timedelta(1), timedelta(2), None]).astype("timedelta64[us]"),
        column([timedelta(1), timedelta(2)]),
    ),
    Given("Pandas complex128", pd.Series([1j, 2j, 3j]), None),
    Given("Pandas period", pd.period_range("2024-01", periods=3, freq="M"), None),
    Given("Pandas interval", pd.interval_range(0, 3), None),
    Given("Pandas category of intervals", pd.cut([1, 2, 5], [0, 2, 6]), None),
)


# -- the page ----------------------------------------------------------------------------------------------------------


def type_name(dtype: pl.DataType) -> str:
    """Write a type as short as it can be read.

    >>> type_name(pl.List(pl.Datetime("us", "UTC"))), type_name(pl.Datetime("ms"))
    ("List(Datetime('us', 'UTC'))", "Datetime('ms')")
    """
    return re.sub(r"\b\w+=|, time_zone=None", "", str(dtype))


def cell(outcome: Outcome) -> str:
    if isinstance(outcome, Fate):
        return outcome.value
    return f"`{outcome.name if isinstance(outcome, pl.Series) else type_name(outcome)}`"


def by_store() -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table that says what stores keep."""
    for case in CASES:
        kept = (cell(case.outcome(store)) for store in NAMES)
        is_id = any(case.is_id_on(store) for store in NAMES)
        yield case.what, (KEPT if is_id else REFUSED).value, *kept


def by_library() -> Iterator[tuple[str, str]]:
    """Yield the rows of the table that says what columns of other libraries are taken for."""
    for given in GIVEN:
        yield given.what, REFUSED.value if given.taken is None else f"`{type_name(given.taken.dtype)}`"
