"""What a store over another one costs: reads and updates of a branch, beside those of one table of the same rows.

Writes ROWS samples to production and what is computed from them, lets a branch over it change SHARE of them, and
measures DuckDB on both forms in turn; the medians of ROUNDS rounds after one that does not count.

    python benchmarks/overlays.py [ROWS] [SHARE] [ROUNDS]
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.store import MetadataStore


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"], fields=["audio", "frames"])):
    id: str


class Faces(mx.BaseFeature, spec=mx.FeatureSpec(key="faces", id_columns=["id"], deps=[Video])):
    id: str


WORK: dict[str, Callable[[MetadataStore], Any]] = {
    "read": lambda store: store.read(Video).collect("pyarrow"),
    "read IDs": lambda store: store.read(Video, columns=["id"]).collect("pyarrow"),
    "read filtered": lambda store: store.read(Video, filters="n < 1000").collect("pyarrow"),
    "resolve": lambda store: store.resolve_update(Faces),
}


def rows(numbers: pl.Series, audio: str) -> pl.DataFrame:
    ids = "video/" + numbers.cast(pl.String).str.zfill(9)
    versions = pl.struct(audio=pl.lit(audio), frames=pl.lit("1"))
    frame = pl.DataFrame({"id": ids, "n": numbers, "path": "s3://bucket/" + ids + ".mp4"})
    return frame.with_columns(metaxy_provenance_by_field=versions)


def seconds(work: Callable[[MetadataStore], Any], store: MetadataStore) -> float:
    start = time.perf_counter()
    work(store)
    return time.perf_counter() - start


def stores(folder: Path, count: int, share: float) -> tuple[MetadataStore, MetadataStore]:
    """Make one table of all rows, and a branch over production that sees the same."""
    one, below = (DuckDBMetadataStore(folder / f"{n}.duckdb", auto_create_tables=True) for n in ("one", "below"))
    over: dict[str, Any] = {"fallback_stores": [below], "fallback": "rows", "auto_create_tables": True}
    branch = DuckDBMetadataStore(folder / "branch.duckdb", **over)
    numbers = pl.int_range(count, eager=True)
    for store in (one, below):
        with store.open("w"):
            store.write(Video, rows(numbers, "1"))
            store.write(Faces, store.resolve_update(Faces).new)
    for store in (one, branch):
        with store.open("w"):
            store.write(Video, rows(numbers.gather_every(round(1 / share)), "2"))
    return one, branch


def main(count: int = 1_000_000, share: float = 0.01, rounds: int = 7) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, branch = stores(Path(folder), count, share)
        with one, branch:
            for name, work in WORK.items():
                times = [[seconds(work, store) for store in (one, branch)] for _ in range(rounds + 1)][1:]
                table, union = (statistics.median(each) for each in zip(*times, strict=True))
                print(f"{name:14} one table {table:.3f} s, branch {union:.3f} s: {union / table:.2f} times")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float, int), sys.argv[1:], strict=False)))
