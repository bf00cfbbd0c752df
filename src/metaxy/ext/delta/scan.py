"""Reading Delta tables with Polars, whatever the folders are called that they lie in."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

from metaxy.errors import StoreConnectionError
from metaxy.storage.damage import damaged, refuse_short_files, size_of

# Of tables that lost a part, delta-rs reads what is left as if it were all, and Polars panics.
LOG = "_delta_log"
COMMITS = f"{LOG}/*.json"
LEAST = len('{"txn":{}}')  # bytes of a commit: what is shorter says nothing
DATA = "**/part-*.parquet"  # as all writers of Delta call them
VERSION = re.compile(r"\d{20}\.(json|checkpoint\.([\w.-]+\.)?parquet)")  # and not the names while they are written
# As in `polars.scan_delta`: what tables that grew, and other writers, make necessary.
CASTS = pl.ScanCastOptions(
    integer_cast="upcast",
    float_cast=["upcast", "downcast"],
    datetime_cast=("nanosecond-downcast", "millisecond-upcast", "convert-timezone"),
    missing_struct_fields="insert",
    extra_struct_fields="ignore",
)
DRIVE = re.compile(r"^/([A-Za-z]:)")  # of Windows


class OpenTable(DeltaTable):
    """One version of a table, whose files bear the names that they have; delta-rs escapes those of the folders above.

    Polars takes these names literally, on disks and in buckets.
    """

    @property
    def escaped_root(self) -> str:
        """Where the table lies, as delta-rs writes it."""
        return DRIVE.sub(r"\1", self.table_uri.removeprefix("file://"))

    def file_uris(self, *args: Any, **kwargs: Any) -> list[str]:
        """List the files, by the names that they have."""
        return [self._literal(path) for path in super().file_uris(*args, **kwargs)]

    def deletion_vectors(self) -> Any:
        """List which rows of files are gone, by the names that the files have."""
        vectors = pl.DataFrame(super().deletion_vectors())
        paths = vectors["filepath"].str.strip_prefix("file://").map_elements(self._literal, return_dtype=pl.String)
        return vectors.with_columns(paths)

    def _literal(self, path: str) -> str:
        root = self.escaped_root
        return unquote(root) + path.removeprefix(root) if path.startswith(root) else path


def scan_table(table: OpenTable) -> pl.LazyFrame:
    """Return all rows of a version of a table, lazily."""
    partitioned = bool(table.metadata().partition_columns)
    return _by_partition(table) if partitioned and "=" in table.escaped_root else pl.scan_delta(table)


def _by_partition(table: OpenTable) -> pl.LazyFrame:
    """Read each partition by itself: Polars takes each `x=1` in a path for a partition, also above the table.

    Raises:
        StoreConnectionError: if files have rows that are gone.
    """
    if "deletionVectors" in (table.protocol().reader_features or ()):
        raise StoreConnectionError(
            f"{table.table_uri}: a table with deletion vectors cannot be read below a folder named like a partition; "
            "move it, or purge them"
        )
    schema = pl.Schema(table.schema())
    names = table.metadata().partition_columns
    files = defaultdict(list)
    for action in pl.DataFrame(table.get_add_actions(flatten=True)).iter_rows(named=True):
        path = f"{unquote(table.escaped_root)}{unquote(action['path'])}"
        files[tuple(action[f"partition.{name}"] for name in names)].append(path)
    stored = pl.Schema({name: dtype for name, dtype in schema.items() if name not in names})
    parts = (
        _scan_files(paths, stored, table)
        .with_columns(pl.lit(value, schema[name]).alias(name) for name, value in zip(names, values, strict=True))
        .select(schema.names())
        for values, paths in files.items()
    )
    return pl.concat([schema.to_frame().lazy(), *parts])


def _scan_files(paths: list[str], schema: pl.Schema, table: DeltaTable) -> pl.LazyFrame:
    return pl.scan_parquet(
        paths,
        schema=schema,
        storage_options=table._storage_options,
        glob=False,
        hive_partitioning=False,
        cast_options=CASTS,
        missing_columns="insert",
        extra_columns="ignore",
    )


def refuse_empty_commits(table: Path) -> None:
    """Refuse a log with commits that have no content, as power cuts leave them; delta-rs takes them for no changes."""
    sizes = {file.name: size_of(file) for file in (table / LOG).iterdir() if VERSION.fullmatch(file.name)}
    known = max((name for name in sizes if ".checkpoint" in name), default="")  # holds all until its version
    for name in sorted(sizes):
        size = sizes[name]  # None if another process has just removed it
        if size is not None and size < LEAST and (name[:20] > known[:20] or ".checkpoint" in name):
            raise damaged(f"{table}/{LOG}/{name} is empty, and what it said of the table is lost")


def refuse_short_data(table: DeltaTable, folder: Path) -> None:
    """Refuse a version of a table whose files are not as they were written."""
    sizes = table._table.get_add_file_sizes()
    refuse_short_files(f"{folder}/", {name: size for name, size in sizes.items() if "://" not in name})
