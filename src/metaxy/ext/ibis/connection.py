"""A database behind Ibis, as the SQL engine sees it."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import ibis
import ibis.expr.operations as ops
import narwhals as nw
import polars as pl
import sqlglot.expressions as sge

from metaxy.ext.ibis.bulk import Bulk
from metaxy.ext.ibis.compiling import ibis_schema, nesting
from metaxy.ext.ibis.tables import GIVEN, Table, Tables
from metaxy.hashing import HashAlgorithm
from metaxy.storage.column_casts import cast_column
from metaxy.storage.nested_types import parts_of, with_leaves
from metaxy.storage.port import HUGE, AccessMode, Capabilities, Claims
from metaxy.storage.temporaries import Temporaries
from metaxy.versioning.database import TypesOf
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.frames import Frame, collect_to_polars

PLACE = "MX_TEXT"


@dataclass(frozen=True)
class Traits:
    """What a database can do.

    ``computes``: it computes versions; otherwise Polars does. ``deepest``: how far queries of users may nest; those
    that nest deeper are stored first. ``deletes_apart``: rows are deleted outside of the session, where its temporary
    tables are not known. ``claims`` keeps claims in a table of this name, and may create it if it is told so.
    """

    # By default, what Ibis can do by itself: it gives Polars neither maps, nor durations, nor integers of 128 bits.
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(
            adds_members=False, has_map=False, unsupported=(*HUGE, nw.Duration, nw.Map)
        )
    )
    computes: bool = False
    deepest: int | None = None
    deletes_apart: bool = False
    claims: "Callable[[IbisConnection, str, bool], Claims] | None" = None


class IbisConnection:
    """Implements the `Database` port of the SQL engine with the parts of a database.

    Statements of threads take turns.
    """

    implementation = nw.Implementation.IBIS
    reads_frames = False

    def __init__(self, dialect: Dialect, bulk: Bulk, traits: Traits) -> None:
        self.dialect = dialect
        self.bulk = bulk
        self.tables: Tables = bulk.tables
        self.session = bulk.session
        self.traits = traits
        self.hash_functions: Callable[[], Mapping[HashAlgorithm, Callable[[Any], Any]]] = dict
        self._loaded = Temporaries()

    def open(self, mode: AccessMode) -> None:
        """Connect.

        Raises:
            StoreConnectionError: if that is not possible.
        """
        self.session.open(mode)
        self.ibis.owner = self
        if given := self.hash_functions():
            hashes = {algorithm: template(function, self.ibis) for algorithm, function in given.items()}
            self.dialect = replace(self.dialect, hashes=hashes)

    def close(self) -> None:
        """Disconnect."""
        self.session.close()

    @property
    def ibis(self) -> Any:
        """The Ibis connection."""
        return self.session.ibis

    def execute(self, statement: str) -> None:
        """Run a statement of ours."""
        self.session.execute(statement)

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query and return an Arrow table."""
        return self.bulk.fetch(query, types)

    def pieces(self, query: str, types: TypesOf, rows: int) -> Iterator[Any]:
        """Run a query and yield Arrow tables of about so many rows."""
        yield from self.bulk.pieces(query, types, rows)

    # -- frames of this database ---------------------------------------------------------------------------------------

    def table(self, name: str, schema: nw.Schema) -> nw.LazyFrame[Any]:
        """Return a table whose columns are known as a lazy frame, without asking the database."""
        space = ops.Namespace(database=self.session.schema)
        table = ops.DatabaseTable(name=name, schema=ibis_schema(schema), source=self.ibis, namespace=space)
        return _frame(table.to_expr())

    def is_deep(self, table: str, keys: Sequence[str]) -> bool:  # noqa: ARG002
        """Return False: there is one form of the statement."""
        return False

    def relation(self, query: str, types: TypesOf) -> nw.LazyFrame[Any]:
        """Return a query as a lazy frame."""
        return _frame(ops.SQLQueryResult(query, ibis_schema(types()), self.ibis).to_expr())

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
        if not self.session.is_open or not isinstance(native, ibis.Table):
            return False
        sources, unbound = native._find_backends()
        return not unbound and bool(sources) and all(source is self.ibis for source in sources)

    # -- frames from elsewhere -----------------------------------------------------------------------------------------

    def rebound(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any] | None:
        """Return a frame of another connection to this place as one of this, None if it is of another place."""
        native = frame.to_native()
        sources = native._find_backends()[0] if isinstance(native, ibis.Table) else []
        owner = getattr(sources[0], "owner", None) if len(sources) == 1 else None
        if owner is None or owner.session.place is None or owner.session.place != self.session.place:
            return None
        return self.relation(owner.query_of(frame), frame.collect_schema)

    def load(self, frame: Frame) -> nw.LazyFrame[Any]:
        """Copy a frame from elsewhere into a temporary table."""
        rows = storable(collect_to_polars(frame))
        name = _temporary_name()
        schema = nw.from_native(rows).schema
        types = {column: self.tables.given_type(column, dtype) for column, dtype in schema.items()}
        with self.session.lock, self.bulk.loading():
            self.tables.create(name, types, temporary=True)
            self.bulk.insert(name, rows, Table(types, schema))
        return self._temporary_table(name, schema)

    def embeddable(self, frame: nw.LazyFrame[Any], *, reread: bool = False) -> nw.LazyFrame[Any]:
        """Return a frame of this database as statements can hold it."""
        deepest = self.traits.deepest
        if deepest is None or isinstance(frame.to_native().op(), ops.DatabaseTable):
            return frame
        if not reread and nesting(self.query_of(frame)) <= deepest:
            return frame
        name, schema = _temporary_name(), frame.collect_schema()
        self.execute(f"CREATE TEMPORARY TABLE {self.dialect.quote(name)} AS {self.query_of(frame)}")
        return self._temporary_table(name, schema)

    @contextmanager
    def lasting(self, frame: nw.LazyFrame[Any]) -> Iterator[str]:
        """Return a query that gives the rows of a frame to any statement, also to one that runs in another session."""
        frame = frame if self.owns(frame) else self.load(frame)
        if not self.traits.deletes_apart:
            yield self.query_of(frame)
            return
        name, schema = _temporary_name(), frame.collect_schema()
        self.tables.create(name, {column: self.tables.sql_type(dtype) for column, dtype in schema.items()})
        try:
            self.bulk.insert_query(name, self.dialect.names(schema), self.query_of(frame))
            yield f"SELECT * FROM {self.tables.qualified(name)}"
        finally:
            self.execute(f"DROP TABLE {self.tables.qualified(name)}")

    def _temporary_table(self, name: str, schema: nw.Schema) -> nw.LazyFrame[Any]:
        self._loaded.remember(lambda: self._drop_temporary(name))
        return self.relation(f"SELECT * FROM {self.dialect.quote(name)}", lambda: schema)

    def temporary(self) -> AbstractContextManager[None]:
        """Drop what this thread loads in the block; otherwise it is kept until the store is closed."""
        return self._loaded.forgetting()

    def _drop_temporary(self, name: str) -> None:
        if self.session.is_open:
            self.execute(f"DROP TABLE {self.dialect.quote(name)}")


def _frame(table: Any) -> nw.LazyFrame[Any]:
    frame: nw.LazyFrame[Any] = nw.from_native(table)
    return frame


def _temporary_name() -> str:
    return f"{GIVEN}{uuid.uuid4().hex[:16]}"


def storable(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn types that databases do not have into those they have, half floats inside of others too."""
    types = nw.from_native(frame).schema
    halves = [frame[name] for name, dtype in types.items() if nw.Float16() in parts_of(dtype)]
    wanted = [with_leaves(column.dtype, lambda part: pl.Float32() if part == pl.Float16 else part) for column in halves]
    singles = map(cast_column, halves, wanted)
    return frame.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String), *singles)


def template(function: Callable[[Any], Any], backend: Any) -> str:
    """Write what a function does with a text, which subclasses of metaxy 0.1 give, as SQL with a place for the text."""
    table: Any = ibis.table({"text": "string"}, name="t")
    query = backend.compiler.to_sqlglot(table.select(hashed=function(table["text"])))
    value = query.expressions[0].unalias()
    for column in list(value.find_all(sge.Column)):
        column.replace(sge.Var(this=PLACE))
    text: str = value.sql(dialect=backend.dialect)
    return text.replace("{", "{{").replace("}", "}}").replace(PLACE, "{0}")
