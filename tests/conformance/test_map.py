"""Versions by field as Map instead of Struct: same hashes, and tables of either kind serve both settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pyarrow as pa
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.stores import StoreFactory, duckdb_store

from metaxy import columns as c
from metaxy.config import MetaxyConfig
from metaxy.definitions.field import FieldSpec
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_arrow, collect_to_polars

MODES = {"struct": False, "map": True}
SWITCHES = pytest.mark.parametrize(("first", "second"), [("struct", "map"), ("map", "struct")])
VERSIONS = {"x": "1", "y_z": "2"}


@contextmanager
def mode(name: str) -> Iterator[None]:
    with MetaxyConfig(enable_map_datatype=MODES[name]).use():
        yield


def by_field(frame: Any, column: str = c.METAXY_PROVENANCE_BY_FIELD) -> list[tuple[str, dict[str, str]]]:
    """Return the versions of each sample, and check that a user sees the kind of column that the setting asks for."""
    collected = collect_to_polars(frame)
    kind = pl.Map if MetaxyConfig.get().enable_map_datatype else pl.Struct
    assert isinstance(collected.schema[column], kind), collected.schema[column]
    found = [(row["id"], row[column]) for row in collected.to_dicts()]
    return sorted((sample, dict(versions)) for sample, versions in found)


@pytest.fixture(autouse=True)
def features() -> None:
    define("video", fields=["x", "y/z"])
    define("clip", "video", fields=["x", "other"])


def test_physical_maps_of_a_duckdb_table(tmp_path: Path) -> None:
    with mode("map"), duckdb_store(tmp_path).open("w") as store:
        assert isinstance(store, DuckDBMetadataStore)
        store.write("video", rows(VERSIONS, id=["a"]))
        described = {name: kind for name, kind, *_ in store.connection.execute("DESCRIBE video").fetchall()}
    assert [described[column] for column in c.BY_FIELD_COLUMNS] == ["MAP(VARCHAR, VARCHAR)"] * 2


def test_hashes_are_the_same(make: StoreFactory) -> None:
    found = {}
    for name in MODES:
        with mode(name), make(name).open("w") as store:
            store.write("video", rows(VERSIONS, id=["a", "b"]))
            store.write("clip", store.resolve_update("clip").new)
            found[name] = [values(store.read(key), "id", c.METAXY_PROVENANCE) for key in ("video", "clip")]
            found[name] += [by_field(store.read("clip"))]
    assert found["map"] == found["struct"]


@SWITCHES
def test_db16_the_setting_may_change(store: MetadataStore, first: str, second: str) -> None:
    with mode(first):
        store.write("video", rows(VERSIONS, id=["a", "b", "c"]))
        store.write("clip", store.resolve_update("clip").new)
    with mode(second):
        assert by_field(store.read("video")) == [(sample, VERSIONS) for sample in "abc"]
        assert not store.resolve_update("clip")
        assert not store.resolve_update("video", samples=rows(VERSIONS, id=["a", "b", "c"]))
        store.write("video", rows({"x": "5", "y_z": "2"}, id=["a"]))
        store.delete("video", nw.col("id") == "c")
        for lazy in (False, True):
            increment = store.resolve_update("clip", lazy=lazy)
            assert ids(increment) == ([], ["a"], ["c"])
            assert [sorted(versions) for _, versions in by_field(increment.orphaned)] == [["other", "x"]]
        store.write("clip", increment.stale)
        store.delete("clip", nw.col("id") == "c", soft=False)
        assert not store.resolve_update("clip")
    with mode(first):
        assert by_field(store.read("video")) == [("a", {"x": "5", "y_z": "2"}), ("b", VERSIONS)]
        assert not store.resolve_update("clip")


@SWITCHES
def test_db16_tables_keep_their_physical_type(store: MetadataStore, first: str, second: str) -> None:
    with mode(first):
        store.write("video", rows(VERSIONS, id=["a"]))
        before = everything(store, "video").schema
    with mode(second):
        store.write("video", rows(VERSIONS, id=["b"]))
        assert everything(store, "video").schema == before


@SWITCHES
def test_db16_frames_read_under_one_setting_are_written_under_the_other(
    make: StoreFactory, first: str, second: str
) -> None:
    with make("one").open("w") as one, make("two").open("w") as two:
        with mode(first):
            one.write("video", rows(VERSIONS, id=["a"]))
            read = collect_to_polars(one.read("video"))
        with mode(second):
            two.write("video", read)
            assert by_field(two.read("video")) == [("a", VERSIONS)]
            two.write("video", one.read("video"))
            assert by_field(two.read("video")) == [("a", VERSIONS)]
            assert not two.resolve_update("video", samples=read)


@pytest.mark.parametrize("name", MODES)
def test_new_fields_in_old_tables(store: MetadataStore, name: str) -> None:
    with mode(name):
        store.write("video", rows(VERSIONS, id=["a"]))
        define("video", fields=["x", "new"])
        store.write("video", rows({"x": "1", "new": "3"}, id=["b"]))
        [(_, found)] = by_field(store.read("video"))
        assert {member: version for member, version in found.items() if version} == {"x": "1", "new": "3"}
        assert not store.resolve_update("video", samples=rows({"x": "1", "new": "3"}, id=["b"]))


MAPS: dict[str, tuple[pl.DataType, list[Any]]] = {
    "texts to integers": (pl.Map(pl.String, pl.Int64), [[("k", 1), ("l", None)], [], None]),
    "texts to texts": (pl.Map(pl.String, pl.String), [[("k", "it's"), ("", '"')], [], None]),
    "texts to reals": (pl.Map(pl.String, pl.Float64), [[("k", 1.5)], [], None]),
    "texts to lists": (pl.Map(pl.String, pl.List(pl.String)), [[("k", ["a", "b"])], [], None]),
    "texts to structs": (pl.Map(pl.String, pl.Struct({"q": pl.Int64})), [[("k", {"q": 1})], [], None]),
}


def with_map(frame: pl.DataFrame, dtype: pl.DataType, maps: list[Any]) -> pl.DataFrame:
    lists = [maps_ and [{"key": key, "value": value} for key, value in maps_] for maps_ in maps]
    assert isinstance(dtype, pl.Map)
    entries = pl.Series("map", lists, dtype=pl.List(pl.Struct({"key": dtype.key, "value": dtype.value})))
    return frame.with_columns(entries.cast(dtype))


def maps_of(frame: Any) -> list[tuple[str, Any]]:
    """Return the map of each sample; the order of its keys means nothing."""
    collected = collect_to_polars(frame)
    dtype = collected.schema["map"]
    assert isinstance(dtype, pl.Map)
    entries = collected["map"].cast(pl.List(pl.Struct({"key": dtype.key, "value": dtype.value}))).to_list()
    maps = [pairs if pairs is None else {pair["key"]: pair["value"] for pair in pairs} for pairs in entries]
    return sorted(zip(collected["id"], maps, strict=True))


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("kind", MAPS)
def test_maps_of_users_stay_what_they_are(store: MetadataStore, name: str, kind: str) -> None:
    """In rows that are read, updated, deleted and go to a child, in a column that is there at first or comes later."""
    dtype, maps = MAPS[kind]
    frame = with_map(rows(VERSIONS, id=["a", "b", "c"]), dtype, maps)
    expected = maps_of(frame)
    with mode(name):
        store.write("video", frame)
        assert maps_of(store.read("video")) == expected
        new = store.resolve_update("clip").new
        assert maps_of(new) == expected
        store.write("clip", new.drop("map").filter(nw.col("id") == "a"))
        store.write("clip", new.filter(nw.col("id") != "a"))
        assert maps_of(store.read("clip")) == [("a", None), *expected[1:]]
        store.delete("video", nw.col("id") == "a")
        assert maps_of(store.read("video", include_soft_deleted=True)) == expected
        changed = rows({"x": "9", "y_z": "9"}, id=["b"])
        store.write("video", store.resolve_update("video", samples=with_map(changed, dtype, maps[:1])).stale)
        assert maps_of(store.read("video")) == [("b", expected[0][1]), expected[2]]


def test_structs_of_users_stay_structs(store: MetadataStore) -> None:
    with mode("map"):
        store.write("video", rows(VERSIONS, id=["a"], box=[{"left": 1}]))
        read = collect_to_polars(store.read("video"))
        assert read.schema["box"] == pl.Struct({"left": pl.Int64})
        assert read["box"].to_list() == [{"left": 1}]


@SWITCHES
def test_rows_are_copied_and_rebased_under_the_other_setting(make: StoreFactory, first: str, second: str) -> None:
    with make("one").open("w") as one, make("two").open("w") as two:
        with mode(first):
            one.write("video", rows(VERSIONS, id=["a", "b"]))
            one.write("clip", one.resolve_update("clip").new)
        with mode(second):
            assert two.copy_metadata(one, ["video", "clip"])["rows_copied"] == 4
            assert by_field(two.read("video")) == [("a", VERSIONS), ("b", VERSIONS)]
            assert not two.resolve_update("clip")
            define("clip", "video", fields=[FieldSpec(key="x", code_version="2"), "other"])
            rebased = two.rebase("clip", two.read("clip", with_feature_history=True))
            two.write("clip", rebased, preserve_feature_version=True)
            assert not two.resolve_update("clip")
            assert len(by_field(two.read("clip"))) == 2
        with mode(first):
            assert not two.resolve_update("clip")


@pytest.mark.object_store
def test_maps_of_arrow_are_taken_and_given(store: MetadataStore) -> None:
    with mode("map"):
        store.write("video", rows(VERSIONS, id=["a"]))
        table = collect_to_arrow(store.read("video"))
        for column in c.BY_FIELD_COLUMNS:
            assert pa.types.is_map(table.schema.field(column).type)
        increment = store.resolve_update("video", samples=table.select(["id", c.METAXY_PROVENANCE_BY_FIELD]))
        assert not increment
        changed = pa.table(
            {
                "id": ["a"],
                c.METAXY_PROVENANCE_BY_FIELD: pa.array(
                    [[("x", "7"), ("y_z", "2")]], table.schema.field(c.METAXY_PROVENANCE_BY_FIELD).type
                ),
            }
        )
        store.write("video", changed)
        assert by_field(store.read("video")) == [("a", {"x": "7", "y_z": "2"})]


def test_provenance_of_joined_rows(store: MetadataStore) -> None:
    with mode("map"):
        store.write("video", rows(VERSIONS, id=["a"]))
        column = f"{c.METAXY_DATA_VERSION_BY_FIELD}__video"
        joined = store.read("video", columns=["id", c.METAXY_DATA_VERSION_BY_FIELD])
        given = collect_to_polars(joined).rename({c.METAXY_DATA_VERSION_BY_FIELD: column})
        computed = store.compute_provenance("clip", given)
        assert by_field(computed) == by_field(store.resolve_update("clip").new)
        store.write("clip", computed)
        assert not store.resolve_update("clip")
