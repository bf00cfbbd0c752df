"""Feature tables in any database behind Ibis."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import narwhals as nw
import sqlglot.expressions as sge

from metaxy.columns import BY_FIELD_COLUMNS, METAXY_FEATURE_VERSION, METAXY_UPDATED_AT
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError, MetadataStoreError, TableNotFoundError
from metaxy.ext.ibis.connection import IbisConnection, storable
from metaxy.ext.ibis.tables import Table
from metaxy.storage.listing import keys_of
from metaxy.storage.nested_types import grown
from metaxy.storage.port import AccessMode, Append, Capabilities, Claims, Scan
from metaxy.storage.sql_tables import checked_prefix, fit_to_new_table
from metaxy.versioning.codec import by_field_forms
from metaxy.versioning.frames import collect_to_polars
from metaxy.wording import first_line


class Hooks(Protocol):
    """What the storage leaves to its store."""

    def get_table_name(self, key: FeatureKey) -> str:
        """Name the table of a feature."""

    def transform_after_read(self, table: Any, key: FeatureKey) -> Any:
        """Return the Ibis table that is seen instead of a stored one."""

    def transform_before_write(self, df: Any, key: FeatureKey, table_name: str) -> Any:
        """Return the Narwhals frame that is stored instead of another."""


class IbisStorage:
    """Implements the storage port; an `IbisConnection` is what it talks to.

    ``hooks`` name tables, and may change what is read and written.
    """

    def __init__(
        self,
        connection: IbisConnection,
        capabilities: Capabilities,
        *,
        table_prefix: str = "",
        hooks: Hooks,
    ) -> None:
        self.connection = connection
        self.capabilities = capabilities
        self.table_prefix = checked_prefix(table_prefix)
        self._tables, self._bulk, self._session = connection.tables, connection.bulk, connection.session
        self._hooks = hooks

    def open(self, mode: AccessMode) -> None:
        """Connect to the database."""
        self.connection.open(mode)

    def close(self) -> None:
        """Disconnect."""
        self.connection.close()

    def table_name(self, key: FeatureKey) -> str:
        """Name the table of a feature.

        Raises:
            MetadataStoreError: if the database would cut the name, as it could then be that of another table.
        """
        name = self._hooks.get_table_name(key)
        if len(name.encode()) > self._tables.longest_name:
            raise MetadataStoreError(
                f"feature {key}: the name of its table, {name!r}, has {len(name.encode())} bytes, but "
                f"{self._session.display} keeps {self._tables.longest_name}; shorten the key or the table_prefix"
            )
        return name

    def has_table(self, key: FeatureKey) -> bool:
        """Return whether the table exists."""
        return self._tables.find(self.table_name(key)) is not None

    def scan(self, key: FeatureKey) -> Scan:
        """Return all rows of a table, lazily; the database is only asked for its columns."""
        return self._scan(key, self._seen(key))

    def _seen(self, key: FeatureKey) -> Table:
        name = self.table_name(key)
        table = self._tables.find(name)
        if table is None:
            raise TableNotFoundError(f"{self._session.display} has no table {name!r}")
        return self._tables.seen(name, table)

    def _scan(self, key: FeatureKey, table: Table) -> Scan:
        name = self.table_name(key)
        frame = self.connection.table(name, table.schema)
        seen = self._hooks.transform_after_read(frame.to_native(), key)
        if seen is not frame.to_native():
            changed = nw.from_native(seen)
            schema = changed.collect_schema()
            return Scan(changed, schema, None, table.sql_types, by_field_forms(schema))
        forms, place = by_field_forms(table.schema), self._tables.qualified(name)
        if table.values:
            frame = self.connection.relation(self._with_values(place, table), lambda: table.schema)
        stored = place if table.row_ids and not table.values else None
        return Scan(frame, table.schema, stored, table.sql_types, forms, table.documents)

    def _with_values(self, place: str, table: Table) -> str:
        """Write a query over a table, with what is seen of its columns."""
        columns = {column: self.connection.dialect.quote(column) for column in table.schema}
        select = ", ".join(f"{table.values.get(column, quoted)} AS {quoted}" for column, quoted in columns.items())
        return f"SELECT {select} FROM {place}"

    def append(self, writes: Sequence[Append]) -> None:
        """Add rows to tables, in one transaction where the database has them; first all of them are looked at."""
        fitting = [self._fitting(write) for write in writes]
        with self._session.transaction():
            for write in fitting:
                self._append(write)

    def claims(self, key: FeatureKey) -> Claims | None:
        """Return the claims that a table keeps, None if this database cannot."""
        make = self.connection.traits.claims
        return make(self.connection, self.table_name(key), self.capabilities.creates_tables) if make else None

    def _fitting(self, write: Append) -> Append:
        """Collect rows from elsewhere, and refuse what the database cannot keep before anything is stored."""
        name = self.table_name(write.key)
        write = replace(write, frame=self._hooks.transform_before_write(write.frame, write.key, name))
        if not self.connection.owns(write.frame):
            write = replace(write, frame=nw.from_native(storable(collect_to_polars(write.frame)).lazy()))
        for column in write.frame.collect_schema():
            self._refuse_long_column(write.key, column)
        self._types(write)
        if write.frame.implementation.is_polars():
            try:
                self._bulk.refuse_values(name, write.frame.collect().to_native(), new=write.create)
            except MetadataSchemaError as error:
                raise MetadataSchemaError(f"feature {write.key}: {error}") from error
        return write

    def _append(self, write: Append) -> None:
        name = self.table_name(write.key)
        if write.create or write.new_columns or write.new_members:
            self._session.take_turns(name)
        table = self._tables.find(name)
        types = self._types(write)
        new_table = False
        if table is None:
            if not write.create:
                raise TableNotFoundError(f"{self._session.display}: table {name!r} was dropped; write again")
            order = [n for n in (METAXY_FEATURE_VERSION, *write.ids, METAXY_UPDATED_AT) if n in types]
            self._tables.create(name, types, order=order)
            self._describe(name, write, list(types))
            # Where writers do not take turns, it may have been created by another one, with other columns.
            table = self._tables.find(name) or Table(types, write.frame.collect_schema())
            new_table = types.keys() <= table.sql_types.keys()
        if write.create and not new_table:
            schema = write.frame.collect_schema()
            same = {n for n in types if n in BY_FIELD_COLUMNS or schema[n] == table.schema.get(n)}
            write = fit_to_new_table(write, types, table.sql_types, same)
        table = self._grown(name, write, types, table)
        try:
            self._insert(name, write.frame, replace(table, sql_types={**types, **table.sql_types}))
        except MetadataStoreError as error:
            if new_table:
                self._tables.discard(name)
            raise MetadataSchemaError(f"feature {write.key}: {first_line(error)}") from error
        if new_table:
            self._tables.created(name)

    def _insert(self, name: str, frame: nw.LazyFrame[Any], table: Table) -> None:
        if not self.connection.owns(frame):
            self._bulk.insert(name, collect_to_polars(frame), table)
            return
        quoted = self.connection.dialect.quote
        schema = frame.collect_schema()
        values = ", ".join(
            self._tables.fitted(f"mx_r.{quoted(n)}", table.sql_types[n], dtype) for n, dtype in schema.items()
        )
        columns, query = ", ".join(map(quoted, schema)), self.connection.query_of(frame)
        self._bulk.insert_query(name, columns, f"SELECT {values} FROM ({query}) AS mx_r")

    def _type(self, write: Append, column: str, dtype: nw.dtypes.DType) -> str:
        try:
            return self._tables.sql_type(dtype)
        except MetadataSchemaError as error:
            raise MetadataSchemaError(f"feature {write.key}: column {column!r}: {error}") from error

    def _refuse_long_column(self, key: FeatureKey, column: str) -> None:
        if len(column.encode()) > self._tables.longest_name:
            raise MetadataSchemaError(
                f"feature {key}: column {column!r} has {len(column.encode())} bytes, but "
                f"{self._session.display} keeps {self._tables.longest_name}; rename it"
            )

    def _types(self, write: Append) -> dict[str, str]:
        """Write the types that the columns of rows get in a new table."""
        by_field = self._tables.by_field_type if self.capabilities.by_field != "struct" else None
        schema = write.frame.collect_schema()
        packs_text = self.capabilities.by_field == "json"
        packed = {
            name
            for name in BY_FIELD_COLUMNS
            if name in schema and (schema[name].is_nested() or (packs_text and schema[name] == nw.String()))
        }
        return {
            name: by_field if by_field and name in packed else self._type(write, name, dtype)
            for name, dtype in schema.items()
        }

    def _grown(self, name: str, write: Append, types: Mapping[str, str], table: Table) -> Table:
        new = [column for column in write.new_columns if column not in table.sql_types]
        for column in new:
            self._tables.add_column(name, column, types[column])
        self._describe(name, write, new)
        schema = write.frame.collect_schema()
        for column in dict.fromkeys(member.path[0] for member in write.new_members):
            dtype = grown(table.schema[column], schema[column])
            if dtype != table.schema[column]:  # no other writer was first
                self._tables.retype(name, column, dtype, table.sql_types[column])
        return (self._tables.find(name) if write.new_members else None) or table

    def _describe(self, name: str, write: Append, columns: Sequence[str]) -> None:
        schema = write.frame.collect_schema()
        self._tables.describe_columns(name, {c: schema[c] for c in columns if c not in BY_FIELD_COLUMNS})

    def delete(self, key: FeatureKey, condition: nw.Expr | None) -> None:
        """Remove the rows that fulfil a condition."""
        where = "1 = 1" if condition is None else self._where(key, condition)  # ClickHouse deletes by conditions only
        with self._session.transaction():
            self.connection.execute(f"DELETE FROM {self._tables.qualified(self.table_name(key))} WHERE {where}")

    def delete_among(self, key: FeatureKey, condition: nw.Expr | None, rows: nw.LazyFrame[Any]) -> None:
        """Remove the rows that fulfil a condition, and are equal to one of these rows in all columns of these."""
        connection, quote = self.connection, self.connection.dialect.quote
        seen = self._seen(key).values
        columns = ", ".join(seen.get(column, quote(column)) for column in rows.columns)
        wheres = [] if condition is None else [self._where(key, condition)]
        with connection.temporary(), connection.lasting(rows) as query:
            others = f"SELECT {connection.dialect.names(rows.columns)} FROM ({query}) AS mx_g"
            where = " AND ".join([f"({columns}) IN ({others})", *(f"({where})" for where in wheres)])
            with self._session.transaction():
                connection.execute(f"DELETE FROM {self._tables.qualified(self.table_name(key))} WHERE {where}")

    def _where(self, key: FeatureKey, condition: nw.Expr) -> str:
        """Write a condition on the rows of a table, in the words of the database."""
        table = self._seen(key)
        flagged = self._scan(key, table).frame.select(condition.alias("mx_flag")).to_native()
        compiled = self.connection.ibis.compiler.to_sqlglot(flagged.unbind())
        column = compiled.expressions[0].unalias()
        for reference in list(column.find_all(sge.Column)):
            reference.set("table", None)
            if reference.name in table.values:
                reference.replace(sge.Var(this=table.values[reference.name]))
        written: str = column.sql(dialect=self.connection.ibis.dialect)
        return written

    def drop(self, key: FeatureKey) -> None:
        """Remove a table."""
        self.connection.execute(f"DROP TABLE IF EXISTS {self._tables.qualified(self.table_name(key))}")

    def rename_column(self, key: FeatureKey, old: str, new: str) -> None:
        """Rename a column."""
        self._refuse_long_column(key, new)
        with self._session.transaction():
            self._tables.rename_column(self.table_name(key), old, new)

    def tables(self) -> Sequence[FeatureKey]:
        """Return keys whose tables exist; those that a store of your own names in another way are not found."""
        names = set(self._tables.names())
        return [key for key in keys_of(names, self.table_prefix) if self._hooks.get_table_name(key) in names]

    def size(self, key: FeatureKey) -> int | None:
        """Return the bytes of a table, None where the database does not say."""
        return self._tables.size(self.table_name(key))

    def commit_token(self, key: FeatureKey) -> str | None:
        """Return what changes with a table, None where the database does not say."""
        name = self.table_name(key)
        if not self._tables.knows_commits:
            return None
        if self._tables.find(name) is None:
            raise TableNotFoundError(f"{self._session.display} has no table {name!r}")
        return self._tables.commit_token(name)

    def describe(self, key: FeatureKey) -> Mapping[str, str]:
        """Say where a table lies."""
        return {"table_name": self.table_name(key)}
