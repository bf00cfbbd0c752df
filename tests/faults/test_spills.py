"""Spill folders of writers that live, that were killed, and that nobody here can know."""

import os
import platform
from pathlib import Path

from tests.factory import values
from tests.faults.children import children, finish, hear, rest, tell
from tests.stores import STORES

from metaxy.definitions.keys import FeatureKey
from metaxy.store.batched_writer import BufferedMetadataWriter

WRITER = """
import os
from metaxy.store.batched_writer import BufferedMetadataWriter

store, spill, me = make(), sys.argv[3], sys.argv[4]
writer = BufferedMetadataWriter(store, flush_interval=3600, spill=spill).start()
writer.put({"video": rows(id=[f"kept-{me}"])})
say("kept")
listen()
if me == "0":
    writer.stop()
else:
    pl.DataFrame.write_ipc = lambda *_: os.kill(os.getpid(), 9)
    writer.put({"video": rows(id=[f"cut-{me}"])})
"""


def test_only_folders_of_writers_that_are_gone_are_recovered_and_removed(tmp_path: Path) -> None:
    spill, make = tmp_path / "spill", STORES["sqlite"]
    with children(2, WRITER, "sqlite", tmp_path, spill) as (living, killed):
        assert [hear(living), hear(killed)] == ["kept", "kept"]
        tell(killed)
        assert rest(killed) == []
        (theirs,) = spill.glob(f"*-{killed.process.pid}-*.writer")
        (alive,) = spill.glob(f"*-{living.process.pid}-*.writer")
        assert len(list(theirs.glob("*.put"))) == 1
        far = spill / theirs.name.replace(platform.node(), "elsewhere", 1)
        (far / "0-unfinished").mkdir(parents=True)
        before = sorted(alive.rglob("*"))

        store = make(tmp_path)
        assert BufferedMetadataWriter.recover(store, spill) == {FeatureKey("video"): 1}
        assert sorted(spill.iterdir()) == sorted([alive, far])
        assert sorted(alive.rglob("*")) == before
        assert (far / "0-unfinished").is_dir()
        with store:
            assert values(store.read("video")) == ["kept-1"]

        tell(living)
        finish(living)
    assert list(spill.iterdir()) == [far]
    assert BufferedMetadataWriter.recover(store, spill) == {}
    with store:
        assert values(store.read("video")) == ["kept-0", "kept-1"]
    assert (far / "0-unfinished").is_dir()


SPILLER = """
import os
from threading import Thread

store = make(config={"memory_limit": "60MB", "threads": "1"})
folder = Path(sys.argv[2], "store.duckdb.tmp")

def watch():
    while not list(folder.glob("*")):
        pass
    os.kill(os.getpid(), 9)

with store.open("w"):
    Thread(target=watch, daemon=True).start()
    store.connection.execute("CREATE TEMP TABLE t AS SELECT range, hash(range) AS h FROM range(9000000) ORDER BY h")
"""


def test_what_duckdb_spilled_in_a_killed_process_is_removed(tmp_path: Path) -> None:
    with children(1, SPILLER, "duckdb", tmp_path) as (child,):
        assert rest(child) == []
    spilled = list((tmp_path / "store.duckdb.tmp").iterdir())
    assert spilled
    store = STORES["duckdb"](tmp_path)
    with store:
        assert all(file.exists() for file in spilled)
    for file in spilled:
        os.utime(file, (1, 1))  # this process was there before
    (young := spilled[0].with_name("duckdb_temp_of_ours")).touch()
    with store.open("w"):
        assert list((tmp_path / "store.duckdb.tmp").iterdir()) == [young]
    young.unlink()
    with store.open("w"):
        assert not (tmp_path / "store.duckdb.tmp").exists()
