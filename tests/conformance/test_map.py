"""Versions by field as Map instead of Struct: same hashes, and tables of either kind serve both settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.stores import StoreFactory, duckdb_store

from metaxy import columns as c
from metaxy.config import MetaxyConfig
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

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


def test_maps_are_stored_and_seen(store: MetadataStore) -> None:
    with mode("map"):
        store.write("video", rows(VERSIONS, id=["a"]))
        for column in c.BY_FIELD_COLUMNS:
            assert by_field(store.read("video"), column) == [("a", VERSIONS)]
        schema = store.storage.scan(define("video", fields=["x", "y/z"]).key).frame.collect_schema()
        stored = nw.Map(nw.String(), nw.String()) if store.storage.capabilities.has_map else nw.String()
        assert [schema[column] for column in c.BY_FIELD_COLUMNS] == [stored] * 2
        increment = store.resolve_update("clip")
        assert [sorted(versions) for _, versions in by_field(increment.new)] == [["other", "x"]]
        assert isinstance(increment.new.schema[c.METAXY_DATA_VERSION_BY_FIELD], nw.Map)


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


def test_user_columns_stay_what_they_are(store: MetadataStore) -> None:
    with mode("map"):
        entries = pl.Series([[{"key": "k", "value": 1}]]).cast(pl.Map(pl.String, pl.Int64))
        frame = rows(VERSIONS, id=["a"], box=[{"left": 1}]).with_columns(entries.alias("counts"))
        store.write("video", frame)
        read = collect_to_polars(store.read("video"))
        assert read.schema["box"] == pl.Struct({"left": pl.Int64})
        assert isinstance(read.schema["counts"], pl.Map)
        assert read.select("box", "counts").rows() == frame.select("box", "counts").rows()


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
