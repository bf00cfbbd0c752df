"""Processes that want one embedded database: each has its turn, in the order in which they came."""

from collections import Counter
from pathlib import Path

import pytest
from tests.factory import everything
from tests.faults.children import children, finish, hear, tell

from metaxy import columns as c
from metaxy.errors import StoreLockedError
from metaxy.ext.duckdb import DuckDBMetadataStore

TURNS = 3
STORE = """
def open_store(kind, folder):
    catalog = {"type": "duckdb", "uri": str(Path(folder, "a.duckdb"))}
    lake = {"catalog": catalog, "storage": {"type": "local", "path": str(Path(folder, "files"))}}
    place = {"database": ":memory:", "ducklake": lake} if kind == "ducklake" else {"database": catalog["uri"]}
    return DuckDBMetadataStore(**place, auto_create_tables=True, lock_timeout=300.0)
"""
WRITER = f"""
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.ext.duckdb.turns import Turns
{STORE}
store, turns, me = open_store(sys.argv[1], sys.argv[2]), int(sys.argv[3]), sys.argv[4]
stand, told = Turns.wait, []

def wait(self):
    stand(self)
    if not told:
        told.append(say("waits"))

Turns.wait = wait
listen()
for number in range(turns):
    with store.open("w"):
        store.write("video", rows(id=[f"{{me}}-{{number}}"]))
        if me == "0" and number == 0:
            say("holds")
            listen()
"""


@pytest.mark.parametrize("kind", ["duckdb", "ducklake"])
def test_who_waits_has_a_turn_before_who_had_one(tmp_path: Path, kind: str) -> None:
    """The first one opens the file again the moment it has closed it; one of those who wait is killed."""
    with children(4, WRITER, kind, tmp_path, TURNS) as started:
        holder, second, killed, third = started
        tell(holder)
        assert hear(holder) == "holds"
        for child in (second, killed, third):
            tell(child)
            assert hear(child) == "waits"
        killed.process.kill()
        killed.process.join()
        assert len(list((tmp_path / ".a.duckdb.queue").iterdir())) == 3
        tell(holder)
        for child in (holder, second, third):
            finish(child)
    space: dict[str, type] = {"Path": Path, "DuckDBMetadataStore": DuckDBMetadataStore}
    exec(STORE, space)
    with space["open_store"](kind, tmp_path) as store:
        found = everything(store, "video").sort(c.METAXY_UPDATED_AT)["id"].to_list()
    assert found[:3] == ["0-0", "1-0", "3-0"]
    assert Counter(found) == Counter(f"{writer}-{number}" for writer in (0, 1, 3) for number in range(TURNS))
    assert not (tmp_path / ".a.duckdb.queue").exists()


def test_who_does_not_wait_lets_those_first_who_do(tmp_path: Path) -> None:
    """Else those who read a file all the time, one thread after the other, would keep it for ever."""
    file = tmp_path / "a.duckdb"
    with DuckDBMetadataStore(file).open("w"):
        pass
    first, second, third, patient = (DuckDBMetadataStore(file, lock_timeout=each) for each in (0.0, 0.0, 0.0, 1.0))
    with children(1, WRITER, "duckdb", tmp_path, TURNS) as [writer]:
        with first, second:
            tell(writer)
            assert hear(writer) == "waits"
            with pytest.raises(StoreLockedError, match="is busy: other processes wait for it"), third:
                pass
            with patient:  # may be what the first one is waiting for
                pass
        assert hear(writer) == "holds"
        tell(writer)
        finish(writer)
