"""The same work with DataChain's delta mode and Pixeltable's computed columns, each at home in its own database.

    python benchmarks/peers.py [--rows 10000] [--rounds 5] [--results benchmarks/results]

Samples with two fields are written, and a value is computed for each in Python; then the same samples are written
again; then a tenth of them with another first field. The table shows seconds for all of it, and how often the value
was computed. Each peer is a process in an environment of its own, which the first run installs.
"""

import argparse
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import computing

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.services import environments

REQUIREMENTS = {"datachain": ("datachain==0.62.0",), "pixeltable": ("pixeltable==0.7.21",)}
PEERS = ("ours", *REQUIREMENTS)
PHASES = ("all new", "the same again", "a tenth changed")


def samples(rows: int, changed: int) -> dict[str, list[Any]]:
    """Return columns; the audio of the first ``changed`` is another one than at first."""
    return {
        "id": [f"sample-{n}" for n in range(rows)],
        "audio": [f"{'new' if n < changed else 'audio'}-{n}" for n in range(rows)],
        "frames": [f"frames-{n}" for n in range(rows)],
        "size": [n * 7 for n in range(rows)],
    }


class Ours:
    """Metaxy on DuckDB: write, resolve, compute what is new or stale, write."""

    def __init__(self, folder: Path) -> None:
        import polars as pl

        import metaxy as mx
        from metaxy.ext.duckdb import DuckDBMetadataStore

        self.pl = pl
        fields = [mx.FieldSpec(key=name) for name in ("audio", "frames")]
        root = mx.FeatureSpec(key="video", id_columns=["id"], fields=fields)
        leaf = mx.FeatureSpec(key="leaf", id_columns=["id"], deps=[mx.FeatureDep(feature="video")])

        class Video(mx.BaseFeature, spec=root):
            id: str

        class Leaf(mx.BaseFeature, spec=leaf):
            id: str

        mx.MetaxyConfig.set(mx.MetaxyConfig(project="bench"))
        self.store = DuckDBMetadataStore(folder / "peers.duckdb", auto_create_tables=True)

    def update(self, columns: dict[str, list[Any]]) -> None:
        """Write samples, and compute the values that this makes necessary."""
        frame = self.pl.DataFrame(columns)
        with self.store.open("w"):
            self.store.write("video", frame.with_columns(metaxy_provenance_by_field=self.pl.struct("audio", "frames")))
            increment = self.store.resolve_update("leaf")
            changed = self.pl.concat([increment.new.to_polars(), increment.stale.to_polars()])
            if changed.height:
                pairs = zip(changed["audio"], changed["frames"], strict=True)
                self.store.write(
                    "leaf", changed.with_columns(value=self.pl.Series([computing.value(*p) for p in pairs]))
                )


class DataChain:
    """DataChain's delta mode, which compares two columns."""

    def __init__(self, folder: Path) -> None:
        os.environ["DATACHAIN_ROOT_DIR"] = str(folder)
        self.datachain: Any = importlib.import_module("datachain")

    def update(self, columns: dict[str, list[Any]]) -> None:
        """Save a version of the samples, and the values of those that differ from what was seen before."""
        self.datachain.read_values(**columns).save("video")
        compared = {"delta": True, "delta_on": "id", "delta_compare": ["audio", "frames"]}
        self.datachain.read_dataset("video", update=True, **compared).map(value=computing.value).save("leaf")


class Pixeltable:
    """Pixeltable's computed column: computed with the rows, and again when a column that it reads is written."""

    def __init__(self, folder: Path) -> None:
        os.environ["PIXELTABLE_HOME"] = str(folder)
        pxt: Any = importlib.import_module("pixeltable")
        kinds = {"id": pxt.Required[pxt.String], "audio": pxt.String, "frames": pxt.String, "size": pxt.Int}
        self.table = pxt.create_table("video", kinds, primary_key=["id"])
        function = pxt.udf(computing.value)
        self.table.add_computed_column(value=function(self.table.audio, self.table.frames))
        self.seen: dict[str, list[Any]] = {}

    def update(self, columns: dict[str, list[Any]]) -> None:
        """Insert samples, or update those that are there."""
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        self.table.batch_update(rows) if self.seen else self.table.insert(rows)
        self.seen = columns


CLASSES: dict[str, Any] = {"ours": Ours, "datachain": DataChain, "pixeltable": Pixeltable}


def work(name: str, rows: int, folder: Path) -> dict[str, Any]:
    """Do all phases with one peer."""
    warnings.simplefilter("ignore")
    peer = CLASSES[name](folder)
    found = {}
    for phase, changed in zip(PHASES, (0, 0, rows // 10), strict=True):
        columns = samples(rows, changed)
        before, start = computing.calls, time.perf_counter()
        peer.update(columns)
        found[phase] = {"wall": time.perf_counter() - start, "computed": computing.calls - before}
    return found


def interpreter(name: str) -> Path:
    """Return the interpreter of a peer's environment, which is made if it is not there."""
    if name not in REQUIREMENTS:
        return Path(sys.executable)
    return environments.interpreter(f"metaxy-peer-{name}", REQUIREMENTS[name])


def run(name: str, rows: int) -> dict[str, Any]:
    """Do all phases with one peer in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="metaxy-peers-", ignore_cleanup_errors=True) as folder:
        command = [str(interpreter(name)), __file__, "--work", name, "--rows", str(rows), "--folder", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "HOME": folder})
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Let all peers take turns, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"))
    parser.add_argument("--work", choices=PEERS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(options.work, options.rows, options.folder)))
        return
    runs: dict[str, list[Any]] = {name: [] for name in PEERS}
    for _ in range(options.rounds):
        for name in random.sample(PEERS, len(PEERS)):
            runs[name].append(run(name, options.rows))
    lines = [f"| {options.rows:,} samples | {' | '.join(PEERS)} |", "|---|" + "--:|" * len(PEERS)]
    for phase in PHASES:
        walls = {name: statistics.median(one[phase]["wall"] for one in found) for name, found in runs.items()}
        cells = [f"{wall:.2f} s, {runs[name][0][phase]['computed']:,} computed" for name, wall in walls.items()]
        lines.append(f"| {phase} | {' | '.join(cells)} |")
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "peers.json").write_text(json.dumps(runs, indent=1) + "\n")
    (options.results / "peers.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
