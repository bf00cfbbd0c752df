"""LanceDB as a storage: one table of Lance per feature, in the places where LanceDB looks for its tables."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import lance
import narwhals as nw
import polars as pl
import pyarrow as pa
from lance.commit import CommitConflictError
from lance.file import LanceFileSession
from lance.fragment import write_fragments

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import TableNotFoundError
from metaxy.ext.lancedb.scan import ROW_ID, readable_schema, readable_types, scan_table, shown_name, stored_name
from metaxy.ext.table_root import TableRoot
from metaxy.storage.damage import first_write, lost_its_log, refuse_lost_log
from metaxy.storage.evolution import is_lossless, lossy
from metaxy.storage.files import check_reachable, kept_for, remove_folder, reported
from metaxy.storage.listing import folders_in, keys_below
from metaxy.storage.nested_types import grown
from metaxy.storage.port import Append, Scan
from metaxy.storage.retrying import retried
from metaxy.versioning.codec import by_field_forms
from metaxy.versioning.frames import collect_to_polars
from metaxy.versioning.polars_casts import recast

SUFFIX = ".lance"
LOG, DATA = "_versions", "data/*.lance"
SMALL = 100_000  # rows; files are merged until they have ten times as many
VERSIONS = f"{LOG}/*"
FAILURES = (OSError, ValueError, RuntimeError)
NOT_FOUND = re.compile(r"Dataset at path .* was not found")
# Lance has no class for these; each means that another writer came first, and that nothing was stored.
CONFLICT = re.compile(
    r"commit conflict|concurrent transaction|Too many concurrent writers|Dataset already exists|"
    r"already exists in the dataset|_versions/0\.manifest was not found",
    re.IGNORECASE,
)


class LanceStorage(TableRoot):
    """Implements the storage port: one table per feature below a root folder or bucket."""

    def uri(self, key: FeatureKey) -> str:
        """Return the address of a feature's table."""
        return f"{self.root}/{key.table_name}{SUFFIX}"

    def has_table(self, key: FeatureKey) -> bool:
        """Return whether there is a table."""
        with self._errors(self.uri(key)):
            return self._find(key) is not None

    def _find(self, key: FeatureKey) -> lance.LanceDataset | None:
        """Open the newest version of a table, None if there is no table."""
        if self.is_local:
            check_reachable(Path(self.uri(key), LOG))
        try:
            return lance.dataset(self.uri(key), storage_options=self.storage_options or None)
        except ValueError as error:
            if not NOT_FOUND.search(str(error)):
                raise
            if self.is_local:
                refuse_lost_log(Path(self.uri(key)), VERSIONS, DATA)
            return None

    def _table(self, key: FeatureKey) -> lance.LanceDataset:
        table = self._find(key)
        if table is None:
            raise TableNotFoundError(f"there is no table of Lance at {self._hide(self.uri(key))}")
        return table

    @contextmanager
    def _errors(self, where: str) -> Iterator[None]:
        with reported(where, FAILURES, self._hide):
            yield

    def scan(self, key: FeatureKey) -> Scan:
        """Return all rows of the table's current version, lazily."""
        with self._errors(self.uri(key)):
            table = self._table(key)
            frame = nw.from_native(scan_table(table, self._errors))
        schema = frame.collect_schema()
        return Scan(frame, schema, by_field=by_field_forms(schema), handle=table)

    def append(self, writes: Sequence[Append]) -> None:
        """Add rows; each table gets all of its rows or none."""
        for write in writes:
            rows = _storable(collect_to_polars(write.frame))
            with self._errors(f"cannot write to {self.uri(write.key)}"):
                retried(partial(self._commit, write.key, rows), _conflicts)

    def _commit(self, key: FeatureKey, rows: pl.DataFrame) -> None:
        """Append to one table, which another writer may create or change in between."""
        table = self._find(key)
        if table is None:
            self._create(self.uri(key), rows.to_arrow())
            return
        table = self._grown(table, rows)
        lance.write_dataset(_aligned(rows, table, key), table, mode="append")

    def _grown(self, table: lance.LanceDataset, rows: pl.DataFrame) -> lance.LanceDataset:
        """Add the columns and members of rows that a table lacks; inside of lists and maps, Lance cannot add any."""
        added = _missing(rows.to_arrow().schema, table.schema)
        if added:
            table.add_columns(pa.schema(added))
        known, given = readable_types(table), nw.from_native(rows).schema
        wanted = nw.Schema({name: grown(dtype, given.get(name, dtype)) for name, dtype in known.items()})
        return table if wanted == known else self._rewritten(table, wanted)

    def _rewritten(self, table: lance.LanceDataset, types: nw.Schema) -> lance.LanceDataset:
        """Write a table anew with other types of columns; another writer in between is a conflict."""
        options = self.storage_options or None
        schema = _writable_schema(table, types)
        batches = (
            part for batch in table.scanner(blob_handling="all_binary").to_batches() for part in _recast(batch, schema)
        )
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        new = write_fragments(reader, table.uri, mode="overwrite", return_transaction=True, storage_options=options)
        return lance.LanceDataset.commit(
            table.uri, new.operation, read_version=table.version, storage_options=options, max_retries=0
        )

    def _create(self, uri: str, rows: pa.Table) -> None:
        """Make a table with its first rows; never in place of one that another writer makes at this moment.

        `lance.write_dataset` would replace that one, with its rows, as it tries again by itself.
        """
        options = self.storage_options or None
        with first_write(Path(uri), VERSIONS) if self.is_local else nullcontext():
            first = write_fragments(rows, uri, mode="create", return_transaction=True, storage_options=options)
            lance.LanceDataset.commit(uri, first, storage_options=options, max_retries=0)

    def delete(self, key: FeatureKey, condition: nw.Expr | None) -> None:
        """Remove the rows that fulfil a condition."""
        with self._errors(self.uri(key)):
            retried(lambda: self._delete(key, condition), _conflicts)

    def _delete(self, key: FeatureKey, condition: nw.Expr | None) -> None:
        """Find the rows here, and name them by their numbers: Lance does not know all of our conditions."""
        table = self._table(key)
        if condition is None:
            table.delete("true")
            return
        found = nw.from_native(scan_table(table, self._errors, with_row_id=True)).filter(condition).select(ROW_ID)
        numbers = collect_to_polars(found)[ROW_ID]
        if len(numbers):
            # Without retries of Lance's own: these numbers are of the version that was read.
            table.delete(f"{ROW_ID} IN ({', '.join(map(str, numbers))})", conflict_retries=0)

    def drop(self, key: FeatureKey) -> None:
        """Remove the table and its files."""
        with self._errors(self.uri(key)):
            if self.is_local:
                self._remove_folder(Path(self.uri(key)))
                return
            table = self._find(key)
            if table is None:
                return
            table.delete("true")  # so that what a crash leaves is an empty table
            lance.LanceDataset.drop(self.uri(key), storage_options=self.storage_options or None)

    def _remove_folder(self, table: Path) -> None:
        check_reachable(table / LOG)
        if (table / LOG).is_dir() or lost_its_log(table, VERSIONS, DATA):
            remove_folder(table)

    def optimize(self, key: FeatureKey, keep: timedelta, ids: Sequence[str] = ()) -> None:
        """Merge small files, bring an index of each ID up to date, and remove what was replaced long enough ago."""
        with self._errors(self.uri(key)):
            retried(lambda: self._table(key).optimize.compact_files(), _conflicts)
            retried(lambda: self._index(key, ids), _conflicts)
            # Lance finds conflicts only with versions that it still has.
            self._table(key).cleanup_old_versions(older_than=kept_for(keep))

    def pieces(self, key: FeatureKey, scan: Scan) -> int:  # noqa: ARG002 - the table is open
        """Count the small files that follow upon another one."""
        small = [fragment.physical_rows < SMALL for fragment in scan.handle.get_fragments()]
        return sum(map(all, pairwise(small)))

    def _index(self, key: FeatureKey, ids: Sequence[str]) -> None:
        """Index the IDs: without, looking up one sample reads the IDs of all."""
        table = self._table(key)
        indexed = {column for index in table.describe_indices() for column in index.field_names}
        for name in map(stored_name, ids):
            if name not in indexed:
                table.create_scalar_index(name, "BTREE")
        self._table(key).optimize.optimize_indices()

    def rename_column(self, key: FeatureKey, old: str, new: str) -> None:
        """Rename a column."""
        names: Any = {"path": stored_name(old), "name": stored_name(new)}
        with self._errors(self.uri(key)):
            retried(lambda: self._table(key).alter_columns(names), _conflicts)

    def tables(self) -> Sequence[FeatureKey]:
        """Return keys whose tables exist."""
        with self._errors(self.root):
            if self.is_local:
                check_reachable(Path(self.root))
                return keys_below(partial(folders_in, self.root), SUFFIX)
            bucket = LanceFileSession(self.root, self.storage_options or None)
            return keys_below(lambda _: bucket.list_with_delimiter().common_prefixes, SUFFIX)

    def size(self, key: FeatureKey) -> int | None:
        """Return the bytes of the files that the current state of a table is made of, None if it is not known."""
        files = [file for fragment in self._table(key).get_fragments() for file in fragment.data_files()]
        sizes = [size for file in files if (size := file.file_size_bytes) is not None]
        return sum(sizes) if len(sizes) == len(files) else None

    def commit_token(self, key: FeatureKey) -> str | None:
        """Return the number that the last change of a table was given by chance, None of what keeps none."""
        with self._errors(self.uri(key)):
            table = self._table(key)
            change = table.read_transaction(table.version)
            return f"{table.version}:{change.uuid}" if change else None

    def describe(self, key: FeatureKey) -> Mapping[str, str]:
        """Say where a table lies."""
        return {"uri": self._hide(self.uri(key))}


def _conflicts(error: Exception) -> bool:
    return isinstance(error, CommitConflictError) or (isinstance(error, OSError) and bool(CONFLICT.search(str(error))))


def _storable(rows: pl.DataFrame) -> pl.DataFrame:
    """Turn types and names that Lance does not have into those it has."""
    stored = rows.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String))
    arrays = {name: dtype for name, dtype in stored.schema.items() if isinstance(dtype, pl.Array)}
    others = [name for name, dtype in arrays.items() if not dtype.inner.is_numeric()]  # than vectors; Lance panics
    return stored.with_columns(pl.col(others).arr.to_list()).rename({name: stored_name(name) for name in rows.columns})


def _missing(wanted: pa.Schema | pa.StructType, known: pa.Schema | pa.StructType) -> "list[pa.Field[Any]]":
    """List the columns that a table lacks, and structs with the members that theirs lack."""
    added: list[pa.Field[Any]] = []
    for field in wanted:
        at = known.get_field_index(field.name)
        if at < 0:
            added.append(field)
        elif pa.types.is_struct(field.type) and pa.types.is_struct(known.field(at).type):
            members = _missing(field.type, known.field(at).type)
            added += [pa.field(field.name, pa.struct(members))] if members else []
    return added


def _aligned(rows: pl.DataFrame, table: lance.LanceDataset, key: FeatureKey) -> pa.Table:
    """Give rows the columns of a table; types differ only if another writer made the table just now."""
    have, want = nw.from_native(rows).schema, readable_types(table)
    for name, dtype in have.items():
        if not is_lossless(dtype, want[name]):
            raise lossy(
                f"feature {key}", shown_name(name), dtype, want[name], *rows[name].drop_nulls().head(1).to_list()
            )
    target = want.to_polars()
    columns = [(pl.col(name) if name in have else pl.lit(None)).cast(target[name]).alias(name) for name in want]
    return rows.select(columns).to_arrow().cast(_writable_schema(table, want))


def _writable_schema(table: lance.LanceDataset, types: nw.Schema) -> pa.Schema:
    """Return the schema with which rows are written to a table, as it is or with other types."""
    schema, known = readable_schema(table), readable_types(table)
    other = {name: dtype for name, dtype in types.items() if known[name] != dtype}
    changed = pl.DataFrame(schema=nw.Schema(other).to_polars()).to_arrow().schema
    fields = (changed.field(field.name) if field.name in other else field for field in schema)
    return pa.schema(
        _marked(f) if f.type != table.schema.field(f.name).type and f.name not in other else f for f in fields
    )


def _recast(batch: pa.RecordBatch, schema: pa.Schema) -> "list[pa.RecordBatch]":
    rows, target = pl.DataFrame(batch), pl.DataFrame(schema.empty_table()).schema
    columns = [recast(pl.col(name), dtype, target[name]).alias(name) for name, dtype in rows.schema.items()]
    return rows.select(columns).to_arrow().cast(schema).to_batches()


def _marked(blob: "pa.Field[Any]") -> "pa.Field[Any]":
    return blob.with_metadata({"lance-encoding:blob": "true"})
