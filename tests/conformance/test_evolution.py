"""Tables that grow: new columns and fields are added or refused, types are never changed at a loss."""

import re
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, rows, values
from tests.stores import StoreFactory, duckdb_store

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

# -- columns -----------------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_strict_tables_refuse_new_columns_and_show_what_to_run(make: StoreFactory) -> None:
    define("video")
    with make(schema_evolution="strict").open("w") as store:
        store.write("video", rows(id=["a"], u=["u"]))
        with pytest.raises(MetadataSchemaError, match="feature video: its table lacks 'v'") as caught:
            store.write("video", rows(id=["b"], u=["u"], v=[1]))
        message = str(caught.value)
        assert 'schema_evolution = "add"' in message
        assert 'ALTER TABLE … ADD COLUMN "v" Int64' in message
        assert "\n" not in message
        assert values(store.read("video")) == ["a"]
        store.write("video", rows(id=["b"]))
        assert values(store.read("video"), "id", "u") == [("a", "u"), ("b", None)]


def test_sql_stores_that_may_not_create_tables_are_strict(tmp_path: Any) -> None:
    define("video")
    with duckdb_store(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
    with duckdb_store(tmp_path, auto_create_tables=False).open("w") as store:
        with pytest.raises(MetadataSchemaError, match="its table lacks 'v'"):
            store.write("video", rows(id=["b"], v=[1]))
        store.write("video", rows(id=["b"]))
    with duckdb_store(tmp_path, auto_create_tables=False, schema_evolution="add").open("w") as store:
        store.write("video", rows(id=["c"], v=[1]))
        assert values(store.read("video"), "id", "v") == [("a", None), ("b", None), ("c", 1)]


@pytest.mark.three_stores
def test_columns_that_differ_only_by_case_are_refused(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], path=["x"]))
    with pytest.raises(MetadataSchemaError, match="column 'Path' differs only by case from 'path' of its table"):
        store.write("video", rows(id=["b"], Path=["y"]))
    assert values(store.read("video")) == ["a"]


def test_children_see_new_columns_of_their_parents(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a"]))
    store.write("clip", store.resolve_update("clip").new)
    store.write("video", rows("2", id=["a"], fps=[25]))
    stale = store.resolve_update("clip").stale
    assert values(stale, "id", "fps") == [("a", 25)]
    store.write("clip", stale)
    assert values(store.read("clip", with_sample_history=True), "fps") == [25, None]


# -- fields ------------------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_a_new_field_of_a_parent_makes_children_stale(store: MetadataStore) -> None:
    define("video", fields=["x"])
    define("clip", "video")
    store.write("video", rows({"x": "1"}, id=["a", "b"]))
    store.write("clip", store.resolve_update("clip").new)
    define("video", fields=["x", "y"])
    store.write("video", rows({"x": "1", "y": "2"}, id=["a"]))
    increment = store.resolve_update("clip")
    assert (values(increment.new), values(increment.stale), values(increment.orphaned)) == (["a"], [], [])


def test_strict_tables_refuse_new_fields(make: StoreFactory) -> None:
    with make(schema_evolution="strict").open("w") as store:
        if store.storage.capabilities.by_field != "struct":
            return  # a column of maps or JSON takes any field
        define("video", fields=["x"])
        store.write("video", rows({"x": "1"}, id=["a"]))
        define("video", fields=["x", "y/z"])
        with pytest.raises(MetadataSchemaError, match=r'ADD COLUMN "metaxy_provenance_by_field"\."y_z"') as caught:
            store.write("video", rows({"x": "1", "y_z": "2"}, id=["a"]))
        assert "\n" not in str(caught.value)
        assert everything(store, "video").height == 1


# -- types -------------------------------------------------------------------------------------------------------------

UTC = timezone.utc
LOSSY: dict[str, tuple[pl.Series, pl.Series]] = {
    "real to integer": (pl.Series([1]), pl.Series([2.6])),
    "whole real to integer": (pl.Series([1]), pl.Series([2.0])),
    "text to integer": (pl.Series([1]), pl.Series(["7"])),
    "text to real": (pl.Series([1.5]), pl.Series(["7"])),
    "integer to text": (pl.Series(["a"]), pl.Series([7])),
    "real to text": (pl.Series(["a"]), pl.Series([7.5])),
    "truth to text": (pl.Series(["a"]), pl.Series([True])),
    "truth to integer": (pl.Series([1]), pl.Series([True])),
    "integer to truth": (pl.Series([True]), pl.Series([1])),
    "struct to text": (pl.Series(["a"]), pl.Series([{"q": 1}])),
    "list to text": (pl.Series(["a"]), pl.Series([[1]])),
    "text to list": (pl.Series([["a"]]), pl.Series(["a"])),
    "text to struct": (pl.Series([{"q": "a"}]), pl.Series(["a"])),
    "moment to day": (pl.Series([date(2020, 1, 1)]), pl.Series([datetime(2020, 1, 1, 12)])),
    "text to moment": (pl.Series([datetime(2020, 1, 1)]), pl.Series(["2020-01-01"])),
    "moment to text": (pl.Series(["a"]), pl.Series([datetime(2020, 1, 1)])),
    "bytes to text": (pl.Series(["a"]), pl.Series([b"a"])),
    "text to bytes": (pl.Series([b"a"]), pl.Series(["a"])),
    "list of text to list of integers": (pl.Series([[1]]), pl.Series([["7"]])),
    "list of reals to list of integers": (pl.Series([[1]]), pl.Series([[2.6]])),
    "struct of reals to struct of integers": (pl.Series([{"q": 1}]), pl.Series([{"q": 2.6}])),
    "struct with a new member": (pl.Series([{"q": 1}]), pl.Series([{"q": 2.6, "r": 3}])),
    "list of large integers": (pl.Series([[1]], dtype=pl.List(pl.Int32)), pl.Series([[2**40]])),
    "struct of lists of text": (pl.Series([{"q": [1]}]), pl.Series([{"q": ["7"]}])),
    "decimal to integer": (pl.Series([1]), pl.Series([Decimal("2.6")])),
    "decimal with fewer digits": (
        pl.Series([Decimal("1.0")], dtype=pl.Decimal(10, 1)),
        pl.Series([Decimal("2.66")], dtype=pl.Decimal(10, 2)),
    ),
    "large integer to real": (pl.Series([1.5]), pl.Series([2**53 + 1])),
    "large integer to small integer": (pl.Series([1], dtype=pl.Int8), pl.Series([300])),
    "double to single": (pl.Series([1.5], dtype=pl.Float32), pl.Series([0.1], dtype=pl.Float64)),
    "nanoseconds to microseconds": (
        pl.Series([datetime(2020, 1, 1)], dtype=pl.Datetime("us")),
        pl.Series([1], dtype=pl.Int64).cast(pl.Datetime("ns")),
    ),
}


def example(column: pl.Series) -> str:
    """Return how a message shows the only value of a column."""
    [value] = column.to_list()
    return repr(value)


def test_db25_casts_that_change_values_are_refused(store: MetadataStore, subtests: pytest.Subtests) -> None:
    define("video")
    for name, (first, second) in LOSSY.items():
        with subtests.test(name):
            refuse_a_change(store, first, second)
        store.drop_feature_metadata("video")


def refuse_a_change(store: MetadataStore, first: pl.Series, second: pl.Series) -> None:
    if isinstance(first.dtype, pl.Decimal) and not store.storage.capabilities.has_decimal:
        with pytest.raises(MetadataSchemaError, match="no type for columns of Decimal"):
            store.write("video", rows(id=["a"], value=first))
        return
    store.write("video", rows(id=["a"], value=first))
    if store.storage.scan(FeatureKey("video")).schema["value"] in (nw.Int16(), nw.Int32()) and first.dtype == pl.Int8:
        store.write("video", rows(id=["b"], value=second))  # the smallest integer of the database is larger
        return
    stored = collect_to_polars(store.read("video", columns=["value"]))
    with pytest.raises(MetadataSchemaError) as caught:
        store.write("video", rows(id=["b"], value=second))
    message = str(caught.value)
    assert message.startswith("feature video")
    assert "'value'" in message
    assert "\n" not in message
    types = [nw.from_native(frame).schema["value"] for frame in (pl.DataFrame({"value": second}), stored)]
    assert [str(dtype) for dtype in types if str(dtype) not in message] == []
    assert f"for example {example(second)}:" in message
    assert collect_to_polars(store.read("video", columns=["value"])).rows() == stored.rows()


def test_db25_the_example_is_a_value_that_would_change(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], size=pl.Series([1], dtype=pl.Int16), ratio=[0.5], note=["x"]))
    cases: list[tuple[str, list[Any], str]] = [
        ("size", [1, 2, -(2**40), None], f"{-(2**40)}"),
        ("ratio", [1, None, 2**53, 2**53 + 1], f"{2**53 + 1}"),
        ("note", [None, [1] * 1000, None, None], "[1, 1"),
    ]
    for column, new, shown in cases:
        with pytest.raises(MetadataSchemaError) as caught:
            store.write("video", rows(id=list("bcde"), **{column: new}))
        message = str(caught.value)
        assert f"column {column!r}" in message
        assert f"for example {shown}" in message
        assert "\n" not in message
        assert len(message) < 300
    nothing = pl.Series([None], dtype=pl.Int64)
    with pytest.raises(MetadataSchemaError, match="storing it changes values: cast"):
        store.write("video", rows(id=["b"], note=nothing))
    assert values(store.read("video")) == ["a"]


LOSSLESS: dict[str, tuple[pl.Series, pl.Series, Any]] = {
    "small integer to integer": (pl.Series([1]), pl.Series([2], dtype=pl.Int8), 2),
    "unsigned integer to integer": (pl.Series([1]), pl.Series([2], dtype=pl.UInt64), 2),
    "integer that fits to small integer": (pl.Series([1], dtype=pl.Int16), pl.Series([300]), 300),
    "integer to real": (pl.Series([1.5]), pl.Series([2]), 2.0),
    "single to double": (pl.Series([1.5]), pl.Series([0.5], dtype=pl.Float32), 0.5),
    "category to text": (pl.Series(["a"]), pl.Series(["b"], dtype=pl.Categorical), "b"),
    "choice to text": (pl.Series(["a"]), pl.Series(["b"], dtype=pl.Enum(["b"])), "b"),
    "day to moment": (
        pl.Series([datetime(2020, 1, 1)]),
        pl.Series([date(2020, 1, 2)]),
        datetime(2020, 1, 2),
    ),
    "other zone": (
        pl.Series([datetime(2020, 1, 1, tzinfo=UTC)]),
        pl.Series([datetime(2020, 1, 1, tzinfo=UTC)]).dt.convert_time_zone("Asia/Tokyo"),
        datetime(2020, 1, 1, tzinfo=UTC),
    ),
    "nanoseconds that are round": (
        pl.Series([datetime(2020, 1, 1)]),
        pl.Series([datetime(2020, 1, 1)], dtype=pl.Datetime("ns")),
        datetime(2020, 1, 1),
    ),
    "list of small integers": (pl.Series([[1]]), pl.Series([[2]], dtype=pl.List(pl.Int8)), [2]),
    "array to list": (pl.Series([[1]]), pl.Series([[2]], dtype=pl.Array(pl.Int64, 1)), [2]),
    "struct in another order": (pl.Series([{"q": 1, "r": 2}]), pl.Series([{"r": 4, "q": 3}]), {"q": 3, "r": 4}),
    "struct that lacks a member": (pl.Series([{"q": 1, "r": 2}]), pl.Series([{"r": 4}]), {"q": None, "r": 4}),
    "integer to decimal": (pl.Series([Decimal("1.50")]), pl.Series([2]), Decimal("2.00")),
    "decimal with more digits": (
        pl.Series([Decimal("1.50")], dtype=pl.Decimal(20, 2)),
        pl.Series([Decimal("2.5")], dtype=pl.Decimal(10, 1)),
        Decimal("2.50"),
    ),
    "list of integers that fit": (pl.Series([[1]], dtype=pl.List(pl.Int16)), pl.Series([[300]]), [300]),
    "struct of integers that fit": (
        pl.Series([{"q": [{"r": 1}]}], dtype=pl.Struct({"q": pl.List(pl.Struct({"r": pl.Int16}))})),
        pl.Series([{"q": [{"r": 300}]}]),
        {"q": [{"r": 300}]},
    ),
    "list of days to list of moments": (
        pl.Series([[datetime(2020, 1, 1)]]),
        pl.Series([[date(2020, 1, 2)]]),
        [datetime(2020, 1, 2)],
    ),
    "nothing to text": (pl.Series(["a"]), pl.Series([None]), None),
    "nothing to list": (pl.Series([[1]]), pl.Series([None]), None),
}


def test_db25_casts_that_keep_values_are_made(store: MetadataStore, subtests: pytest.Subtests) -> None:
    define("video")
    for name, (first, second, expected) in LOSSLESS.items():
        with subtests.test(name):
            keep_values(store, first, second, expected)
        store.drop_feature_metadata("video")


def keep_values(store: MetadataStore, first: pl.Series, second: pl.Series, expected: Any) -> None:
    if isinstance(first.dtype, pl.Decimal) and not store.storage.capabilities.has_decimal:
        return
    store.write("video", rows(id=["a"], value=first))
    before = store.read("video").collect_schema()["value"]
    store.write("video", rows(id=["b"], value=second))
    assert store.read("video").collect_schema()["value"] == before
    assert values(store.read("video", filters=[nw.col("id") == "b"]), "value") == [expected]


def test_categories_are_stored_as_text(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], kind=pl.Series(["x"], dtype=pl.Enum(["x", "y"]))))
    store.write("video", rows(id=["b"], kind=["something else"]))
    assert values(store.read("video"), "kind") == ["something else", "x"]


def test_ids_keep_their_type(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=[1]))
    with pytest.raises(MetadataSchemaError, match=re.escape("column 'id' is String but its table has Int64")):
        store.write("video", rows(id=["1"]))
    assert values(store.read("video")) == [1]
