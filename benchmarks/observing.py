"""What it costs to observe assets of Dagster, beside a count of their rows: benchmarks/observing.py [ROWS] [ASSETS].

One op observes all assets, in process, over an unchanged DuckDB store. A count is `store.read(feature)` and one number,
with the store open. Both alternate; the best of seven rounds of each are compared, in CPU seconds of the process.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import narwhals as nw
import polars as pl

import dagster as dg
import metaxy as mx
from metaxy.ext import dagster as mxd
from metaxy.ext.duckdb import DuckDBMetadataStore

ROUNDS = 7


def filled(folder: Path, assets: int, rows: int) -> tuple[mx.MetadataStore, list[str]]:
    """Make a store with features; a tenth of their rows was written twice."""
    store = DuckDBMetadataStore(folder / "store.duckdb", auto_create_tables=True)
    graph, keys = mx.FeatureGraph.get_active(), [f"feature_{number}" for number in range(assets)]
    ids = [f"sample-{number:08d}" for number in range(rows)]
    frame = pl.DataFrame({"id": ids, "path": ids, "metaxy_provenance_by_field": [{"default": name} for name in ids]})
    with store.open("w"):
        for key in keys:
            spec = mx.FeatureSpec(key=key, id_columns=["id"])
            graph.add_feature_definition(
                mx.FeatureDefinition(spec=spec, feature_schema={}, feature_class_path=None, project="p")
            )
            store.write(key, frame)
            store.write(key, frame[::10])
    return store, keys


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of some work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(assets: int, rows: int, folder: Path) -> None:
    """Print the ratio."""
    store, keys = filled(folder, assets, rows)
    specs = [dg.AssetSpec(key, metadata={"metaxy/feature": key}) for key in keys]

    @dg.multi_observable_source_asset(specs=specs)  # type: ignore[untyped-decorator]
    def observed(context: dg.AssetExecutionContext) -> Iterator[dg.ObserveResult]:
        yield from mxd.generate_observe_results(context, store)

    job = dg.define_asset_job("observe", selection=dg.AssetSelection.assets(*keys))
    definition = dg.Definitions(assets=[observed], jobs=[job]).resolve_job_def("observe")

    def count() -> None:
        with store.open("r"):
            for key in keys:
                store.read(key).select(nw.len()).collect()

    with dg.DagsterInstance.ephemeral() as instance:

        def observe() -> None:
            definition.execute_in_process(instance=instance)

        context = dg.build_asset_context()

        def answer() -> None:
            list(mxd.generate_observe_results(context, store, specs))

        times = [[timed(work) for work in (count, answer, observe)] for _ in range(ROUNDS)]
    best = [min(each) for each in zip(*times, strict=True)]
    shown = ", ".join(f"{name} {value:.2f} s" for name, value in zip(("counts", "answers", "run"), best, strict=True))
    ratios = f"{best[1] / best[0]:.2f} and {best[2] / best[0]:.2f} times the counts"
    print(f"{assets} assets of {rows:,} rows: {shown}; {ratios}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        measure(
            int(sys.argv[2]) if len(sys.argv) > 2 else 50,
            int(sys.argv[1]) if len(sys.argv) > 1 else 100_000,
            Path(folder),
        )
