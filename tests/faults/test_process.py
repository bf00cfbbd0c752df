"""Processing that is killed or interrupted: what is written is not computed again, and nothing is lost."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.factory import define, everything, rows, values
from tests.faults.children import children, finish, hear, interrupt, rest, tell
from tests.stores import STORES, THREE

from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.storage.sql_claims import SqlClaims
from metaxy.store import outbox
from metaxy.store.claims import keeper_of
from metaxy.store.store import MetadataStore
from metaxy.store.system.id_texts import texts_of_ids

SAMPLES = 400
KEEPERS = ("postgresql", "sqlite", "duckdb")

# Computes, and says each sample; what is written is put and flushed often.
WORKER = """
from metaxy.store import outbox
outbox.PUT_ROWS, outbox.FLUSH_ROWS = 5, 10

def compute(row):
    say(row["id"])
    return {"n": 1}

make().process("clip", compute, rows="one", workers=2, batch_size=5, progress=False)
"""


def prepared(name: str, folder: Path, samples: int = SAMPLES) -> MetadataStore:
    store = STORES[name](folder)
    with store.open("w"):
        store.write("video", rows(id=[f"v{n}" for n in range(samples)]))
    return store


@pytest.mark.parametrize("name", THREE)
def test_after_kills_nothing_that_was_written_is_computed_again(tmp_path: Path, name: str) -> None:
    store = prepared(name, tmp_path)
    before: set[str] = set()
    for _ in range(2):
        with children(1, WORKER, name, tmp_path) as [child]:
            heard = [hear(child) for _ in range(random.randint(30, 90))]
            child.process.kill()
            heard += rest(child)
        assert not before & set(heard)
        assert len(set(heard)) == len(heard)
        with store:
            before = set(values(store.read("clip"))) if store.has_feature("clip") else set()
    computed: list[str] = []

    def compute(row: dict[str, Any]) -> dict[str, Any]:
        computed.append(row["id"])
        return {"n": 2}

    report = store.process("clip", compute, progress=False)
    assert report.done == len(computed) == SAMPLES - len(before)
    assert not before & set(computed)
    with store:
        assert len(values(store.read("clip"))) == SAMPLES


# Says that Ctrl-C was noticed: what is sent to a child after the signal may be there before it.
NOTING = """
from metaxy import progress

progress.Silent.note = lambda self, text: say(text)
"""
INTERRUPTED = """
def compute(given):
    say(len(given))
    listen()
    return [{"n": 1} for row in given]

try:
    make().process("clip", compute, rows="many", batch_size=100, progress=False)
except KeyboardInterrupt as error:
    say(error)
"""


def test_ctrl_c_finishes_the_batch_writes_it_and_says_how_to_go_on(tmp_path: Path) -> None:
    store = prepared("duckdb", tmp_path)
    with children(1, NOTING + INTERRUPTED, "duckdb", tmp_path) as [child]:
        assert hear(child) == "100"
        interrupt(child)
        assert "once more ends at once" in hear(child)
        tell(child, "go on")
        said = hear(child)
    assert said == (
        "feature clip, function compute: 100 of 400 samples are computed and written; process again to go on"
    )
    assert store.process("clip", lambda _: {"n": 1}, rows="one", progress=False).total == 300


def test_a_store_that_goes_away_is_named_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PUT_ROWS", 5)
    monkeypatch.setattr(outbox, "FLUSH_ROWS", 10)
    store = prepared("delta", tmp_path)
    calls = 0

    def compute(row: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls == 100:
            Path(tmp_path, "delta").rename(tmp_path / "gone")
            Path(tmp_path, "delta").write_text("no folder")
        return {"n": 1}

    with pytest.raises(Exception, match="cannot be written") as caught:
        store.process("clip", compute, batch_size=5, progress=False)
    assert str(caught.value).startswith("feature clip, function ")
    Path(tmp_path, "delta").unlink()
    Path(tmp_path, "gone").rename(tmp_path / "delta")
    with store:
        written = len(values(store.read("clip")))
    assert store.process("clip", compute, progress=False).done == SAMPLES - written


# Shares samples with others, says each, and what came of it.
SHARING = """
import os, sys
from datetime import timedelta
from metaxy.store import outbox
outbox.FLUSH_ROWS = 20

def compute(row):
    say("begun", row["id"])
    if row["id"].endswith("7"):
        raise ValueError("no sevens")
    return {"by": os.getpid()}

store = make(lock_timeout=60.0) if sys.argv[1] != "postgresql" else make()
listen()
lease = timedelta(seconds=float(sys.argv[3]))
report = store.process("clip", compute, rows="one", claim=True, lease=lease, workers=2, progress=False)
say("done", report.done, report.failed, report.lost)
"""


@pytest.mark.parametrize("name", KEEPERS)
def test_processes_that_claim_share_a_feature_and_may_be_killed(tmp_path: Path, name: str) -> None:
    store = prepared(name, tmp_path, samples=120)
    with children(3, SHARING, name, tmp_path, 60.0) as started:  # nobody's lease ends, however busy the machine
        for child in started:
            tell(child)
        killed, *others = started
        heard = [hear(killed) for _ in range(10)]
        killed.process.kill()
        heard += rest(killed)
        said = [finish(child) for child in others]
    begun = Counter(line.split()[1] for lines in said for line in lines if line.startswith("begun"))
    assert set(begun.values()) == {1}
    ended = [list(map(int, lines[-1].split()[1:])) for lines in said]
    with store:
        written = everything(store, "clip")
        failed = store.read_errors("clip")
    assert set(written["id"].value_counts()["count"]) == {1}
    assert set(failed["attempt"]) == {1}
    assert not set(written["id"]) & set(failed["id"])
    first = set(written["id"]) | set(failed["id"])
    assert sum(done + bad + lost for done, bad, lost in ended) == len(begun)
    assert len(first) >= len(begun)
    again = store.process("clip", lambda _: {"by": 0}, rows="one", claim=True, progress=False)
    assert again.done == again.total == 120 - written.height - again.elsewhere
    with store:
        assert len(set(everything(store, "clip")["id"])) == 120 - again.elsewhere


def test_a_lost_claim_is_no_error_of_its_samples(tmp_path: Path) -> None:
    """While the function runs, somebody else takes over what it computes."""
    store = prepared("sqlite", tmp_path)
    define("chunk", FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["id"])), ids=["id", "k"])
    other = STORES["sqlite"](tmp_path)

    def late(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        _, claims = keeper_of(other)
        assert isinstance(claims, SqlClaims)
        with other.open("w"), claims.transaction():
            ids = texts_of_ids(pl.DataFrame(given[:2]), ["id"]).to_list()
            claims.run(f"UPDATE {claims.table} SET claim = 'another' WHERE ids IN (?, ?)", ids)
        return [{**row, "k": 1} for row in given]

    for feature in ("clip", "chunk"):
        report = store.process(feature, late, rows="many", claim=True, limit=4, batch_size=4, progress=False)
        assert (report.total, report.done, report.lost, report.failed, report.rows) == (4, 2, 2, 0, 2)
        assert not report.in_sync
        with store:
            assert len(store.read_errors(feature)) == 0
            assert len(values(store.read(feature))) == 2


def test_a_process_that_claims_lets_go_when_it_is_interrupted(tmp_path: Path) -> None:
    store = prepared("duckdb", tmp_path)
    with children(1, NOTING + INTERRUPTED.replace("rows=", "claim=True, rows="), "duckdb", tmp_path) as [child]:
        assert hear(child) == "100"
        interrupt(child)
        assert "once more ends at once" in hear(child)
        tell(child, "go on")
        assert "100 of 200 samples are computed and written" in hear(child)
        rest(child)
    report = store.process("clip", lambda _: {"n": 1}, rows="one", claim=True, progress=False)
    assert (report.total, report.done, report.elsewhere, report.in_sync) == (300, 300, 0, True)


STUBBORN = """
def compute(row):
    say(row["id"])
    listen()
    return {"n": 1}

try:
    make().process("clip", compute, rows="one", batch_size=1, claim=sys.argv[3] == "claim", progress=False)
except KeyboardInterrupt as error:
    say("ended at once", *error.args)
"""


@pytest.mark.parametrize("claim", ["claim", ""])
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path, claim: str) -> None:
    store = prepared("sqlite", tmp_path, samples=3)
    with children(1, NOTING + STUBBORN, "sqlite", tmp_path, claim) as [child]:
        assert hear(child) == "v0"
        interrupt(child)
        assert "once more ends at once" in hear(child)
        interrupt(child)
        assert hear(child) == "ended at once"
    again = store.process("clip", lambda _: {"n": 1}, rows="one", claim=True, progress=False)
    assert (again.total, again.elsewhere) == (3, 0)


IN_PROCESSES = """
from pathlib import Path
from tests.factory import define, rows
from metaxy.ext.sqlite import SQLiteMetadataStore

define("video")
define("clip", "video")

def compute(row):
    with open("begun", "w") as begun:
        begun.write(row["id"])
    with open("go") as go:
        go.read()
    return {"n": 1}

if __name__ == "__main__":
    store = SQLiteMetadataStore("store.sqlite", auto_create_tables=True)
    with store.open("w"):
        store.write("video", rows(id=["a", "b", "c"]))
    try:
        store.process("clip", compute, rows="one", executor="process", batch_size=1, order_by="id")
    except KeyboardInterrupt as error:
        print(error)
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_ctrl_c_reaches_worker_processes_which_finish_what_they_began(tmp_path: Path) -> None:
    for name in ("begun", "go"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "script.py").write_text(IN_PROCESSES)
    with subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stderr is not None
        assert (tmp_path / "begun").read_text() == "a"
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does it
        assert "Ctrl-C: what was begun is finished and written" in run.stderr.readline()
        (tmp_path / "go").write_text("on")
        said, _ = run.communicate()
    assert said == "feature clip, function compute: 1 of 3 samples are computed and written; process again to go on\n"
