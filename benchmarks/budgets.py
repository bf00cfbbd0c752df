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
    "[feature(f'l{i}_{j}', [f'l{i - 1}_{k}' for k in range(20)] if i else []) for i in range(3) for j in range(20)]"
)
COMMAND = """
start = 0
import contextlib, io, os, sys, tempfile
CLASS = '''
class F{{n}}(
    mx.BaseFeature, spec=mx.FeatureSpec(key="f{{n}}", id_columns=["id"], deps=[{{parent}}], fields=["a", "b"])
):
    id: str
'''
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    os.chdir(folder)
    classes = [CLASS.format(n=n, parent=f"F{{n - 1}}" if n else "") for n in range(1000)]
    with open("features.py", "w") as module, open("metaxy.toml", "w") as config:
        module.write("import metaxy as mx\\n__metaxy_project__ = 'big'\\n" + "".join(classes))
        config.write("project = 'big'\\nentrypoints = ['features']\\n")
    from metaxy.cli.app import main
    code = main({arguments})
    os.chdir("/")
assert code == 0
"""
DIFF = (
    VERSIONS.format(features=CHAIN).split("with mx.")[0]
    + """
from metaxy.dag.diff import merge
from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.formats import FORMATS, render
from metaxy.dag.view import GraphData
with mx.MetaxyConfig(project="budgets").use():
    start = time.process_time()
    old, new = GraphData.from_feature_graph(graph), GraphData.from_feature_graph(graph)
    for name in ("terminal", "json"):
        render(merge(old, new), name, RenderConfig())
"""
)
COMMANDS = ("describe graph", "describe features --all-features", "graph render", "graph render -f mermaid")
BUDGETS = (
    Budget("import metaxy", 0.15, "start = 0; import metaxy"),
    Budget("mx --help", 0.3, "start = 0; from metaxy.cli.app import main; main(['--help'])"),
    Budget("versions: chain of 1,000", 0.2, VERSIONS.format(features=CHAIN)),
    Budget("versions: 3 layers of 20", 0.2, VERSIONS.format(features=LAYERED)),
    *(Budget(f"1,000 classes: {each}", 2.0, COMMAND.format(arguments=each.split())) for each in COMMANDS),
    Budget("1,000 features: compare, draw", 0.5, DIFF),
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
    print(f"{'CPU seconds, median of ' + str(RUNS):47} {'measured':>8} {'limit':>6}")
    over = False
    for budget in BUDGETS:
        cpu_seconds(budget)
        measured = statistics.median(cpu_seconds(budget) for _ in range(RUNS))
        over |= measured > budget.limit
        print(f"{budget.name:47} {measured:8.3f} {budget.limit:6.2f}{'  OVER' if measured > budget.limit else ''}")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
