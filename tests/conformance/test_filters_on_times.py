"""Days and times, with and without a zone, are compared as moments: the same rows in every store."""

import operator
from datetime import date, datetime, timezone
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows, values

from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore

MOMENTS = [
    datetime(2020, 1, 1),
    datetime(2019, 12, 31, 23, 59, 59, 999999),  # what rounds this to milliseconds takes it for another day
    datetime(2020, 1, 1, 12, 30, 15, 123456),
    datetime(1969, 12, 31, 23, 59, 59, 999999),
    datetime(2262, 5, 1),
    None,
]
UTC = timezone.utc
COLUMNS: dict[str, list[Any]] = {
    "id": list("abcdef"),
    "naive": MOMENTS,
    "aware": [moment and moment.replace(tzinfo=UTC) for moment in MOMENTS],
    "day": [moment and moment.date() for moment in MOMENTS],
    "start": [date(2020, 1, 1), date(2020, 1, 1), date(2020, 1, 2), date(1969, 12, 31), None, date(2020, 1, 1)],
}
COMPARED = {"naive": ("naive", "day", "start"), "aware": ("aware", "day", "start"), "day": ("naive", "aware", "start")}
SYMBOLS = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
}
LITERALS: dict[str, list[Any]] = {
    "naive": [date(2020, 1, 1), datetime(2020, 1, 1), datetime(2020, 1, 1, 12, 30, 15, 123456)],
    "aware": [date(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)],
    "day": [date(2020, 1, 1), datetime(2020, 1, 1), datetime(2019, 12, 31, 0, 0, 0, 1)],
}
SPANS = [(datetime(2019, 12, 31), datetime(2020, 1, 1)), (datetime(2019, 12, 31, 12), datetime(2020, 1, 1, 12))]


def moment_of(value: Any) -> datetime | None:
    """Return a day or time as a time without a zone, in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return value and datetime(value.year, value.month, value.day)


def conditions() -> dict[str, tuple[nw.Expr, list[bool | None]]]:
    """Return conditions, and their answers for each row in plain Python."""
    found: dict[str, tuple[nw.Expr, list[bool | None]]] = {}
    for name in COMPARED:
        own = [moment_of(value) for value in COLUMNS[name]]
        others: list[tuple[str, Any, list[Any]]] = [(other, nw.col(other), COLUMNS[other]) for other in COMPARED[name]]
        others += [(repr(literal), literal, [literal] * len(own)) for literal in LITERALS[name]]
        for what, other, answers in others:
            pairs = [(left, moment_of(right)) for left, right in zip(own, answers, strict=True)]
            for symbol, compare in SYMBOLS.items():
                wanted = [None if a is None or b is None else compare(a, b) for a, b in pairs]
                found[f"{name} {symbol} {what}"] = (compare(nw.col(name), other), wanted)
        for low, high in SPANS:
            zone = UTC if name == "aware" else None
            ends = [nw.lit(end.replace(tzinfo=zone)) for end in (low, high)]
            within = [None if value is None else low <= value <= high for value in own]
            found[f"{name} from {low} to {high}"] = (nw.col(name).is_between(ends[0], ends[1]), within)
    return found


def test_days_and_times_are_compared_as_moments(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(**COLUMNS))
    asked = conditions()
    flags = [condition.alias(str(n)) for n, (condition, _) in enumerate(asked.values())]
    frame = store.read("video").select("id", *flags).collect("polars").to_native().sort("id")
    found = {name: frame[str(n)].to_list() for n, name in enumerate(asked)}
    assert found == {name: wanted for name, (_, wanted) in asked.items()}


REMOVED: list[tuple[nw.Expr, str]] = [
    (nw.col("naive") < date(2020, 1, 1), "bd"),
    (nw.col("aware") >= date(2020, 1, 1), "ace"),
    (nw.col("day") <= datetime(2019, 12, 31, 12), "bd"),
    (nw.col("naive").is_in([datetime(2020, 1, 1)]), "a"),
    (nw.col("aware").is_between(nw.lit(date(2020, 1, 1)), nw.lit(date(2020, 1, 2))), "ac"),
    (nw.col("day") == nw.col("naive"), "ae"),
]


def test_only_what_is_meant_is_removed(store: MetadataStore) -> None:
    define("video", ids=["id", "case"])
    cases = range(len(REMOVED))
    store.write("video", rows(**COLUMNS).join(pl.DataFrame({"case": cases}), how="cross"))
    for case, (condition, _) in enumerate(REMOVED):
        store.delete("video", (nw.col("case") == case) & condition, soft=False)
    wanted = [(i, case) for i in COLUMNS["id"] for case in cases if i not in REMOVED[case][1]]
    assert values(store.read("video"), "id", "case") == sorted(wanted)


def test_parts_of_times(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(**COLUMNS))
    parts = {
        f"{name}.{part}": getattr(nw.col(name).dt, part)()
        for name in ("naive", "aware", "day")
        for part in ("year", "month", "day", "ordinal_day", "weekday")
    }
    parts |= {
        f"naive.{part}": getattr(nw.col("naive").dt, part)()
        for part in ("hour", "minute", "second", "millisecond", "microsecond")
    }
    parts |= {f"naive from {every}": nw.col("naive").dt.truncate(every) for every in ("1s", "1h", "1d", "1mo", "1y")}
    parts |= {"naive as day": nw.col("naive").cast(nw.Date), "day as time": nw.col("day").cast(nw.Datetime("us"))}
    flags = [value.alias(name) for name, value in parts.items()]
    found = store.read("video").select("id", *flags).collect("polars").to_native().sort("id")
    wanted = nw.from_native(rows(**COLUMNS).lazy()).select("id", *flags).collect().to_native()
    assert found.to_dict(as_series=False) == wanted.to_dict(as_series=False)


def test_members_of_structs_are_compared_with_times_of_their_kind(store: MetadataStore) -> None:
    define("video")
    noon = datetime(2020, 1, 1, 12)
    store.write("video", rows(id=["a"], s=[{"naive": noon, "inner": {"aware": noon.replace(tzinfo=UTC)}}]))
    naive = nw.col("s").struct.field("naive")
    assert values(store.read("video", filters=naive == noon)) == ["a"]
    for condition in (
        naive == noon.replace(tzinfo=UTC),
        naive.is_in([noon.replace(tzinfo=UTC)]),
        nw.col("s").struct.field("inner").struct.field("aware") > noon,
        naive < nw.col("s").struct.field("inner").struct.field("aware"),
    ):
        with pytest.raises(MetadataSchemaError, match="column 's' compares a time that has a time zone with one that"):
            store.delete("video", condition, soft=False)
