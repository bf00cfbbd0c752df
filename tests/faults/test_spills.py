"""Spill folders of writers that live, that were killed, and that nobody here can know."""

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
