"""Rows of features in Delta tables, one per feature below a root folder or bucket."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import narwhals as nw
import polars as pl
from deltalake import DeltaTable
from deltalake._internal import DeltaFileSystemHandler  # the public class around it needs pyarrow
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.exceptions import TableNotFoundError as DeltaTableNotFoundError

from metaxy.columns import (
    INTERNAL_PREFIX,
    METAXY_CREATED_AT,
    METAXY_DELETED_AT,
    METAXY_FEATURE_VERSION,
    METAXY_UPDATED_AT,
    is_system_column,
)
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError, TableNotFoundError
from metaxy.ext.delta.files import Place, as_files
from metaxy.ext.delta.scan import COMMITS, DATA, LOG, OpenTable, refuse_empty_commits, refuse_short_data, scan_table
from metaxy.ext.table_root import TableRoot
from metaxy.storage.column_casts import storable
from metaxy.storage.damage import first_write, lost_its_log, refuse_lost_log
from metaxy.storage.files import check_reachable, kept_for, partition_columns, remove_folder, reported
from metaxy.storage.listing import folders_in, keys_below
from metaxy.storage.nested_types import grown, grows_inside, parts_of
from metaxy.storage.port import HUGE, Append, Capabilities, Scan
from metaxy.storage.retrying import retried
from metaxy.versioning.codec import by_field_forms
from metaxy.versioning.frames import collect_to_polars, to_polars_lazy
from metaxy.versioning.polars_casts import recast

Layout = Literal["nested", "flat"]
SUFFIX = ".delta"
FAILURES = (DeltaError, OSError, pl.exceptions.ComputeError)
CREATED_MEANWHILE = "table already exists"
SMALL = 2**24  # bytes; optimizing makes files of about six times as much
FOUND = f"{INTERNAL_PREFIX}found"
ROW_IDENTITY = (METAXY_FEATURE_VERSION, METAXY_CREATED_AT, METAXY_UPDATED_AT, METAXY_DELETED_AT)


# Delta has neither categories nor unsigned integers.
TYPES: Mapping[type[pl.DataType], pl.DataType] = {
    **dict.fromkeys((pl.Enum, pl.Categorical), pl.String()),
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    **dict.fromkeys((pl.UInt32, pl.UInt64), pl.Int64()),
    pl.Float16: pl.Float32(),
}


class DeltaStorage(TableRoot):
    """Implements the storage port: one Delta table per feature below a root folder or bucket."""

    capabilities = Capabilities(creates_tables=True, unsupported=(*HUGE, nw.Time, nw.Duration))

    def __init__(
        self, root: str, layout: Layout, storage_options: Mapping[str, str], write_options: Mapping[str, Any]
    ) -> None:
        super().__init__(root, storage_options)
        self.layout = layout
        self.write_options = dict(write_options)

    def uri(self, key: FeatureKey) -> str:
        """Return the address of a feature's table."""
        path = "/".join(key.parts) if self.layout == "nested" else key.table_name
        return f"{self.root}/{path}{SUFFIX}"

    def has_table(self, key: FeatureKey) -> bool:
        """Return whether there is a Delta table."""
        self._check_reachable(key)
        with self._errors(key):
            found = DeltaTable.is_deltatable(self.uri(key), self.storage_options or None)
        if not found:
            self._refuse_what_is_left(key)
        return found

    def _check_reachable(self, key: FeatureKey) -> None:
        if self.is_local:
            check_reachable(Path(self.uri(key), LOG))

    def _refuse_what_is_left(self, key: FeatureKey) -> None:
        if self.is_local:
            refuse_lost_log(Path(self.uri(key)), COMMITS, DATA)

    def _open(self, key: FeatureKey) -> OpenTable:
        table = OpenTable(self.uri(key), storage_options=self.storage_options or None)
        if self.is_local:
            refuse_empty_commits(Path(self.uri(key)))
        return table

    def _table(self, key: FeatureKey) -> OpenTable:
        with self._errors(key):
            return self._open(key)

    @contextmanager
    def _errors(self, key: FeatureKey) -> Iterator[None]:
        with reported(self.uri(key), FAILURES, self._hide):
            try:
                yield
            except DeltaTableNotFoundError as error:
                self._check_reachable(key)
                self._refuse_what_is_left(key)
                raise TableNotFoundError(f"there is no Delta table at {self._hide(self.uri(key))}") from error

    def scan(self, key: FeatureKey) -> Scan:
        """Return all rows of the table's current state, lazily."""
        with self._errors(key):
            table = self._table(key)
            if self.is_local:
                refuse_short_data(table, Path(self.uri(key)))
            frame = nw.from_native(scan_table(table))
            schema = frame.collect_schema()
            return Scan(frame, schema, by_field=by_field_forms(schema), handle=table)

    def append(self, writes: Sequence[Append]) -> None:
        """Add rows; each table gets all of its rows or none."""
        fitting = [_storable(write) for write in writes]
        for write, rows in zip(writes, fitting, strict=True):
            with reported(f"cannot write to {self.uri(write.key)}", FAILURES, self._hide):
                retried(self._attempt(write, rows), _conflicts)

    def _attempt(self, write: Append, rows: pl.LazyFrame) -> Callable[[], None]:
        """Return what appends: at first to the table as it was found before, as opening it takes many requests."""
        found = self._found(write)
        return lambda: self._commit(write.key, rows, found.pop() if found else self._existing(write.key))

    def _found(self, write: Append) -> list[OpenTable | None]:
        """Return the table that rows were fitted to, nothing if it must be looked for again."""
        table: OpenTable | None = write.base.handle if write.base else None
        if not self.is_local:
            return [table] if table or write.create else []
        is_there = table and Path(self.uri(write.key), LOG, f"{table.version():020d}.json").exists()
        return [table] if is_there else []

    def _commit(self, key: FeatureKey, rows: pl.LazyFrame, table: OpenTable | None) -> None:
        """Append to one table, which another writer may create or change in between."""
        begins = table is None and self.is_local
        with first_write(Path(self.uri(key)), COMMITS) if begins else nullcontext():
            self._append_to(table, Place(self.uri(key), self.storage_options or None), rows)

    def _append_to(self, table: OpenTable | None, place: Place, rows: pl.LazyFrame) -> None:
        options: dict[str, Any] = {"schema_mode": "merge", **self.write_options}
        partitions = options.pop("partition_by", None) or partition_columns(rows.collect_schema().names())
        if table is not None:
            table, rows = fitting(table, rows)
        files = None if self.write_options else as_files(rows, table, partitions)
        if files is not None:
            files.commit(place, table)
            return
        if table is None and partitions:
            options["partition_by"] = list(partitions)
        rows.sink_delta(place.uri, mode="append", storage_options=place.storage_options, delta_write_options=options)

    def _existing(self, key: FeatureKey) -> OpenTable | None:
        try:
            return self._open(key)
        except DeltaTableNotFoundError:
            self._refuse_what_is_left(key)
            return None

    def delete(self, key: FeatureKey, condition: nw.Expr | None) -> None:
        """Remove the rows that fulfil a condition."""
        with self._errors(key):
            retried(lambda: self._delete(key, condition), _conflicts)

    def _delete(self, key: FeatureKey, condition: nw.Expr | None) -> None:
        """Find the rows here, and name them by what identifies them: Delta does not know our conditions."""
        table = self._table(key)
        if condition is None:
            table.delete()
            return
        rows = nw.from_native(scan_table(table))
        schema = rows.collect_schema()
        identity = [name for name in schema if not is_system_column(name) or name in ROW_IDENTITY]
        simple = [name for name in identity if not schema[name].is_nested()]
        found = collect_to_polars(_those_with(condition, rows, schema).select(simple)).unique()
        if found.height:
            pairs = (f't."{_doubled(name)}" IS NOT DISTINCT FROM s."{_doubled(name)}"' for name in simple)
            same = " AND ".join(f"({pair})" for pair in pairs)
            table.merge(found, same, source_alias="s", target_alias="t").when_matched_delete().execute()

    def drop(self, key: FeatureKey) -> None:
        """Remove the table and its files."""
        folder = Path(self.uri(key))
        self._check_reachable(key)
        with self._errors(key):
            if not self.is_local:
                if self.has_table(key):
                    self._remove_objects(key)
            elif (folder / LOG).is_dir() or lost_its_log(folder, COMMITS, DATA):
                remove_folder(folder)

    def _remove_objects(self, key: FeatureKey) -> None:
        """Remove a table from an object store: its rows first, so that what a crash leaves is an empty table.

        Other threads wait for the last two requests, a list of all files and their removal: who asks holds Python's
        lock, and delta-rs has no other way to remove a log.
        """
        self._table(key).delete()
        DeltaFileSystemHandler(self.uri(key), self.storage_options or None).delete_dir("")

    def optimize(self, key: FeatureKey, keep: timedelta, ids: Sequence[str] = ()) -> None:  # noqa: ARG002 - no indexes
        """Merge small files, write a checkpoint of the log, and remove files that were replaced long enough ago."""
        with self._errors(key):
            retried(lambda: self._table(key).optimize.compact(), _conflicts)
            table = self._table(key)
            table.create_checkpoint()
            hours = int(kept_for(keep).total_seconds() // 3600)
            # Only files that the log says were replaced: those of writers that have not committed yet stay.
            table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=False)

    def pieces(self, key: FeatureKey, scan: Scan) -> int:  # noqa: ARG002 - the table is open
        """Count the small files that share a partition with another one."""
        sizes = scan.handle._table.get_add_file_sizes()
        folders = Counter(path.rpartition("/")[0] for path, size in sizes.items() if size < SMALL)
        return folders.total() - len(folders)

    def size(self, key: FeatureKey) -> int:
        """Return the bytes of the files that the current state of a table is made of."""
        with self._errors(key):
            return sum(self._table(key)._table.get_add_file_sizes().values())

    def commit_token(self, key: FeatureKey) -> str:
        """Return the version of a table, and which table it is."""
        with self._errors(key):
            table = self._table(key)
            return f"{table.metadata().id}:{table.version()}"

    def tables(self) -> Sequence[FeatureKey]:
        """Return keys whose tables exist."""
        with reported(self.root, FAILURES, self._hide):
            if self.is_local:
                check_reachable(Path(self.root))
                folders: Callable[[str], Iterable[str]] = partial(folders_in, self.root)
            else:
                folders = partial(_prefixes_in, DeltaFileSystemHandler(self.root, self.storage_options or None))
            return keys_below(folders, SUFFIX, nested=self.layout == "nested")

    def describe(self, key: FeatureKey) -> Mapping[str, str]:
        """Say where a table lies."""
        return {"uri": self._hide(self.uri(key))}


def _conflicts(error: Exception) -> bool:
    """Return whether another writer was faster, so that nothing was stored."""
    return isinstance(error, CommitFailedError) or CREATED_MEANWHILE in str(error)


def _prefixes_in(bucket: DeltaFileSystemHandler, path: str) -> Iterator[str]:
    """Yield the names of what stands for the folders in a folder of a bucket."""
    for found in bucket.get_file_info_selector(path, allow_not_found=True, recursive=False):
        if not found.is_file:
            yield found.path.rstrip("/").rpartition("/")[2]


def _doubled(name: str) -> str:
    return name.replace('"', '""')


def _those_with(condition: nw.Expr, rows: nw.LazyFrame[Any], schema: nw.Schema) -> nw.LazyFrame[Any]:
    """Filter rows, not while they are read if structs are deep: there Polars fails on members of such structs."""
    structs = [dtype for dtype in schema.values() if isinstance(dtype, nw.Struct)]
    if any(isinstance(member.dtype, nw.Struct) for struct in structs for member in struct.fields):
        return rows.with_columns(condition.alias(FOUND)).filter(nw.col(FOUND))
    return rows.filter(condition)


def _storable(write: Append) -> pl.LazyFrame:
    """Turn types that Delta does not have into those it has."""
    where = f"feature {write.key}"
    for name, dtype in write.frame.collect_schema().items():
        maps = [part for part in parts_of(dtype) if isinstance(part, nw.Map)]
        naive = [part for part in maps if any(isinstance(p, nw.Datetime) and not p.time_zone for p in parts_of(part))]
        if naive:
            raise MetadataSchemaError(
                f"{where}: column {name!r} is {dtype}, and maps of Delta hold no times without a zone; give them one"
            )
    return storable(to_polars_lazy(write.frame), TYPES, where, "Delta")


def fitting(table: OpenTable, rows: pl.LazyFrame) -> tuple[OpenTable, pl.LazyFrame]:
    """Let all files of a table and new rows have the same members inside of lists and maps.

    Delta adds columns and members by itself, but can neither delete from files that lack members there, nor merge them.
    """
    given, known = rows.collect_schema(), pl.Schema(table.schema())
    different = [n for n, dtype in known.items() if n in given and dtype.is_nested() and dtype != given[n]]
    if not different:
        return table, rows
    have, want = (_narwhals({name: types[name] for name in different}) for types in (given, known))
    wanted = {name: grown(want[name], have[name]) for name in different}
    types = nw.Schema(wanted).to_polars()
    growing = {name: types[name] for name in different if grows_inside(want[name], have[name])}
    return _rewritten(table, growing) if growing else table, _with_types(rows, types)


def _rewritten(table: OpenTable, types: Mapping[str, pl.DataType]) -> OpenTable:
    """Write a table anew with other types; and again, if another writer added rows in between, which stay."""
    rows, before = _with_types(scan_table(table), types), table.version()
    rows.sink_delta(table, mode="overwrite", delta_write_options={"schema_mode": "merge"})
    table.update_incremental()
    return table if table.version() == before + 1 else _rewritten(table, types)


def _with_types(rows: pl.LazyFrame, types: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    schema = rows.collect_schema()
    return rows.with_columns(recast(pl.col(n), schema[n], dtype).alias(n) for n, dtype in types.items())


def _narwhals(types: Mapping[str, pl.DataType]) -> nw.Schema:
    return nw.from_native(pl.LazyFrame(schema=types)).collect_schema()
