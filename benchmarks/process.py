"""What `store.process` costs beside the function: python benchmarks/process.py overhead|memory [STORE] [ROWS].

The store is duckdb, delta, sqlite, or the address of a PostgreSQL or ClickHouse database.

`overhead` times it beside the bare function, at 10 ms per sample with 2 workers and in batches of 1,000. `memory` runs
a million samples in a process of its own, and says what it held at most.
"""

import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

import metaxy as mx
from metaxy.ext.clickhouse import ClickHouseMetadataStore
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.ext.postgresql import PostgreSQLMetadataStore
from metaxy.ext.sqlite import SQLiteMetadataStore

PART = 100_000


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"], fields=["frames"])):
    """What is listed."""

    id: str


class Size(mx.BaseFeature, spec=mx.FeatureSpec(key="size", id_columns=["id"], deps=[Video])):
    """What is computed."""

    id: str


def store_of(kind: str, folder: Path) -> Any:
    """Make a closed store."""
    if kind == "duckdb":
        return DuckDBMetadataStore(folder / "store.duckdb", auto_create_tables=True, config={"memory_limit": "300MB"})
    if kind == "sqlite":
        return SQLiteMetadataStore(folder / "store.sqlite", auto_create_tables=True)
    if "://" in kind:
        store_type = PostgreSQLMetadataStore if kind.startswith("postgresql") else ClickHouseMetadataStore
        return store_type(kind, auto_create_tables=True, table_prefix=folder.name.replace("-", "_"))
    return DeltaMetadataStore(folder / "delta", auto_create_tables=True)


def listed(start: int, stop: int) -> pl.DataFrame:
    """Return rows of videos."""
    names = [f"video-{number:08d}" for number in range(start, stop)]
    versions = [{"frames": name} for name in names]
    return pl.DataFrame({"id": names, "path": names, "metaxy_provenance_by_field": versions})


def fill(store: Any, rows: int) -> None:
    """Write the parents, in parts."""
    with store.open("w"):
        for start in range(0, rows, PART):
            store.write(Video, listed(start, min(start + PART, rows)))


def slow(row: dict[str, Any]) -> dict[str, Any]:
    """Take 10 ms."""
    time.sleep(0.01)
    return {"size": len(row["path"])}


def many(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take next to no time."""
    return [{"size": len(row["path"])} for row in rows]


def overhead(kind: str, rows: int) -> None:
    """Say what is added to the time of the function."""
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(kind, Path(folder))
        fill(store, rows)
        with store:
            given = store.resolve_update(Size).new.to_polars().select("id", "path").rows(named=True)
        began, spent = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(slow, given[:2_000]))
        bare, bare_cpu = time.perf_counter() - began, time.process_time() - spent
        spent = time.process_time()
        report = store.process(Size, slow, workers=2, limit=2_000, progress=False)
        cpu = time.process_time() - spent
        print(
            f"10 ms per sample, 2 workers: {bare:.2f} s bare, {report.seconds:.2f} s, +{report.seconds / bare - 1:.1%}"
        )
        print(f"  of which resolving {report.resolve_seconds:.2f} s; CPU {bare_cpu:.2f} s bare, {cpu:.2f} s")
        spent = time.process_time()
        report = store.process(Size, many, batch_size=1_000, progress=False)
        cpu = (time.process_time() - spent) / report.done * 1e6
        each = (report.seconds - report.function_seconds) / report.done * 1e6
        began = time.perf_counter()
        many(given)
        bare = (time.perf_counter() - began) / len(given) * 1e6
        whole = report.seconds / report.done * 1e6
        print(f"batches of 1,000: {whole:.1f} µs per sample, {bare:.1f} bare ({each:.1f} outside of workers)")
        print(f"  of which resolving {report.resolve_seconds / report.done * 1e6:.1f} µs; CPU {cpu:.1f} µs per sample")


def memory(kind: str, rows: int) -> None:
    """Process in a process of its own, whose memory is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        fill(store_of(kind, Path(folder)), rows)
        subprocess.run([sys.executable, __file__, "child", kind, folder], check=True)


def child(kind: str, folder: str) -> None:
    """Process everything, and say what was held."""
    report = store_of(kind, Path(folder)).process(Size, many, workers=2, progress=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{kind}: {report}, resolving {report.resolve_seconds:.1f} s, {peak:,.0f} MB at most")


if __name__ == "__main__":
    what, *more = sys.argv[1:] or ["overhead"]
    kind = more[0] if more else "duckdb"
    if what == "child":
        child(kind, more[1])
    else:
        {"overhead": overhead, "memory": memory}[what](kind, int(more[1]) if len(more) > 1 else 1_000_000)
