"""Values that PostgreSQL keeps as others, or not at all: large integers are decimals, and texts have no NUL."""

from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, ids, rows, values
from tests.stores import duckdb_store, postgresql_store

from metaxy.errors import MetadataSchemaError
from metaxy.versioning.frames import collect_to_polars

LARGE = 2**64 - 1


def large(*given: int, version: str = "1") -> pl.DataFrame:
    return rows(version, id=pl.Series(given, dtype=pl.UInt64))


def test_large_ids_compare_with_the_frames_that_they_came_from(tmp_path: Path) -> None:
    define("video")
    define("clip", "video")
    define("both", "video", "clip")
    with postgresql_store(tmp_path).open("w") as store:
        store.write("video", large(1, 2**63, LARGE))
        store.write("video", large(LARGE, version="2"))  # meets a table
        samples = large(1, LARGE, 2**53 + 1)
        for given in (samples, samples.to_pandas(), samples.lazy(), samples.to_arrow()):
            for engine in ("auto", "polars"):
                changed = store.resolve_update("video", samples=given, versioning_engine=engine)
                assert ids(changed) == ([2**53 + 1], [LARGE], [2**63])
        assert not store.resolve_update("video", samples=store.read("video"))
        new = store.resolve_update("clip").new
        assert values(new) == [1, LARGE, 2**63]
        store.write("clip", collect_to_polars(new).cast({"id": pl.UInt64}))
        assert not store.resolve_update("clip")
        store.write("both", store.resolve_update("both").new)
        assert not store.resolve_update("both", versioning_engine="polars")
        assert values(store.read("video", filters=[nw.col("id").is_in([LARGE, 2**63 + 1])])) == [LARGE]
        store.delete("video", nw.col("id") >= LARGE)
        store.delete("video", nw.col("id") == 2**63, soft=False)
        assert values(store.read("video")) == [1]
        assert ids(store.resolve_update("clip")) == ([], [], [LARGE, 2**63])


@pytest.mark.filterwarnings("ignore::Warning")
def test_large_ids_compare_with_those_of_fallback_stores(tmp_path: Path) -> None:
    define("video")
    define("clip", "video")
    near = tmp_path / "near"
    near.mkdir()
    with postgresql_store(tmp_path).open("w") as far:
        far.write("video", large(1, 2, LARGE))
    for make in (duckdb_store, postgresql_store):
        with make(near, fallback_stores=[postgresql_store(tmp_path)]).open("w") as store:
            store.write("clip", large(7))  # a table of our own, with integers where the database has them
            store.delete("clip", soft=False, everything=True)
            store.write("clip", store.resolve_update("clip").new)
            assert not store.resolve_update("clip")
            assert values(store.read("clip")) == [1, LARGE, 2]


NUL = "x\0y"
WITH_NUL: dict[str, Any] = {
    "text": [NUL],
    "enum": pl.Series([NUL], dtype=pl.Enum([NUL])),
    "struct": [{"n": 1, "a": {"b": NUL}}],
    "list": [["a", NUL]],
    "lists": [[[{"b": "x", "c": None}], [{"b": None, "c": NUL}]]],
    "array": pl.Series([["a", NUL]], dtype=pl.Array(pl.String, 2)),
    "map": pl.Series([{"k": NUL}], dtype=pl.Map(pl.String, pl.String)),
    "key": pl.Series([{NUL: 1}], dtype=pl.Map(pl.String, pl.Int64)),
}


def test_a_text_with_nul_is_refused_with_the_name_of_its_column(tmp_path: Path) -> None:
    define("video")
    with postgresql_store(tmp_path).open("w") as store:
        for name, column in WITH_NUL.items():
            given = rows(id=["a"], fine=[{"a": ["b"]}], **{name: column})
            message = f"column '{name}' contains a NUL character, which texts of PostgreSQL cannot have; remove it"
            with pytest.raises(MetadataSchemaError, match=f"^feature video: {message}$"):
                store.write("video", given)
            with pytest.raises(MetadataSchemaError, match=f"^{message}$"):
                store.resolve_update("video", samples=given)
        assert not store.has_feature("video")
