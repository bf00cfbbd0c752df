"""Rows as Parquet files of a Delta table: Polars writes them, and one commit of delta-rs adds them.

The writer of delta-rs takes about three times as long for the same rows. It stays for all that it alone knows: types
that Delta lacks, columns that a table must gain, partitions of the user, and tables with rules of their own.
"""

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, CommitProperties, create_table_with_add_actions

PART_ROWS = 2_000_000  # of one file
MOMENT = pl.Datetime("us", "UTC")
SAME_IN_DELTA = (pl.String, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Float32, pl.Float64, pl.Boolean, pl.Date)
PLAIN_WRITER = 2  # writers of this version need to know constraints and invariants, which plain tables have none of
SIMPLE_VALUE = re.compile(r"[A-Za-z0-9_.-]+")  # is its own name in paths
LONGEST_TEXT = 64  # that statistics hold
ONCE = CommitProperties(max_commit_retries=0)  # tried again, it would replace the columns of whoever was faster


@dataclass(frozen=True)
class Place:
    """Where a table lies."""

    uri: str
    storage_options: dict[str, str] | None

    def store(self, rows: pl.DataFrame, path: str) -> int:
        """Write a file, and return its size; other threads go on while Polars waits for a bucket."""
        if "://" not in self.uri:
            file = Path(self.uri, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as stream:
                rows.write_parquet(stream, compression="snappy")
                return stream.tell()
        sizes: list[int] = []
        rows.lazy().sink_parquet(
            f"{self.uri}/{path}",
            compression="snappy",
            storage_options=self.storage_options,
            sinked_paths_callback=lambda stored: sizes.extend(file.num_bytes for file in stored.paths),
        )
        return sum(sizes)


@dataclass(frozen=True)
class Files:
    """Rows that can be committed as they are, with the partition that all of them are in: one column or none."""

    rows: pl.DataFrame
    partition: Mapping[str, str]

    def commit(self, place: Place, table: DeltaTable | None) -> None:
        """Write the files and add them to the table, or create it with them, in one commit.

        Raises:
            CommitFailedError: if another writer came first, which this one cannot build upon.
        """
        added = list(self._write(place))
        columns = list(self.partition)
        if table is not None:
            table.create_write_transaction([*added], "append", table.schema(), columns)
            return
        create_table_with_add_actions(
            place.uri,
            Schema.from_arrow(self.rows.schema),
            added,
            partition_by=columns,
            storage_options=place.storage_options,
            commit_properties=ONCE,
        )

    def _write(self, place: Place) -> Iterator[AddAction]:
        folder = "".join(f"{column}={value}/" for column, value in self.partition.items())
        for part in self.rows.drop(*self.partition).iter_slices(PART_ROWS):
            path = f"{folder}part-{uuid.uuid4()}.snappy.parquet"
            size = place.store(part, path)
            statistics = json.dumps(statistics_of(part), ensure_ascii=False)
            now = int(time.time() * 1000)
            yield AddAction(path, size, dict(self.partition), now, data_change=True, stats=statistics)


def as_files(frame: pl.LazyFrame, table: DeltaTable | None, partitions: Sequence[str]) -> Files | None:
    """Return rows as files for a table, None where delta-rs must write them.

    Args:
        frame: what to add; it is collected only if its columns are such that it may become files.
        table: what it is added to, None for a new table.
        partitions: the columns by which a new table is partitioned.
    """
    schema = frame.collect_schema()
    if table is not None:
        if not _takes_files(table, schema):
            return None
        partitions = table.metadata().partition_columns
    if not all(map(_is_same, schema.dtypes())) or len(partitions) > 1:
        return None
    rows, partition = frame.collect(), {}
    for column in partitions:
        values = rows[column].unique()
        if len(values) != 1 or values.null_count() or not SIMPLE_VALUE.fullmatch(str(values[0])):
            return None
        partition[column] = str(values[0])
    return Files(rows, partition)


def _takes_files(table: DeltaTable, schema: pl.Schema) -> bool:
    """Return whether a table has these very columns, and nothing that rows must be checked or changed for."""
    own, protocol = table.schema(), table.protocol()
    ruled = table.metadata().configuration or '"delta.' in own.to_json()  # such as invariants of a column
    plain = protocol.min_reader_version == 1 and protocol.min_writer_version <= PLAIN_WRITER
    return plain and not ruled and dict(pl.Schema(own)) == dict(schema)


def _is_same(dtype: pl.DataType) -> bool:
    """Return whether Delta has a type as Polars has it."""
    if isinstance(dtype, pl.Struct):
        return bool(dtype.fields) and all(_is_same(field.dtype) for field in dtype.fields)  # type: ignore[arg-type]
    return dtype == MOMENT or isinstance(dtype, SAME_IN_DELTA)


def statistics_of(rows: pl.DataFrame) -> dict[str, Any]:
    """Count rows and NULLs, and find the extremes of each column, by which readers leave out files.

    >>> statistics_of(pl.DataFrame({"id": ["b", "a"], "size": [1, None]}))
    {'numRecords': 2, 'minValues': {'id': 'a', 'size': 1}, 'maxValues': {'id': 'b', 'size': 1}, \
'nullCount': {'id': 0, 'size': 1}}
    """
    flat = [name for name, dtype in rows.schema.items() if not dtype.is_nested()]
    ordered = [
        name for name in flat if rows.schema[name].is_integer() or rows.schema[name] in (pl.String, pl.Date, MOMENT)
    ]
    least = rows.select(pl.col(ordered).min()).row(0, named=True)
    greatest = rows.select(pl.col(ordered).max()).row(0, named=True)
    known = [name for name in ordered if _is_short(least[name]) and _is_short(greatest[name])]
    nulls = {name: rows[name].null_count() for name in flat}
    low = {name: _as_json(least[name]) for name in known}
    high = {name: _as_json(greatest[name], up=True) for name in known}
    return {"numRecords": rows.height, "minValues": low, "maxValues": high, "nullCount": nulls}


def _is_short(value: Any) -> bool:
    return value is not None and (not isinstance(value, str) or len(value) <= LONGEST_TEXT)


def _as_json(value: Any, *, up: bool = False) -> Any:
    """Write a value as the log of Delta has it: times in milliseconds, the greatest one rounded up."""
    if isinstance(value, datetime):
        rounded = value + timedelta(microseconds=999) if up else value
        return rounded.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return value.isoformat() if hasattr(value, "isoformat") else value
