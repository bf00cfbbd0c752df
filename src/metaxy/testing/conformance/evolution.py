"""Tables that grow: columns, fields, members of structs, and types that were not known at first."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

import narwhals as nw
import polars as pl
import pytest

from metaxy import columns as c
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError, UntypedColumnWarning
from metaxy.storage.port import Optimizable
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.case import StoreCase
from metaxy.testing.conformance.factory import define, rows, values
from metaxy.versioning.frames import collect_to_polars

# A column without values, what one with values is, and how the first one is stored beside it.
UNTYPED: Final[Mapping[str, tuple[pl.Series, Any, Any]]] = {
    "nothing": (pl.Series([None]), 1.5, None),
    "list": (pl.Series([[]]), ["x"], []),
    "list of nothing": (pl.Series([[None]]), [date(2020, 2, 29)], [None]),
    "list of lists": (pl.Series([[[], [None]]]), [["x"]], [[], [None]]),
    "array": (pl.Series([[None, None]], dtype=pl.Array(pl.Null, 2)), [1.5, 2.5], [None, None]),
    "struct": (pl.Series([{"a": None}]), {"a": "x"}, {"a": None}),
    "struct of lists": (pl.Series([{"a": [], "b": None}]), {"a": [True], "b": 1}, {"a": [], "b": None}),
    "empty struct": (pl.Series([{}]), {"a": 1}, {"a": None}),
    "list of structs": (pl.Series([[{"a": None}, None]]), [{"a": 1, "b": "x"}], [{"a": None, "b": None}, None]),
    "list of empty structs": (pl.Series([[{}]]), [{"a": 1}], [{"a": None}]),
}
NONE = {name: column for name, (column, _, _) in UNTYPED.items()}
SOME = {name: [value] for name, (_, value, _) in UNTYPED.items()}

# A column as it was first, with new members, and what the first value is beside them.
GROWING: Final[Mapping[str, tuple[Any, Any, Any]]] = {
    "struct": ({"a": 1}, {"b": "x", "a": 2}, {"a": 1, "b": None}),
    "struct in a struct": ({"s": {"a": 1}}, {"s": {"a": 2, "b": [1.5]}}, {"s": {"a": 1, "b": None}}),
    "list": ([{"a": 1}, None], [{"a": 2, "b": {"c": True}}], [{"a": 1, "b": None}, None]),
    "list of lists": ([[{"a": 1}], []], [[{"a": 2, "b": 3}]], [[{"a": 1, "b": None}], []]),
    "list in a struct": ({"l": [{"a": 1}]}, {"l": [{"a": 2, "b": 3}], "n": 4}, {"l": [{"a": 1, "b": None}], "n": None}),
}
WITH_MAPS: Final[Mapping[str, tuple[Any, Any, Any]]] = {
    "map": ({"k": {"a": 1}}, {"k": {"a": 2, "b": "x"}}, {"k": {"a": 1, "b": None}}),
    "list of maps": ([{"k": {"a": 1}}], [{"k": {"a": 2, "b": "x"}}], [{"k": {"a": 1, "b": None}}]),
}


def growing(name: str, at: int) -> pl.DataFrame:
    """One row with all columns, before (0) or after (1) they have grown."""
    old = pl.Struct({"a": pl.Int64})
    new = pl.Struct({"a": pl.Int64, "b": pl.String})
    of_maps = pl.Map(pl.String, new if at else old)
    types: dict[str, pl.DataType] = {"map": of_maps, "list of maps": pl.List(of_maps)}
    plain = {column: [states[at]] for column, states in GROWING.items()}
    maps = {column: pl.Series([states[at]], dtype=types[column]) for column, states in WITH_MAPS.items()}
    return rows(id=[name], **plain, **maps)


def takes_fields(store: MetadataStore) -> bool:
    """Return whether tables can gain fields: columns of maps or JSON take any."""
    able = store.storage.capabilities
    return able.adds_members or able.by_field != "struct"


class Evolution(StoreCase):
    """What is added later is NULL in older rows, and nothing that was written is lost."""

    def test_new_columns_are_added_and_missing_ones_are_null(self, store: MetadataStore) -> None:
        define("video")
        store.write("video", rows(id=["a"], u=["u"]))
        store.write("video", rows(id=["b"], v=[1], tags=[["x"]]))
        assert values(store.read("video"), "id", "u", "v", "tags") == [("a", "u", None, None), ("b", None, 1, ["x"])]

    def test_new_and_removed_fields(self, store: MetadataStore) -> None:
        define("video", fields=["x", "y"])
        store.write("video", rows({"x": "1", "y": "2"}, id=["a"]))
        define("video", fields=["y", "z"])
        assert values(store.read("video")) == []
        if not takes_fields(store):
            with pytest.raises(MetadataSchemaError, match="cannot add members to structs"):
                store.write("video", rows({"y": "2", "z": "3"}, id=["a"]))
            return
        store.write("video", rows({"y": "2", "z": "3"}, id=["a"]))
        row = collect_to_polars(store.read("video")).to_dicts()[0]
        assert {name: row[c.METAXY_PROVENANCE_BY_FIELD][name] for name in ("y", "z")} == {"y": "2", "z": "3"}
        assert not store.resolve_update("video", samples=rows({"y": "2", "z": "3"}, id=["a"]))
        define("video", fields=["x", "y"])
        assert not store.resolve_update("video", samples=rows({"x": "1", "y": "2"}, id=["a"]))
        old = collect_to_polars(store.read("video")).to_dicts()[0][c.METAXY_PROVENANCE_BY_FIELD]
        assert {name: old[name] for name in ("x", "y")} == {"x": "1", "y": "2"}

    def test_a_renamed_field(self, store: MetadataStore) -> None:
        """It is a new field and a removed one: rows of the old name stay, and are found again under it."""
        if not takes_fields(store):
            pytest.skip("the store says that adds_members = False; new fields are tested already")
        define("video", fields=["x", "y"])
        define("clip", "video")
        store.write("video", rows({"x": "1", "y": "2"}, id=["a"], size=[5]))
        store.write("clip", store.resolve_update("clip").new)
        define("video", fields=["renamed", "y"])
        assert values(store.resolve_update("video", samples=rows({"renamed": "1", "y": "2"}, id=["a"])).new) == ["a"]
        store.write("video", rows({"renamed": "1", "y": "2"}, id=["a"], length=[5]))
        assert values(store.read("video"), "id", "size", "length") == [("a", None, 5)]
        assert values(store.resolve_update("clip").new) == ["a"]
        rebased = store.rebase("clip", store.read("clip", with_feature_history=True))
        store.write("clip", rebased, preserve_feature_version=True)
        assert not store.resolve_update("clip")
        define("video", fields=["x", "y"])
        assert values(store.read("video"), "id", "size", "length") == [("a", 5, None)]
        assert not store.resolve_update("clip")

    def test_structs_gain_members_at_any_depth(self, store: MetadataStore) -> None:
        define("video")
        has_maps = nw.Map not in store.storage.capabilities.unsupported
        states = {**GROWING, **(WITH_MAPS if has_maps else {})}
        given = ["id", *states, c.METAXY_PROVENANCE_BY_FIELD]
        store.write("video", growing("a", 0).select(*given))
        if not store.storage.capabilities.adds_members:
            with pytest.raises(MetadataSchemaError, match="cannot add members to structs"):
                store.write("video", growing("b", 1).select(*given))
            return
        store.write("video", growing("b", 1).select(*given))
        store.write("video", growing("c", 0).select(*given))  # these lack the new members
        store.write("video", store.read("video", filters=[nw.col("id") == "b"]))  # rows of the table itself
        found = collect_to_polars(store.read("video")).sort("id").select(*states)
        assert found.row(0) == found.row(2) == tuple(beside for _, _, beside in states.values())
        assert found.row(1) == tuple(new for _, new, _ in states.values())
        if isinstance(store.storage, Optimizable):
            store.storage.optimize(FeatureKey("video"), timedelta(0), ["id"])
            assert collect_to_polars(store.read("video")).sort("id").select(*states).equals(found)
        store.delete("video", nw.col("id") == "a", soft=False)
        assert values(store.read("video")) == ["b", "c"]

    def test_columns_without_values_get_their_types_from_later_rows(self, store: MetadataStore) -> None:
        define("video")
        with pytest.warns(UntypedColumnWarning, match="'list of nothing'.* are stored as NULL"):
            store.write("video", rows(id=["a"], n=[1], **NONE))
        assert not set(UNTYPED) & set(collect_to_polars(store.read("video")).sort("id").columns)
        store.write("video", rows(id=["b"], **SOME))
        store.write("video", rows(id=["c"], **NONE))
        store.write("video", rows(id=["d"], **{name: [None] for name in UNTYPED}))
        absent = (None,) * len(UNTYPED)
        assert collect_to_polars(store.read("video")).sort("id").select("id", *UNTYPED).rows() == [
            ("a", *absent),
            ("b", *(value for _, value, _ in UNTYPED.values())),
            ("c", *(stored for _, _, stored in UNTYPED.values())),
            ("d", *absent),
        ]
