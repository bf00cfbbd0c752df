"""SQLite's work for an update grows with the rows, not with their square: its steps are counted, never timed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, ids, rows

from metaxy.columns import METAXY_UPDATED_AT
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.ext.sqlite import SQLiteMetadataStore
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore

FEW, MANY = 150, 600
GROWTH = 5.0  # four times the rows, and a logarithm; twelve or more where each row is compared with all
A_FEW = 10  # rows, as old statistics have it


def relate(kind: str) -> None:
    """Define two roots, and a leaf that depends on them in one of several ways."""
    define("video")
    define("audio")
    optional = [FeatureDep(feature=key, optional=True) for key in ("video", "audio")]
    grouped = FeatureDep(feature="video", lineage=LineageRelationship.aggregation(on=["owner"]))
    expanded = FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["id"]))
    leaves: dict[str, Callable[[], Any]] = {
        "one": lambda: define("leaf", "video"),
        "two": lambda: define("leaf", "video", "audio"),
        "all optional": lambda: define("leaf", *optional),
        "grouped": lambda: define("leaf", grouped, ids=["owner"]),
        "expanded": lambda: define("leaf", expanded, ids=["id", "part"]),
    }
    leaves[kind]()


def samples(count: int, version: str = "1") -> pl.DataFrame:
    number = range(count)
    return rows(version, id=[f"s{n}" for n in number], owner=[f"o{n // 3}" for n in number], path=["x"] * count)


def computed(store: MetadataStore, kind: str) -> None:
    """Write what is new or stale."""
    found = store.resolve_update("leaf")
    for frame in (found.new.to_polars(), found.stale.to_polars()):
        store.write("leaf", frame.unique("owner") if kind == "grouped" else frame.with_columns(part=1))


def steps(store: SQLiteMetadataStore, act: Callable[[], Any]) -> int:
    """Count the steps of SQLite's machine, in hundreds."""
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    store.connection.session.driver.set_progress_handler(step, 100)
    act()
    return taken


def opened(file: Path) -> Any:
    return SQLiteMetadataStore(file, auto_create_tables=True).open("w")


def measured(folder: Path, kind: str, count: int, *, analysed: bool) -> dict[str, int]:
    """Count the steps of each update: with nothing to compare with, nothing changed, some, and all."""
    file = folder / f"{kind}-{count}-{analysed}.sqlite"
    if analysed:  # SQLite knows how many rows there are, and will not be told that there are more
        with opened(file) as store:
            write_roots(store, samples(A_FEW))
            store.write("leaf", store.resolve_update("leaf").new)
            store.connection.session.driver.execute("ANALYZE")
    found = {}
    with opened(file) as store:

        def update() -> None:
            store.resolve_update("leaf")

        write_roots(store, samples(count))
        found["new"] = steps(store, update)
        computed(store, kind)
        found["nothing"] = steps(store, update)
        found["status"] = steps(store, lambda: get_feature_metadata_status("leaf", store))
        write_roots(store, samples(count // 10, "2"))
        found["some"] = steps(store, update)
        write_roots(store, samples(count, "3"))
        found["all"] = steps(store, update)
        found["lazy"] = steps(store, lambda: store.resolve_update("leaf", lazy=True).stale.collect())
    return found


def write_roots(store: MetadataStore, frame: pl.DataFrame) -> None:
    store.write("video", frame)
    store.write("audio", frame.select("id", pl.selectors.starts_with("metaxy")))


@pytest.mark.parametrize(
    ("kind", "analysed"),
    [("one", False), ("two", False), ("all optional", False), ("grouped", False), ("expanded", False), ("two", True)],
)
def test_an_update_takes_steps_in_proportion_to_the_rows(tmp_path: Path, kind: str, analysed: bool) -> None:
    relate(kind)
    few, many = (measured(tmp_path, kind, count, analysed=analysed) for count in (FEW, MANY))
    growth = {phase: many[phase] / few[phase] for phase in many}
    assert {phase: ratio for phase, ratio in growth.items() if ratio > GROWTH} == {}, growth


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteMetadataStore]:
    """Give a store with one sample of each kind, two of them written twice."""
    with opened(tmp_path / "x.sqlite") as store:
        relate("one")
        store.write("video", samples(5))
        store.write("leaf", store.resolve_update("leaf").new.to_polars().filter(pl.col("id") != "s3"))
        store.delete("video", nw.col("id") == "s4")
        store.write("video", samples(2, "2"))
        store.write("video", samples(1, "1"))
        yield store


ANSWER = (["s3"], ["s1"], ["s4"])


def test_rows_of_views_and_of_tables_without_row_ids_are_told_apart_otherwise(store: SQLiteMetadataStore) -> None:
    assert ids(store.resolve_update("leaf")) == ANSWER
    session = store.connection.session.driver
    for table in ("video", "leaf"):
        session.execute(f'ALTER TABLE "{table}" RENAME TO "{table}_stored"')
        session.execute(f'CREATE VIEW "{table}" AS SELECT * FROM "{table}_stored"')
    assert ids(store.resolve_update("leaf")) == ANSWER
    for table in ("video", "leaf"):
        session.execute(f'DROP VIEW "{table}"')
        kinds = session.execute(f"SELECT name, type FROM pragma_table_info('{table}_stored')").fetchall()
        columns = ", ".join(f'"{name}" {kind}' for name, kind in kinds)
        session.execute(f'CREATE TABLE "{table}" (n INTEGER PRIMARY KEY, {columns}) WITHOUT ROWID')
        session.execute(f'INSERT INTO "{table}" SELECT rowid, * FROM "{table}_stored"')
    assert ids(store.resolve_update("leaf")) == ANSWER
    assert store.resolve_update("leaf").stale.to_polars()["path"].to_list() == ["x"]


def test_of_rows_without_an_id_the_latest_counts_too(store: SQLiteMetadataStore) -> None:
    statement = f'UPDATE "leaf" SET "id" = NULL, "{METAXY_UPDATED_AT}" = "{METAXY_UPDATED_AT}" + rowid'
    store.connection.session.driver.execute(statement)
    assert store.read("leaf").collect().shape[0] == 1
    assert ids(store.resolve_update("leaf")) == (["s0", "s1", "s2", "s3"], [], [None])
