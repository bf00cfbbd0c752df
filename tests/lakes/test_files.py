"""The files of lakes: which of them are read, merged, removed, and what writers may do meanwhile."""

import random
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import narwhals as nw
import polars as pl
import pytest
from deltalake import DeltaTable
from tests.factory import define, everything, ids, rows, values
from tests.services import s3
from tests.stores import ON_S3, STORES, bucket

from metaxy import columns as c
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import FeatureNotFoundError
from metaxy.store.store import MetadataStore

BLOB = 200_000
SCANNED = re.compile(r"Parquet SCAN \[([^\]]+)\]")


def delta_files(store: Any, key: str) -> list[Path]:
    return [Path(uri) for uri in DeltaTable(store.storage.uri(FeatureKey(key))).file_uris()]


def iceberg_files(store: Any, key: str) -> list[Path]:
    tasks = store.catalog.load_table(("metaxy", key)).scan().plan_files()
    return [Path(task.file.file_path.removeprefix("file://")) for task in tasks]


def lance_files(store: Any, key: str) -> list[Path]:
    uri = store.storage.uri(FeatureKey(key))
    return [Path(uri, "data", file.path) for part in lance.dataset(uri).get_fragments() for file in part.data_files()]


FILES: dict[str, Callable[[Any, str], list[Path]]] = {
    "delta": delta_files,
    "iceberg": iceberg_files,
    "lancedb": lance_files,
}
lakes = pytest.mark.parametrize("name", FILES)
partitioned = pytest.mark.parametrize("name", ["delta", "iceberg"])


def code_version(key: str, version: str, *deps: str) -> None:
    """Define a feature anew, with this code version."""
    define(key, *deps, fields=[FieldSpec(key="default", code_version=version)])


# -- what is read ------------------------------------------------------------------------------------------------------


def write_versions(store: MetadataStore, number: int) -> None:
    """Write rows of so many versions of a feature, each with a large value."""
    for version in range(number):
        code_version("video", str(version))
        store.write("video", rows(id=["a", "b"], blob=[random.randbytes(BLOB) for _ in range(2)]))


def scanned(frame: Any) -> set[str]:
    """Return what a lazy frame reads, in the words of Polars: a file, or ``file, ... 19 other sources``."""
    plan: pl.LazyFrame = nw.to_native(frame)
    return {found.rpartition("/")[2] for found in SCANNED.findall(plan.explain())}


@partitioned
def test_of_20_versions_only_the_file_of_the_current_one_is_read(name: str, tmp_path: Path) -> None:
    with STORES[name](tmp_path).open("w") as store:
        write_versions(store, 20)
        every = {file.name for file in FILES[name](store, "video")}
        assert len(every) == 20
        [read] = scanned(store.read("video"))
        assert read in every
        narrow = store.read("video", filters=[nw.col("id") == "a"], columns=["id"])
        assert scanned(narrow) == {read}
        assert re.search(
            r"PROJECT \d/12 COLUMNS\n *SELECTION: .*col\(\"id\"\)\)? == \(?\"a\"", nw.to_native(narrow).explain()
        )
        assert scanned(store.resolve_update("clip", lazy=True).new) == {read}
        assert scanned(store.resolve_update("video", samples=rows(id=["a"]), lazy=True).stale) == {read}
        [history] = scanned(store.read("video", with_feature_history=True))
        assert history.endswith(", ... 19 other sources")


def test_of_20_versions_only_the_bytes_of_the_current_one_are_read(tmp_path: Path) -> None:
    """LanceDB has no partitions: it skips parts of files."""

    def bytes_read(do: Callable[[], Any]) -> int:
        before: int = lance.bytes_read_counter()
        do()
        return lance.bytes_read_counter() - before

    with STORES["lancedb"](tmp_path).open("w") as store:
        write_versions(store, 20)
        assert bytes_read(lambda: store.read("video", with_feature_history=True).collect()) > 40 * BLOB
        assert bytes_read(lambda: store.read("video").collect()) < 5 * BLOB  # 2, and what says where each column is
        assert bytes_read(lambda: store.resolve_update("clip")) < 3 * BLOB
        assert bytes_read(lambda: store.resolve_update("video", samples=rows(id=["a"]))) < 3 * BLOB


@partitioned
def test_db30_files_of_other_versions_are_never_read(name: str, tmp_path: Path) -> None:
    with STORES[name](tmp_path).open("w") as store:
        for version in ("1", "2", "3"):
            before = {
                key: set(FILES[name](store, key)) if store.has_feature(key) else set() for key in ("video", "clip")
            }
            code_version("video", version)
            code_version("clip", version, "video")
            store.write("video", rows(id=["a", "b"]))
            store.write("clip", store.resolve_update("clip").new)
            if version == "2":
                kept = {key: set(FILES[name](store, key)) - before[key] for key in before}
        code_version("video", "2")
        code_version("clip", "2", "video")
        for key in ("video", "clip"):
            assert everything(store, key)[c.METAXY_FEATURE_VERSION].n_unique() == 3
            for file in set(FILES[name](store, key)) - kept[key]:
                file.unlink()  # whoever reads it fails
    with STORES[name](tmp_path).open("w") as store:
        seen = nw.col("metaxy_provenance").str.len_chars() > 0
        assert values(store.read("video", filters=[seen, nw.col("id") == "a"])) == ["a"]
        assert not store.resolve_update("clip")
        store.write("video", rows("2", id=["a"]))
        for lazy in (False, True):
            assert ids(store.resolve_update("clip", lazy=lazy, global_filters=[seen])) == ([], ["a"], [])
        store.delete("video", nw.col("id") == "b")
        assert ids(store.resolve_update("clip")) == ([], ["a"], ["b"])
        with pytest.raises(Exception, match="parquet"):
            values(store.read("video", with_feature_history=True))


# -- what is written ---------------------------------------------------------------------------------------------------


@lakes
def test_lazy_rows_may_lack_columns(name: str, tmp_path: Path) -> None:
    with STORES[name](tmp_path).open("w") as store:
        store.write("video", rows(id=["a"], size=[1], place=[{"x": 1, "y": 2}]).lazy())
        store.write("video", rows(id=["b"], place=[{"y": 3}]).lazy())
        store.write("video", rows("2", id=["a"], kind=["new"]).lazy())
        stored = everything(store, "video").sort(c.METAXY_UPDATED_AT).select("id", "size", "place", "kind").rows()
    both, second, none = {"x": 1, "y": 2}, {"x": None, "y": 3}, {"x": None, "y": None}
    assert stored[:2] == [("a", 1, both, None), ("b", None, second, None)]
    assert stored[2] in [("a", None, None, "new"), ("a", None, none, "new")]


# -- merged and removed ------------------------------------------------------------------------------------------------


@lakes
def test_db30_small_files_are_merged_and_old_ones_removed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with STORES[name](tmp_path).open("w") as store:
        for number in range(5):
            store.write("video", rows(id=[f"{number}"]))
        before = everything(store, "video").sort("id")
        old = FILES[name](store, "video")
        assert len(old) == 5
        store.optimize("video", keep=timedelta(0))
        assert len(FILES[name](store, "video")) == 1
        assert all(file.exists() for file in old)  # someone may still read them, or have begun to write with them
        assert everything(store, "video").sort("id").equals(before)
        monkeypatch.setattr("metaxy.storage.files.LONGEST_COMMIT", timedelta(0))
        store.optimize("video")
        assert all(file.exists() for file in old)
        store.optimize("video", keep=timedelta(0))
        assert not any(file.exists() for file in old)
        assert everything(store, "video").sort("id").equals(before)
        with pytest.raises(FeatureNotFoundError):
            store.optimize("clip")
        with pytest.raises(ValueError, match="keep"):
            store.optimize("video", keep=timedelta(days=-1))


@lakes
def test_a_dropped_table_leaves_no_rows(name: str, tmp_path: Path) -> None:
    with STORES[name](tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        files = FILES[name](store, "video")
        store.drop_feature_metadata("video")
        assert not store.has_feature("video")
        assert not any(file.exists() for file in files)


@pytest.mark.parametrize(
    "name", ["delta on S3", *(pytest.param(f"{name} on S3", marks=pytest.mark.slow) for name in ("lancedb", "iceberg"))]
)
def test_db19_a_dropped_table_is_absent_from_a_bucket(name: str, tmp_path: Path) -> None:
    with ON_S3[name](tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        store.write("clip", store.resolve_update("clip").new)
        store.optimize("video", keep=timedelta(0))
        store.drop_feature_metadata("video")
        assert not store.has_feature("video")
        left = s3.objects(bucket(tmp_path).split("/")[2], "features")
        assert any("clip" in place for place in left)
        assert [place for place in left if "video" in place and not place.endswith("/")] == []
        store.write("video", rows(id=["b"], other=[1]))
        assert values(store.read("video"), "id", "other") == [("b", 1)]
