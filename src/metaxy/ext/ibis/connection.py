"""One database behind Ibis: opened, asked and written to by one thread at a time."""

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ibis
import ibis.expr.operations as ops
import narwhals as nw
import polars as pl
from ibis.backends.sql import SQLBackend
from ibis.common.exceptions import IbisError, TableNotFound

from metaxy.errors import InvalidConfigError, MetadataStoreError, StoreConnectionError, StoreNotOpenError
from metaxy.ext.ibis.compiling import ibis_schema, narwhals_types, nesting, taught
from metaxy.ext.ibis.hashing import templates
from metaxy.ext.ibis.listing import correct_narwhals
from metaxy.hashing import HashAlgorithm
from metaxy.masking import Secrets, hide_in
from metaxy.storage.casting import cast_column
from metaxy.storage.loading import Loaded
from metaxy.storage.nested_types import parts_of, with_leaves
from metaxy.storage.port import AccessMode, Capabilities
from metaxy.versioning.column_types import Types
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.frames import Frame, collect_to_polars

TypesOf = Callable[[], Types]


@dataclass(frozen=True)
class Table:
    """A table of a database: the SQL types of its columns, how Metaxy sees them, and which hold any JSON."""

    sql_types: Mapping[str, str]
    schema: nw.Schema
    documents: frozenset[str] = frozenset()


class IbisConnection:
    """Implements the `Database` port of the SQL engine over an Ibis connection.

    A database overrides what it does better or otherwise than Ibis: `connect`, `find`, `execute`, `fetch`, `insert`,
    `transaction`. Statements of all threads take turns.
    """

    implementation = nw.Implementation.IBIS
    computes = False  # versions: Polars does, unless a database says otherwise
    capabilities = Capabilities(adds_members=False)
    longest_name = 63
    reads_frames = False
    deepest: int | None = None  # how far queries of users may nest; those that nest deeper are stored first
    by_field_type = "JSON"  # of by-field columns, where they are not structs
    errors: tuple[type[Exception], ...] = (IbisError, OSError)
    schema: str | None = None  # the one that all tables are in, if it has a name

    def __init__(self, dialect: Dialect, display: str, secrets: Secrets) -> None:
        self.dialect = dialect
        self.hash_functions: Callable[[], Mapping[HashAlgorithm, Callable[[Any], Any]]] = dict
        self.display = display
        self.secrets = secrets
        self.lock = threading.RLock()
        self._ibis: Any = None
        self._loaded = Loaded()

    # -- opening -------------------------------------------------------------------------------------------------------

    def connect(self, mode: AccessMode) -> Any:
        """Return a new Ibis connection."""
        raise NotImplementedError

    def open(self, mode: AccessMode) -> None:
        """Connect.

        Raises:
            StoreConnectionError: in one line and without secrets, if that is not possible.
            InvalidConfigError: if what Ibis connects to is no database.
        """
        try:
            backend = self.connect(mode)
        except StoreConnectionError:
            raise
        except Exception as error:  # each driver has errors of its own
            raise StoreConnectionError(f"cannot open {self.display}: {self.reason(error)}") from error
        if not isinstance(backend, SQLBackend):
            raise InvalidConfigError(
                f"{self.display}: the backend {backend.name!r} of Ibis runs no SQL, so it cannot keep features; name a "
                "database, or use a store of files, such as DeltaMetadataStore"
            )
        correct_narwhals()
        self._ibis = backend
        self._ibis.owner = self
        self._ibis.compiler = taught(self._ibis.compiler)
        if given := self.hash_functions():
            self.dialect = replace(self.dialect, hashes=templates(given, self._ibis))

    def close(self) -> None:
        """Disconnect."""
        if self._ibis is not None:
            try:
                self._ibis.disconnect()
            finally:
                self._ibis = None

    @property
    def place(self) -> Any:
        """What is the same for all connections that can read each other's tables, None if nobody can tell."""
        return None

    @property
    def ibis(self) -> Any:
        """The Ibis connection."""
        if self._ibis is None:
            raise StoreNotOpenError(f"{self.display} is closed; use `with store:`")
        return self._ibis

    def reason(self, error: Exception) -> str:
        """Return what an error of the driver says, in one line; neither this nor the error shows secrets any more."""
        return first_line(hide_in(error, self.secrets.hide))

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """Turn errors of the driver into one line of ours."""
        try:
            yield
        except self.errors as error:
            raise MetadataStoreError(f"{self.display}: {self.reason(error)}") from error

    # -- statements ----------------------------------------------------------------------------------------------------

    def execute(self, statement: str) -> None:
        """Run a statement of ours."""
        with self.lock, self.complaining():
            result = self.ibis.raw_sql(statement)
            if hasattr(result, "close") and result is not getattr(self.ibis, "con", None):
                result.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run statements together; here one after the other, as Ibis knows no transactions."""
        with self.lock:
            yield

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query and return an Arrow table."""
        with self.lock, self.complaining():
            return self.ibis.sql(query, schema=ibis_schema(types())).to_pyarrow()

    def insert(self, table: str, frame: pl.DataFrame, columns: Table) -> None:  # noqa: ARG002 - others need the types
        """Add the rows of a frame to a table of ours, which is given as its bare name."""
        with self.lock, self.complaining():
            self.ibis.insert(table, frame.to_arrow())

    def insert_query(self, table: str, columns: str, query: str) -> None:
        """Add the rows of a query to a table."""
        self.execute(f"INSERT INTO {self.qualified(table)} ({columns}) {query}")

    def fitted(self, value: str, kind: str, dtype: nw.dtypes.DType) -> str:  # noqa: ARG002 - others cast
        """Write a value of a query, which is of a type here, as it goes into a column of a table."""
        return value

    def refuse_values(self, table: str, rows: pl.DataFrame, *, new: bool) -> None:
        """Refuse rows with values that a table, which may be a new one, would keep as others.

        Raises:
            MetadataSchemaError: naming the column and a value.
        """

    # -- tables and frames ---------------------------------------------------------------------------------------------

    def find(self, name: str) -> Table | None:
        """Return a table, None if there is none of that name."""
        try:
            with self.lock, self.complaining():
                schema = self.ibis.get_schema(name)
        except (TableNotFound, MetadataStoreError) as error:
            if isinstance(error, MetadataStoreError) and not isinstance(error.__cause__, TableNotFound):
                raise
            return None
        types = {column: self.ibis.compiler.type_mapper.to_string(dtype) for column, dtype in schema.items()}
        return Table(types, narwhals_types(schema))

    def sql_type(self, dtype: nw.dtypes.DType) -> str:
        """Write the type of a new column."""
        kind: str = self.ibis.compiler.type_mapper.to_string(ibis_schema({"c": dtype})["c"])
        return kind

    def given_type(self, column: str, dtype: nw.dtypes.DType) -> str:  # noqa: ARG002 - others need the name
        """Write the type of a column of a frame that is put beside the tables."""
        return self.sql_type(dtype)

    def qualified(self, name: str) -> str:
        """Write the name of a table."""
        return ".".join(self.dialect.quote(part) for part in (self.schema, name) if part is not None)

    def table(self, name: str, schema: nw.Schema) -> nw.LazyFrame[Any]:
        """Return a table whose columns are known as a lazy frame, without asking the database."""
        space = ops.Namespace(database=self.schema)
        table = ops.DatabaseTable(name=name, schema=ibis_schema(schema), source=self.ibis, namespace=space)
        return self._frame(table.to_expr())

    def is_deep(self, table: str, keys: Sequence[str]) -> bool:  # noqa: ARG002
        """Return False: there is one form of the statement."""
        return False

    def relation(self, query: str, types: TypesOf) -> nw.LazyFrame[Any]:
        """Return a query as a lazy frame."""
        return self._frame(ops.SQLQueryResult(query, ibis_schema(types()), self.ibis).to_expr())

    def _frame(self, table: Any) -> nw.LazyFrame[Any]:
        frame: nw.LazyFrame[Any] = nw.from_native(table)
        return frame

    def query_of(self, frame: nw.LazyFrame[Any]) -> str:
        """Return the SQL of a lazy frame."""
        expression = frame.to_native()
        if isinstance(expression.op(), ops.SQLQueryResult):
            text: str = expression.op().query
            return text
        query: str = self.ibis.compile(expression)
        return query

    def owns(self, frame: Frame) -> bool:
        """Return whether a frame lives in this very database."""
        native = frame.to_native()
        if self._ibis is None or not isinstance(native, ibis.Table):
            return False
        sources, unbound = native._find_backends()
        return not unbound and bool(sources) and all(source is self._ibis for source in sources)

    def adopted(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any] | None:
        """Return a frame of another connection to this place as one of this, None if it is of another place."""
        native = frame.to_native()
        sources = native._find_backends()[0] if isinstance(native, ibis.Table) else []
        owner = getattr(sources[0], "owner", None) if len(sources) == 1 else None
        if owner is None or owner.place is None or owner.place != self.place:
            return None
        return self.relation(owner.query_of(frame), frame.collect_schema)

    def load(self, frame: Frame) -> nw.LazyFrame[Any]:
        """Copy a frame from elsewhere into a temporary table."""
        rows = storable(collect_to_polars(frame))
        name = _temporary_name()
        schema = nw.from_native(rows).schema
        types = {column: self.given_type(column, dtype) for column, dtype in schema.items()}
        with self.lock:
            self.create(name, types, temporary=True)
            self.insert(name, rows, Table(types, schema))
        return self._temporary_table(name, schema)

    def settled(self, frame: nw.LazyFrame[Any], *, reread: bool = False) -> nw.LazyFrame[Any]:
        """Return a frame of this database as statements can hold it."""
        if self.deepest is None or isinstance(frame.to_native().op(), ops.DatabaseTable):
            return frame
        if not reread and nesting(self.query_of(frame)) <= self.deepest:
            return frame
        name, schema = _temporary_name(), frame.collect_schema()
        self.execute(f"CREATE TEMPORARY TABLE {self.dialect.quote(name)} AS {self.query_of(frame)}")
        return self._temporary_table(name, schema)

    def _temporary_table(self, name: str, schema: nw.Schema) -> nw.LazyFrame[Any]:
        self._loaded.remember(lambda: self._drop_temporary(name))
        return self.relation(f"SELECT * FROM {self.dialect.quote(name)}", lambda: schema)

    def create(
        self,
        name: str,
        types: Mapping[str, str],
        *,
        order: Sequence[str] = (),  # noqa: ARG002 - for tables that sort
        temporary: bool = False,
    ) -> None:
        """Create a table; ``order`` are columns without NULL by which it may be sorted."""
        columns = ", ".join(f"{self.dialect.quote(column)} {kind}" for column, kind in types.items())
        what = "TEMPORARY TABLE" if temporary else "TABLE"
        self.execute(f"CREATE {what} {self.dialect.quote(name) if temporary else self.qualified(name)} ({columns})")

    def add_column(self, table: str, column: str, kind: str) -> None:
        """Add a column to a table."""
        self.execute(f"ALTER TABLE {self.qualified(table)} ADD COLUMN {self.dialect.quote(column)} {kind}")

    def serialise(self, name: str, changes: bool) -> None:
        """Let writers that create or change a table take turns, until the transaction ends."""

    def describe_columns(self, name: str, columns: Types) -> None:
        """Remember what new columns hold, where their types do not say so."""

    def retype(self, table: str, column: str, dtype: nw.dtypes.DType, kind: str) -> None:
        """Let a column, whose type is ``kind``, hold structs with more members than before."""
        raise NotImplementedError

    def discard(self, name: str) -> None:
        """Remove a table that was created for rows which were refused then; transactions do so by themselves."""

    def created(self, name: str) -> None:
        """Do what a new table needs once it has rows."""

    def temporary(self) -> AbstractContextManager[None]:
        """Drop what this thread loads in the block; otherwise it is kept until the store is closed."""
        return self._loaded.forgetting()

    def _drop_temporary(self, name: str) -> None:
        if self._ibis is not None:
            self.execute(f"DROP TABLE {self.dialect.quote(name)}")


def _temporary_name() -> str:
    return f"mx_given_{uuid.uuid4().hex[:16]}"


def storable(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn types that databases do not have into those they have, half floats inside of others too."""
    types = nw.from_native(frame).schema
    halves = [frame[name] for name, dtype in types.items() if nw.Float16() in parts_of(dtype)]
    singles = [cast_column(column, with_leaves(column.dtype, _single)) for column in halves]
    return frame.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String), *singles)


def _single(dtype: pl.DataType) -> pl.DataType:
    return pl.Float32() if dtype == pl.Float16 else dtype


def first_line(error: Exception) -> str:
    """Return the first line of an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
