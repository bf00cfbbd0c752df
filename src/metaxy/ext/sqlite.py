"""SQLite: an embedded database in one file that many processes may share; versions are computed by SQLite."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
import ibis.backends.sql.compilers as compilers
import narwhals as nw
import polars as pl
import sqlglot.expressions as sge
from ibis.backends.sqlite import Backend
from pydantic import Field

from metaxy.config.secrets import mask_text
from metaxy.errors import MetadataSchemaError, MetadataStoreError, StoreConnectionError, StoreLockedError
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.compiling import ibis_type, narwhals_types
from metaxy.ext.ibis.connection import IbisConnection, Table, first_line
from metaxy.ext.ibis.fetching import Fetching
from metaxy.ext.ibis.store import IbisMetadataStore
from metaxy.hashing import HashAlgorithm
from metaxy.storage.files import retried
from metaxy.storage.port import AccessMode, Capabilities
from metaxy.store.config import MetadataStoreConfig
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.engine import TypesOf
from metaxy.versioning.polars import HASHES

OLDEST = (3, 39, 0)  # the first with FULL JOIN
MICROS = 1_000_000

HASHLIB = (HashAlgorithm.MD5, HashAlgorithm.SHA256)

SQLITE = Dialect(
    name="sqlite",
    hashes={algorithm: f"mx_{algorithm.value}({{0}})" for algorithm in (*HASHLIB, *HASHES)},
    left="substr({0}, 1, {1})",
    contains="(instr({0}, {1}) > 0)",
    ordered_join="mx_ordered_join({0}, {1}, {2})",
    text_type="TEXT",
    json_only=True,
    json_member="json_extract({0}, {1})",
    timestamp_type="TIMESTAMPTZ",
    timestamp_value="{1}",
    nul="char(0)",
    repeats_expressions=True,
)
# Types of columns, and what each is here. Times are microseconds, dates text, lists and structs JSON.
TYPES: dict[str, nw.dtypes.DType] = {
    "VARCHAR": nw.String(),
    "TINYINT": nw.Int8(),
    "SMALLINT": nw.Int16(),
    "INT32": nw.Int32(),
    "BIGINT": nw.Int64(),
    "UTINYINT": nw.UInt8(),
    "USMALLINT": nw.UInt16(),
    "UINT32": nw.UInt32(),
    "UBIGINT": nw.UInt64(),
    "FLOAT": nw.Float32(),
    "DOUBLE": nw.Float64(),
    "BOOLEAN": nw.Boolean(),
    "DATE": nw.Date(),
    "TIMESTAMP": nw.Datetime("us"),
    "TIMESTAMPTZ": nw.Datetime("us", "UTC"),
    "BLOB": nw.Binary(),
    "JSON": nw.String(),
}
# Types in tables that others created, by what SQLite makes of them.
AFFINITIES: dict[str, nw.dtypes.DType] = {
    "INT": nw.Int64(),
    "CHAR": nw.String(),
    "CLOB": nw.String(),
    "TEXT": nw.String(),
    "BLOB": nw.Binary(),
    "REAL": nw.Float64(),
    "FLOA": nw.Float64(),
    "DOUB": nw.Float64(),
    "BOOL": nw.Boolean(),
    "NUM": nw.Float64(),
    "DEC": nw.Float64(),
}
WAL_ATTEMPTS = 10
NESTED = "JSON "  # before the type of a list or struct, as Ibis writes it


# -- functions that SQLite lacks ---------------------------------------------------------------------------------------


def _hasher(algorithm: HashAlgorithm) -> Callable[[str | None], str | None]:
    """Return a function for one text. Only md5 and sha256 are fast for single texts."""
    if algorithm in HASHLIB:

        def digest(text: str | None) -> str | None:
            return (
                None if text is None else hashlib.new(algorithm.value, text.encode(), usedforsecurity=False).hexdigest()
            )

        return digest
    namespace, function = HASHES[algorithm]
    hashed = getattr(getattr(pl.col("text"), namespace), function)().cast(pl.String)

    def compute(text: str | None) -> str | None:
        found: str | None = pl.DataFrame({"text": [text]}, {"text": pl.String}).select(hashed).item()
        return found

    return compute


class _OrderedJoin:
    """Glues texts in the order of their keys; SQLite orders aggregates only since 3.44."""

    def __init__(self) -> None:
        self.values: list[tuple[tuple[Any, ...], str]] = []
        self.glue = ""

    def step(self, value: str | None, glue: str, *keys: Any) -> None:
        """Take a row."""
        self.glue = glue
        if value is not None:
            self.values.append((tuple((key is None, key) for key in keys), value))

    def finalize(self) -> str | None:
        """Return the text, None if no row has a value."""
        return self.glue.join(value for _, value in sorted(self.values)) if self.values else None


class _Compiler(compilers.SQLiteCompiler):  # type: ignore[misc] # Ibis has no types
    """Ibis keeps times as text; here they are microseconds."""

    __slots__ = ()

    def visit_node(self, op: Any, **kwargs: Any) -> Any:
        """Give the functions of Ibis that take times apart the text that they expect."""
        kind, argument = type(op).__name__, getattr(op, "arg", None)
        apart = kind.startswith(("Extract", "Strftime", "DayOfWeek")) or kind in ("Date", "Time", "TimestampTruncate")
        if not (apart and argument is not None and argument.dtype.is_timestamp()):
            return super().visit_node(op, **kwargs)
        done = super().visit_node(op, **{**kwargs, "arg": self.f.anon.mx_time_text(kwargs["arg"])})
        return self.f.anon.mx_micros(done) if op.dtype.is_timestamp() else done

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: Any) -> Any:  # noqa: N802 - as Ibis calls it
        if dtype.is_timestamp():
            return sge.convert(_micros(value))
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:  # noqa: N802
        given = op.arg.dtype
        if to.is_timestamp():
            return arg if given.is_timestamp() else self.f.anon.mx_micros(arg)
        if given.is_timestamp() and (to.is_string() or to.is_date()):
            text = self.f.anon.mx_time_text(arg)
            return text if to.is_string() else self.f.anon.substr(text, 1, 10)
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_Greatest(self, op: Any, *, arg: Any) -> Any:  # noqa: N802, ARG002
        return self._extreme("max", arg)

    def visit_Least(self, op: Any, *, arg: Any) -> Any:  # noqa: N802, ARG002
        return self._extreme("min", arg)

    def _extreme(self, function: str, values: Sequence[Any]) -> Any:
        """Compare values; NULLs do not count, as elsewhere."""
        filled = [self.f.coalesce(value, *(v for v in values if v is not value)) for value in values]
        return self.f.anon[function](*filled)

    def visit_TimestampAdd(self, op: Any, *, left: Any, right: Any) -> Any:  # noqa: N802
        return left + self._span(op, right)

    def visit_TimestampSub(self, op: Any, *, left: Any, right: Any) -> Any:  # noqa: N802
        return left - self._span(op, right)

    def _span(self, op: Any, right: Any) -> Any:
        sizes = {"W": 604_800 * MICROS, "D": 86_400 * MICROS, "h": 3_600 * MICROS, "m": 60 * MICROS, "s": MICROS}
        size = {**sizes, "ms": 1_000, "us": 1}.get(op.right.dtype.unit.short)
        if size is None:
            raise MetadataSchemaError(f"SQLite cannot add {op.right.dtype.unit.plural} to a time; use days or less")
        return sge.Mul(this=right, expression=sge.convert(size))

    def visit_StructField(self, op: Any, *, arg: Any, field: str) -> Any:  # noqa: N802, ARG002
        return self.f.anon.json_extract(arg, SQLITE.json_path.format(field))


class _Backend(Fetching, Backend):  # type: ignore[misc] # Ibis has no types
    compiler = _Compiler()


def _micros(moment: Any) -> int:
    series = pl.Series([moment]).cast(pl.Datetime("us")) if moment.tzinfo is None else pl.Series([moment])
    return int(series.dt.epoch("us")[0])


def _time_text(micros: int | None) -> str | None:
    return (
        None if micros is None else pl.Series([micros]).cast(pl.Datetime("us")).dt.to_string("%Y-%m-%d %H:%M:%S%.6f")[0]
    )


def _micros_of_text(text: Any) -> int | None:
    if text is None:
        return None
    return _micros(pl.Series([str(text)]).str.to_datetime(time_unit="us")[0])


class SQLiteConnection(IbisConnection):
    """One SQLite file; writers take turns, readers see the last state that was stored."""

    errors = (sqlite3.Error,)
    computes = True
    flattens = True
    json_type = "TEXT"  # SQLite stores numbers in columns of a type that it does not know
    capabilities = Capabilities(by_field="json", has_map=False, has_decimal=False, transactions=True)

    def __init__(self, address: Address, lock_timeout: float = 10.0) -> None:
        self.file = _file_of(address)
        self.lock_timeout = lock_timeout
        super().__init__(SQLITE, mask_text(self.file))

    def connect(self, mode: AccessMode) -> Any:
        """Open the file; one that does not exist is created, also for reading."""
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreConnectionError(f"SQLite {sqlite3.sqlite_version} is too old; use 3.39 or newer")
        session = self._open(mode)
        try:
            _add_functions(session)
            backend = _Backend.from_connection(session)
        except BaseException:
            session.close()
            raise
        backend.owner = self
        return backend

    def _open(self, mode: AccessMode) -> sqlite3.Connection:
        if self.file == ":memory:":
            return self._session(self.file, uri=False)
        path = Path(self.file)
        address = path.absolute().as_uri()
        if mode == "r" and path.exists():
            try:
                return self._session(f"{address}?mode=ro", uri=True)
            except sqlite3.OperationalError:
                if Path(f"{self.file}-wal").exists():
                    raise
                return self._session(f"{address}?mode=ro&immutable=1", uri=True)  # nobody can write to this folder
        session = self._session(address, uri=True)
        # SQLite does not wait by itself while another process turns this on.
        retried(lambda: session.execute("PRAGMA journal_mode = WAL"), lambda e: "locked" in str(e), WAL_ATTEMPTS)
        return session

    def _session(self, address: str, *, uri: bool) -> sqlite3.Connection:
        session = sqlite3.connect(
            address, uri=uri, timeout=self.lock_timeout, isolation_level=None, check_same_thread=False
        )
        try:
            session.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            session.close()
            raise
        return session

    @property
    def session(self) -> sqlite3.Connection:
        """The connection of the driver."""
        session: sqlite3.Connection = self.ibis.con
        return session

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """Turn errors of SQLite into one line of ours."""
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            if "locked" in str(error):
                raise StoreLockedError(
                    f"{self.display} is locked by another process that writes to it (waited {self.lock_timeout:g} s); "
                    "raise `lock_timeout`, or use a store for many writers, such as PostgreSQL or Delta"
                ) from error
            raise MetadataStoreError(f"{self.display}: {first_line(error)}") from error

    def execute(self, statement: str) -> None:
        """Run a statement of ours."""
        with self.lock, self.complaining():
            self.session.execute(statement).close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run statements together or not at all; other writers wait."""
        with self.lock:
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                if self.session.in_transaction:
                    self.session.execute("ROLLBACK")
                raise

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query and return an Arrow table."""
        wanted = types()
        with self.lock, self.complaining():
            rows = self.session.execute(query).fetchall()
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(wanted)
        series = [_read(name, dtype, values) for (name, dtype), values in zip(wanted.items(), columns, strict=True)]
        return pl.DataFrame(series).to_arrow()

    def insert(self, table: str, frame: pl.DataFrame, columns: Table) -> None:  # noqa: ARG002 - SQLite takes any
        """Add rows with one prepared statement."""
        values = [_written(frame[name]) for name in frame.columns]
        places = ", ".join("?" * len(values))
        statement = f"INSERT INTO {SQLITE.quote(table)} ({SQLITE.names(frame.columns)}) VALUES ({places})"
        with self.lock, self.complaining():
            self.session.executemany(statement, zip(*values, strict=True))

    def find(self, name: str) -> Table | None:
        """Return a table, None if there is none of that name."""
        with self.lock, self.complaining():
            rows = self.session.execute("SELECT name, type FROM pragma_table_info(?)", [name]).fetchall()
        types = dict(rows)
        return Table(types, nw.Schema({c: _type(kind) for c, kind in types.items()})) if types else None

    def sql_type(self, dtype: nw.dtypes.DType) -> str:
        """Write the type of a new column."""
        if dtype.is_nested():
            return SQLITE.quote(f"{NESTED}{ibis_type(dtype)}")
        if isinstance(dtype, (nw.Enum, nw.Categorical, nw.Unknown)):
            return "VARCHAR"
        wanted = nw.Datetime("us", dtype.time_zone) if isinstance(dtype, nw.Datetime) else dtype
        wanted = nw.Datetime("us", "UTC") if isinstance(wanted, nw.Datetime) and wanted.time_zone else wanted
        for kind, known in TYPES.items():
            if known == wanted:
                return kind
        raise MetadataSchemaError(f"SQLite has no type for columns of {dtype}; cast them to another type")


def _file_of(address: Address) -> str:
    if address.url is not None:
        rest = address.url.partition("://")[2]
        return rest.removeprefix("/") or ":memory:"
    return str(address.parameters.get("database") or ":memory:")


def _add_functions(session: sqlite3.Connection) -> None:
    functions: dict[str, Callable[[Any], Any]] = {
        **{f"mx_{algorithm.value}": _hasher(algorithm) for algorithm in (*HASHLIB, *HASHES)},
        "mx_time_text": _time_text,
        "mx_micros": _micros_of_text,
    }
    for name, function in functions.items():
        session.create_function(name, 1, function, deterministic=True)
    joining: Any = _OrderedJoin
    session.create_aggregate("mx_ordered_join", -1, joining)


# -- values ------------------------------------------------------------------------------------------------------------


def _type(kind: str) -> nw.dtypes.DType:
    """Return what a type of SQLite is here."""
    plain = kind.strip('"')
    if plain.startswith(NESTED):
        return narwhals_types(ibis.schema({"c": plain.removeprefix(NESTED)}))["c"]
    if plain.upper() in TYPES:
        return TYPES[plain.upper()]
    return next((dtype for word, dtype in AFFINITIES.items() if word in plain.upper()), nw.String())


def _read(name: str, dtype: Any, values: Sequence[Any]) -> pl.Series:
    """Turn the values of a column into what it is."""
    wanted = nw.Schema({name: dtype}).to_polars()[name] if not isinstance(dtype, nw.Unknown) else pl.String()
    if isinstance(dtype, nw.Datetime):
        return pl.Series(name, values, pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone(dtype.time_zone)
    if isinstance(dtype, nw.Date):
        return pl.Series(name, values, pl.String).str.to_date("%Y-%m-%d")
    if isinstance(dtype, nw.Boolean):
        return pl.Series(name, values, pl.Int64).cast(pl.Boolean)
    if isinstance(dtype, nw.Map):
        maps = [None if value is None else json.loads(value) for value in values]
        entries = [None if m is None else [{"key": k, "value": v} for k, v in m.items()] for m in maps]
        return pl.Series(name, entries).cast(wanted)
    if dtype.is_nested():
        return pl.Series(name, values, pl.String).str.json_decode(wanted)
    return pl.Series(name, values, wanted)


def _written(column: pl.Series) -> Any:
    """Turn a column into values that SQLite takes."""
    if isinstance(column.dtype, pl.Datetime):
        utc = column.dt.convert_time_zone("UTC") if column.dtype.time_zone else column
        return utc.cast(pl.Datetime("us", utc.dtype.time_zone)).dt.epoch("us").to_list()  # type: ignore[attr-defined]
    if column.dtype == pl.Date:
        return column.dt.to_string("%Y-%m-%d").to_list()
    if column.dtype.is_nested():
        text = pl.select(pl.struct(column.alias("v")).struct.json_encode()).to_series()  # {"v":…}
        return [None if absent else whole[5:-1] for absent, whole in zip(column.is_null(), text, strict=True)]
    return column.to_list()


# -- the store ---------------------------------------------------------------------------------------------------------


class SQLiteMetadataStoreConfig(MetadataStoreConfig):
    """Keys of a SQLite store."""

    database: str | Path = Field(description="path of the database file, or `:memory:`")
    table_prefix: str | None = Field(default=None, description="prefix of all table names")
    auto_create_tables: bool | None = Field(default=None, description="create tables at the first write")
    lock_timeout: float = Field(default=10.0, ge=0, description="seconds to wait for a file that another process locks")


class SQLiteMetadataStore(IbisMetadataStore):
    """Features in one SQLite file, versioned by SQLite itself; many processes may share it.

    Args:
        database: path of the file, or ``:memory:``.
        lock_timeout: seconds to wait while another process writes.
        options: what all stores take, see `MetadataStore`; and ``table_prefix``.

    >>> SQLiteMetadataStore("features.sqlite")
    SQLiteMetadataStore(database=features.sqlite)
    """

    connection: SQLiteConnection

    def __init__(self, database: str | Path, *, lock_timeout: float = 10.0, **options: Any) -> None:
        self.database = str(database)
        self.lock_timeout = lock_timeout
        super().__init__(backend="sqlite", connection_params={"database": self.database}, **options)

    def connection_to(self, address: Address) -> IbisConnection:
        """Return the connection for an address."""
        return SQLiteConnection(address, self.lock_timeout)

    @classmethod
    def config_model(cls) -> type[MetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return SQLiteMetadataStoreConfig

    def display(self) -> str:
        """Describe the store, without secrets."""
        return f"SQLiteMetadataStore(database={mask_text(self.database)})"

    @property
    def sqlalchemy_url(self) -> str:
        """The address of the database for SQLAlchemy."""
        return f"sqlite:///{self.database}"
