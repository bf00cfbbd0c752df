"""One session of a PostgreSQL server."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import narwhals as nw
import polars as pl
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.copy import QueuedLibpqWriter
from psycopg.pq import ExecStatus, TransactionStatus

from metaxy.columns import METAXY_DELETED_AT, METAXY_UPDATED_AT
from metaxy.errors import InvalidConfigError, MetadataSchemaError, MetadataStoreError, StoreConnectionError
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection, Table
from metaxy.ext.ibis.notation import written_type
from metaxy.ext.ibis.values import refuse_finer_times
from metaxy.ext.postgresql.columns import HOLDS, JSON_TYPES, is_text, narwhals_type, sql_type
from metaxy.ext.postgresql.compiler import OF_UNICODE, PostgreSQLBackend
from metaxy.ext.postgresql.copying import arrow, incoming, outgoing
from metaxy.ext.postgresql.dialect import POSTGRESQL
from metaxy.storage.port import HUGE, AccessMode, Capabilities
from metaxy.versioning.column_types import Types
from metaxy.versioning.database import TypesOf

COPY_ROWS = 10_000
STOP_SECONDS = 5.0
SURROUNDINGS = """SELECT current_schemas(false), ARRAY(SELECT collname::text FROM pg_collation
WHERE collname = ANY(%s) AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding())))"""
CATALOG = """SELECT attname, format_type(atttypid, atttypmod),
    CASE WHEN atttypid IN ('json'::regtype, 'jsonb'::regtype) THEN col_description(attrelid, attnum) END
FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""


class PostgreSQLConnection(IbisConnection):
    """One session of a PostgreSQL server; each write is a transaction."""

    by_field_type = "jsonb"
    errors = (psycopg.Error,)

    computes = True
    capabilities = Capabilities(by_field="json", has_map=False, transactions=True, lacks=(*HUGE, nw.Duration))

    def __init__(
        self, address: Address, statement_timeout: float | None = None, *, nested_as_json: bool = True
    ) -> None:
        super().__init__(POSTGRESQL, str(address), address.secrets)
        self.nested_as_json = nested_as_json
        self.address = address
        self.statement_timeout = statement_timeout
        self._collations: list[str] = []

    def connect(self, mode: AccessMode) -> Any:  # noqa: ARG002 - what is read may need a temporary table
        """Connect, and settle what must not depend on the server's configuration."""
        parameters = parameters_of(self.address)
        schema = parameters.pop("schema", None)
        session = psycopg.connect(
            **{"connect_timeout": 10, "application_name": "metaxy", **parameters}, autocommit=True
        )
        try:
            for setting in self._settings(schema):
                session.execute(setting)
            [[schemas, self._collations]] = session.execute(SURROUNDINGS, [list(OF_UNICODE)]).fetchall()
            self.schema = schema or (schemas[0] if len(schemas) == 1 else None)
            backend = PostgreSQLBackend.from_connection(session)
        except BaseException:
            session.close()
            raise
        return backend

    def open(self, mode: AccessMode) -> None:
        """Connect, and remember which collation knows the case of all letters."""
        super().open(mode)
        self.ibis.compiler.of_unicode = next((name for name in OF_UNICODE if name in self._collations), None)

    def _settings(self, schema: str | None) -> Iterator[str]:
        yield "SET TimeZone = 'UTC'"
        yield "SET DateStyle = 'ISO, YMD'"
        yield "SET standard_conforming_strings = on"
        yield "SET enable_nestloop = off"  # without statistics, joins of large tables would be nested loops
        yield "SET client_min_messages = error"
        if self.statement_timeout is not None:
            yield f"SET statement_timeout = {round(self.statement_timeout * 1000)}"
        if schema is not None:
            yield f"SET search_path = {POSTGRESQL.quote(schema)}"
        # A server that looks after its clients ends the statements of those that are gone; not every system can.
        yield (
            "SELECT set_config(name, '5s', false) FROM pg_settings "
            "WHERE name = 'client_connection_check_interval' AND version() LIKE '%linux%'"
        )

    @property
    def place(self) -> Any:
        """The database, as this user sees it, if all tables are in one schema of it."""
        info = self.session.info
        return (info.host, info.port, info.dbname, info.user) if self.schema is not None else None

    @property
    def session(self) -> "psycopg.Connection[tuple[Any, ...]]":
        """The connection of the driver."""
        session: psycopg.Connection[tuple[Any, ...]] = self.ibis.con
        return session

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """Turn errors of the driver into one line of ours."""
        try:
            yield
        except psycopg.Error as error:
            lost = self._ibis is not None and self.session.closed
            kind = StoreConnectionError if lost else MetadataStoreError
            hint = "; the connection is lost, open the store again" if lost else ""
            raise kind(f"{self.display}: {self.reason(error)}{hint}") from error
        except BaseException:  # such as Ctrl-C in the middle of a statement
            if self._ibis is not None and self.session.pgconn.transaction_status == TransactionStatus.ACTIVE:
                _stop(self.session)
            raise

    def execute(self, statement: str) -> None:
        """Run a statement of ours."""
        with self.lock, self.complaining():
            self.session.execute(statement.encode())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run statements together or not at all."""
        with self.lock, self.complaining(), self.session.transaction():
            yield

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query by COPY, as text that Arrow parses in parallel."""
        wanted = types()
        columns = ", ".join(outgoing(f"q.{POSTGRESQL.quote(name)}", dtype) for name, dtype in wanted.items())
        texts = POSTGRESQL.names(name for name, dtype in wanted.items() if is_text(dtype))
        forced = f", FORCE_QUOTE ({texts})" if texts else ""
        statement = f"COPY (SELECT {columns} FROM ({query}) AS q) TO STDOUT (FORMAT csv{forced})"
        buffer = io.BytesIO()
        with self.lock, self.complaining(), self.session.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for block in copy:
                buffer.write(block)
        return arrow(buffer, wanted)

    def insert(self, table: str, frame: pl.DataFrame, columns: Table) -> None:
        """Add rows by COPY."""
        lists = {name for name, kind in columns.sql_types.items() if kind.endswith("[]")}
        text = frame.select(incoming(name, dtype, as_array=name in lists) for name, dtype in frame.schema.items())
        names = POSTGRESQL.names(frame.columns)
        statement = f"COPY {POSTGRESQL.quote(table)} ({names}) FROM STDIN (FORMAT csv, NULL '\\N')"
        with self.lock, self.complaining(), self.session.cursor() as cursor:
            sender = QueuedLibpqWriter(cursor)  # the next rows are written while the server takes those before
            with cursor.copy(statement.encode(), writer=sender) as copy:
                for part in text.iter_slices(COPY_ROWS):
                    written = part.write_csv(include_header=False, quote_style="non_numeric", null_value="\\N")
                    copy.write(written.encode())

    def fitted(self, value: str, kind: str, dtype: nw.dtypes.DType) -> str:
        """Write a value of a query, which is of a type here, as it goes into a column of a table."""
        if kind not in (*JSON_TYPES, "uuid"):
            return value
        return f"CAST({f'to_jsonb({value})' if isinstance(dtype, nw.List) else value} AS {kind})"

    def refuse_values(self, table: str, rows: pl.DataFrame, *, new: bool) -> None:  # noqa: ARG002
        """Refuse times that are finer than those of PostgreSQL, and NUL in texts."""
        refuse_finer_times(rows, "PostgreSQL", pl.Time)
        for column in rows.select(pl.col(pl.String)):
            if column.str.contains("\0", literal=True).any():
                raise MetadataSchemaError(
                    f"column {column.name!r} contains a NUL character, which texts of PostgreSQL cannot have; remove it"
                )

    def find(self, name: str) -> Table | None:
        """Return a table, None if there is none of that name."""
        with self.lock, self.complaining():
            rows = self.session.execute(CATALOG, [self.qualified(name)]).fetchall()
        types = {column: narwhals_type(kind, comment or "") for column, kind, comment in rows}
        documents = {column for column, kind, _ in rows if kind in JSON_TYPES and isinstance(types[column], nw.String)}
        return Table({c: kind for c, kind, _ in rows}, nw.Schema(types), frozenset(documents)) if rows else None

    def sql_type(self, dtype: nw.dtypes.DType) -> str:
        """Write the type of a new column."""
        return sql_type(dtype)

    def create(
        self, name: str, types: Mapping[str, str], *, order: Sequence[str] = (), temporary: bool = False
    ) -> None:
        """Create a table.

        Raises:
            MetadataStoreError: also if this user may not create temporary tables, saying how to do without.
        """
        try:
            super().create(name, types, order=order, temporary=temporary)
        except MetadataStoreError as error:
            if not (temporary and isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege)):
                raise
            raise MetadataStoreError(
                f"{self.display}: rows from elsewhere, such as `samples=`, go into a temporary table, which this user "
                'may not create; grant TEMPORARY on the database, or pass versioning_engine="polars"'
            ) from error

    def add_column(self, table: str, column: str, kind: str) -> None:
        """Add a column, if another writer was not first."""
        self.execute(f"ALTER TABLE {self.qualified(table)} ADD COLUMN IF NOT EXISTS {POSTGRESQL.quote(column)} {kind}")

    def serialise(self, name: str, changes: bool) -> None:
        """Let writers that create or change a table take turns, until the transaction ends."""
        if changes:
            lock = f"current_schema() || '.' || {POSTGRESQL.literal(name)}"
            self.execute(f"SELECT pg_advisory_xact_lock(hashtextextended({lock}, 0))")

    def describe_columns(self, name: str, columns: Types) -> None:
        """Remember what new columns of JSON hold."""
        documents = {c: dtype for c, dtype in columns.items() if dtype.is_nested() and self.sql_type(dtype) == "jsonb"}
        for column, dtype in documents.items():
            if not self.nested_as_json:
                raise MetadataSchemaError(
                    f"{self.display}: column {column!r} is a {type(dtype).__name__}, and auto_cast_struct_for_jsonb is "
                    "false; set it to true to store such columns as JSONB, or turn the column into text"
                )
        table, quote, literal = self.qualified(name), POSTGRESQL.quote, POSTGRESQL.literal
        notes = ((quote(column), literal(HOLDS + written_type(dtype))) for column, dtype in documents.items())
        if documents:
            self.execute("; ".join(f"COMMENT ON COLUMN {table}.{column} IS {note}" for column, note in notes))

    def retype(self, table: str, column: str, dtype: nw.dtypes.DType, kind: str) -> None:  # noqa: ARG002 - it is JSON
        """Remember the new members."""
        self.describe_columns(table, {column: dtype})

    def created(self, name: str) -> None:
        """Collect rough statistics of a new table at once, as the server plans by them, and let times be found.

        Each write asks for rows of faster clocks, which are rare. As rows are stored in the order of their times, an
        index over ranges of pages finds them, and costs writes nothing; deleted rows are few.
        """
        table, found = self.qualified(name), self.find(name)
        if found is not None and {METAXY_UPDATED_AT, METAXY_DELETED_AT} <= found.sql_types.keys():
            self.execute(f"CREATE INDEX ON {table} USING brin ({METAXY_UPDATED_AT}) WITH (autosummarize = on)")
            self.execute(f"CREATE INDEX ON {table} ({METAXY_DELETED_AT}) WHERE {METAXY_DELETED_AT} IS NOT NULL")
        self.execute("SET LOCAL default_statistics_target = 10")
        self.execute(f"ANALYZE {table}")


def _stop(session: "psycopg.Connection[tuple[Any, ...]]") -> None:
    """End the statement that a session runs, so that it can run others; if that fails, end the session."""
    server = session.pgconn
    try:
        session.cancel_safe(timeout=STOP_SECONDS)
        while (result := server.get_result()) is not None:
            if result.status == ExecStatus.COPY_IN:
                server.put_copy_end(b"interrupted")
            while result.status == ExecStatus.COPY_OUT and server.get_copy_data(0)[0] > 0:
                pass
    except psycopg.Error:
        session.close()


def parameters_of(address: Address) -> dict[str, Any]:
    """Return what psycopg takes; a path of two parts, as Ibis reads URLs, is database and schema.

    Raises:
        InvalidConfigError: if the URL cannot be read; it is not shown, as it may hold a password.
    """
    given = dict(address.parameters)
    if address.url is not None:
        scheme, _, rest = address.url.partition("://")
        try:
            given = {**conninfo_to_dict(f"{scheme.partition('+')[0]}://{rest}"), **given}
        except psycopg.Error as error:
            raise InvalidConfigError("connection_string is no URL that PostgreSQL can read") from error
    given["dbname"] = given.pop("database", None) or given.pop("dbname", None)
    if given["dbname"] and "/" in given["dbname"]:
        given["dbname"], _, given["schema"] = given["dbname"].partition("/")
    return {name: value for name, value in given.items() if value is not None}
