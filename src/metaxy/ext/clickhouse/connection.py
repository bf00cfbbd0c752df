"""One client of a ClickHouse server, or of the engine embedded in this process; versions are computed there."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import clickhouse_connect
import narwhals as nw
import polars as pl
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from metaxy.columns import BY_FIELD_COLUMNS
from metaxy.errors import InvalidConfigError, MetadataSchemaError, MetadataStoreError, StoreConnectionError
from metaxy.ext.clickhouse.compiler import ClickHouseBackend
from metaxy.ext.clickhouse.dialect import CLICKHOUSE
from metaxy.ext.clickhouse.types import (
    MOMENT,
    TEXTS,
    fetched,
    incoming,
    is_text,
    narwhals_type,
    note,
    outgoing,
    refuse_dates_beyond,
    refuse_nulls,
    sql_type,
)
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection, Table
from metaxy.ext.ibis.values import refuse_finer_times
from metaxy.masking import hide_in
from metaxy.storage.port import HUGE, AccessMode, Capabilities
from metaxy.versioning.column_types import Types
from metaxy.versioning.database import TypesOf
from metaxy.versioning.frames import Frame

EMBEDDED = "chdb://"
SAID = "DB::Exception: "
EMBEDDED_HINTS = {
    "already initialized with path": "this process has another folder of chdb open; close that store first",
    "Error initializing EmbeddedServer": "another process has this folder open, or it cannot be written; chdb lets one "
    "process at a time use a folder",
}
SECURE_PORTS = (443, 8443)
# What must not depend on the server's configuration.
SETTINGS = {
    "join_use_nulls": 1,  # else what a join does not find is 0 or ''; in the SQL of a subquery it has no effect
    "prefer_column_name_to_alias": 1,  # as in every other database
    "output_format_arrow_date_as_uint16": 0,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
    "input_format_null_as_default": 0,  # NULL for a column that cannot hold it is an error, not 0 or ''
    "async_insert": 0,
    "mutations_sync": 1,
    "lightweight_deletes_sync": 2,
}
# What JSON of values is such that nothing is lost.
JSON_SETTINGS = {
    "date_time_output_format": "'iso'",
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_decimals": 1,
    "output_format_json_quote_denormals": 1,  # NaN and infinities
}
# What newer servers remember of the blocks that a condition left empty is wrong where `LIMIT 1 BY` stands behind it.
MEMORY_OF_CONDITIONS = "use_query_condition_cache"
COLUMNS = """SELECT name, type, comment FROM system.columns
WHERE database = currentDatabase() AND table = {} AND default_kind NOT IN ('ALIAS', 'MATERIALIZED', 'EPHEMERAL')
ORDER BY position"""


class ClickHouseConnection(IbisConnection):
    """A client; one statement is one snapshot, one insert is one block, and there are no transactions."""

    errors = (ClickHouseError,)
    computes = True
    capabilities = Capabilities(by_field="map", lacks=(*HUGE, nw.Duration), orders_nan=False)
    by_field_type = "Map(String, String)"
    longest_name = 200  # bytes; its files are named after tables

    def __init__(
        self, address: Address, statement_timeout: float | None = None, *, structs_as_maps: bool = True
    ) -> None:
        super().__init__(CLICKHOUSE, str(address), address.secrets)
        self.address = address
        self.statement_timeout = statement_timeout
        self.capabilities = replace(self.capabilities, structs_as_maps=structs_as_maps)

    # -- opening -------------------------------------------------------------------------------------------------------

    def connect(self, mode: AccessMode) -> Any:  # noqa: ARG002 - what is read may need a table beside it
        """Connect; threads need no session of their own, as nothing is kept in one."""
        settings = dict(SETTINGS)
        if self.statement_timeout is not None:
            settings["max_execution_time"] = max(1, round(self.statement_timeout))
        given = parameters(self.address)
        settings |= given.pop("settings", {})
        try:
            client = clickhouse_connect.get_client(**_client_options(given), settings=settings)
            if MEMORY_OF_CONDITIONS in client.server_settings:
                client.set_client_setting(MEMORY_OF_CONDITIONS, "0")
        except ClickHouseError as error:
            hint = next((hint for sign, hint in EMBEDDED_HINTS.items() if sign in str(error)), None)
            raise StoreConnectionError(f"cannot open {self.display}: {hint or self.reason(error)}") from error
        except ImportError as error:
            raise StoreConnectionError(f"{self.display} needs a package: pip install 'metaxy[chdb]'") from error
        backend = ClickHouseBackend.from_connection(client)
        backend.owner = self
        return backend

    @property
    def place(self) -> Any:
        """The database, as this user sees it."""
        return (self.client.uri, self.client.database, getattr(self.client, "username", None))

    @property
    def client(self) -> Any:
        """The client of the driver."""
        return self.ibis.con

    def reason(self, error: Exception) -> str:
        """Return what the server says, without what the driver says of the server."""
        text = " ".join(str(hide_in(error, self.secrets.hide)).split())
        return text[text.rfind(SAID) + len(SAID) if SAID in text else 0 :][:600]

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """Turn errors of the driver into one line of ours."""
        try:
            yield
        except ClickHouseError as error:
            lost = isinstance(error, OperationalError)
            kind = StoreConnectionError if lost else MetadataStoreError
            raise kind(f"{self.display}: {self.reason(error)}") from error

    # -- statements ----------------------------------------------------------------------------------------------------

    def execute(self, statement: str) -> None:
        """Run a statement of ours."""
        with self.lock, self.complaining():
            self.client.command(statement)

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query and return an Arrow table."""
        wanted = types()
        # Names of users here would be seen in the query, where they may mean a table.
        given = enumerate(wanted.items())
        columns = ", ".join(
            f"{outgoing(f'mx_q.{CLICKHOUSE.quote(name)}', dtype)} AS mx_{n}" for n, (name, dtype) in given
        )
        with self.lock, self.complaining():
            table = self.client.query_arrow(f"SELECT {columns} FROM ({query}) AS mx_q", use_strings=True)
        return fetched(table.rename_columns(list(wanted)), wanted)

    def refuse_values(self, table: str, rows: pl.DataFrame, *, new: bool) -> None:
        """Refuse dates and times that ClickHouse would change, and NULL for columns that cannot hold it."""
        refuse_dates_beyond(rows)
        refuse_finer_times(rows, "ClickHouse")
        found = None if new else self.find(table)
        if found is not None:
            refuse_nulls(rows, found.sql_types)

    def insert(self, table: str, frame: pl.DataFrame, columns: Table) -> None:
        """Add rows as Arrow, in one block: all of them are seen, or none."""
        if frame.is_empty():
            return
        rows = incoming(frame, columns.sql_types).to_arrow()
        name = f"{self.qualified(table)} ({CLICKHOUSE.names(frame.columns)})"
        with self.lock, self.complaining():
            self.client.raw_insert(name, insert_block=_stream(rows), settings=_one_block(len(frame)), fmt="ArrowStream")

    def insert_query(self, table: str, columns: str, query: str) -> None:
        """Add the rows of a query, in one block."""
        settings = ", ".join(f"{name} = {value}" for name, value in {**_one_block(1 << 40), **JSON_SETTINGS}.items())
        self.execute(f"INSERT INTO {self.qualified(table)} ({columns}) {query} SETTINGS {settings}")

    def fitted(self, value: str, kind: str, dtype: nw.dtypes.DType) -> str:
        """Write a value of a query, which is of a type here, as it goes into a column of a table."""
        if kind.startswith("Map(") and "Nullable(" not in kind:
            value = f"mapFilter((k, v) -> v IS NOT NULL, {value})"
        if dtype.is_nested() and is_text(kind):  # the value is JSON as well, or an array, a tuple or a map
            texts = ", ".join(map(CLICKHOUSE.literal, TEXTS))
            value = f"if(toTypeName({value}) IN ({texts}), CAST({value} AS Nullable(String)), toJSONString({value}))"
        return f"CAST({value} AS {kind})"

    # -- tables --------------------------------------------------------------------------------------------------------

    def load(self, frame: Frame) -> nw.LazyFrame[Any]:
        """Copy a frame from elsewhere into a table that is dropped again."""
        try:
            return super().load(frame)
        except MetadataStoreError as error:
            if any(code in str(error) for code in ("READONLY", "ACCESS_DENIED")):
                hint = "rows from elsewhere are put beside the tables, which needs CREATE TABLE and INSERT"
                raise MetadataStoreError(f'{error}; {hint}; versioning_engine="polars" does without') from error
            raise

    def find(self, name: str) -> Table | None:
        """Return a table, None if there is none of that name."""
        with self.lock, self.complaining():
            rows = self.client.query(COLUMNS.format(CLICKHOUSE.literal(name))).result_rows
        if not rows:
            return None
        types = {column: narwhals_type(kind, comment) for column, kind, comment in rows}
        return Table({column: kind for column, kind, _ in rows}, nw.Schema(types))

    def sql_type(self, dtype: nw.dtypes.DType) -> str:
        """Write the type of a new column."""
        kind = sql_type(dtype)
        if kind is None:
            raise MetadataSchemaError(f"{self.display} has no type for columns of {dtype}; cast them to another type")
        return kind

    def given_type(self, column: str, dtype: nw.dtypes.DType) -> str:
        """Write the type of a column of a frame that is put beside the tables; structs of versions are tuples."""
        if column.startswith(BY_FIELD_COLUMNS) and isinstance(dtype, nw.Struct):
            members = ", ".join(f"{CLICKHOUSE.quote(member.name)} Nullable(String)" for member in dtype.fields)
            return f"Tuple({members})"
        if column.startswith(BY_FIELD_COLUMNS) and isinstance(dtype, nw.Map):
            return "Map(String, Nullable(String))"
        return self.sql_type(dtype)

    def create(
        self, name: str, types: Mapping[str, str], *, order: Sequence[str] = (), temporary: bool = False
    ) -> None:
        """Create a table, if another writer was not first; ``order`` is its sorting key.

        Only times of the key may be NULL, as rows of others may have none.
        """
        plain = [column for column in order if types[column].startswith("Nullable(") and MOMENT not in types[column]]
        keys = {column: types[column].removeprefix("Nullable(").removesuffix(")") for column in plain}
        columns = ", ".join(f"{CLICKHOUSE.quote(column)} {keys.get(column, kind)}" for column, kind in types.items())
        key = CLICKHOUSE.names(order)
        engine = "Memory" if temporary else f"MergeTree ORDER BY ({key}) SETTINGS allow_nullable_key = 1"
        self.execute(f"CREATE TABLE IF NOT EXISTS {self.qualified(name)} ({columns}) ENGINE = {engine}")

    def add_column(self, table: str, column: str, kind: str) -> None:
        """Add a column, if another writer was not first."""
        self.execute(f"ALTER TABLE {self.qualified(table)} ADD COLUMN IF NOT EXISTS {CLICKHOUSE.quote(column)} {kind}")

    def discard(self, name: str) -> None:
        """Remove a new table, unless another writer has rows in it by now."""
        with suppress(MetadataStoreError):  # servers before 23.12 cannot; what is left there is an empty table
            self.execute(f"DROP TABLE IF EMPTY {self.qualified(name)}")

    def describe_columns(self, name: str, columns: Types) -> None:
        """Remember what new columns hold, where their types do not say so."""
        notes = {column: text for column, dtype in columns.items() if (text := note(dtype))}
        comments = (f"COMMENT COLUMN {CLICKHOUSE.quote(c)} {CLICKHOUSE.literal(text)}" for c, text in notes.items())
        if notes:
            self.execute(f"ALTER TABLE {self.qualified(name)} {', '.join(comments)}")

    def retype(self, table: str, column: str, dtype: nw.dtypes.DType, kind: str) -> None:
        """Remember the new members.

        Raises:
            MetadataSchemaError: if it is not one of our columns of JSON.
        """
        if not is_text(kind):
            raise MetadataSchemaError(
                f"{self.display}: column {column!r} is {kind}, to which Metaxy adds no members; run ALTER TABLE … "
                "MODIFY COLUMN, or write a column of its own"
            )
        self.describe_columns(table, {column: dtype})


def parameters(address: Address) -> dict[str, Any]:
    """Return what the driver takes; parameters win over the URL.

    Raises:
        InvalidConfigError: if the URL cannot be read; it is not shown, as it may hold a password.
    """
    given: dict[str, Any] = {}
    if address.url is not None and address.url.startswith(EMBEDDED):
        given = {"interface": "chdb", "path": address.url.removeprefix(EMBEDDED)}
    elif address.url is not None:
        try:
            parts = urlsplit(address.url)
            given = {"host": parts.hostname, "port": parts.port, "database": parts.path.strip("/")}
        except ValueError as error:
            raise InvalidConfigError("connection_string is no URL that ClickHouse can read") from error
        given |= {"username": unquote(parts.username or ""), "password": unquote(parts.password or "")}
        given |= dict(parse_qsl(parts.query))
    given |= address.parameters
    if "user" in given:
        given["username"] = given.pop("user")
    return {name: value for name, value in given.items() if value not in (None, "")}


def is_secure(given: Mapping[str, Any]) -> bool:
    """Return whether parameters ask for an encrypted connection."""
    asked = str(given.get("secure", given.get("protocol") == "https")).lower()
    return asked in ("1", "true", "yes") or given.get("port") in SECURE_PORTS


def _client_options(given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("interface") == "chdb":
        return dict(given)
    options = {name: value for name, value in given.items() if name not in ("secure", "protocol")}
    return {
        "connect_timeout": 10,
        "autogenerate_session_id": False,
        **options,
        "secure": is_secure(given),
    }


def _one_block(rows: int) -> dict[str, int]:
    """Settings that keep the rows of an insert together, as only a block is written wholly or not at all."""
    return {
        "max_insert_block_size": rows,
        "min_insert_block_size_rows": rows,
        "min_insert_block_size_bytes": 0,
        "max_insert_threads": 1,
    }


def _stream(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")  # an eighth of the bytes, as most columns repeat themselves
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written
