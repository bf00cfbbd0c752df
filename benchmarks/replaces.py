"""What it costs to write children with ``replaces=``, beside a plain write of the same rows, in one run.

    python benchmarks/replaces.py [--rows 200000] [--rounds 5]

Parents with ten children each. Phases: the first write, into a table that is not there, and a rewrite of rows that are
there, after a new version of all parents. Both forms write in turn, each to a database of its own; the ratio of
what they took at least is what counts. In a rewrite the plain one does not find out which children are there no more.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore
from resolve import Taken, show

CHILDREN = 10  # of each parent


class Parent(mx.BaseFeature, spec=mx.FeatureSpec(key="parent", id_columns=["id"], fields=["body"])):
    id: str


class Child(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="child",
        id_columns=["id", "n"],
        deps=[mx.FeatureDep(feature=Parent, lineage=mx.LineageRelationship.expansion(on=["id"]))],
    ),
):
    id: str
    n: int


def samples(count: int, body: str) -> pl.DataFrame:
    """Return parents, all with one version of the body."""
    ids = "parent-" + pl.int_range(count, eager=True).cast(pl.String)
    return pl.DataFrame({"id": ids}).with_columns(metaxy_provenance_by_field=pl.struct(body=pl.lit(body)))


def taken(store: DuckDBMetadataStore, count: int, body: str, *, replaces: bool) -> Taken:
    """Write parents of a version, and time the write of their children."""
    store.write(Parent, samples(count, body))
    increment = store.resolve_update(Child)
    parents: pl.DataFrame = (increment.new if len(increment.new) else increment.stale).to_polars()
    children = parents.join(pl.DataFrame({"n": range(CHILDREN)}), how="cross")
    options: dict[str, Any] = {"replaces": parents} if replaces else {}
    return Taken.by(lambda: store.write(Child, children, **options))


def measure(count: int, *, replaces: bool) -> tuple[Taken, Taken]:
    """Time a first write and a rewrite, in a database of their own."""
    with tempfile.TemporaryDirectory() as folder:
        store = DuckDBMetadataStore(Path(folder) / "bench.duckdb", auto_create_tables=True)
        with store.open("w"):
            return taken(store, count, "1", replaces=replaces), taken(store, count, "2", replaces=replaces)


def main() -> None:
    """Run both phases on DuckDB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    times: dict[bool, list[tuple[Taken, Taken]]] = {True: [], False: []}
    for turn in range(options.rounds + 1):  # the first does not count
        for replaces in (True, False) if turn % 2 else (False, True):
            times[replaces].append(measure(options.rows // CHILDREN, replaces=replaces))
    print(f"{options.rows:,} children, {options.rounds} rounds, DuckDB, md5; ours is with `replaces`")
    for phase, name in enumerate(("first write", "rewrite")):
        ours, plain = ([row[phase] for row in times[form][1:]] for form in (True, False))
        show(name, ours, plain, "plain")


if __name__ == "__main__":
    main()
