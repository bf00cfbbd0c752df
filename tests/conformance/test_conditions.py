"""Conditions on columns of every type select the rows that Polars selects, in reads and in hard deletes."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import reduce
from math import inf, nan
from operator import or_
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, rows, values

from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

UTC = timezone.utc
NOON = datetime(2024, 7, 2, 12, tzinfo=UTC)
SPANS = [timedelta(days=-1, microseconds=3), timedelta(), timedelta(hours=5), timedelta(days=400)]
MOMENTS = [datetime(1950, 1, 1, 1, 1, 1, 123456), datetime(2024, 7, 2), datetime(2024, 7, 2, 12)]


SECONDS = [datetime(1950, 1, 1), datetime(2200, 1, 1), datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)]


class Kind(NamedTuple):
    """A type of column: what the column holds, and what it is compared with."""

    dtype: Any
    column: Sequence[Any]
    operands: Sequence[Any]


def integers(dtype: Any, lowest: int, highest: int) -> Kind:
    operands = [0, highest, lowest - 1, highest + 1, 0.5, inf, True]
    return Kind(
        dtype, [lowest, highest, 0, 1], [v for v in operands if not isinstance(v, int) or -(2**63) <= v < 2**64]
    )


KINDS = {
    "truth": Kind(pl.Boolean(), [True, False], [True, False]),
    "int8": integers(pl.Int8(), -128, 127),
    "int64": integers(pl.Int64(), -(2**63), 2**63 - 1),
    "uint16": integers(pl.UInt16(), 0, 2**16 - 1),
    "uint64": integers(pl.UInt64(), 0, 2**64 - 1),
    "large": Kind(pl.Int64(), [2**53, 2**53 + 1, 2**53 - 1], [2**53, 2**53 + 1]),
    "float64": Kind(
        pl.Float64(),
        [nan, 0.0, -0.0, inf, -inf, 3.0, 0.1 + 0.2, 1e300],
        [nan, 0.0, -0.0, inf, -inf, 3.0, 3, 0.1 + 0.2, 5e-324],
    ),
    "float32": Kind(pl.Float32(), [nan, 0.0, -0.0, inf, 0.1, 0.5], [nan, -0.0, inf, 0.1, 0.5, 1]),
    "float16": Kind(pl.Float16(), [nan, 0.0, -0.0, inf, 0.5, 2048.0], [nan, -0.0, inf, 0.5, 0.1, 1]),
    "float without nan": Kind(pl.Float64(), [0.0, inf, -inf, 3.0], [nan, -0.0, inf, -inf, 3]),
    "decimal": Kind(
        pl.Decimal(20, 2),
        [Decimal("1.23"), Decimal("-1.20"), Decimal(0), Decimal("1e17") - Decimal("0.01")],
        [Decimal("1.23"), Decimal("-1.2"), Decimal("1.234"), Decimal("1e30"), 0, 2],
    ),
    "text": Kind(
        pl.String(),
        ["", "a", "B", "é", "\U0008f218", "\ufffd", "a'b", "a ", "a\n", "\\", '"', "%_"],
        ["", "a", "B", "é", "\ufffd", "a'b", "a ", "\\", "a\n", "%_"],
    ),
    "bytes": Kind(pl.Binary(), [b"", b"\x00\xff", b"a", b"'\\"], [b"", b"\x00\xff", b"a", b"'\\"]),
    "day": Kind(
        pl.Date(), [date(1950, 1, 1), date(2024, 7, 2), date(2200, 1, 1)], [date(2024, 7, 2), datetime(2024, 7, 2, 12)]
    ),
    "naive": Kind(
        pl.Datetime("us"),
        [datetime(1950, 1, 1, 1, 1, 1, 123456), datetime(2024, 7, 2), datetime(2024, 7, 2, 3, 4, 5, 6)],
        [datetime(2024, 7, 2), datetime(2024, 7, 2, 3, 4, 5, 6), date(2024, 7, 2), *SECONDS],
    ),
    "aware": Kind(
        pl.Datetime("us", "UTC"),
        [datetime(1950, 1, 1, 1, 1, 1, 123456, UTC), datetime(1950, 1, 1, tzinfo=UTC), NOON],
        [
            NOON,
            NOON.astimezone(timezone(timedelta(hours=5, minutes=30))),
            NOON.astimezone(ZoneInfo("America/New_York")),
            *(second.replace(tzinfo=UTC) for second in SECONDS),
        ],
    ),
    "clock": Kind(
        pl.Time(),
        [time(1, 2, 3, 4), time(), time(23, 59, 59, 999999), time(12, 0, 0, 500000)],
        [time(1, 2, 3, 4), time(), time(12, 0, 0, 500000), time(12)],
    ),
    "span": Kind(pl.Duration("us"), SPANS, SPANS),
    "finer_span": Kind(pl.Duration("ns"), SPANS, [*SPANS, timedelta(microseconds=1)]),
    "coarser_span": Kind(pl.Duration("ms"), [timedelta(-1), *SPANS[1:]], [*SPANS, timedelta(-1)]),
    "finer": Kind(pl.Datetime("ns"), MOMENTS, [*MOMENTS, date(2024, 7, 2), datetime(2200, 1, 1)]),
    "finer_aware": Kind(pl.Datetime("ns", "UTC"), [at.replace(tzinfo=UTC) for at in MOMENTS], [NOON]),
}


class Case(NamedTuple):
    """A condition under a name, and the rows that Polars selects by it."""

    name: str
    condition: nw.Expr
    selects: list[str]


def in_utc(value: Any) -> Any:
    """Polars compares times of one zone only."""
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value


def conditions(column: nw.Expr, operands: Sequence[Any], *, lists: bool) -> Iterator[tuple[str, nw.Expr]]:
    """Write each condition; to be in a list is to be equal to one of its values, except where that is to be tested."""
    for value in operands:
        listed = column.is_in([value]) if lists else column == value
        yield from {
            f"= {value!r}": column == value,
            f"!= {value!r}": column != value,
            f"< {value!r}": column < value,
            f"<= {value!r}": column <= value,
            f"> {value!r}": column > value,
            f"NOT = {value!r}": ~(column == value),
            f"NOT <= {value!r}": ~(column <= value),
            f"IN {value!r}": listed,
            f"NOT IN {value!r}": ~listed,
        }.items()
    yield "IN all", column.is_in([*operands, None]) if lists else reduce(or_, (column == v for v in operands))
    yield "IN nothing", column.is_in([]) if lists else column != column
    yield "IS NULL", column.is_null()
    yield "IS NOT NULL", ~column.is_null()


def cases(stored: pl.DataFrame) -> Iterator[Case]:
    """Write the cases for the columns of a frame, with what Polars selects from it."""
    frame = nw.from_native(stored)
    for name in KINDS.keys() & set(stored.columns):
        column, operands = nw.col(name), KINDS[name].operands
        asked = conditions(column, operands, lists=True)
        answered = conditions(column, [in_utc(value) for value in operands], lists=False)
        for (what, condition), (_, plain) in zip(asked, answered, strict=True):
            yield Case(f"{name} {what}", condition, frame.filter(plain)["row"].to_list())
        if name.startswith("float"):
            for what, condition in {"IS NAN": column.is_nan(), "IS NOT NAN": ~column.is_nan()}.items():
                yield Case(f"{name} {what}", condition, frame.filter(condition)["row"].to_list())


def table_of_all_kinds(store: MetadataStore) -> pl.DataFrame:
    """Write a table with a column of each type that the store has and has room for, and return it as it is read."""
    define("video", ids=("row",))
    count = max(len(kind.column) for kind in KINDS.values()) + 1
    names = [f"row-{n:02}" for n in range(count)]
    columns = {
        name: pl.Series([*kind.column, *[None] * (count - len(kind.column))], dtype=kind.dtype)
        for name, kind in KINDS.items()
    }
    while (refused := refused_column(store, rows(row=names, **columns))) is not None:
        del columns[refused]
    read = collect_to_polars(store.read("video", columns=["row", *columns])).sort("row")
    return read.cast({name: KINDS[name].dtype for name in columns})


def refused_column(store: MetadataStore, frame: pl.DataFrame) -> str | None:
    """Write a frame, and return the column because of which that was refused."""
    try:
        store.write("video", frame)
    except MetadataSchemaError as error:
        [column] = [name for name in KINDS if f"column {name!r}" in str(error)]
        return column
    return None


def is_kept(store: MetadataStore, feature: str, frame: pl.DataFrame) -> bool:
    """Write a frame, and return whether the store has a type for all of its columns."""
    try:
        store.write(feature, frame)
    except MetadataSchemaError:
        return False
    return True


def selected(frame: Any) -> dict[str, list[str]]:
    """Return the rows of each case."""
    found: dict[str, list[str]] = {}
    for case, row in sorted(collect_to_polars(frame).select("case", "row").rows()):
        found.setdefault(case, []).append(row)
    return found


def test_conditions_select_what_polars_selects(store: MetadataStore) -> None:
    """Each case is a copy of the rows, so that one statement answers all of them."""
    stored = table_of_all_kinds(store)
    written = list(cases(stored))
    wanted = {case.name: case.selects for case in written if case.selects}
    define("copies", ids=("case", "row"))
    copies = pl.DataFrame({"case": [case.name for case in written]}).join(stored, how="cross")
    store.write("copies", rows(**copies.to_dict()))
    condition = nw.any_horizontal(*((nw.col("case") == c.name) & c.condition for c in written), ignore_nulls=False)
    assert selected(store.read("copies", filters=condition)) == wanted
    store.delete("copies", condition, soft=False)
    left = selected(store.read("copies"))
    assert {
        case.name: [row for row in stored["row"] if row not in left.get(case.name, [])]
        for case in written
        if case.selects
    } == wanted
    assert everything(store, "copies").height == sum(map(len, left.values()))


def test_statistics_of_files_hide_no_row(store: MetadataStore) -> None:
    """Lakes pass over files by their least and greatest values, among which NaN may not count."""
    define("video")
    names = [f"{n:03}" for n in range(60)]  # so many that they do not stay in the catalog of a lake
    if is_kept(store, "video", rows(id=names, x=[nan if n % 3 == 0 else 3.0 for n in range(60)])):
        x, nans, threes = nw.col("x"), names[::3], [name for name in names if int(name) % 3]
        for condition in (x != 3.0, ~(x == 3.0), x > 3.0, ~(x <= 3.0), ~x.is_in([3.0]), x == nan, (x + 1) != 4.0):
            assert values(store.read("video", filters=[condition])) == nans
            assert store.count_rows_to_delete("video", condition, soft=False) == len(nans)
            assert values(store.read("video", filters=[~condition])) == threes
        store.delete("video", x != 3.0, soft=False)
        assert values(store.read("video")) == threes
        store.delete("video", ~(x != 3.0), soft=False)
        assert values(store.read("video")) == []


def test_parts_of_a_microsecond_count(store: MetadataStore) -> None:
    x, names = nw.col("x"), ["a", "b", "c", "d"]
    kinds: list[tuple[str, Any, Any, Any]] = [
        ("span", pl.Duration("ns"), timedelta(microseconds=2), timedelta(days=400 * 365)),
        ("moment", pl.Datetime("ns"), datetime(1970, 1, 1, microsecond=2), datetime(9999, 1, 1)),
    ]
    for feature, dtype, value, most in kinds:
        define(feature)
        frame = rows(id=names, x=pl.Series([2000, 2001, 1999, -1], dtype=dtype))
        if not is_kept(store, feature, frame):
            continue
        asked = {"a": x == value, "acd": x <= value, "b": x > value, "cd": ~(x >= value), "bcd": x != value}
        asked |= {"abcd": (x < most) & (x != most), "": x.is_in([most]) | (x > most)}
        for wanted, condition in asked.items():
            assert "".join(values(store.read(feature, filters=[condition]))) == wanted
            for engine in ("auto", "polars"):
                increment = store.resolve_update(
                    feature, samples=frame, filters={feature: condition}, versioning_engine=engine
                )
                assert increment.counts["unchanged"] == len(wanted)
        store.delete(feature, x.is_in([value]), soft=False)
        store.delete(feature, x == value, soft=False)
        assert values(store.read(feature)) == ["b", "c", "d"]


def test_samples_are_found_and_deleted_by_a_time_of_the_day(store: MetadataStore) -> None:
    define("alarm", ids=("at",))
    define("ring", "alarm", ids=("at",))
    clock = [time(), time(6, 30), time(6, 30, 0, 1), time(12, 0, 0, 500000), time(23, 59, 59, 999999)]
    if not is_kept(store, "alarm", rows(at=clock)):
        return
    store.write("ring", store.resolve_update("ring").new)
    assert store.resolve_update("alarm", samples=rows(at=clock)).counts["unchanged"] == 5
    store.delete("alarm", nw.col("at") == time(6, 30))
    store.delete("alarm", nw.col("at").is_in([time(12, 0, 0, 500000), time(12)]), soft=False)
    store.delete("alarm", nw.col("at") > time(23), soft=False)
    assert values(store.read("alarm"), "at") == [time(), time(6, 30, 0, 1)]
    assert values(store.read("alarm", filters=[nw.col("at") < time(6, 30)]), "at") == [time()]
    assert store.resolve_update("ring").counts["orphaned"] == 3


def test_text_with_a_nul_is_found_or_refused_in_one_line(store: MetadataStore) -> None:
    define("video")
    u = nw.col("u")
    asked = {"ac": u.is_in(["a\0b", "\0"]), "a": u == "a\0b", "b": ~u.str.contains("\0", literal=True)}
    if is_kept(store, "video", rows(id=["a", "b", "c"], u=["a\0b", "a", "\0"])):
        found = {wanted: "".join(values(store.read("video", filters=[filter_]))) for wanted, filter_ in asked.items()}
        assert found == {wanted: wanted for wanted in asked}
        return
    store.write("video", rows(id=["b"], u=["a"]))
    for condition in asked.values():
        with pytest.raises(MetadataSchemaError, match=r"^a filter looks for .* holds a NUL character$"):
            store.read("video", filters=[condition])


def test_durations_are_collected_as_such(store: MetadataStore) -> None:
    define("video")
    spans = KINDS["span"].column
    if is_kept(store, "video", rows(id=["a", "b", "c", "d"], u=pl.Series(spans, dtype=pl.Duration("us")))):
        for backend in (None, "polars", "pyarrow"):
            read = store.read("video", columns=["id", "u"]).collect(backend).to_polars().sort("id")
            assert read["u"].to_list() == spans
        assert values(store.read("video", filters=[nw.col("u") >= timedelta(hours=5)])) == ["c", "d"]


def test_numbers_are_divided_as_in_polars(store: MetadataStore) -> None:
    define("video")
    numbers = rows(id=list("abcde"), n=[-7, -1, 1, 7, None], x=[-7.0, -1.0, 1.0, 7.0, None])
    store.write("video", numbers)
    n, x = nw.col("n"), nw.col("x")
    for condition in (
        *(n / 2 == 0.5, n / 2 == 3.5, 7 / n == 1.0, n / n == 1, (n / 2 + x) > 1, x / 2 == -0.5, n // 2 == -4),
        *(7 // n == -7, n % 2 == 1, (n / 2).is_in([3.5, -0.5]), ~(n / 4 < 0)),
    ):
        wanted = values(nw.from_native(numbers).filter(condition))
        assert values(store.read("video", filters=condition)) == wanted, condition
        assert store.count_rows_to_delete("video", condition, soft=False) == len(wanted), condition


@pytest.mark.three_stores
def test_nothing_is_compared_with_none(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a", "b"], x=[1, None]))
    x, nothing = nw.col("x"), nw.lit(None)
    for condition in (x == None, x != None, ~(x == nothing), nothing != x, (x > 0) | (x >= nothing)):  # noqa: E711
        with pytest.raises(
            MetadataSchemaError, match=r"compares column 'x' with None; use is_null\(\) or ~is_null\(\)$"
        ):
            store.delete("video", condition, soft=False)
    assert values(store.read("video", filters="x = NULL OR x = 1")) == ["a", "b"]
