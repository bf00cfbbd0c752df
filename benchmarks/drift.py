"""What it costs to compare the payload of samples: updates with and without it, in one run.

    python benchmarks/drift.py [--rows 1000000] [--rounds 5] [--delta]

A root feature with a path and a size. Phases: nothing changed, 1 % of the sizes differ, and all of them, as of a column
that holds the time of the listing. "without" is the update with ``payload="ignore"``; both run in turn on one open
store, and the ratio of what they took at least is what counts.
"""

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import polars as pl

from metaxy.errors import DriftedSamplesWarning
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.store import MetadataStore
from resolve import benchmark_graph, compare_phase, samples


def compare(name: str, store: MetadataStore, rows: pl.DataFrame, rounds: int) -> None:
    """Time an update of samples with and without their payload."""

    def update(payload: Any) -> Any:
        return store.resolve_update("video", samples=rows, payload=payload)

    compare_phase(name, lambda: update("warn"), lambda: update("ignore"), rounds, "without")


def main() -> None:
    """Run all phases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--delta", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DriftedSamplesWarning)
    with tempfile.TemporaryDirectory() as folder, benchmark_graph().use():
        store: MetadataStore = (
            DeltaMetadataStore(Path(folder) / "lake", auto_create_tables=True)
            if options.delta
            else DuckDBMetadataStore(Path(folder) / "bench.duckdb", auto_create_tables=True)
        )
        print(f"{options.rows:,} rows, {options.rounds} rounds, {store!r}, md5; ours is with `payload='warn'`")
        with store.open("w"):
            given = samples(options.rows)
            store.write("video", given)
            compare("nothing", store, given, options.rounds)
            few = pl.int_range(options.rows, eager=True) % 100 == 0
            compare("1 of 100", store, given.with_columns(size=pl.col("size") + few), options.rounds)
            compare("all", store, given.with_columns(size=pl.col("size") + 1), options.rounds)


if __name__ == "__main__":
    main()
