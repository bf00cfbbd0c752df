"""How `resolve_update` compares with one hand-written statement that does the same work, in one run.

    python benchmarks/resolve.py [--rows 1000000] [--rounds 5]

A root feature with fields audio and frames, a leaf with one field. Phases: everything new, 10 % of the audio changed,
nothing changed. The hand-written statement takes the latest rows by a window over one key, hashes, and compares by a
FULL JOIN; it returns the same rows as an Arrow table. Both run in turn on the same open database, so that the ratio
means something on a noisy machine; absolute times do not.
"""

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.spec import FeatureSpec
from metaxy.ext.duckdb import DuckDBMetadataStore

VIDEO = {"key": "video", "id_columns": ["id"], "fields": ["audio", "frames"]}
LEAF = {"key": "leaf", "id_columns": ["id"], "deps": ["video"]}


def benchmark_graph() -> FeatureGraph:
    """Return the graph with one root and one leaf."""
    graph = FeatureGraph()
    for spec in (VIDEO, LEAF):
        built = FeatureSpec.model_validate(spec)
        graph.add_feature_definition(
            FeatureDefinition(spec=built, feature_schema={}, feature_class_path=f"bench.{built.key}", project="bench")
        )
    return graph


def samples(rows: int, changed: int = 0) -> pl.DataFrame:
    """Return root samples; the audio of the first ``changed`` differs."""
    number = pl.int_range(0, rows, eager=True).alias("number")
    audio = pl.when(pl.col("number") < changed).then(pl.lit("new-")).otherwise(pl.lit("audio-"))
    return number.to_frame().select(
        id=pl.lit("sample-") + pl.col("number").cast(pl.String),
        path=pl.lit("s3://bucket/videos/") + pl.col("number").cast(pl.String) + pl.lit(".mp4"),
        size=pl.col("number") * 7,
        metaxy_provenance_by_field=pl.struct(
            audio=audio + pl.col("number").cast(pl.String),
            frames=pl.lit("frames-") + pl.col("number").cast(pl.String),
        ),
    )


def hand_written(video: str, leaf: str, *, compare: bool) -> str:
    """Write the opponent: a window over one key, md5, FULL JOIN, one statement."""
    latest = "row_number() OVER (PARTITION BY id ORDER BY metaxy_updated_at DESC) = 1"
    stored = f"""
    stored AS (
      SELECT id, metaxy_provenance AS p FROM leaf WHERE metaxy_feature_version = '{leaf}' QUALIFY {latest}
    ),"""
    status = "CASE WHEN s.id IS NULL THEN 1 WHEN e.id IS NULL THEN 3 WHEN e.p IS DISTINCT FROM s.p THEN 2 END"
    result = (
        f"SELECT * FROM (SELECT {status} AS status, e.*, s.id AS stored"
        " FROM expected e FULL JOIN stored s ON e.id = s.id) WHERE status IS NOT NULL"
    )
    return f"""
    WITH root AS (
      SELECT * FROM video WHERE metaxy_feature_version = '{video}' QUALIFY {latest}
    ),{stored if compare else ""}
    fields AS (
      SELECT id, path, size, left(md5('default|__metaxy_initial__|video.audio|' || metaxy_data_version_by_field.audio
        || '|video.frames|' || metaxy_data_version_by_field.frames), 16) AS v
      FROM root WHERE metaxy_deleted_at IS NULL
    ),
    expected AS (SELECT *, left(md5(v), 16) AS p, struct_pack("default" := v) AS by_field FROM fields)
    {result if compare else "SELECT 1 AS status, * FROM expected"}
    """


@dataclass(frozen=True)
class Taken:
    """What calls took, in seconds: of wall time, and of CPU time of all threads."""

    wall: float
    cpu: float

    @classmethod
    def by(cls, run: Callable[[], Any]) -> "Taken":
        """Call once, and say what it took."""
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        return cls(time.perf_counter() - wall, time.process_time() - cpu)

    @classmethod
    def least(cls, calls: Sequence["Taken"]) -> "Taken":
        """Return the least of several calls: what else the machine does only ever adds to it."""
        return cls(min(call.wall for call in calls), min(call.cpu for call in calls))


def show(name: str, ours: Sequence[Taken], theirs: Sequence[Taken], their_name: str = "hand-written") -> None:
    """Print the least that both took, the ratios of these, and the median ratio of the pairs in CPU time."""
    mine, other = Taken.least(ours), Taken.least(theirs)
    pairs = statistics.median(one.cpu / two.cpu for one, two in zip(ours, theirs, strict=True))
    print(
        f"{name:16} ours {mine.wall * 1000:6.0f} ms, CPU {mine.cpu * 1000:6.0f}   {their_name} "
        f"{other.wall * 1000:6.0f} ms, CPU {other.cpu * 1000:6.0f}   ratio {mine.wall / other.wall:5.2f}, "
        f"CPU {mine.cpu / other.cpu:5.2f}, pairs {pairs:5.2f}",
        flush=True,
    )


def compare_phase(
    name: str, ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, their_name: str = "hand-written"
) -> None:
    """Time both in turn and print what they took."""
    ours(), theirs()
    mine: list[Taken] = []
    other: list[Taken] = []
    for turn in range(rounds):
        for run, times in ((ours, mine), (theirs, other)) if turn % 2 else ((theirs, other), (ours, mine)):
            times.append(Taken.by(run))
    show(name, mine, other, their_name)


def main() -> None:
    """Run all phases on DuckDB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    graph = benchmark_graph()
    with tempfile.TemporaryDirectory() as folder, graph.use():
        store = DuckDBMetadataStore(Path(folder) / "bench.duckdb", auto_create_tables=True)
        video, leaf = graph.get_feature_version("video"), graph.get_feature_version("leaf")
        with store.open("w"):
            store.write("video", samples(options.rows))

            def ours() -> Any:
                return store.resolve_update("leaf")

            def theirs(*, compare: bool = True) -> Any:
                return store.connection.fetch(hand_written(video, leaf, compare=compare))

            print(f"{options.rows:,} rows, {options.rounds} rounds, DuckDB, md5")
            compare_phase("resolve-new", ours, lambda: theirs(compare=False), options.rounds)
            store.write("leaf", store.resolve_update("leaf").new)
            compare_phase("resolve-nothing", ours, theirs, options.rounds)
            changed = options.rows // 10
            store.write("video", samples(options.rows, changed).head(changed))
            compare_phase("resolve-stale", ours, theirs, options.rounds)


if __name__ == "__main__":
    main()
