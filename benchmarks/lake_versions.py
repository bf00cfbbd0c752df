"""What reading costs when a table has many feature versions: only the files of the current one should count.

Writes VERSIONS versions of ROWS rows to a Delta table as we make it (partitioned by version) and to one without
partitions, as metaxy 0.1 makes it; merges the small files of both, then reads and resolves the current version. Does
the same with a LanceDB table, before and after its files are merged: it has no partitions, and skips parts of files.

    python benchmarks/lake_versions.py [VERSIONS] [ROWS]
"""

import re
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import lance
import polars as pl
from deltalake import DeltaTable, write_deltalake

import metaxy as mx
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.lancedb import LanceDBMetadataStore

SCANNED = re.compile(r"[^\s\[\],]+\.parquet")


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


def files(frame: pl.LazyFrame) -> list[Path]:
    """List the files that a plan reads."""
    return [Path(found) for found in dict.fromkeys(SCANNED.findall(frame.explain()))]


def best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def report(name: str, store: DeltaMetadataStore, video: type[mx.BaseFeature], samples: pl.DataFrame) -> None:
    with store:
        read = store.read(video)
        assert read.collect().shape[0] == samples.height
        assert not store.resolve_update(video, samples=samples)
        everything = [Path(uri) for uri in DeltaTable(str(Path(store.root_path) / "video.delta")).file_uris()]
        print(
            f"{name:16} {size(everything)} in all, of which {size(files(read.to_native()))} are read; "
            f"read {best(read.collect):.3f} s, "
            f"resolve {best(lambda: store.resolve_update(video, samples=samples)):.3f} s"
        )


def report_lancedb(name: str, store: LanceDBMetadataStore, video: type[mx.BaseFeature], samples: pl.DataFrame) -> None:
    def bytes_of(work: Callable[[], object]) -> str:
        before = lance.bytes_read_counter()
        work()
        return f"{(lance.bytes_read_counter() - before) / 1e6:.1f} MB"

    with store:
        read = store.read(video)
        assert read.collect().shape[0] == samples.height
        resolve = partial(store.resolve_update, video, samples=samples)
        assert not resolve()
        print(
            f"{name:16} {size(list(Path(store.uri).rglob('*.lance/data/*')))} in all, of which a read takes "
            f"{bytes_of(read.collect)} and an update {bytes_of(resolve)}; "
            f"read {best(read.collect):.3f} s, resolve {best(resolve):.3f} s"
        )


def size(paths: list[Path]) -> str:
    return f"{len(paths)} files with {sum(path.stat().st_size for path in paths) / 1e6:.1f} MB"


def main() -> None:
    versions, count = (int(given) for given in (sys.argv[1:] + ["20", "100000"][len(sys.argv) - 1 :])[:2])
    with tempfile.TemporaryDirectory() as folder:
        ours, plain = DeltaMetadataStore(Path(folder) / "ours"), DeltaMetadataStore(Path(folder) / "plain")
        with ours.open("w"):
            for version in range(versions):
                ours.write(feature(version), rows(count, version))
        stored = pl.scan_delta(str(Path(folder) / "ours" / "video.delta"))
        for key in stored.select("metaxy_feature_version").unique().collect().to_series():
            write = stored.filter(pl.col("metaxy_feature_version") == key).collect()
            write_deltalake(str(Path(folder) / "plain" / "video.delta"), write, mode="append")
        for store in (ours, plain):
            with store.open("w"):
                store.optimize(feature(0))
        print(f"{versions} versions of {count:,} rows")
        current, samples = feature(versions - 1), rows(count, versions - 1)
        report("partitioned", ours, current, samples)
        report("not partitioned", plain, current, samples)
        vectors = LanceDBMetadataStore(Path(folder) / "lancedb")
        with vectors.open("w"):
            for version in range(versions):
                vectors.write(feature(version), rows(count, version))
        report_lancedb("LanceDB", vectors, current, samples)
        with vectors.open("w"):
            vectors.optimize(current)
        report_lancedb("LanceDB, merged", vectors, current, samples)


if __name__ == "__main__":
    main()
