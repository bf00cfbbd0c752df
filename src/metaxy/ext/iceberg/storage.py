"""Iceberg as a storage: one table per feature in a namespace of a catalog."""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import narwhals as nw
import polars as pl
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    NotInstalledError,
    RESTError,
    TableAlreadyExistsError,
    ValidationError,
    ValidationException,
)
from pyiceberg.expressions import AlwaysTrue, In
from pyiceberg.table import Table
from sqlalchemy import URL
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from metaxy.columns import METAXY_FEATURE_VERSION
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import StoreNotOpenError, TableNotFoundError
from metaxy.ext.iceberg.rows import TYPES, fitted, rest_after, sink_whole
from metaxy.masking import Secrets, mask_path
from metaxy.storage.column_casts import storable
from metaxy.storage.damage import refuse_lost_catalog, refuse_short_sqlite
from metaxy.storage.files import Failures, check_reachable, kept_for, partition_columns, reported
from metaxy.storage.listing import keys_of
from metaxy.storage.port import HUGE, AccessMode, Append, Capabilities, Scan
from metaxy.storage.retrying import retried
from metaxy.versioning.codec import by_field_forms
from metaxy.versioning.frames import to_polars_lazy
from metaxy.wording import short_path

if TYPE_CHECKING:
    import pyarrow as pa

DATABASE = "catalog.db"
CONFLICTS = (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    TableAlreadyExistsError,
    ValidationException,
    IntegrityError,
)
BROKEN = (
    ValidationError,
    EOFError,
    ValueError,
    SystemError,
    FileNotFoundError,
)  # what PyIceberg makes of damaged files
FAILURES: Failures = (
    *(OSError, SQLAlchemyError, KeyError, RESTError, NotInstalledError),
    *(pl.exceptions.ComputeError, *BROKEN, *CONFLICTS),
)
CLIENTS = {"glue": "botocore.exceptions:BotoCoreError,ClientError", "hive": "thrift.Thrift:TException"}
NOTED = "metaxy.files-when-optimized"
TABLE_PROPERTIES = {
    "write.metadata.delete-after-commit.enabled": "true",  # else each write leaves a file with the whole history
    "write.metadata.previous-versions-max": "50",
    "commit.retry.num-retries": "0",  # we try again ourselves, on the schema that is there then
}


class TableIdentifier(NamedTuple):
    """Where a catalog has a table."""

    namespace: str
    name: str


class IcebergStorage:
    """Implements the storage port: one Iceberg table per feature in a namespace of a catalog."""

    capabilities = Capabilities(creates_tables=True, unsupported=(*HUGE, nw.Time, nw.Duration))

    def __init__(
        self,
        warehouse: str,
        namespace: str,
        catalog_name: str,
        properties: Mapping[str, str],
        *,
        create_namespace: bool,
    ) -> None:
        self.warehouse = warehouse
        self.namespace = namespace
        self.catalog_name = catalog_name
        self.properties = dict(properties)
        self.create_namespace = create_namespace
        self.failures = (*FAILURES, *_failures_of(self.properties.get("type", "")))
        self._catalog: Catalog | None = None

    # -- catalog -----------------------------------------------------------------------------------------------------

    @property
    def own_database(self) -> Path | None:
        """The database of the catalog, if it is a file that we keep in the warehouse."""
        return None if {"uri", "type", "py-catalog-impl"} & set(self.properties) else Path(self.warehouse) / DATABASE

    def open(self, mode: AccessMode) -> None:
        """Connect to the catalog; one of our own is created when it is first opened for writing."""
        database = self.own_database
        if database:
            check_reachable(database)
            refuse_lost_catalog(database, database.parent, "*/*/metadata/*.metadata.json")
            refuse_short_sqlite(database)
            if mode == "r" and not database.exists():
                return
        with reported(self.warehouse, self.failures, self._hide):
            properties = {"warehouse": self.warehouse, **self.properties}
            if database:
                database.parent.mkdir(parents=True, exist_ok=True)
                properties = _own_catalog(database) | self.properties
            self._catalog = retried(lambda: load_catalog(self.catalog_name, **properties), _created_meanwhile, 10)

    def close(self) -> None:
        """Disconnect."""
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    @property
    def catalog(self) -> Catalog:
        """The catalog of the open store."""
        if self._catalog is None:
            raise StoreNotOpenError(f"the catalog of {mask_path(self.warehouse)} is closed; use `with store:`")
        return self._catalog

    def _hide(self, text: str) -> str:
        return Secrets.of({"warehouse": short_path(self.warehouse), "properties": self.properties}).hide(text)

    def identifier(self, key: FeatureKey) -> TableIdentifier:
        """Say where the catalog has a feature's table."""
        return TableIdentifier(self.namespace, key.table_name)

    @contextmanager
    def _errors(self, key: FeatureKey, doing: str = "") -> Iterator[None]:
        place = f"{doing}{'.'.join(self.identifier(key))} in {mask_path(self.warehouse)}"
        with reported(place, self.failures, self._hide), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Delete operation did not match any records")
            try:
                yield
            except (NoSuchTableError, NoSuchNamespaceError) as error:
                raise TableNotFoundError(f"there is no Iceberg table {place}") from error

    # -- reading -----------------------------------------------------------------------------------------------------

    def has_table(self, key: FeatureKey) -> bool:
        """Return whether the catalog has the table, and it was ever written to."""
        if self._catalog is None:
            return False
        with self._errors(key):
            try:
                return _was_written(self._table(key))
            except (NoSuchTableError, NoSuchNamespaceError):
                return False

    def _table(self, key: FeatureKey) -> Table:
        if self._catalog is None:
            raise TableNotFoundError(f"there is no Iceberg catalog in {mask_path(self.warehouse)} yet")
        return self.catalog.load_table(self.identifier(key))

    def scan(self, key: FeatureKey) -> Scan:
        """Return all rows of the table's current state, lazily."""
        with self._errors(key):
            table = self._table(key)
            if not _was_written(table):
                raise NoSuchTableError
            frame = nw.from_native(_rows(table))
            schema = frame.collect_schema()
            return Scan(frame, schema, by_field=by_field_forms(schema), handle=table)

    # -- writing -----------------------------------------------------------------------------------------------------

    def append(self, writes: Sequence[Append]) -> None:
        """Add rows; each table gets all of its rows or none."""
        fitting = [storable(to_polars_lazy(each.frame), TYPES, f"feature {each.key}", "Iceberg") for each in writes]
        for write, rows in zip(writes, fitting, strict=True):
            with self._errors(write.key, "cannot write to "):
                retried(partial(self._commit, write.key, rows.collect()), _conflicts)

    def _commit(self, key: FeatureKey, rows: pl.DataFrame) -> None:
        """Append to a table, which another writer may create or change in between.

        Polars writes the files: PyIceberg turns NULL into empty where lists and maps hold structs.
        """
        try:
            table = self._table(key)
        except (NoSuchTableError, NoSuchNamespaceError):
            table = self._create(key, rows.clear().to_arrow().schema)
        fitting = fitted(rows.lazy(), _rows(table).collect_schema())
        options = {"mode": "append", "storage_options": _options(table)}
        if fitting is None:
            sink_whole(rows.lazy(), table, rows.height, schema_mode="merge", **options)
        else:  # which costs half as much, as PyIceberg need not compare schemas
            sink_whole(fitting, table, rows.height, **options)

    def _create(self, key: FeatureKey, schema: "pa.Schema") -> Table:
        """Create a table, which counts as absent until it has its first rows."""
        if self.create_namespace:
            self.catalog.create_namespace_if_not_exists(self.namespace)
        new = self.catalog.create_table_transaction(self.identifier(key), schema=schema, properties=TABLE_PROPERTIES)
        with new.update_spec() as spec:
            for column in partition_columns(schema.names):
                spec.add_identity(column)
        return new.commit_transaction()

    # -- removing ----------------------------------------------------------------------------------------------------

    def delete(self, key: FeatureKey, condition: nw.Expr | None) -> None:
        """Remove the rows that fulfil a condition, by writing what stays of the feature versions that they are in."""
        with self._errors(key, "cannot delete from "):
            retried(partial(self._delete, key, condition), _conflicts)

    def _delete(self, key: FeatureKey, condition: nw.Expr | None) -> None:
        table = self._table(key)
        if table.current_snapshot() is None:
            return
        if condition is None:
            table.delete(AlwaysTrue())
            return
        rest = rest_after(nw.from_native(_rows(table)), condition)
        if rest:
            self._replace(table, rest.rows, rest.versions)

    def _replace(self, table: Table, rows: pl.LazyFrame, versions: Sequence[str] | None) -> None:
        height = rows.select(pl.len()).collect().item()
        there = In(term=METAXY_FEATURE_VERSION, literals=set(versions)) if versions else AlwaysTrue()
        sink_whole(rows, table, height, mode="overwrite", overwrite_filter=there, storage_options=_options(table))

    def drop(self, key: FeatureKey) -> None:
        """Remove the table from the catalog, and its files; its rows first, as a catalog hides what it may not do."""
        with self._errors(key, "cannot drop "):
            try:
                retried(lambda: self._table(key).delete(AlwaysTrue()), _conflicts)
            except BROKEN:  # half deleted: what is left cannot be found
                self.catalog.drop_table(self.identifier(key))
            except (TableNotFoundError, NoSuchTableError, NoSuchNamespaceError):
                return
            else:
                self.catalog.purge_table(self.identifier(key))

    def optimize(self, key: FeatureKey, keep: timedelta, ids: Sequence[str] = ()) -> None:  # noqa: ARG002 - no indexes
        """Merge the files of each feature version, and forget states of the table that ended long enough ago."""
        with self._errors(key, "cannot optimize "):
            for version in _fragmented(self._table(key)):
                retried(partial(self._merge_files, key, version), _conflicts)
            moment = datetime.now(timezone.utc) - kept_for(keep)
            retried(lambda: _forget(self._table(key), moment), _conflicts)
            retried(lambda: _note_files(self._table(key)), _conflicts)

    def pieces(self, key: FeatureKey, scan: Scan) -> int:  # noqa: ARG002 - the table is open
        """Count the files that came since the table was optimized: of partitions, its metadata says nothing."""
        return _number_of_files(scan.handle) - int(scan.handle.properties.get(NOTED, 0))

    def _merge_files(self, key: FeatureKey, version: str | None) -> None:
        table = self._table(key)
        rows = _rows(table)
        if version is not None:
            rows = rows.filter(pl.col(METAXY_FEATURE_VERSION) == version)
        self._replace(table, rows, None if version is None else (version,))

    def rename_column(self, key: FeatureKey, old: str, new: str) -> None:
        """Rename a column; files are read by the numbers of columns, so they stay as they are."""
        with self._errors(key, "cannot change "):
            retried(partial(self._rename_column, key, old, new), _conflicts)

    def _rename_column(self, key: FeatureKey, old: str, new: str) -> None:
        with self._table(key).update_schema() as schema:
            schema.rename_column((old,), new)

    def tables(self) -> Sequence[FeatureKey]:
        """Return keys whose tables the catalog has, also those that were never written to."""
        if self._catalog is None:
            return []
        with reported(self.warehouse, self.failures, self._hide):
            try:
                return keys_of(name for *_, name in self.catalog.list_tables(self.namespace))
            except NoSuchNamespaceError:
                return []

    def size(self, key: FeatureKey) -> int | None:
        """Return the bytes of the files that the current state of a table is made of, None if it is not known."""
        snapshot = self._table(key).current_snapshot()
        summary = snapshot.summary if snapshot else None
        size = summary["total-files-size"] if summary else None
        return int(size) if size is not None else None

    def commit_token(self, key: FeatureKey) -> str:
        """Return the file that says all of a table, as each commit writes one."""
        with self._errors(key):
            return self._table(key).metadata_location

    def describe(self, key: FeatureKey) -> Mapping[str, str]:
        """Say where a table lies."""
        return {"identifier": ".".join(self.identifier(key))}


def _own_catalog(database: Path) -> dict[str, str]:
    """Say where a catalog in the warehouse is, and the warehouse: PyIceberg takes the latter's address as it is.

    It would cut an address at `?` and `#`, but not a path.
    """
    folder = str(database.parent)
    warehouse = folder if set("?#") & set(folder) else unquote(database.parent.as_uri())
    uri = URL.create("sqlite", database=database.as_uri(), query={"timeout": "60", "uri": "true"})
    return {"type": "sql", "uri": uri.render_as_string(), "warehouse": warehouse}


def _rows(table: Table) -> pl.LazyFrame:
    return pl.scan_iceberg(table, storage_options=_options(table))


def _options(table: Table) -> dict[str, str] | None:
    """Return what Polars must know of the place: such properties have dots in their names, those of catalogs not."""
    return {name: str(value) for name, value in table.io.properties.items() if "." in name} or None


def _failures_of(kind: str) -> Failures:
    """Return the errors of what stands behind a kind of catalog: PyIceberg lets them through."""
    module, _, names = CLIENTS.get(kind, "").partition(":")
    try:
        return tuple(getattr(import_module(module), name) for name in names.split(",")) if module else ()
    except ImportError:
        return ()  # and PyIceberg will say what is missing


def _was_written(table: Table) -> bool:
    return table.current_snapshot() is not None


def _conflicts(error: Exception) -> bool:
    return isinstance(error, CONFLICTS) or _is_locked(error)


def _created_meanwhile(error: Exception) -> bool:
    return isinstance(error, IntegrityError) or _is_locked(error) or "already exists" in str(error)


def _is_locked(error: Exception) -> bool:
    return isinstance(error, OperationalError) and "locked" in str(error)


def _fragmented(table: Table) -> list[str | None]:
    """List the feature versions that have several files, or None for a table without such partitions."""
    names = [table.schema().find_column_name(field.source_id) for field in table.spec().fields]
    is_partitioned = names == [METAXY_FEATURE_VERSION]
    files = Counter(task.file.partition[0] if is_partitioned else None for task in table.scan().plan_files())
    return [version for version, count in files.items() if count > 1]


def _forget(table: Table, moment: datetime) -> None:
    """Remove states that ended before a moment, and the files that only they have."""
    ended = {next_one.parent_snapshot_id: next_one.timestamp_ms for next_one in table.snapshots()}
    end = moment.timestamp() * 1000
    old = [snapshot for snapshot in table.snapshots() if ended.get(snapshot.snapshot_id, end) < end]
    if not old:
        return
    expired = {snapshot.snapshot_id for snapshot in old}
    table.maintenance.expire_snapshots().by_ids(list(expired)).commit()
    kept = {file for s in table.snapshots() if s.snapshot_id not in expired for file in _files(table, s)}
    for file in {file for snapshot in old for file in _files(table, snapshot)} - kept:
        table.io.delete(file)


def _number_of_files(table: Table) -> int:
    snapshot = table.current_snapshot()
    summary = snapshot.summary if snapshot else None
    return int(summary["total-data-files"] or 0) if summary else 0


def _note_files(table: Table) -> None:
    """Keep how many files there are now, to which `pieces` are added."""
    number = str(_number_of_files(table))
    if table.properties.get(NOTED) != number:
        with table.transaction() as change:
            change.set_properties({NOTED: number})


def _files(table: Table, snapshot: Any) -> Iterator[str]:
    """List the files of a state of a table: its list of manifests, the manifests, the rows."""
    yield snapshot.manifest_list
    for manifest in snapshot.manifests(table.io):
        yield manifest.manifest_path
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            yield entry.data_file.file_path
