"""What reading costs when a table has many feature versions: only what is of the current one should count.

Writes VERSIONS versions of ROWS rows to a Delta table as we make it (partitioned by version), to one without
partitions, as metaxy 0.1 makes it, to an Iceberg table, and to a LanceDB table, which has no partitions but skips parts
of files. Then reads and resolves the current version: which files are scanned, or how many bytes are read, and how long
it takes.

    python benchmarks/lake_versions.py [VERSIONS] [ROWS]
"""

import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lance
import polars as pl
from deltalake import write_deltalake

import metaxy as mx
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.iceberg import IcebergMetadataStore
from metaxy.ext.lancedb import LanceDBMetadataStore
from metaxy.store.store import MetadataStore

SCANNED = re.compile(r"Parquet SCAN \[([^\]]+)\]")
Work = Callable[[], Any]


def feature(version: int) -> type[mx.BaseFeature]:
    field = mx.FieldSpec(key="default", code_version=str(version))

    class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"], fields=[field])):
        id: str

    return Video


def rows(count: int, version: int) -> pl.DataFrame:
    ids = pl.int_range(count, eager=True).cast(pl.String)
    return pl.DataFrame({"id": ids, "path": "s3://bucket/videos/" + ids + f"/{version}.mp4"}).with_columns(
        metaxy_provenance_by_field=pl.struct(default=pl.col("path"))
    )


# -- what is read ------------------------------------------------------------------------------------------------------


def files_of(*frames: pl.LazyFrame) -> str:
    """Say which files plans scan; Polars names all of a few, and the number of many."""
    found = {file for frame in frames for scan in SCANNED.findall(frame.explain()) for file in scan.split(", ")}
    assert not any("other sources" in file for file in found), found
    return size([Path(file.removeprefix("file://")) for file in found])


def bytes_of(work: Work) -> str:
    before = lance.bytes_read_counter()
    work()
    return f"{(lance.bytes_read_counter() - before) / 1e6:.1f} MB"


def size(paths: list[Path]) -> str:
    return f"{len(paths)} files with {sum(path.stat().st_size for path in paths) / 1e6:.1f} MB"


def best(work: Work) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


# -- tables ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """A table with many versions, and the rows of the current one."""

    name: str
    store: MetadataStore
    folder: Path
    video: type[mx.BaseFeature]
    samples: pl.DataFrame

    def report(self) -> None:
        with self.store as store:
            read = store.read(self.video)
            resolve = partial(store.resolve_update, self.video, samples=self.samples)
            assert read.collect().shape[0] == self.samples.height
            assert not resolve()
            if isinstance(store, LanceDBMetadataStore):
                taken = f"{bytes_of(read.collect)}, resolving it {bytes_of(resolve)}"
            else:
                lazy = resolve(lazy=True)
                plans = [part.to_native() for part in (lazy.new, lazy.stale)]
                taken = f"{files_of(read.to_native())}, resolving it {files_of(*plans)}"
            print(
                f"{self.name}: {size(self.data())} in all; reading the current version takes {taken}; "
                f"read {best(read.collect):.3f} s, resolve {best(resolve):.3f} s"
            )

    def data(self) -> list[Path]:
        return [path for kind in ("*.parquet", "*.lance") for path in self.folder.rglob(kind) if path.is_file()]


def without_partitions(ours: Path, plain: Path) -> None:
    """Copy a Delta table into one without partitions, as merging its files makes it."""
    write_deltalake(str(plain / "video.delta"), pl.read_delta(str(ours / "video.delta")))


def main() -> None:
    versions, count = (int(given) for given in (sys.argv[1:] + ["20", "100000"][len(sys.argv) - 1 :])[:2])
    with tempfile.TemporaryDirectory() as name:
        ours, plain, iceberg, lancedb = (Path(name, kind) for kind in ("ours", "plain", "iceberg", "lancedb"))
        stores: dict[str, tuple[MetadataStore, Path]] = {
            "Delta": (DeltaMetadataStore(ours), ours),
            "Delta without partitions": (DeltaMetadataStore(plain), plain),
            "Iceberg": (IcebergMetadataStore(iceberg), iceberg),
            "LanceDB": (LanceDBMetadataStore(lancedb), lancedb),
        }
        print(f"{versions} versions of {count:,} rows")
        for kind, (store, folder) in stores.items():
            with store.open("w"):
                if folder == plain:
                    without_partitions(ours, plain)
                else:
                    for version in range(versions):
                        store.write(feature(version), rows(count, version))
            Table(kind, store, folder, feature(versions - 1), rows(count, versions - 1)).report()


if __name__ == "__main__":
    main()
