"""What it costs to ask which fields changed: updates with and without ``previous=True``, in one run.

    python benchmarks/previous.py [--rows 1000000] [--rounds 5]

The graph of `resolve.py`, and a leaf with payload of its own. Phases: the first update, nothing changed, 1 % and 10 %
of the audio changed, and a new code version of the leaf, to which all rows are new that have an earlier one. Both forms
run in turn on one open database; the ratio of what they took at least is what counts.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.spec import FeatureSpec
from metaxy.ext.duckdb import DuckDBMetadataStore
from resolve import LEAF, VIDEO, compare_phase, samples


@contextmanager
def graph(code_version: str) -> Iterator[None]:
    """Make the graph active, with a code version of the leaf."""
    graph = FeatureGraph()
    for spec in (VIDEO, {**LEAF, "fields": [{"key": "default", "code_version": code_version}]}):
        built = FeatureSpec.model_validate(spec)
        graph.add_feature_definition(
            FeatureDefinition(spec=built, feature_schema={}, feature_class_path=f"bench.{built.key}", project="bench")
        )
    with graph.use():
        yield


def compare(name: str, store: DuckDBMetadataStore, rounds: int) -> None:
    """Time an update with and without what was before."""

    def update(*, previous: bool) -> Any:
        return store.resolve_update("leaf", previous=previous)

    compare_phase(name, lambda: update(previous=True), lambda: update(previous=False), rounds, "without")


def main() -> None:
    """Run all phases on DuckDB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = DuckDBMetadataStore(Path(folder) / "bench.duckdb", auto_create_tables=True)
        print(f"{options.rows:,} rows, {options.rounds} rounds, DuckDB, md5; ours is with `previous=True`")
        with store.open("w"):
            with graph("1"):
                store.write("video", samples(options.rows))
                compare("first", store, options.rounds)
                new = store.resolve_update("leaf").new.to_polars()
                store.write("leaf", new.with_columns(score=pl.int_range(pl.len()) / 7))
                compare("nothing", store, options.rounds)
                for share in (100, 10):
                    changed = options.rows // share
                    store.write("video", samples(options.rows, changed).head(changed))
                    compare(f"1 of {share}", store, options.rounds)
            with graph("2"):
                compare("new code", store, options.rounds)


if __name__ == "__main__":
    main()
