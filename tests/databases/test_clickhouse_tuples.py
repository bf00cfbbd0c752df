"""Tuples of ClickHouse, as others make them: their members are read, compared and passed on as what they are."""

from datetime import date, datetime, timezone
from decimal import Decimal
from math import nan
from typing import Any

import narwhals as nw
from tests.factory import define, rows, values
from tests.services import clickhouse

from metaxy.ext.clickhouse import ClickHouseMetadataStore
from metaxy.versioning.frames import collect_to_polars

UTC = timezone.utc
ID = "00000000-0000-0000-0000-000000000001"
# For each member: its type, what two rows hold in SQL, and what is read.
MEMBERS: dict[str, tuple[str, tuple[str, str], tuple[Any, Any]]] = {
    "integer": ("Int64", ("1", "2"), (1, 2)),
    "large": ("UInt64", ("18446744073709551615", "0"), (2**64 - 1, 0)),
    "text": ("Nullable(String)", ("'it''s'", "NULL"), ("it's", None)),
    "c d": ("Nullable(Float64)", ("0.5", "nan"), (0.5, nan)),
    "day": ("Nullable(Date32)", ("'1969-12-31'", "'2299-01-01'"), (date(1969, 12, 31), date(2299, 1, 1))),
    "short": ("Date", ("'2026-01-02'", "'1970-01-01'"), (date(2026, 1, 2), date(1970, 1, 1))),
    "at": (
        "DateTime64(6, 'UTC')",
        ("'2026-01-01 00:00:00.000001'", "'1969-01-01 00:00:00'"),
        (datetime(2026, 1, 1, 0, 0, 0, 1, UTC), datetime(1969, 1, 1, tzinfo=UTC)),
    ),
    "second": (
        "Nullable(DateTime('UTC'))",
        ("'2026-01-01 00:00:01'", "NULL"),
        (datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC), None),
    ),
    "truth": ("Bool", ("true", "false"), (True, False)),
    "decimal": ("Decimal(10, 2)", ("1.10", "-0.5"), (Decimal("1.10"), Decimal("-0.50"))),
    "name": ("Enum8('z' = 1, 'a' = 2)", ("'z'", "'a'"), ("z", "a")),
    "uuid": ("Nullable(UUID)", (f"'{ID}'", "NULL"), (ID, None)),
    "fixed": ("FixedString(2)", ("'ab'", "'cd'"), ("ab", "cd")),
    "low": ("LowCardinality(String)", ("'x'", "''"), ("x", "")),
    "list": ("Array(Int64)", ("[1, 2]", "[]"), ([1, 2], [])),
    "map": ("Map(String, Int64)", ("map('k', 1)", "map()"), ({"k": 1}, {})),
    "inner": (
        "Tuple(x Nullable(Int64), y Enum8('p' = 1))",
        ("(7, 'p')", "(NULL, 'p')"),
        ({"x": 7, "y": "p"}, {"x": None, "y": "p"}),
    ),
}


def test_members_of_tuples_are_what_they_are() -> None:
    define("video")
    define("clip", "video")
    database = clickhouse.new_database()
    kind = ", ".join(f"`{name}` {dtype}" for name, (dtype, *_) in MEMBERS.items())
    with ClickHouseMetadataStore(connection_params=database, auto_create_tables=True).open("w") as store:
        store.write("video", rows(id=["a", "b"]))
        storage: Any = store.storage
        storage.connection.execute(f"ALTER TABLE video ADD COLUMN u Tuple({kind})")
        for n, name in enumerate("ab"):
            given = ", ".join(sql[n] for _, sql, _ in MEMBERS.values())
            storage.connection.execute(f"ALTER TABLE video UPDATE u = tuple({given}) WHERE id = '{name}'")
        read = collect_to_polars(store.read("video")).sort("id")
        for name, (*_, wanted) in MEMBERS.items():
            found = [str(value) for value in read["u"].struct.field(name).to_list()]
            assert (name, found) == (name, [str(value) for value in wanted])
        frame = nw.from_native(read)
        for condition in conditions():
            selected = frame.filter(condition)["id"].to_list()
            assert values(store.read("video", filters=[condition])) == selected, repr(condition)
        assert collect_to_polars(store.resolve_update("clip").new).sort("id")["u"].equals(read["u"], null_equal=True)
        store.write(
            "video", collect_to_polars(store.read("video").with_columns(nw.concat_str("id", nw.lit("2")).alias("id")))
        )
        inner = nw.col("u").struct.field("inner").struct.field("x")
        store.delete("video", inner == 7, soft=False)
        store.delete("video", (nw.col("u").struct.field("name") == "a") & (nw.col("id") == "b"))
        assert values(store.read("video")) == ["b2"]


def conditions() -> list[nw.Expr]:
    """Compare each flat member with what the rows hold, in every way."""
    asked = []
    for name, (*_, held) in MEMBERS.items():
        member = nw.col("u").struct.field(name)
        for value in held:
            if value is not None and not isinstance(value, (list, dict)):
                asked += [member == value, member != value, member.is_in([value])]
                asked += [] if isinstance(value, bool) else [member > value, member <= value]
        asked.append(member.is_null())
    whole = nw.col("u")
    number = whole.struct.field("c d")
    return [*asked, number.is_nan(), whole.is_null(), whole.struct.field("list").list.len() == 2]
