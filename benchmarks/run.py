"""All contestants side by side: `make bench`.

    python benchmarks/run.py [--rows 10000,100000,1000000] [--rounds 5] [--engines duckdb,delta,postgresql,...]
                             [--cases simple,wide,...] [--contestants ours,window,...] [--results benchmarks/results]

Each contestant is a process of its own with tables of its own. In each round each of them does the phase once, in an
order that turns round every time; the table shows medians. Answers are compared before anything is measured.
"""

import argparse
import json
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cases
import released
import report

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.services import running

CONTESTANTS = {
    "duckdb": ["ours", "window", "maximum", "floor", "released"],
    "delta": ["ours", "sort", "index", "repeated", "released"],
    "postgresql": ["ours", "copy", "released"],
    "clickhouse": ["ours", "window", "limit", "released"],
    "sqlite": ["ours"],  # to be compared with ours on DuckDB; metaxy 0.1.11 has no such store
}
SERVERS = {"postgresql": "postgres", "clickhouse": "clickhouse"}
PACKAGES = {"ours", "released"}
WRONG = {"floor"}  # answers as if no row were ever replaced
UNABLE = {("duckdb", "parents")}  # metaxy 0.1.11 names a column of its join twice
# What a phase needs before it, untimed; and which steps prepare the next phase.
RESOLVE: dict[str, Any] = {"step": "resolve"}
PHASES: list[tuple[str, dict[str, Any]]] = [
    ("write-root", {"step": "write_root", "before": ["clear_roots"]}),
    ("", {"step": "fill"}),
    ("resolve-new", RESOLVE),
    ("write-leaf", {"step": "write_leaf", "before": ["clear_leaf"]}),
    ("resolve-nothing", RESOLVE),
    ("", {"step": "change"}),
    ("resolve-stale", RESOLVE),
]
CHAIN: list[tuple[str, dict[str, Any]]] = [
    ("", {"step": "write_root", "before": ["clear_roots"]}),
    ("chain", {"step": "chain", "before": ["clear_chain"]}),
]
SLOW = {("postgresql", "released")}  # minutes per phase: one round is enough to see it
BUSY_SECONDS = 600.0  # after this long a phase ends with the rounds that it has


class Process:
    """A contestant that answers questions."""

    def __init__(self, name: str, engine: str, case: str, rows: int, folder: Path, url: str) -> None:
        python = str(released.interpreter()) if name == "released" else sys.executable
        folder.mkdir()
        worker = str(Path(__file__).with_name("worker.py"))
        command = [python, worker, name, engine, case, str(rows), str(folder), url]
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.name = name
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise SystemExit(f"{self.name} ended:\n{self.log.read()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Let it do a step, and return what that took."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


@contextmanager
def contestants(engine: str, case: str, rows: int, names: list[str]) -> Iterator[list[Process]]:
    """Start contestants, each with a folder of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metaxy-bench-")))
        url = ""
        if engine in SERVERS:
            running.begin()
            stack.callback(running.end)
            url = json.dumps(running.address(SERVERS[engine]))
        processes = []
        for name in names:
            processes.append(Process(name, engine, case, rows, folder / name, url))
            stack.callback(processes[-1].close)
        yield processes


def able(process: Process, phase: str) -> bool:
    """Tell whether a contestant takes part in a phase: plain COPY only writes."""
    return process.name != "copy" or not phase.startswith("resolve")


def check(processes: list[Process], message: dict[str, Any]) -> dict[str, str]:
    """Do a phase once, untimed, and say who has another answer than we have."""
    answers = {process.name: process.ask({**message, "check": message["step"] == "resolve"}) for process in processes}
    expected = answers.get("ours", {})
    same = {
        name: all(answer.get(key) == expected.get(key) for key in ("counts", "provenance"))
        for name, answer in answers.items()
    }
    return {name: "" if same[name] or name in WRONG else "other rows" for name in answers}


def measure(engine: str, processes: list[Process], message: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Do a phase in rounds, and return medians."""
    taken: dict[str, list[dict[str, Any]]] = {process.name: [] for process in processes}
    start = time.monotonic()
    for n in range(rounds):
        if time.monotonic() - start > BUSY_SECONDS:
            break
        order = random.sample(processes, len(processes))
        for process in order:
            if n == 0 or (engine, process.name) not in SLOW:
                taken[process.name].append(process.ask(message))
    return {
        name: {
            "wall": statistics.median(answer["wall"] for answer in answers),
            "cpu": statistics.median(answer["cpu"] for answer in answers),
            "fastest": min(answer["wall"] for answer in answers),
            "peak": max(answer["peak"] for answer in answers),
            "rounds": len(answers),
        }
        for name, answers in taken.items()
    }


def run_case(engine: str, case: str, rows: int, rounds: int, wanted: list[str]) -> Iterator[dict[str, Any]]:
    """Run all phases of a case on one engine, and yield a result for each."""
    names = [name for name in CONTESTANTS[engine] if name in wanted or not wanted]
    graph = cases.CASES[case]
    if graph.chain or (engine != "duckdb" and graph.lineage != "identity"):
        names = [name for name in names if name in PACKAGES]
    if (engine, case) in UNABLE:
        names = [name for name in names if name != "released"]
    with contestants(engine, case, rows, names) as processes:
        for phase, message in CHAIN if graph.chain else PHASES:
            taking = [process for process in processes if able(process, phase)]
            notes = check(taking, message)
            # Older versions of each sample are there after `fill` only, and writing the leaf again would add more.
            if phase and not (graph.has_past and phase in {"write-root", "resolve-new", "write-leaf"}):
                found = measure(engine, taking, message, rounds)
                result = {"engine": engine, "case": case, "rows": rows, "phase": phase, "contestants": found}
                yield {**result, "notes": {name: note for name, note in notes.items() if note}}


def cpu_of(command: list[str], rounds: int) -> float:
    """Return the median of the CPU seconds of a command."""
    code = "import resource,subprocess,sys; subprocess.run(sys.argv[1:],stdout=-3,check=True);"
    code += "r=resource.getrusage(resource.RUSAGE_CHILDREN); print(r.ru_utime+r.ru_stime)"
    runs = [
        subprocess.run([sys.executable, "-c", code, *command], capture_output=True, check=True) for _ in range(rounds)
    ]
    return statistics.median(float(run.stdout) for run in runs)


def starting(rounds: int) -> Iterator[dict[str, Any]]:
    """Measure CPU seconds of an import and of the help of the command line, Python itself included."""
    pythons = {"ours": Path(sys.executable), "released": released.interpreter()}
    for phase, arguments in {
        "nothing": ["python", "-c", ""],
        "import": ["python", "-c", "import metaxy"],
        "help": ["mx", "--help"],
    }.items():
        found = {}
        for name, python in pythons.items():
            command = [str(python.with_name(arguments[0])), *arguments[1:]]
            cpu_of(command, 1)  # fills the cache of bytecode
            seconds = cpu_of(command, rounds)
            found[name] = {"wall": seconds, "cpu": seconds, "fastest": seconds, "peak": 0, "rounds": rounds}
        yield {"engine": "none", "case": "start", "rows": 0, "phase": phase, "contestants": found, "notes": {}}


def main() -> None:
    """Measure what is asked for, and write the report after each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", default=",".join(CONTESTANTS))
    parser.add_argument("--cases", default=",".join([*cases.CASES, "start"]))
    parser.add_argument("--contestants", default="")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"))
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in options.contestants.split(",") if name]
    results: list[dict[str, Any]] = []
    machine = {"python": platform.python_version(), "system": platform.system(), "date": time.strftime("%Y-%m-%d")}
    for case in options.cases.split(","):
        if case == "start":
            results += starting(options.rounds)
        for rows in map(int, options.rows.split(",")) if case != "start" else ():
            for engine in options.engines.split(","):
                if engine in {"postgresql", "sqlite"} and rows > 100_000:
                    continue
                for result in run_case(engine, case, rows, options.rounds, wanted):
                    results.append(result)
                    print(report.line(result), flush=True)
                    report.write(options.results, {**machine, "results": results})
    report.write(options.results, {**machine, "results": results})
    print(report.markdown(results))
    shutil.rmtree(Path(__file__).with_name("__pycache__"), ignore_errors=True)


if __name__ == "__main__":
    main()
