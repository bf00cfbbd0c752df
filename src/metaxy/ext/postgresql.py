"""PostgreSQL: versions are computed by the server; rows go in and out by COPY."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ibis
import ibis.backends.sql.compilers as compilers
import ibis.expr.datatypes as dt
import narwhals as nw
import polars as pl
import psycopg
from ibis.backends.postgres import Backend
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field

from metaxy.errors import InvalidConfigError, MetadataSchemaError, MetadataStoreError, StoreConnectionError
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.compiling import ibis_type, narwhals_types
from metaxy.ext.ibis.connection import IbisConnection, Table, first_line
from metaxy.ext.ibis.fetching import Fetching
from metaxy.ext.ibis.store import IbisMetadataStore, IbisMetadataStoreConfig
from metaxy.hashing import HashAlgorithm
from metaxy.storage.port import AccessMode, Capabilities
from metaxy.store.config import MetadataStoreConfig
from metaxy.versioning.column_types import Types
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.engine import TypesOf

COPY_ROWS = 100_000
JSON_TYPES = ("json", "jsonb")

POSTGRESQL = Dialect(
    name="postgresql",
    hashes={
        HashAlgorithm.MD5: "md5({0})",
        HashAlgorithm.SHA256: "encode(sha256(convert_to({0}, 'UTF8')), 'hex')",
    },
    contains="(strpos({0}, {1}) > 0)",
    byte_order='{0} COLLATE "C"',
    same="ARRAY[{0}] = ARRAY[{1}]",  # what IS NOT DISTINCT FROM means, but it can be hashed
    json_only=True,
    json_member="(CAST({0} AS jsonb) ->> {1})",
    json_path="{0}",
    pack_json="jsonb_object(CAST(ARRAY[{1}] AS text[]), CAST(ARRAY[{2}] AS text[]))",
    nul=None,  # no text of PostgreSQL holds it
    repeats_expressions=True,
)

# Types as PostgreSQL names them, and what each is here; all others are text.
TYPES: dict[str, nw.dtypes.DType] = {
    "smallint": nw.Int16(),
    "integer": nw.Int32(),
    "bigint": nw.Int64(),
    "real": nw.Float32(),
    "double precision": nw.Float64(),
    "boolean": nw.Boolean(),
    "date": nw.Date(),
    "bytea": nw.Binary(),
    "time without time zone": nw.Time(),
    "timestamp with time zone": nw.Datetime("us", "UTC"),
    "timestamp without time zone": nw.Datetime("us"),
    "numeric": nw.Decimal(38, 9),
}
SQL_TYPES: dict[type, str] = {
    nw.String: "varchar",
    nw.Int8: "smallint",
    nw.UInt8: "smallint",
    nw.Int16: "smallint",
    nw.UInt16: "integer",
    nw.Int32: "integer",
    nw.UInt32: "bigint",
    nw.Int64: "bigint",
    nw.UInt64: "numeric(20,0)",
    nw.Float32: "real",
    nw.Float64: "double precision",
    nw.Boolean: "boolean",
    nw.Date: "date",
    nw.Time: "time",
    nw.Binary: "bytea",
    nw.Struct: "jsonb",
    nw.Map: "jsonb",
    nw.Enum: "varchar",
    nw.Categorical: "varchar",
}
# What a column of JSON holds is remembered in its comment.
HOLDS = "metaxy: "
CATALOG = """SELECT attname, format_type(atttypid, atttypmod),
    CASE WHEN atttypid IN ('json'::regtype, 'jsonb'::regtype) THEN col_description(attrelid, attnum) END
FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""


class _Compiler(compilers.PostgresCompiler):  # type: ignore[misc] # Ibis has no types
    __slots__ = ()

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:  # noqa: N802 - as Ibis calls it
        if op.arg.dtype.is_boolean() and to.is_integer():
            arg = self.cast(arg, dt.int32)  # the only integers that it casts truth to
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_StructField(self, op: Any, *, arg: Any, field: str) -> Any:  # noqa: N802, ARG002
        return self.f.jsonb_extract_path_text(arg, field)


class _Backend(Fetching, Backend):  # type: ignore[misc] # Ibis has no types
    compiler = _Compiler()


class PostgreSQLConnection(IbisConnection):
    """One session of a PostgreSQL server; each write is a transaction."""

    json_type = "jsonb"
    errors = (psycopg.Error,)

    computes = True
    capabilities = Capabilities(by_field="json", has_map=False, transactions=True)

    def __init__(self, address: Address, statement_timeout: float | None = None) -> None:
        super().__init__(POSTGRESQL, str(address))
        self.address = address
        self.statement_timeout = statement_timeout

    def connect(self, mode: AccessMode) -> Any:  # noqa: ARG002 - what is read may need a temporary table
        """Connect, and settle what must not depend on the server's configuration."""
        parameters = _parameters(self.address)
        schema = parameters.pop("schema", None)
        session = psycopg.connect(
            **{"connect_timeout": 10, "application_name": "metaxy", **parameters}, autocommit=True
        )
        try:
            for setting in self._settings(schema):
                session.execute(setting)
            backend = _Backend.from_connection(session)
        except BaseException:
            session.close()
            raise
        backend.owner = self
        return backend

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
            raise kind(f"{self.display}: {first_line(error)}{hint}") from error

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
        columns = ", ".join(_outgoing(f"q.{POSTGRESQL.quote(name)}", dtype) for name, dtype in wanted.items())
        texts = POSTGRESQL.names(name for name, dtype in wanted.items() if _is_text(dtype))
        forced = f", FORCE_QUOTE ({texts})" if texts else ""
        statement = f"COPY (SELECT {columns} FROM ({query}) AS q) TO STDOUT (FORMAT csv{forced})"
        buffer = io.BytesIO()
        with self.lock, self.complaining(), self.session.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for block in copy:
                buffer.write(block)
        return _arrow(buffer, wanted)

    def insert(self, table: str, frame: pl.DataFrame, columns: Table) -> None:
        """Add rows by COPY."""
        lists = {name for name, kind in columns.sql_types.items() if kind.endswith("[]")}
        text = frame.select(_incoming(name, dtype, as_array=name in lists) for name, dtype in frame.schema.items())
        names = POSTGRESQL.names(frame.columns)
        statement = f"COPY {POSTGRESQL.quote(table)} ({names}) FROM STDIN (FORMAT csv, NULL '\\N')"
        with self.lock, self.complaining(), self.session.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for part in text.iter_slices(COPY_ROWS):
                written = part.write_csv(include_header=False, quote_style="non_numeric", null_value="\\N")
                copy.write(written.encode())

    def fitted(self, value: str, kind: str) -> str:
        """Write a value of a query as it goes into a column of a table."""
        return f"CAST({value} AS {kind})" if kind in JSON_TYPES else value

    def find(self, name: str) -> Table | None:
        """Return a table, None if there is none of that name."""
        with self.lock, self.complaining():
            rows = self.session.execute(CATALOG, [POSTGRESQL.quote(name)]).fetchall()
        types = {column: _type(kind, comment or "") for column, kind, comment in rows}
        documents = {column for column, kind, _ in rows if kind in JSON_TYPES and isinstance(types[column], nw.String)}
        return Table({c: kind for c, kind, _ in rows}, nw.Schema(types), frozenset(documents)) if rows else None

    def sql_type(self, dtype: nw.dtypes.DType) -> str:
        """Write the type of a new column."""
        if isinstance(dtype, nw.Decimal):
            return f"numeric({dtype.precision},{dtype.scale})"
        if isinstance(dtype, nw.Datetime):
            return "timestamptz" if dtype.time_zone else "timestamp"
        if isinstance(dtype, (nw.List, nw.Array)):
            inner: Any = dtype.inner
            return f"{self.sql_type(inner)}[]" if _is_element(inner) else "jsonb"
        kind = SQL_TYPES.get(type(dtype))
        if kind is None:
            raise MetadataSchemaError(f"{self.display} has no type for columns of {dtype}; cast them to another type")
        return kind

    def add_column(self, table: str, column: str, kind: str) -> None:
        """Add a column, if another writer was not first."""
        self.execute(f"ALTER TABLE {self.qualified(table)} ADD COLUMN IF NOT EXISTS {POSTGRESQL.quote(column)} {kind}")

    def serialise(self, name: str, changes: bool) -> None:
        """Let writers that create or change a table take turns, until the transaction ends."""
        if changes:
            lock = f"current_schema() || '.' || {POSTGRESQL.literal(name)}"
            self.execute(f"SELECT pg_advisory_xact_lock(hashtextextended({lock}, 0))")

    def describe_column(self, name: str, column: str, dtype: nw.dtypes.DType) -> None:
        """Remember what a new column of JSON holds."""
        if dtype.is_nested() and self.sql_type(dtype) == "jsonb":
            what, text = f"{self.qualified(name)}.{POSTGRESQL.quote(column)}", f"{HOLDS}{ibis_type(dtype)}"
            self.execute(f"COMMENT ON COLUMN {what} IS {POSTGRESQL.literal(text)}")

    def created(self, name: str) -> None:
        """Collect statistics of a new table at once: the server plans by them."""
        self.execute(f"ANALYZE {self.qualified(name)}")


def _parameters(address: Address) -> dict[str, Any]:
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


# -- types -------------------------------------------------------------------------------------------------------------


def _type(kind: str, comment: str = "") -> nw.dtypes.DType:
    """Return what a type of PostgreSQL is here."""
    if comment.startswith(HOLDS):
        return narwhals_types(ibis.schema({"c": comment.removeprefix(HOLDS)}))["c"]
    if kind.endswith("[]"):
        return nw.List(_type(kind[:-2]))
    plain, _, rest = kind.partition("(")
    sizes, _, after = rest.partition(")")
    if plain == "numeric" and sizes:
        precision, _, scale = sizes.partition(",")
        return nw.Decimal(int(precision), int(scale or 0))
    return TYPES.get(plain + after, nw.String())


def _is_element(dtype: Any) -> bool:
    """Return whether lists of a type are arrays; lists of anything else are JSON."""
    return type(dtype) in SQL_TYPES and not isinstance(dtype, (nw.Struct, nw.Map, nw.Binary, nw.Time))


def _is_text(dtype: nw.dtypes.DType) -> bool:
    return isinstance(dtype, (nw.String, nw.Enum, nw.Categorical, nw.Unknown))


def _outgoing(value: str, dtype: nw.dtypes.DType) -> str:
    """Write a value as text that Arrow can parse."""
    if isinstance(dtype, nw.Datetime):
        return f"CAST(extract(epoch FROM {value}) * 1000000 AS bigint)"
    if isinstance(dtype, nw.Binary):
        return f"encode({value}, 'hex')"
    return f"CAST(to_jsonb({value}) AS text)" if dtype.is_nested() else value


def _arrow(buffer: io.BytesIO, types: Types) -> Any:
    """Parse text to Arrow; then what Arrow cannot parse."""
    import pyarrow as pa
    import pyarrow.csv as csv

    schema = nw.Schema(types)
    if not buffer.tell():
        return pl.DataFrame(schema=schema.to_polars()).to_arrow()
    size = buffer.tell()
    buffer.seek(0)
    parsed = {name: _parsed(dtype) for name, dtype in types.items()}
    table = csv.read_csv(
        buffer,
        read_options=csv.ReadOptions(column_names=list(types), block_size=min(max(size, 1), 1 << 26)),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=parsed,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    for index, (name, dtype) in enumerate(types.items()):
        if isinstance(dtype, nw.Datetime):
            table = table.set_column(index, name, table[name].cast(pa.timestamp("us", dtype.time_zone)))
        elif dtype.is_nested() or isinstance(dtype, (nw.Binary, nw.Time)):
            table = table.set_column(index, name, _decoded(table[name], dtype))
    return table


def _parsed(dtype: nw.dtypes.DType) -> Any:
    """Return the Arrow type that a column is parsed as."""
    import pyarrow as pa

    if isinstance(dtype, nw.Datetime):
        return pa.int64()
    if _is_text(dtype) or dtype.is_nested() or isinstance(dtype, (nw.Binary, nw.Time)):
        return pa.string()
    return nw.Schema({"c": dtype}).to_arrow().field("c").type


def _decoded(column: Any, dtype: nw.dtypes.DType) -> Any:
    text, wanted = pl.Series("c", column), nw.Schema({"c": dtype}).to_polars()["c"]
    if isinstance(dtype, nw.Binary):
        return text.str.decode("hex").to_arrow()
    if isinstance(dtype, nw.Time):
        return text.str.to_time("%H:%M:%S%.f").to_arrow()
    if isinstance(dtype, nw.Map):  # JSON has objects, Polars decodes lists of entries
        import json

        values = [None if value is None else list(json.loads(value).items()) for value in text]
        entries = pl.Series("c", [None if v is None else [{"key": k, "value": x} for k, x in v] for v in values])
        return entries.cast(wanted).to_arrow()
    return text.str.json_decode(wanted).to_arrow()


def _incoming(name: str, dtype: pl.DataType, *, as_array: bool) -> pl.Expr:
    """Write a column as PostgreSQL reads it in CSV."""
    value = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        utc = value.dt.convert_time_zone("UTC") if dtype.time_zone else value
        return utc.dt.strftime("%Y-%m-%d %H:%M:%S%.6f" + ("+00" if dtype.time_zone else ""))
    if dtype == pl.Binary:
        return pl.concat_str(pl.lit("\\x"), value.bin.encode("hex")).alias(name)
    if as_array:
        return _array(value).alias(name)
    if dtype.is_nested():
        whole = pl.struct(value.alias("v")).struct.json_encode()  # {"v":…}
        text = whole.str.slice(5, whole.str.len_chars() - 6)
        return pl.when(value.is_not_null()).then(text).alias(name)
    return value


def _array(value: pl.Expr) -> pl.Expr:
    """Write a list as the text of an array."""
    item = pl.element().cast(pl.String)
    for mark in ("\\", '"'):
        item = item.str.replace_all(mark, "\\" + mark, literal=True)
    quoted = (
        pl.when(pl.element().is_null()).then(pl.lit("NULL")).otherwise(pl.concat_str(pl.lit('"'), item, pl.lit('"')))
    )
    return pl.concat_str(pl.lit("{"), value.list.eval(quoted).list.join(","), pl.lit("}"))


# -- the store ---------------------------------------------------------------------------------------------------------


class PostgreSQLMetadataStoreConfig(IbisMetadataStoreConfig):
    """Keys of a PostgreSQL store."""

    auto_cast_struct_for_jsonb: bool = Field(default=True, description="store structs of users as JSONB")
    statement_timeout: float | None = Field(default=None, gt=0, description="seconds after which a statement is ended")


class PostgreSQLMetadataStore(IbisMetadataStore):
    """Features in a PostgreSQL database, versioned by the server itself.

    Args:
        connection_string: URL of the database: ``postgresql://user:password@host:5432/database``.
        connection_params: host, port, user, password, database, schema and other parameters of libpq instead.
        auto_cast_struct_for_jsonb: store structs of users as JSONB; otherwise they are refused.
        statement_timeout: seconds after which the server ends a statement.
        options: what all stores take, see `MetadataStore`; and ``table_prefix``.

    >>> PostgreSQLMetadataStore("postgresql://me:secret@host/db")
    PostgreSQLMetadataStore(connection_string=postgresql://me:***@host/db)
    """

    connection: PostgreSQLConnection

    def __init__(
        self,
        connection_string: str | None = None,
        *,
        connection_params: Mapping[str, Any] | None = None,
        auto_cast_struct_for_jsonb: bool = True,
        statement_timeout: float | None = None,
        **options: Any,
    ) -> None:
        if connection_string is None and connection_params is None:
            raise InvalidConfigError("a PostgreSQL store needs connection_string or connection_params")
        self.auto_cast_struct_for_jsonb = auto_cast_struct_for_jsonb
        self.statement_timeout = statement_timeout
        super().__init__(
            connection_string=connection_string, backend="postgres", connection_params=connection_params, **options
        )

    def connection_to(self, address: Address) -> PostgreSQLConnection:
        """Return the connection for an address."""
        return PostgreSQLConnection(address, self.statement_timeout)

    @classmethod
    def config_model(cls) -> type[MetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return PostgreSQLMetadataStoreConfig
