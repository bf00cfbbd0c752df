"""Feature tables in a DuckDB database."""

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import narwhals as nw

from metaxy.columns import INTERNAL_PREFIX
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError, MetadataStoreError, TableNotFoundError
from metaxy.ext.duckdb.claims import DuckDBClaims
from metaxy.ext.duckdb.connection import DuckDBConnection
from metaxy.ext.duckdb.dialect import DUCKDB
from metaxy.ext.duckdb.results import first_row
from metaxy.storage.listing import keys_of
from metaxy.storage.port import AccessMode, Append, Capabilities, Claims, Scan, Storage
from metaxy.storage.sql_tables import checked_prefix, fit_to_new_table
from metaxy.versioning.codec import ByField, by_field_forms
from metaxy.versioning.predicates import among_sql

# Small columns share blocks, and long texts have blocks beside those of their column.
SIZE = """SELECT (SELECT max(block_size) FROM pragma_database_size() WHERE database_name = current_database())
* count(DISTINCT block) FROM (
    SELECT unnest(list_prepend(block_id, coalesce(additional_block_ids, []))) AS block
    FROM pragma_storage_info({}) WHERE persistent
) WHERE block >= 0"""
IS_TABLE = """SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = current_schema()
AND lower(table_name) = lower({})"""
FOUND = f"{INTERNAL_PREFIX}found"


class DuckDBStorage:
    """Implements the storage port; `DuckDBConnection` is what it talks to."""

    unsupported: tuple[type[nw.dtypes.DType], ...] = ()
    orders_nan = True

    def __init__(self, connection: DuckDBConnection, *, table_prefix: str = "", creates_tables: bool = False) -> None:
        self.connection = connection
        self.table_prefix = checked_prefix(table_prefix)
        self.capabilities = Capabilities(
            transactions=True,
            creates_tables=creates_tables,
            unsupported=self.unsupported,
            orders_nan=self.orders_nan,
        )
        self._place = ""  # what stands before the names of tables
        self._names: dict[FeatureKey, str] = {}
        self._writing = threading.RLock()
        self._schemas: dict[tuple[tuple[str, str], ...], tuple[nw.Schema, dict[str, ByField]]] = {}

    def open(self, mode: AccessMode) -> None:
        """Connect to the database."""
        self.connection.open(mode)

    def close(self) -> None:
        """Disconnect."""
        self.connection.close()

    def host(self, other: Storage) -> Storage | None:
        """Return the tables of another DuckDB file, or another DuckLake, as this connection reads them."""
        if not isinstance(other, DuckDBStorage) or type(other) is not type(self):
            return None
        place = self.connection.hosted(other.connection)
        if place is None:
            return None
        hosted = type(self)(self.connection, table_prefix=other.table_prefix)
        hosted._place, hosted._schemas = place, self._schemas
        return hosted

    def table_name(self, key: FeatureKey) -> str:
        """Name the table of a feature."""
        return self.table_prefix + key.table_name

    def _quoted(self, key: FeatureKey) -> str:
        if (name := self._names.get(key)) is None:
            name = self._names[key] = self._place + DUCKDB.quote(self.table_name(key))
        return name

    def _select(self, table: str, columns: str) -> duckdb.DuckDBPyRelation | None:
        """Bind a query over a table, which is the cheapest way to ask whether it exists."""
        try:
            return self.connection.cursor.sql(f"SELECT {columns} FROM {table}")
        except duckdb.CatalogException:
            return None

    def has_table(self, key: FeatureKey) -> bool:
        """Return whether the table exists."""
        return self._select(self._quoted(key), "*") is not None

    def scan(self, key: FeatureKey) -> Scan:
        """Return all rows of a table as a relation."""
        table = self._quoted(key)
        relation = self._select(table, "*")
        if relation is None:
            raise TableNotFoundError(f"{self.connection.place} has no table {self.table_name(key)!r}")
        types = _types(relation)
        if "INTERVAL" in types.values():
            self._refuse_months(key, table, types)
        columns = _as_seen(types)
        frame: nw.LazyFrame[duckdb.DuckDBPyRelation] = nw.from_native(
            relation if columns == "*" else relation.project(columns)
        )
        known = tuple(types.items())
        if known not in self._schemas:  # Narwhals runs a query to learn it
            schema = frame.collect_schema()
            self._schemas[known] = schema, by_field_forms(schema)
        has_ids = columns == "*" and self._has_row_ids(table)
        return Scan(frame, self._schemas[known][0], table if has_ids else None, types, self._schemas[known][1])

    def _refuse_months(self, key: FeatureKey, table: str, types: Mapping[str, str]) -> None:
        """Refuse a table with months, which others may have put there: DuckDB compares them as 30 days."""
        for column in (column for column, kind in types.items() if kind == "INTERVAL"):
            name = DUCKDB.quote(column)
            months = f"datepart('year', {name}) <> 0 OR datepart('month', {name}) <> 0"
            if self.connection.fetch(f"SELECT 1 FROM {table} WHERE {months} LIMIT 1", dict).num_rows:
                raise MetadataSchemaError(
                    f"feature {key}: column {column!r} of its table holds intervals with months, which have no fixed "
                    f"length; turn it into text: ALTER TABLE {table} ALTER {name} TYPE VARCHAR"
                )

    def _has_row_ids(self, table: str) -> bool:
        """Return whether it is a table: rows of a view have no identity."""
        try:
            return self._select(table, "rowid") is not None
        except duckdb.BinderException:
            return False

    def append(self, writes: Sequence[Append]) -> None:
        """Add rows to tables, all in one transaction."""
        with self._writing:
            self.connection.change(lambda: self._append_all(writes))

    def _append_all(self, writes: Sequence[Append]) -> None:
        with self.connection.transaction():
            for write in writes:
                self._append(write)

    def _append(self, write: Append) -> None:
        table = DUCKDB.quote(self.table_name(write.key))
        query = self.connection.query_of(write.frame)
        if write.create:
            existing = self._select(table, "*")
            if existing is None:
                self._create(table, write, query)
                return
            write = fit_to_new_table(write, _types(write.frame.to_native()), _types(existing))
        self._grow(table, write)
        names = DUCKDB.names(write.frame.columns)
        values = ", ".join(self._values(write))
        try:
            self.connection.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM ({query})")
        except MetadataStoreError as error:
            raise MetadataSchemaError(f"feature {write.key}: {self.connection.message(error)}") from error.__cause__

    def _create(self, table: str, write: Append, query: str) -> None:  # noqa: ARG002 - lakes look at the columns
        self.connection.execute(f"CREATE TABLE {table} AS {query}")

    def _grow(self, table: str, write: Append) -> None:
        relation = write.frame.to_native()
        types = dict(zip(relation.columns, relation.types, strict=True))
        for column in write.new_columns:
            name = DUCKDB.quote(column)
            self.connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {types[column]}")
        for member in write.new_members:
            path = ".".join(map(DUCKDB.quote, member.path))
            kind = _type_at(types[member.path[0]], member.path[1:])
            self.connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {path} {kind}")

    def _values(self, write: Append) -> Iterator[str]:
        """Write the columns of rows as they go into their table; where that has just grown, it says the types."""
        growing = {member.path[0] for member in write.new_members}
        grown = self._select(self._quoted(write.key), "*") if growing else None
        types = dict(zip(grown.columns, grown.types, strict=True)) if grown else {}
        for column in write.frame.columns:
            name = DUCKDB.quote(column)
            yield f"CAST({name} AS {types[column]})" if column in growing else name

    def claims(self, key: FeatureKey) -> Claims | None:
        """Return the claims that a table keeps."""
        table, creates = self._quoted(key), self.capabilities.creates_tables
        return DuckDBClaims(self.connection, table, lambda: self.has_table(key), self._writing, may_create=creates)

    def delete(self, key: FeatureKey, condition: nw.Expr | None) -> None:
        """Remove the rows that fulfil a condition."""
        table, types = self._quoted(key), self.scan(key).types
        if condition is None:
            self._change(f"DELETE FROM {table}")
        else:
            self._remove(table, types, condition)

    def delete_among(self, key: FeatureKey, condition: nw.Expr | None, rows: nw.LazyFrame[Any]) -> None:
        """Remove the rows that fulfil a condition, and are equal to one of these rows in all columns of these."""
        found = among_sql(rows.columns, self.connection.query_of(rows), DUCKDB)
        both = [nw.col(FOUND), *([] if condition is None else [condition])]
        among = nw.all_horizontal(*both, ignore_nulls=False)
        self._remove(self._quoted(key), self.scan(key).types, among, f", {found} AS {FOUND}")

    def _remove(self, table: str, types: Mapping[str, str], condition: nw.Expr, flags: str = "") -> None:
        hidden = any(column.lower() == "rowid" for column in types)  # it hides what tells rows apart
        row = "" if hidden else "rowid AS __metaxy_row, "
        rows = self.connection.relation(
            f"SELECT mx_t.*{flags} FROM (SELECT {row}{_as_seen(types)} FROM {table}) AS mx_t"
        )
        if hidden:
            self._keep(table, rows.filter(~condition.fill_null(value=False)).select(list(types)))
        else:
            query = self.connection.query_of(rows.filter(condition).select("__metaxy_row"))
            self._change(f"DELETE FROM {table} WHERE rowid IN ({query})")

    def _keep(self, table: str, rows: nw.LazyFrame[Any]) -> None:
        """Write rows anew, and only them."""
        kept = f"__metaxy_kept_{uuid.uuid4().hex}"
        self._change(
            f"CREATE TEMP TABLE {kept} AS {self.connection.query_of(rows)}",
            f"DELETE FROM {table}",
            f"INSERT INTO {table} BY NAME FROM {kept}",
            f"DROP TABLE {kept}",
        )

    def drop(self, key: FeatureKey) -> None:
        """Remove a table."""
        self._change(f"DROP TABLE IF EXISTS {DUCKDB.quote(self.table_name(key))}")

    def _change(self, *statements: str) -> None:
        def run() -> None:
            with self.connection.transaction():
                for statement in statements:
                    self.connection.execute(statement)

        with self._writing:
            self.connection.change(run)

    def rename_column(self, key: FeatureKey, old: str, new: str) -> None:
        """Rename a column."""
        self._change(f"ALTER TABLE {self._quoted(key)} RENAME COLUMN {DUCKDB.quote(old)} TO {DUCKDB.quote(new)}")

    def size(self, key: FeatureKey) -> int | None:
        """Return the bytes of the blocks of a table; None before the first checkpoint, in memory, and of a view."""
        if not self.is_base_table(key):
            return None
        found = first_row(self.connection.execute(SIZE.format(DUCKDB.literal(self._quoted(key)))))
        return int(found[0]) if found and found[0] else None

    def is_base_table(self, key: FeatureKey) -> bool:
        """Return whether there is a table and not a view, which takes no room."""
        is_table = self.connection.execute(IS_TABLE.format(DUCKDB.literal(self.table_name(key))))
        return first_row(is_table) is not None

    def tables(self) -> Sequence[FeatureKey]:
        """Return keys whose tables exist in the current schema."""
        rows = self.connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_catalog = current_database() "
            "AND table_schema = current_schema()"
        ).fetchall()
        return keys_of((name for (name,) in rows), self.table_prefix)

    def describe(self, key: FeatureKey) -> Mapping[str, str]:
        """Say where a table lies."""
        return {"table_name": self.table_name(key)}


def _types(rows: duckdb.DuckDBPyRelation) -> dict[str, str]:
    return dict(zip(rows.columns, map(str, rows.types), strict=True))


def _type_at(kind: Any, path: Sequence[str]) -> Any:
    """Return the type of a part of a column."""
    for name in path:
        children = dict(kind.children)
        kind = children["child"] if kind.id in ("list", "array") else children[name]
    return kind


def _as_seen(types: Mapping[str, str]) -> str:
    """Write all columns of a table; UUIDs, which others may have put there, are text as everywhere."""
    if "UUID" not in types.values():
        return "*"
    names = [DUCKDB.quote(name) for name, kind in types.items() if kind == "UUID"]
    texts = ", ".join(f"CAST({name} AS VARCHAR) AS {name}" for name in names)
    return f"* REPLACE ({texts})"
