"""Several processes that write at once: every row is there once, and of two rows of a sample one whole row wins."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import narwhals as nw
import pytest
from tests.factory import everything, rows, values
from tests.faults.children import asked, children, finish, tell
from tests.stores import ON_S3

from metaxy import columns as c
from metaxy.store.session import Clock
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

Make = Callable[..., MetadataStore]
PATIENCE = {
    name: {"lock_timeout": 600.0} for name in ("duckdb", "ducklake", "sqlite")
}  # of stores that let one writer in at a time

# -- appends -----------------------------------------------------------------------------------------------------------

APPENDER = """
store = make(**eval(sys.argv[3]))
listen()
for number in range(int(sys.argv[4])):
    with store.open("w"):
        store.write("video", rows(id=[f"{sys.argv[5]}-{number}"], **{f"of_{sys.argv[5]}": [number]}))
"""


@pytest.mark.parametrize(
    ("writers", "appends"), [(2, 5), pytest.param(4, asked("METAXY_APPENDS", 50), marks=pytest.mark.slow)]
)
def test_every_row_of_every_writer_is_there_once(
    make: Make, name: str, tmp_path: Path, writers: int, appends: int
) -> None:
    with children(writers, APPENDER, name, tmp_path, PATIENCE.get(name, {}), appends) as started:
        for child in started:  # all are ready: they race to create the table, each with a column of its own
            tell(child)
        for child in started:
            finish(child)
    with make() as store:
        found = Counter(everything(store, "video")["id"])
    assert found == Counter(f"{writer}-{number}" for writer in range(writers) for number in range(appends))


@pytest.mark.parametrize("name", ON_S3)
@pytest.mark.parametrize(
    ("writers", "appends"), [(2, 3), pytest.param(4, asked("METAXY_APPENDS", 15), marks=pytest.mark.slow)]
)
def test_every_row_of_every_writer_is_in_the_bucket_once(tmp_path: Path, name: str, writers: int, appends: int) -> None:
    """Object stores promise it where they write on condition that there is no such object, as S3 does."""
    with children(writers, APPENDER, name, tmp_path, {}, appends) as started:
        for child in started:
            tell(child)
        for child in started:
            finish(child)
    with ON_S3[name](tmp_path) as store:
        found = Counter(everything(store, "video")["id"])
    assert found == Counter(f"{writer}-{number}" for writer in range(writers) for number in range(appends))


TIDY_APPENDER = """
store = make()
listen()
with store.open("w"):
    for number in range(int(sys.argv[3])):
        store.write("video", rows(id=[f"{sys.argv[4]}-{number}", f"gone-{sys.argv[4]}-{number}"]))
        store.delete("video", nw.col("id") == f"gone-{sys.argv[4]}-{number}", soft=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["delta", "iceberg", "lancedb"])
def test_files_are_merged_beside_writers(make: Make, name: str, tmp_path: Path) -> None:
    """Every row that is written is there once, and none that is deleted, though all files are replaced meanwhile."""
    writers, writes = 2, 8
    with make().open("w") as store:
        store.write("video", rows(id=["first"]))
        merged = 0
        with children(writers, TIDY_APPENDER, name, tmp_path, writes) as started:
            for child in started:
                tell(child)
            while any(child.process.is_alive() for child in started):
                store.optimize("video", keep=timedelta(0))
                merged += 1
            for child in started:
                finish(child)
        assert merged > 1
        found = Counter(everything(store, "video")["id"])
    assert found == Counter(["first", *(f"{writer}-{number}" for writer in range(writers) for number in range(writes))])


# -- the same sample ---------------------------------------------------------------------------------------------------

RIVAL = """
store = make(**eval(sys.argv[3]))
me = sys.argv[5]
listen()
for number in range(int(sys.argv[4])):
    word = f"{me}-{number}"
    with store.open("w"):
        store.write("video", rows(word, id=["a", "b"], u=[word] * 2, v=[word, None]))
"""


def whole_rows(store: MetadataStore) -> list[tuple[Any, ...]]:
    """Read both samples in several ways, which must agree, and check that each row is of one write."""
    frame = collect_to_polars(store.read("video")).sort("id")
    found = frame.select("id", "u", "v", version=frame[c.METAXY_PROVENANCE_BY_FIELD].struct["default"]).rows()
    for sample, u, v, version in found:
        assert u == version
        assert v == (u if sample == "a" else None)
    for _ in range(3):
        assert values(store.read("video"), "id", "u") == [row[:2] for row in found]
        assert values(store.read("video", columns=["u", "id"], filters=[nw.col("id") == "a"]), "u") == [found[0][1]]
    samples = rows([row[3] for row in found], id=[row[0] for row in found])
    assert not store.resolve_update("video", samples=samples)
    return found


@pytest.mark.parametrize("writes", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_one_whole_row_of_two_rivals_wins(make: Make, name: str, tmp_path: Path, writes: int) -> None:
    with children(2, RIVAL, name, tmp_path, PATIENCE.get(name, {}), writes) as started:
        for child in started:
            tell(child)
        for child in started:
            finish(child)
    with make() as store:
        found = whole_rows(store)
        newest = everything(store, "video").sort(c.METAXY_UPDATED_AT)
        assert newest.filter(newest["u"].is_in([f"{n}-{writes - 1}" for n in range(2)])).height == 4
    assert {row[1] for row in found} <= {f"{n}-{writes - 1}" for n in range(2)}
    with make(versioning_engine="polars") as other:
        assert whole_rows(other) == found


# -- clocks ------------------------------------------------------------------------------------------------------------

NOON = datetime(2026, 3, 4, 12, tzinfo=timezone.utc)


class Stopped(Clock):
    """A clock that always says the same."""

    def now(self) -> datetime:
        return NOON


def test_of_rows_written_at_one_moment_the_same_wins_in_any_order(make: Make) -> None:
    store = make()
    store.clock = Stopped()
    for order in ("xyz", "zyx", "yzx"):
        with store.open("w"):
            store.drop_feature_metadata("video")
            for word in order:
                store.write("video", rows(word, id=["a", "b"], u=[word] * 2, v=[word, None]))
            winner = everything(store, "video").sort(c.METAXY_DATA_VERSION)["u"][-1]
            assert {row[1] for row in whole_rows(store)} == {winner}
        with make(versioning_engine="polars") as other:
            assert {row[1] for row in whole_rows(other)} == {winner}


def test_db28_a_write_wins_over_those_of_a_machine_whose_clock_is_ahead(make: Make) -> None:
    """Also over a deletion there; samples that only the other machine or only this one wrote keep their times."""
    ahead, behind = make(), make()
    behind.clock = Stopped()
    with ahead.open("w"):
        ahead.write("video", rows("far", id=["a", "b", "gone"], u=["far"] * 3, v=["far"] * 3))
        ahead.delete("video", nw.col("id") == "gone")
    with behind.open("w"):
        for word in ("1", "2"):
            behind.write("video", rows(word, id=["a", "gone"], u=[word] * 2, v=[word] * 2))
        behind.write("video", rows("new", id=["new"], u=["new"], v=["new"]))
        found = [("a", "2", "2"), ("b", "far", "far"), ("gone", "2", "2"), ("new", "new", "new")]
        assert values(behind.read("video"), "id", "u", "v") == found
        stored = everything(behind, "video")
    times = dict(stored.filter(stored["u"] != "far").select("id", c.METAXY_UPDATED_AT).rows())
    assert times["new"] == NOON < min(times["a"], times["gone"])


def test_a_clock_that_is_set_back_hides_no_later_write(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([NOON, NOON - timedelta(hours=1), NOON - timedelta(hours=2)])

    class Wall:
        min = datetime.min

        @staticmethod
        def now(_zone: Any) -> datetime:
            return next(moments)

    monkeypatch.setattr("metaxy.store.session.datetime", Wall)
    store = make()
    for word in ("1", "2", "3"):
        with store.open("w"):
            store.write("video", rows(word, id=["a", "b"], u=[word] * 2, v=[word, None]))
    with store:
        assert {row[1] for row in whole_rows(store)} == {"3"}
        assert everything(store, "video")[c.METAXY_UPDATED_AT].unique().sort().to_list() == [
            NOON + timedelta(microseconds=n) for n in range(3)
        ]
