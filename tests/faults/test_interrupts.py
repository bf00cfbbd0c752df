"""Ctrl-C in the middle of a statement: it ends, nothing is half written, and the store goes on."""

from pathlib import Path

import pytest
from tests.faults.children import children, finish, hear, interrupt

# Hashes slowly, so that a statement would run for long, and says when it has begun to.
SLOW_HASHES = """
import importlib, signal, time
from metaxy.hashing import HashAlgorithm

functions = importlib.import_module(f"metaxy.ext.{sys.argv[1]}.functions")
quick, slow = functions._hasher, []

def hasher(algorithm):
    compute = quick(algorithm)
    def wait(texts):
        if slow:
            say(slow.pop()) if "hashing" in slow else None
            time.sleep(1)
        return compute(texts)
    return wait

functions._hasher = hasher
signal.signal(signal.SIGINT, signal.default_int_handler)  # even if this runs in the background
"""
VERBS = """
hashed_in_python = {"duckdb": HashAlgorithm.XXHASH64, "sqlite": HashAlgorithm.MD5}
with make(hash_algorithm=hashed_in_python[sys.argv[1]]).open("w") as store:
    store.write("video", rows(id=[f"{n:06}" for n in range(50_000 if sys.argv[1] == "duckdb" else 300)]))
    store.write("clip", store.resolve_update("clip").new[:10])
    waiting = store.resolve_update("clip", lazy=True).new
    slow += ["slow", "hashing"]
    try:
        store.resolve_update("clip") if sys.argv[3] == "resolve" else store.write("clip", waiting)
    except KeyboardInterrupt:
        slow.clear()
        say("interrupted")
    say(len(values(store.read("clip"))))
    store.write("clip", store.resolve_update("clip").new)
    say(len(values(store.read("clip"))) == len(values(store.read("video"))))
"""


# SQLite calls nothing of Python by itself: a query without end, and rows from Polars that go in one after the other.
ENDLESS = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
with make().open("w") as store:
    store.write("video", rows(id=["a"]))
    begun = ["begun"]
    def begin():
        say(begun.pop()) if begun else time.sleep(0.01)
        return 1
    session = store.connection.session.driver
    session.create_function("test_begin", 0, begin)
    session.execute("CREATE TEMP TRIGGER slow BEFORE INSERT ON video BEGIN SELECT test_begin(); END")
    numbers = "WITH RECURSIVE n(x) AS (SELECT test_begin() UNION ALL SELECT x + 1 FROM n) SELECT max(x) AS n FROM n"
    try:
        if sys.argv[3] == "query":
            store.connection.fetch(numbers, lambda: {"n": nw.Int64()})
        else:
            store.write("video", rows(id=[str(n) for n in range(10_000)]))
    except KeyboardInterrupt:
        say("interrupted")
    session.execute("DROP TRIGGER slow")
    say(len(values(store.read("video"))))
    store.write("video", rows(id=["b"]))
    say(len(values(store.read("video"))))
"""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("verb", ["resolve", "write"])
@pytest.mark.parametrize("name", ["duckdb", "sqlite"])
def test_ctrl_c_ends_a_verb_and_leaves_the_store_usable(tmp_path: Path, name: str, verb: str) -> None:
    with children(1, SLOW_HASHES + VERBS, name, tmp_path, verb) as [child]:
        assert hear(child) == "hashing"
        interrupt(child)
        assert finish(child) == ["interrupted", "10", "True"]


@pytest.mark.parametrize("what", ["query", "insert"])
def test_ctrl_c_ends_what_sqlite_does_alone(tmp_path: Path, what: str) -> None:
    with children(1, ENDLESS, "sqlite", tmp_path, what) as [child]:
        assert hear(child) == "begun"
        interrupt(child)
        assert finish(child) == ["interrupted", "1", "2"]
