"""CPU seconds of what must stay quick, each measured in new processes: `make budgets`.

CPU time, not wall time, so that other work on the machine counts little; the median of five runs, after one that fills
the bytecode cache.
"""

import os
import statistics
import subprocess
import sys
from typing import NamedTuple

RUNS = 5


class Budget(NamedTuple):
    """Code that runs in a process of its own, and how many CPU seconds may have passed when `start` is subtracted."""

    name: str
    limit: float
    code: str


VERSIONS = """
import time
import metaxy as mx

def feature(key, parents):
    return mx.FeatureDefinition.from_stored_data(
        feature_spec=mx.FeatureSpec(key=key, id_columns=["id"], deps=parents, fields=["a", "b"]),
        feature_schema={{}}, feature_class_path="budgets." + key, project="budgets",
    )

graph = mx.FeatureGraph()
for definition in {features}:
    graph.add_feature_definition(definition)
with mx.MetaxyConfig(project="budgets").use():
    start = time.process_time()
    for key in graph.feature_definitions_by_key:
        graph.get_feature_version(key)
"""
CHAIN = "[feature(f'f{i}', [f'f{i - 1}'] if i else []) for i in range(1000)]"
LAYERED = (
    "[feature(f'l{i}_{j}', [f'l{i - 1}_{k}' for k in range(3)] if i else []) for i in range(20) for j in range(3)]"
)
# A command on a project in a temporary folder; what it takes to write the project does not count.
DEMO = """
import os, tempfile, time
from pathlib import Path
from metaxy.demo.project import prepare
place = tempfile.TemporaryDirectory()
folder = Path(place.name)
prepare(folder, "duckdb", fresh=False)
os.chdir(folder)
start = 0
from metaxy.cli.app import main
main({command})
"""
LARGE = """
import os, tempfile, time
from pathlib import Path
place = tempfile.TemporaryDirectory()
folder = Path(place.name)
feature = 'class F%d(mx.BaseFeature, spec=mx.FeatureSpec(key="f%d", id_columns=["id"], deps=%s, fields=["a"])): ...'
code = [feature % (i, i, [f"f{{i - 1}}"] if i else []) for i in range(1000)]
(folder / "features.py").write_text(chr(10).join(["import metaxy as mx", *code]))
(folder / "metaxy.toml").write_text('entrypoints = ["features"]')
os.chdir(folder)
start = time.process_time()
from metaxy.cli.app import main
main({command})
"""
COMPARE = (
    VERSIONS.format(features=CHAIN).split("with mx.")[0]
    + """
from metaxy.dag.diff import merge
from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.formats import render
from metaxy.dag.view import GraphData
with mx.MetaxyConfig(project="budgets").use():
    start = time.process_time()
    old, new = GraphData.from_feature_graph(graph), GraphData.from_feature_graph(graph)
    for name in ("terminal", "json"):
        render(merge(old, new), name, RenderConfig())
"""
)
LAYOUT = """
import random, time
from metaxy.dag.layout import Arc, lay_out
chance = random.Random(1)
boxes = {{f"f{{n}}": (chance.uniform(130, 250), chance.uniform(60, 160)) for n in range({boxes})}}
arcs = [Arc(*(f"f{{n}}" for n in sorted(chance.sample(range({boxes}), 2)))) for _ in range({lines})]
start = time.process_time()
lay_out(boxes, arcs)
"""
AFTER_DAGSTER = "import time, dagster; start = time.process_time(); import metaxy.ext.dagster"
OF_LARGE = ("list features", "describe graph", "describe features --all-features", "graph render")
BUDGETS = (
    Budget("import metaxy", 0.15, "start = 0; import metaxy"),
    Budget("import metaxy.ext.dagster, after dagster", 0.1, AFTER_DAGSTER),
    Budget("mx --help", 0.3, "start = 0; from metaxy.cli.app import main; main(['--help'])"),
    Budget("mx list features, demo", 0.8, DEMO.format(command=["list", "features"])),
    *(Budget(f"mx {each}, 1,000", 2.0, LARGE.format(command=each.split())) for each in OF_LARGE),
    Budget("two graphs of 1,000: compare, draw twice", 0.5, COMPARE),
    Budget("picture: 1,000 boxes, 1,500 lines", 0.2, LAYOUT.format(boxes=1000, lines=1500)),
    Budget("picture: 5,000 boxes, 7,500 lines", 1.0, LAYOUT.format(boxes=5000, lines=7500)),
    Budget("versions: chain of 1,000", 0.2, VERSIONS.format(features=CHAIN)),
    Budget("versions: 20 layers of 3", 0.2, VERSIONS.format(features=LAYERED)),
)
REPORT = "\nimport sys, time; sys.stderr.write(str(time.process_time() - start))"


def cpu_seconds(budget: Budget) -> float:
    """Run the code of a budget and return the CPU seconds that it took."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", budget.code + REPORT]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8")
    if result.returncode:
        sys.exit(result.stderr)
    return float(result.stderr)


def main() -> int:
    """Measure everything, print a table, return 1 where something is over its limit."""
    print(f"{'CPU seconds, median of ' + str(RUNS):41} {'measured':>8} {'limit':>6}")
    over = False
    for budget in BUDGETS:
        cpu_seconds(budget)
        measured = statistics.median(cpu_seconds(budget) for _ in range(RUNS))
        over |= measured > budget.limit
        print(f"{budget.name:41} {measured:8.3f} {budget.limit:6.2f}{'  OVER' if measured > budget.limit else ''}")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
