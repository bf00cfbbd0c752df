"""What it costs a pipeline that many look at it: benchmarks/looking.py [READERS] [WRITES].

A process of its own serves the page (`mx ui`), and another one asks for counts and rows: so many readers, each once a
second, as pages do that are open. Meanwhile this process writes and resolves, and opens the store anew each time.
Rounds without readers, with readers of another store and with readers of this one alternate; printed is the mean of one
write. What readers of the store cost beyond those of another one, they cost by locks.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path

import polars as pl

from metaxy.testing import TempMetaxyProject

ROUNDS, ROWS = 4, 2_000
FEATURES = """
import metaxy as mx


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"], fields=["audio"])):
    id: str


class Crop(mx.BaseFeature, spec=mx.FeatureSpec(key="crop", id_columns=["id"], deps=[Video])):
    id: str
"""
STORES = {
    "duckdb": ("metaxy.ext.duckdb.DuckDBMetadataStore", "database", "store.duckdb"),
    "sqlite": ("metaxy.ext.sqlite.SQLiteMetadataStore", "database", "store.db"),
    "delta": ("metaxy.ext.delta.DeltaMetadataStore", "root_path", "lake"),
}
ASKING = """
import collections, http.client, sys, threading, time, urllib.parse
link, store, readers = sys.argv[1], sys.argv[2], int(sys.argv[3])
url = urllib.parse.urlsplit(link)
seen, token = collections.Counter(), url.query.removeprefix("token=")

def look(number):
    time.sleep(number / readers)
    while True:
        began, question = time.monotonic(), ("counts.json", "rows.json", "counts.json")[number % 3]
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        shown = {"Authorization": f"Bearer {token}"}
        connection.request("GET", f"/api/features/crop/{question}?store={store}", headers=shown)
        answer = connection.getresponse()
        answer.read()
        seen[question, answer.status] += 1
        connection.close()
        number += 1
        time.sleep(max(0, began + 1 - time.monotonic()))

for number in range(readers):
    threading.Thread(target=look, args=(number,), daemon=True).start()
sys.stdin.read()
print(dict(seen), flush=True)
"""


@contextmanager
def looked_at(link: str, store: str, readers: int) -> Iterator[None]:
    """Let many ask while the block runs, and print what they were answered."""
    arguments = ["nice", "-n", "19", sys.executable, "-c", ASKING, link, store, str(readers)]  # browsers are elsewhere
    asking = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    time.sleep(2)
    try:
        yield
    finally:
        print(f"  {store}: answers {asking.communicate('')[0].strip()}")


def written(project: TempMetaxyProject, store: str, number: int) -> tuple[float, float]:
    """Write some rows and what is computed from them; return the wall-clock and the CPU seconds."""
    ids = [f"{number}-{n}" for n in range(ROWS)]
    frame = pl.DataFrame({"id": ids, "metaxy_provenance_by_field": [{"audio": name} for name in ids]})
    wall, cpu = time.perf_counter(), time.process_time()
    with project.store(store).open("w") as opened:
        opened.write("video", frame)
        opened.write("crop", opened.resolve_update("crop").new)
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(project: TempMetaxyProject, link: str, store: str, readers: int, writes: int) -> None:
    """Compare writes alone, beside readers of another store, who take processors only, and beside readers of this."""
    other = next(name for name in STORES if name != store)
    found: dict[str, list[tuple[float, float]]] = {"alone": [], f"readers of {other}": [], f"readers of {store}": []}
    numbers = count()
    kinds = list(zip(found, (None, other, store), strict=True))
    for turn in range(ROUNDS):
        for place, name in kinds if turn % 2 else reversed(kinds):  # tables grow, and later writes cost more
            with looked_at(link, name, readers) if name else nullcontext():
                found[place] += [written(project, store, next(numbers)) for _ in range(writes)]
    for place, times in found.items():
        wall, cpu = (statistics.mean(each[n] for each in times) for n in (0, 1))
        print(f"{store}, {place}: {wall:.3f} s, of these {cpu:.3f} s CPU of the writer", flush=True)


def main() -> None:
    readers, writes = (int(each) for each in (*sys.argv[1:], *("50", "10")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stores = {store: {"type": kind, option: str(folder / file)} for store, (kind, option, file) in STORES.items()}
        project = TempMetaxyProject(folder, FEATURES, project="looking", stores=stores, store="duckdb")
        with project.use():
            for store in STORES:
                written(project, store, -1)
            command = [sys.executable, "-m", "metaxy.cli.app", "ui", "--port", "0", "--no-open"]
            server = subprocess.Popen(command, cwd=folder, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
            assert server.stdout
            link = server.stdout.readline().strip()
            try:
                for store in STORES:
                    measure(project, link, store, readers, writes)
            finally:
                server.terminate()
                server.wait()


if __name__ == "__main__":
    main()
