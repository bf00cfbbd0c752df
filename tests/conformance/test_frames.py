"""Frames of every library go into every verb."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import ibis
import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, ids, rows, values
from tests.stores import StoreFactory, duckdb_store

from metaxy import columns as c
from metaxy.config import MetaxyConfig
from metaxy.errors import MetadataSchemaError
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.hashing import HashAlgorithm
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

Convert = Callable[[pl.DataFrame], Any]


def in_duckdb(frame: pl.DataFrame) -> Any:
    """A relation of a database of its own, which it keeps alive."""
    connection = duckdb.connect()
    connection.register("given", frame.to_arrow())
    connection.execute("CREATE TABLE given_rows AS FROM given")
    return connection.table("given_rows")


def in_ibis(frame: pl.DataFrame) -> Any:
    return ibis.duckdb.connect().create_table("given", frame.to_arrow())


FRAMES: dict[str, Convert] = {
    "polars": lambda frame: frame,
    "polars lazy": lambda frame: frame.lazy(),
    "pandas": lambda frame: frame.to_pandas(),
    "pandas with an index": lambda frame: frame.to_pandas().set_index(pl.Series(range(len(frame), 0, -1)).to_numpy()),
    "pandas with arrow types": lambda frame: frame.to_pandas(use_pyarrow_extension_array=True),
    "pyarrow": lambda frame: frame.to_arrow(),
    "duckdb, elsewhere": in_duckdb,
    "ibis": in_ibis,
    "ibis in memory": lambda frame: ibis.memtable(frame.to_arrow()),
    "narwhals": nw.from_native,
    "narwhals lazy": lambda frame: nw.from_native(frame.lazy()),
    "narwhals over duckdb": lambda frame: nw.from_native(in_duckdb(frame)),
}


@pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning:ibis")  # not ours
@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.three_stores
def test_frames_of_every_library_go_into_every_verb(store: MetadataStore, name: str) -> None:
    every_verb(store, FRAMES[name])


def test_relations_of_the_database_itself_go_into_every_verb(tmp_path: Path) -> None:
    with duckdb_store(tmp_path).open("w") as store:
        assert isinstance(store, DuckDBMetadataStore)
        cursor, count = store.connection.cursor, iter(range(9))

        def here(frame: pl.DataFrame) -> Any:
            name = f"own_{next(count)}"
            cursor.register("given", frame.to_arrow())
            cursor.execute(f"CREATE TABLE {name} AS FROM given")
            cursor.unregister("given")
            return cursor.table(name)

        every_verb(store, here)


def every_verb(store: MetadataStore, convert: Convert) -> None:
    """Write, resolve, compute and delete with frames of one kind; what is read is the same for all kinds."""
    define("video")
    define("clip", "video")
    store.write("video", convert(rows(["1", "1"], id=["a", "b"], n=[1, None], tags=[["x"], []])))
    assert values(store.read("video"), "id", "n", "tags") == [("a", 1, ["x"]), ("b", None, [])]
    assert [len(v) for v in values(store.read("video"), c.METAXY_PROVENANCE)] == [16, 16]

    samples = rows(["1", "2", "1"], id=["a", "b", "c"], n=[1, 2, 3], tags=[["x"], ["y"], []])
    for lazy in (False, True):
        increment = store.resolve_update("video", samples=convert(samples), lazy=lazy)
        assert ids(increment) == (["c"], ["b"], [])
        assert values(increment.new, "id", "n", "tags") == [("c", 3, [])]
    store.write_multi({"video": convert(samples.filter(pl.col("id") != "a"))})
    assert not store.resolve_update("video", samples=convert(samples))

    parents = collect_to_polars(store.read("video", columns=["id", "n", c.METAXY_DATA_VERSION_BY_FIELD]))
    given = parents.rename({c.METAXY_DATA_VERSION_BY_FIELD: f"{c.METAXY_DATA_VERSION_BY_FIELD}__video"})
    computed = store.compute_provenance("clip", convert(given))
    store.write("clip", computed)
    assert not store.resolve_update("clip")
    assert values(store.read("clip"), "id", "n") == [("a", 1), ("b", 2), ("c", 3)]


def test_the_provenance_of_a_root_tells_its_code(store: MetadataStore) -> None:
    """All rows get the versions that metaxy 0.1.11 gives them, whatever versions they have."""
    define("video", fields=["a", "b"])
    plain = pl.DataFrame({"id": ["x", "y"], "n": [1, None]})
    given = plain.with_columns(metaxy_provenance_by_field=pl.struct(a=pl.lit("1"), b=pl.lit(None, pl.String)))
    store.write("video", given.with_columns(metaxy_provenance_by_field=pl.struct(a=pl.lit("1"), b=pl.lit("2"))))
    expected = [(name, n, "d86f215f2cd59c8a") for name, n in (("x", 1), ("y", None))]
    for frame in (plain, given, plain.lazy(), nw.from_native(plain), store.read("video")):
        computed = store.compute_provenance("video", frame)
        assert isinstance(computed, type(frame))
        assert values(computed, "id", "n", c.METAXY_PROVENANCE) == expected
        assert len(set(values(computed, c.METAXY_DATA_VERSION))) == 1
        store.write("video", computed)


def test_the_provenance_of_a_root_is_that_of_old(tmp_path: Path) -> None:
    define("v", fields=["a", "b"])
    frame = rows({"a": "1", "b": "2"}, id=["x"])
    with MetaxyConfig(hash_truncation_length=8).use():
        store = DeltaMetadataStore(tmp_path, hash_algorithm=HashAlgorithm.XXHASH32)
        with store:
            (found,) = store.compute_provenance("v", frame).to_dicts()
    assert found[c.METAXY_PROVENANCE_BY_FIELD] == {"a": "15666608", "b": "36513363"}  # as metaxy 0.1.11 has it
    assert found[c.METAXY_PROVENANCE] == found[c.METAXY_DATA_VERSION] == "13010141"


def test_db14_frames_of_another_store_are_copied(make: StoreFactory) -> None:
    define("video")
    with make("one").open("w") as one, make("two").open("w") as two:
        one.write("video", rows(id=["a", "b"]))
        two.write("video", rows(id=["c"]))
        two.write("video", one.read("video"))
        assert values(two.read("video", with_sample_history=True)) == ["a", "b", "c"]
        one.write("video", two.read("video", filters=[nw.col("id") == "c"]))
        assert values(one.read("video", with_sample_history=True)) == ["a", "b", "c"]
        assert not two.resolve_update("video", samples=one.read("video"))


def test_db14_frames_of_another_store_are_samples(make: StoreFactory) -> None:
    define("video")
    with make("one").open("w") as one, make("two").open("w") as two:
        one.write("video", rows(id=["a", "b"]))
        two.write("video", rows(["1", "2"], id=["a", "c"]))
        engines: tuple[Any, ...] = ("native", "polars")
        for engine in engines:
            increment = two.resolve_update("video", samples=one.read("video"), versioning_engine=engine)
            assert ids(increment) == (["b"], [], ["c"]), engine


def test_a_feature_can_be_written_from_what_is_read_of_it(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a", "b"], n=[1, 2]))
    store.write("video", store.read("video", filters=[nw.col("n") == 2]).with_columns(n=nw.col("n") * 10))
    assert values(store.read("video"), "id", "n") == [("a", 1), ("b", 20)]
    assert values(store.read("video", with_sample_history=True), "id", "n") == [("a", 1), ("b", 2), ("b", 20)]


def test_increments_are_frames_of_what_computed_them(tmp_path: Path) -> None:
    define("video")
    define("clip", "video")
    with duckdb_store(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        assert store.resolve_update("clip").new.implementation.is_pyarrow()
        assert store.resolve_update("clip", lazy=True).new.implementation.is_duckdb()
        assert store.resolve_update("clip", versioning_engine="polars").new.implementation.is_polars()
        assert store.resolve_update("video", samples=rows(id=["b"])).new.implementation.is_polars()
        assert store.read("video").implementation.is_duckdb()


@pytest.mark.parametrize("frame", [{"id": ["a"]}, [1], "a", None, pl.Series([1])], ids=repr)
@pytest.mark.three_stores
def test_what_is_no_frame_is_refused(store: MetadataStore, frame: Any) -> None:
    define("video")
    words = "which is no dataframe; pass a Polars, Pandas, PyArrow, DuckDB, Ibis or Narwhals frame"
    with pytest.raises(MetadataSchemaError, match=f"the frame for feature video is a .*{words}") as caught:
        store.write("video", frame)
    assert "\n" not in str(caught.value)
