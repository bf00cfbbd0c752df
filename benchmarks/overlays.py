"""What a store over another one costs: reads and updates of a branch, beside those of one table of the same rows.

Writes ROWS samples to production and what is computed from them, lets a branch over it change SHARE of them, and
measures DuckDB on both forms in turn, the least of ROUNDS rounds; "ours" is the branch.

    python benchmarks/overlays.py [ROWS] [SHARE] [ROUNDS]
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.store import MetadataStore
from resolve import compare_phase


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
                compare_phase(name, partial(work, branch), partial(work, one), rounds, "one table")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float, int), sys.argv[1:], strict=False)))
