"""How a write to PostgreSQL compares with a plain COPY of the same rows, in one run.

    python -m benchmarks.postgres_write [--rows 100000] [--rounds 7]

A root feature with fields audio and frames. Our side gets four columns, and checks, versions and stores them; the
opponent gets all columns as we stored them, computed beforehand, and copies them as CSV that Polars writes. Both write
a new table, then append to it, each in one transaction of the same server: the one that the tests use, whose disk is
not waited for. On Linux it also says how much CPU time client and server took together, which a busy machine changes
less than seconds.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import psycopg
from benchmarks.resolve import benchmark_graph, samples
from tests.services import postgres, running

from metaxy.columns import BY_FIELD_COLUMNS
from metaxy.ext.postgresql import PostgreSQLMetadataStore
from metaxy.versioning.frames import collect_to_polars


@contextmanager
def database() -> Iterator[running.Address]:
    """Run a server for as long as the block lasts."""
    running.begin()
    try:
        yield postgres.new_database()
    finally:
        running.end()


def plain_copy(session: "psycopg.Connection[tuple[object, ...]]", table: str, frame: pl.DataFrame) -> None:
    """Copy a frame into a table in one transaction."""
    names = ", ".join(f'"{name}"' for name in frame.columns)
    statement = f"COPY {table} ({names}) FROM STDIN (FORMAT csv, NULL '\\N')".encode()
    with session.transaction(), session.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(frame.write_csv(include_header=False, quote_style="non_numeric", null_value="\\N").encode())


def cpu_of(process: int) -> float:
    """Return the CPU seconds that a process has taken; 0 where nobody can tell."""
    counters = Path(f"/proc/{process}/stat")
    if not counters.exists():
        return 0.0
    user, system = counters.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def seconds(work: Callable[[], None], backend: int) -> tuple[float, float]:
    """Run something and return how long it took, and how much CPU time here and in the backend of its session."""
    start, cpu = time.perf_counter(), time.process_time() + cpu_of(backend)
    work()
    return time.perf_counter() - start, time.process_time() + cpu_of(backend) - cpu


def stored_frame(store: PostgreSQLMetadataStore) -> pl.DataFrame:
    """Return the stored rows as text that COPY reads: times and JSON are what differs from the types of Polars."""
    frame = collect_to_polars(store.read("video", columns=None))
    times = pl.selectors.datetime()
    return frame.with_columns(
        times.dt.strftime("%Y-%m-%d %H:%M:%S%.6f+00"), *(pl.col(name).struct.json_encode() for name in BY_FIELD_COLUMNS)
    )


def main() -> None:
    """Measure and print ratios of medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    frame = samples(asked.rows)
    times: dict[str, list[tuple[float, float]]] = {
        name: [] for name in ("new, ours", "new, COPY", "append, ours", "append, COPY")
    }
    with database() as address, benchmark_graph().use(), postgres.connect(address) as session:
        store = PostgreSQLMetadataStore(connection_params=address, auto_create_tables=True)
        with store.open("w"):
            store.write("video", frame)
            stored = stored_frame(store)
            ours, plain = store.connection.session.driver.info.backend_pid, session.info.backend_pid
            kinds = session.execute(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
                "WHERE attrelid = 'video'::regclass AND attnum > 0 ORDER BY attnum"
            ).fetchall()
            columns = ", ".join(f'"{name}" {kind}' for name, kind in kinds)
            for _ in range(asked.rounds):
                session.execute("DROP TABLE IF EXISTS video, plain")
                session.execute(f"CREATE TABLE plain ({columns})".encode())
                for what in ("new", "append"):
                    times[f"{what}, ours"].append(seconds(lambda: store.write("video", frame), ours))
                    times[f"{what}, COPY"].append(seconds(lambda: plain_copy(session, "plain", stored), plain))
    for what in ("new", "append"):
        for index, unit in enumerate(("s", "CPU s")):
            mine, theirs = (
                statistics.median(taken[index] for taken in times[f"{what}, {who}"]) for who in ("ours", "COPY")
            )
            ratio = f"ratio {mine / theirs:.2f}"
            print(f"{what:7} {asked.rows:>9,} rows   ours {mine:.3f} {unit}   plain COPY {theirs:.3f} {unit}   {ratio}")


if __name__ == "__main__":
    main()
