"""JSON columns without a note of their type, as metaxy 0.1 and others make them, are read by what they hold."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows, values
from tests.services import postgres

from metaxy import columns as c
from metaxy.dag.graph import current_graph
from metaxy.ext.postgresql import PostgreSQLMetadataStore
from metaxy.versioning.frames import collect_to_polars

Address = dict[str, Any]
I64, F64, TEXT = pl.Int64(), pl.Float64(), pl.String()
# Values of a column, as JSON; its type, and what is read of it: what the JSON says, unless it is here.
COLUMNS: dict[str, tuple[list[str | None], Any]] = {
    "flat": (['{"b": "x", "a": 1}', '{"a": 2, "b": null}', None, "null"], pl.Struct({"a": I64, "b": TEXT})),
    "other_members": (['{"a": 1}', '{"b": true}'], pl.Struct({"a": I64, "b": pl.Boolean()})),
    "floats": (['{"a": 1}', '{"a": 1.5}', '{"a": 1e50}', '{"a": 1e-20}'], pl.Struct({"a": F64})),
    "whole_floats": (['{"a": 1.0}'], pl.Struct({"a": F64})),
    "large": (['{"a": 18446744073709551615, "b": -9223372036854775808}'], pl.Struct({"a": pl.UInt64(), "b": I64})),
    "nested": (
        ['{"a": {"b c": [1, 2], "d": {"\'": "\\""}}}'],
        pl.Struct({"a": pl.Struct({"d": pl.Struct({"'": TEXT}), "b c": pl.List(I64)})}),
    ),
    "lists": (
        ['{"a": [{"b": 1}]}', '{"a": [{"b": 2}, {"c": [[1.5]]}, null]}', '{"a": []}'],
        pl.Struct({"a": pl.List(pl.Struct({"b": I64, "c": pl.List(pl.List(F64))}))}),
    ),
    "no_value": (['{"a": null, "b": []}'], pl.Struct({"a": TEXT, "b": pl.List(TEXT)})),
    "names": (
        ['{"A": 1, "a": 2, "*": 3, "^a$": 4, "%s": 5, "{0}": 6}'],
        pl.Struct(dict.fromkeys(["*", "A", "a", "%s", "^a$", "{0}"], I64)),
    ),
    "truth_or_number": (['{"a": 1}', '{"a": true}', '{"a": "x"}'], pl.Struct({"a": TEXT})),
    "member_or_text": (['{"a": {"b": 1}}', '{"a": "x"}'], TEXT),
    "list_or_text": (['{"a": [1]}', '{"a": "x"}'], TEXT),
    "object_or_list": (['{"a": 1}', "[1]"], TEXT),
    "not_exact": (['{"a": 9007199254740993}', '{"a": 0.5}'], TEXT),
    "many_digits": (['{"a": 0.12345678901234567891}'], TEXT),
    "huge": (['{"a": 1e400}'], TEXT),
    "plain_lists": (["[1]"], TEXT),
    "plain_text": (['"x"'], TEXT),
    "only_null": (["null", None], TEXT),
    "empty": ([], TEXT),
}
TOLD = {"truth_or_number": [{"a": "1"}, {"a": "true"}, {"a": "x"}]}


def make_table(database: Address, columns: dict[str, list[str | None]], kind: str = "jsonb") -> None:
    """Make a table as metaxy 0.1 does; each value of a column is in a row of its own."""
    types = {"by_field": "jsonb", "text": "varchar", "timestamp": "timestamptz"}
    own = {column.name: types[column.kind] for column in c.SYSTEM_COLUMNS}
    all_types = {"id": "varchar", **dict.fromkeys(columns, kind), **own}
    with postgres.connect(database) as connection:
        declared = ", ".join(f'"{name}" {dtype}' for name, dtype in all_types.items())
        connection.execute(f"CREATE TABLE video ({declared})".encode())
    fill(database, columns)


def fill(database: Address, columns: dict[str, list[str | None]], first: int = 0) -> None:
    """Add rows as metaxy 0.1 does; columns with fewer values get NULL."""
    version = {"metaxy_feature_version": current_graph().get_feature_version("video")}
    own = version | dict.fromkeys(c.BY_FIELD_COLUMNS, '{"default": "1"}')
    with postgres.connect(database) as connection:
        for n in range(max(map(len, columns.values()))):
            row = {
                "id": f"{first + n:02}",
                **{name: given[n] for name, given in columns.items() if n < len(given)},
                **own,
            }
            names, marks = ", ".join(f'"{name}"' for name in row), ", ".join(["%s"] * len(row))
            connection.execute(f"INSERT INTO video ({names}) VALUES ({marks})".encode(), list(row.values()))


def store_in(database: Address) -> PostgreSQLMetadataStore:
    return PostgreSQLMetadataStore(connection_params=database, auto_create_tables=True)


def exact(text: str | None) -> Any:
    return json.loads(text or "null", parse_int=Decimal, parse_float=Decimal)


@pytest.mark.parametrize("kind", ["jsonb", "json"])
def test_structs_are_read_as_structs_unless_that_changes_a_value(database: Address, kind: str) -> None:
    define("video")
    given = {name: texts for name, (texts, _) in COLUMNS.items()}
    make_table(database, given, kind)
    with store_in(database) as store:
        read = collect_to_polars(store.read("video")).sort("id")
        for name, (texts, dtype) in COLUMNS.items():
            assert (name, read[name].dtype) == (name, dtype)
            found = read[name].to_list()[: len(texts)]
            if dtype == TEXT:
                assert list(map(exact, found)) == list(map(exact, texts)), name
            else:
                wanted = TOLD.get(name) or [json.loads(text or "null") for text in texts]
                assert (name, found) == (name, pl.Series(wanted, dtype=dtype).to_list())
        assert read.schema == store.read("video").collect_schema().to_polars()


@pytest.mark.parametrize("kind", ["jsonb", "json"])
def test_such_columns_are_filtered_and_written_like_structs(database: Address, kind: str) -> None:
    define("video")
    define("clip", "video")
    make_table(database, {"u": ['{"a": 1, "b": {"c": "x"}}', '{"a": 2}', "null", None]}, kind)
    a, c_ = nw.col("u").struct.field("a"), nw.col("u").struct.field("b").struct.field("c")
    with store_in(database).open("w") as store:
        assert values(store.read("video", filters=[a > 1])) == ["01"]
        assert values(store.read("video", filters=[c_ == "x"])) == ["00"]
        assert values(store.read("video", filters=[nw.col("u").is_null()])) == ["02", "03"]
        new = collect_to_polars(store.resolve_update("clip").new).sort("id")
        assert new["u"].to_list() == [{"a": 1, "b": {"c": "x"}}, {"a": 2, "b": None}, None, None]
        store.write("clip", new)  # a table of our own, which remembers the type
        store.write("clip", store.read("video").with_columns(nw.lit("w").alias("id")).head(1))
        assert store.read("clip").collect_schema()["u"] == store.read("video").collect_schema()["u"]
        store.delete("video", nw.col("u").is_null(), soft=False)
        assert values(store.read("video")) == ["00", "01"]
        store.write("video", rows(id=["10"], u=[{"a": 1.5, "b": None}]))  # as JSON allows
        store.write("video", rows(id=["11"], u=[{"a": float("nan"), "d": [True]}]))
        store.write("video", rows(id=["12"], u=['{"a": -0.5}']))
        store.delete("video", a == 2)
        found = collect_to_polars(store.read("video")).sort("id")["u"]
        members = {"a": F64, "b": pl.Struct({"c": TEXT}), "d": pl.List(pl.Boolean())}
        assert (found.dtype, found.struct.field("a").to_list()[:2]) == (pl.Struct(members), [1.0, 1.5])
        assert found.struct.field("a").is_nan().to_list() == [False, False, True, False]
        assert found.struct.field("d").to_list() == [None, None, [True], None]


def test_rows_that_others_add_are_looked_at(database: Address) -> None:
    define("video")
    make_table(database, {"u": []})
    with store_in(database) as store:
        steps: list[tuple[str, Any]] = [
            ('{"a": 1}', {"a": I64}),
            ('{"a": null}', {"a": I64}),
            ('{"a": 2.5, "b": [{"c": 1}]}', {"a": F64, "b": pl.List(pl.Struct({"c": I64}))}),
            ('{"b": [{"d": false}]}', {"a": F64, "b": pl.List(pl.Struct({"c": I64, "d": pl.Boolean()}))}),
        ]
        assert store.read("video").collect_schema()["u"] == nw.String()
        for n, (text, members) in enumerate(steps):
            fill(database, {"u": [text]}, first=n)
            assert collect_to_polars(store.read("video")).schema["u"] == pl.Struct(members)
        with postgres.connect(database) as other, other.transaction():  # begun before the next look, ended after it
            other.execute("UPDATE video SET u = '[1]' WHERE id = '00'")
            assert isinstance(store.read("video").collect_schema()["u"], nw.Struct)
        assert store.read("video").collect_schema()["u"] == nw.String()
    with postgres.connect(database) as connection:
        connection.execute("DROP TABLE video")
    make_table(database, {"u": ['{"e": {}}']})
    with store_in(database) as store:
        assert values(store.read("video"), "u") == [{"e": {}}]


def test_a_note_of_the_type_spares_looking_at_values(database: Address) -> None:
    define("video")
    make_table(database, {"u": ['{"at": "2026-01-02"}']})
    with postgres.connect(database) as connection:
        connection.execute("""COMMENT ON COLUMN video.u IS 'metaxy: {"at": "date"}'""")
    with store_in(database) as store:
        assert values(store.read("video"), "u") == [{"at": date(2026, 1, 2)}]
