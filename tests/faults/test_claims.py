"""Workers that share out samples and are killed at any moment: each sample is written once, and none is lost."""

import os
import random
import signal
from collections import Counter
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path

import pytest
from tests.factory import everything, rows
from tests.faults.children import Child, asked, children, hear, rest, tell
from tests.stores import STORES

KEEPERS = ("postgresql", "sqlite", "duckdb")

# Takes claims and writes them until nothing is left, and says what it takes, and what it wrote or lost.
WORKER = """
from datetime import timedelta
from metaxy.errors import ClaimLostError

store, me = make(lock_timeout=60.0) if sys.argv[1] != "postgresql" else make(), sys.argv[-1]
lease, limit = timedelta(seconds=float(sys.argv[3])), int(sys.argv[4])
listen()
while claim := store.claim("clip", limit=limit, lease=lease, wait=True):
    with claim:
        say("took", *claim.samples["id"])
        try:
            claim.write(claim.samples.with_columns(by=nw.lit(me)))
        except ClaimLostError:
            say("lost", *claim.samples["id"])
        else:
            say("wrote", *claim.samples["id"])
say("done")
"""


@pytest.mark.parametrize("name", KEEPERS)
@pytest.mark.parametrize(
    ("workers", "samples", "limit", "kills", "lease"),
    [
        (3, 120, 10, 3, 1.0),
        pytest.param(8, asked("METAXY_CLAIMED", 5_000), 50, asked("METAXY_KILLS", 20), 5.0, marks=pytest.mark.slow),
    ],
)
def test_samples_are_written_once_whoever_is_killed(
    tmp_path: Path, name: str, workers: int, samples: int, limit: int, kills: int, lease: float
) -> None:
    with STORES[name](tmp_path).open("w") as store:
        store.write("video", rows(id=[str(n) for n in range(samples)]))
    said: list[tuple[int, str, list[str]]] = []
    with children(workers + kills, WORKER, name, tmp_path, lease, limit) as started:
        spare = started[workers:]
        live = dict(enumerate(started[:workers]))
        for child in live.values():
            tell(child)
        pause = max(1, 2 * samples // limit // (kills + 1))  # of what is said between two kills
        heard = 0
        while live:
            for number, words in hear_any(live):
                if words:
                    said.append((number, words[0], words[1:]))
                    heard += 1
                else:
                    live.pop(number)
            if spare and live and heard >= pause:
                heard, child, number = 0, spare.pop(), random.choice(list(live))
                live[number].process.kill()
                said += [(number, *split(words)) for words in rest(live.pop(number))]
                live[workers + len(spare)] = child
                tell(child)
    with STORES[name](tmp_path) as store:
        written = Counter(everything(store, "clip")["id"])
        assert set(written) == {str(n) for n in range(samples)}
        assert set(written.values()) == {1}  # a late write is refused, as one that is written is marked with it
        assert not any(store.resolve_update("clip").counts[kind] for kind in ("new", "stale"))
    acknowledged = Counter(sample for _, what, ids in said if what == "wrote" for sample in ids)
    assert set(acknowledged.values()) <= {1}
    assert sum(what == "done" for _, what, _ in said) >= workers - kills


def hear_any(live: dict[int, Child]) -> list[tuple[int, list[str]]]:
    """Wait until some children say something; no words of those that have ended."""
    lines = {child.line: number for number, child in live.items()}
    return [(lines[line], hear(live[lines[line]]).split()) for line in wait(list(lines))]


def split(words: str) -> tuple[str, list[str]]:
    first, *others = words.split()
    return first, others


# Claims, stops between two signs of life, as a machine does that sleeps, and writes when it is told so.
SLEEPER = """
import os, signal
from datetime import timedelta
from metaxy.errors import ClaimLostError

store = make()
claim = store.claim("clip", limit=5, lease=timedelta(seconds=1))
say(*claim.samples["id"])
os.kill(os.getpid(), signal.SIGSTOP)
listen()
try:
    claim.write(claim.samples.with_columns(by=nw.lit("late")))
except ClaimLostError as error:
    say("lost", *[row["id"] for row in error.samples])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
@pytest.mark.parametrize("name", KEEPERS)
def test_a_late_worker_cannot_overwrite_what_another_one_wrote(tmp_path: Path, name: str) -> None:
    store = STORES[name](tmp_path)
    with store.open("w"):
        store.write("video", rows(id=["a", "b", "c"]))
    with children(1, SLEEPER, name, tmp_path) as [late]:
        assert hear(late).split() == ["a", "b", "c"]
        pid = late.process.pid
        assert pid is not None
        with store.claim("clip", wait=True, lease=timedelta(seconds=1)) as claim:
            assert claim.token > 1
            claim.write(claim.samples.with_columns(by=claim.samples["id"]))
        os.kill(pid, signal.SIGCONT)
        tell(late)
        assert rest(late) == ["lost a b c"]
    with store:
        assert everything(store, "clip")["by"].to_list() == ["a", "b", "c"]
