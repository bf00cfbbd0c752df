"""Structs gain members like tables gain columns, at any depth: in structs, lists and maps."""

from datetime import timedelta
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, rows, values
from tests.stores import StoreFactory

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError
from metaxy.storage.port import Optimizable
from metaxy.store.scope import Scope
from metaxy.store.store import MetadataStore
from metaxy.store.writing import WriteOptions, prepare
from metaxy.versioning.frames import collect_to_polars

# A column as it was first, with new members, and what the first value is beside them.
GROWING: dict[str, tuple[Any, Any, Any]] = {
    "struct": ({"a": 1}, {"b": "x", "a": 2}, {"a": 1, "b": None}),
    "struct in a struct": ({"s": {"a": 1}}, {"s": {"a": 2, "b": [1.5]}}, {"s": {"a": 1, "b": None}}),
    "list": ([{"a": 1}, None], [{"a": 2, "b": {"c": True}}], [{"a": 1, "b": None}, None]),
    "list of lists": ([[{"a": 1}], []], [[{"a": 2, "b": 3}]], [[{"a": 1, "b": None}], []]),
    "list in a struct": ({"l": [{"a": 1}]}, {"l": [{"a": 2, "b": 3}], "n": 4}, {"l": [{"a": 1, "b": None}], "n": None}),
}
WITH_MAPS: dict[str, tuple[Any, Any, Any]] = {
    "map": ({"k": {"a": 1}}, {"k": {"a": 2, "b": "x"}}, {"k": {"a": 1, "b": None}}),
    "list of maps": ([{"k": {"a": 1}}], [{"k": {"a": 2, "b": "x"}}], [{"k": {"a": 1, "b": None}}]),
}


def frame(name: str, at: int) -> pl.DataFrame:
    """One row with all columns, before (0) or after (1) they have grown."""
    old = pl.Struct({"a": pl.Int64})
    new = pl.Struct({"a": pl.Int64, "b": pl.String})
    of_maps = pl.Map(pl.String, new if at else old)
    types: dict[str, pl.DataType] = {"map": of_maps, "list of maps": pl.List(of_maps)}
    plain = {column: [states[at]] for column, states in GROWING.items()}
    maps = {column: pl.Series([states[at]], dtype=types[column]) for column, states in WITH_MAPS.items()}
    return rows(id=[name], **plain, **maps)


@pytest.mark.object_store
def test_structs_gain_members_at_any_depth(store: MetadataStore) -> None:
    define("video")
    states = GROWING | WITH_MAPS
    store.write("video", frame("a", 0))
    store.write("video", frame("b", 1))
    store.write("video", frame("c", 0))  # these lack the new members
    store.write("video", store.read("video", filters=[nw.col("id") == "b"]))  # rows of the table itself
    found = collect_to_polars(store.read("video")).sort("id").select(*states)
    assert found.row(0) == found.row(2) == tuple(beside for _, _, beside in states.values())
    assert found.row(1) == tuple(new for _, new, _ in states.values())
    if isinstance(store.storage, Optimizable):
        store.storage.optimize(FeatureKey("video"), timedelta(0), ["id"])
        assert collect_to_polars(store.read("video")).sort("id").select(*states).equals(found)
    store.delete("video", nw.col("id") == "a", soft=False)
    assert values(store.read("video")) == ["b", "c"]


def test_members_that_two_writers_add_at_once_are_all_kept(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], s=[{"a": 1}], l=[[{"a": 1}]]))
    scope, key = Scope.current(store.hash_algorithm), FeatureKey("video")
    mine = prepare(store, scope, key, rows(id=["b"], s=[{"a": 2, "b": 3}], l=[[{"b": 3}]]), WriteOptions())
    assert mine
    store.write("video", rows(id=["c"], s=[{"a": 4, "c": "x"}], l=[[{"c": "x"}]]))
    store.storage.append([mine])
    found = {row["id"]: row for row in everything(store, "video").to_dicts()}
    assert found["b"]["s"] == {"a": 2, "b": 3, "c": None}
    assert found["c"]["s"] == {"a": 4, "b": None, "c": "x"}
    assert [found[name]["l"][0] for name in "abc"] == [
        {"a": 1, "b": None, "c": None},
        {"a": None, "b": 3, "c": None},
        {"a": None, "b": None, "c": "x"},
    ]


@pytest.mark.three_stores
def test_members_follow_the_rules_of_columns(make: StoreFactory) -> None:
    define("video")
    with make().open("w") as store:
        store.write("video", rows(id=["a"], s=[{"a": 1}], l=[[{"a": 1}]]))
        with pytest.raises(MetadataSchemaError, match=r"'s\.A' differs only by case from 'a' of its table; rename it"):
            store.write("video", rows(id=["b"], s=[{"A": 1}]))
        with pytest.raises(MetadataSchemaError, match=r"column 's' is .* for example {'a': 2\.6, 'b': 1}"):
            store.write("video", rows(id=["b"], s=[{"a": 2.6, "b": 1}]))
        store.write("video", rows(id=["b"], s=[{"a": 2, "b": None}], l=[[{"b": None}]]))  # no value, no member
        assert store.read("video").collect_schema()["s"] == nw.Struct({"a": nw.Int64()})
    with make(schema_evolution="strict").open("w") as store:
        with pytest.raises(MetadataSchemaError, match=r"its table lacks 's\.b', 'l\.element\.c'; set") as caught:
            store.write("video", rows(id=["c"], s=[{"a": 1, "b": "x"}], l=[[{"c": 1}]]))
        assert 'ALTER TABLE … ADD COLUMN "s"."b" String, ADD COLUMN "l"."element"."c" Int64' in str(caught.value)
        store.write("video", rows(id=["c"], s=[{"a": 3}], l=[[{"a": 1}]]))
        assert values(store.read("video"), "s") == [{"a": 1}, {"a": 2}, {"a": 3}]
