"""One session of a PostgreSQL server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import narwhals as nw
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ExecStatus, TransactionStatus

from metaxy.errors import InvalidConfigError, MetadataStoreError, StoreConnectionError
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection, Traits
from metaxy.ext.ibis.session import Session
from metaxy.ext.postgresql.bulk import PostgreSQLBulk
from metaxy.ext.postgresql.claims import PostgreSQLClaims
from metaxy.ext.postgresql.compiler import OF_UNICODE, PostgreSQLBackend
from metaxy.ext.postgresql.dialect import POSTGRESQL
from metaxy.ext.postgresql.tables import PostgreSQLTables
from metaxy.storage.port import HUGE, AccessMode, Capabilities

STOP_SECONDS = 5.0
NO_SEARCH_PATH = (
    "PostgreSQL's client takes no search_path; name the schema behind the database, as in "
    "postgresql://host/features/staging, or as `schema` of connection_params"
)
SURROUNDINGS = """SELECT current_schemas(false), ARRAY(SELECT collname::text FROM pg_collation
WHERE collname = ANY(%s) AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding())))"""
TRAITS = Traits(
    Capabilities(by_field="json", has_map=False, transactions=True, unsupported=(*HUGE, nw.Duration)),
    computes=True,
    claims=PostgreSQLClaims,
)


def connection_to(
    address: Address, statement_timeout: float | None = None, *, nested_as_json: bool = True
) -> IbisConnection:
    """Return a connection to a server; each write is a transaction."""
    tables = PostgreSQLTables(PostgreSQLSession(address, statement_timeout), nested_as_json=nested_as_json)
    return IbisConnection(POSTGRESQL, PostgreSQLBulk(tables), TRAITS)


class PostgreSQLSession(Session):
    """One session of a server, whose configuration must not matter."""

    def __init__(self, address: Address, statement_timeout: float | None) -> None:
        super().__init__(address)
        self.statement_timeout = statement_timeout
        self._collations: list[str] = []
        self._lacks_schema = False

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
            self._lacks_schema = schema is not None and not schemas
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
        info = self.driver.info
        return (info.host, info.port, info.dbname, info.user) if self.schema is not None else None

    @contextmanager
    def one_line_errors(self) -> Iterator[None]:
        """Turn errors of the driver into one line of ours."""
        try:
            yield
        except psycopg.Error as error:
            lost = self.is_open and self.driver.closed
            kind = StoreConnectionError if lost else MetadataStoreError
            hint = "; the connection is lost, open the store again" if lost else ""
            raise kind(f"{self.display}: {self.reason(error)}{hint}") from error
        except BaseException:  # such as Ctrl-C in the middle of a statement
            if self.is_open and self.driver.pgconn.transaction_status == TransactionStatus.ACTIVE:
                _stop(self.driver)
            raise

    def execute(self, statement: str) -> None:
        """Run a statement of ours."""
        with self.use() as driver:
            driver.execute(statement.encode())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run statements together or not at all."""
        with self.use() as driver, driver.transaction():
            yield

    def take_turns(self, table: str) -> None:
        """Let writers that create or change a table take turns, until the transaction ends."""
        self._lock(f"current_schema() || '.' || {POSTGRESQL.literal(table)}")

    def create_schema(self) -> None:
        """Create the schema that was asked for, if it was not there when this session began."""
        if self._lacks_schema and self.schema is not None:
            self._lock(POSTGRESQL.literal(self.schema))
            self.execute(f"CREATE SCHEMA IF NOT EXISTS {POSTGRESQL.quote(self.schema)}")

    def _lock(self, name: str) -> None:
        self.execute(f"SELECT pg_advisory_xact_lock(hashtextextended({name}, 0))")


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
    if "search_path" in {*given, *parse_qs(urlsplit(address.url or "").query)}:
        raise InvalidConfigError(NO_SEARCH_PATH)
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
