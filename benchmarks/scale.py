"""How far one machine reaches with 4 GB, and what a row costs: `simple` on DuckDB or Delta, each size in a new process.

    python benchmarks/scale.py [--engine duckdb] [--rows 1000000,10000000] [--memory 4]

Root rows are written in parts of a million, then the leaf is resolved lazily and its increment written part by part, a
tenth of the audio is changed, and the leaf is resolved again. On DuckDB the limit is `memory_limit`, above which it
spills to disk; on Delta it is the address space of the process, above which an allocation fails.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cases
import metaxy as mx
import worker
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore

PART = 1_000_000
GB = 1_000_000_000


def make_store(engine: str, folder: Path, memory: int) -> Any:
    """Make a store with a limit."""
    if engine == "delta":
        resource.setrlimit(resource.RLIMIT_DATA, (memory * GB, memory * GB))
        return DeltaMetadataStore(folder / "delta", hash_algorithm=mx.HashAlgorithm.XXHASH32)
    config = {"memory_limit": f"{memory}GB", "temp_directory": str(folder / "spill"), "threads": 2}
    return DuckDBMetadataStore(folder / "x.duckdb", config=config, auto_create_tables=True)


def parts(case: cases.Case, rows: int, changed: int = 0) -> Any:
    """Yield the samples of the root, a million at a time."""
    for start in range(0, changed or rows, PART):
        stop = min(start + PART, changed or rows)
        yield cases.samples(case, "video", stop, start=start, changed=changed)


def timed(name: str, rows: int, act: Callable[[], Any]) -> Any:
    """Do something and print what it took, as a line of JSON."""
    worker.forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    result = act()
    took = {"phase": name, "rows": rows, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    took["ns_per_row"] = round(took["cpu"] / rows * 1e9)
    print(json.dumps(took | {"peak_gb": worker.peak_memory() / GB, "counts": result}), flush=True)


def run(engine: str, rows: int, memory: int) -> None:
    """Do all phases in this process."""
    case = cases.CASES["simple"]
    mx.MetaxyConfig.set(mx.MetaxyConfig(hash_truncation_length=16 if engine == "duckdb" else 8, project="bench"))
    cases.define(case)
    with tempfile.TemporaryDirectory(prefix="metaxy-scale-") as folder:
        store = make_store(engine, Path(folder), memory)

        def write(changed: int = 0) -> None:
            for part in parts(case, rows, changed):
                store.write("video", part)

        def resolve() -> list[int]:
            increment = store.resolve_update("leaf", lazy=True)
            return [frame.to_native().count("*").fetchone()[0] for frame in (increment.new, increment.stale)]

        def count() -> list[int]:
            increment = store.resolve_update("leaf")
            return [len(increment.new), len(increment.stale)]

        resolving = resolve if engine == "duckdb" else count
        with store.open("w"):
            timed("write-root", rows, write)
            timed("resolve-new", rows, resolving)
            timed("write-leaf", rows, lambda: store.write("leaf", store.resolve_update("leaf", lazy=True).new))
            timed("resolve-nothing", rows, count)
            timed("write-changed", rows // 10, lambda: write(rows // 10))
            timed("resolve-stale", rows, count)


def main() -> None:
    """Run each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("duckdb", "delta"), default="duckdb")
    parser.add_argument("--rows", default="1000000,10000000")
    parser.add_argument("--memory", type=int, default=4, help="limit in GB")
    parser.add_argument("--here", action="store_true", help="run in this process")
    options = parser.parse_args()
    for rows in options.rows.split(","):
        if options.here:
            run(options.engine, int(rows), options.memory)
            return
        same = ["--engine", options.engine, "--rows", rows, "--memory", str(options.memory), "--here"]
        code = subprocess.run([sys.executable, __file__, *same], check=False).returncode
        outcome = "done" if code == 0 else "it did not end well"
        print(f"{options.engine}, {int(rows):,} rows, {options.memory} GB: {outcome}")


if __name__ == "__main__":
    main()
