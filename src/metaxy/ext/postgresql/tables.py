"""Tables of PostgreSQL: what is nested is JSON or an array, and comments say what JSON holds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import narwhals as nw
import psycopg

from metaxy.columns import BY_FIELD_COLUMNS, METAXY_DELETED_AT, METAXY_UPDATED_AT
from metaxy.errors import MetadataSchemaError, MetadataStoreError
from metaxy.ext.ibis.notation import written_type
from metaxy.ext.ibis.session import Session
from metaxy.ext.ibis.tables import Table, Tables
from metaxy.ext.postgresql.dialect import POSTGRESQL
from metaxy.ext.postgresql.inferring import Inferred, column_type
from metaxy.ext.postgresql.types import HOLDS, JSON_TYPES, narwhals_type, sql_type
from metaxy.versioning.column_types import Types

CATALOG = """SELECT attname, format_type(atttypid, atttypmod),
    CASE WHEN atttypid IN ('json'::regtype, 'jsonb'::regtype) THEN col_description(attrelid, attnum) END
FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""

SEEN = """SELECT oid::text || ':' || txid_current_snapshot()::text FROM pg_class
WHERE oid = to_regclass(%s) AND relkind = 'r'"""


class PostgreSQLTables(Tables):
    """Tables of one schema, or of a search path."""

    by_field_type = "jsonb"
    knows_commits = True
    unless_there = "IF NOT EXISTS "

    def __init__(self, session: Session, *, nested_as_json: bool = True) -> None:
        super().__init__(session, POSTGRESQL)
        self.nested_as_json = nested_as_json
        self._inferred = Inferred()

    def find(self, name: str) -> Table | None:
        """Return a table, None if there is none of that name."""
        with self.session.use() as driver:
            rows = driver.execute(CATALOG, [self.qualified(name)]).fetchall()
        types = {column: narwhals_type(kind, comment or "") for column, kind, comment in rows}
        documents = {column for column, kind, _ in rows if kind in JSON_TYPES and isinstance(types[column], nw.String)}
        return Table({c: kind for c, kind, _ in rows}, nw.Schema(types), frozenset(documents)) if rows else None

    def size(self, name: str) -> int | None:
        """Return the bytes of a table with its indexes and its long values, None of a view."""
        with self.session.use() as driver:
            found = driver.execute("SELECT pg_total_relation_size(to_regclass(%s))", [self.qualified(name)]).fetchone()
        return (found[0] or None) if found else None

    def commit_token(self, name: str) -> str | None:
        """Return which transactions this one sees: while these are the same, nobody has changed any table.

        Of views and foreign tables that says nothing.
        """
        with self.session.use() as driver:
            found = driver.execute(SEEN, [self.qualified(name)]).fetchone()
        return found[0] if found else None

    def seen(self, name: str, table: Table) -> Table:
        """Return how rows of a table are read; columns of JSON that say nothing of themselves have types of values."""
        table, quote = super().seen(name, table), POSTGRESQL.quote
        unknown = sorted(table.documents.difference(BY_FIELD_COLUMNS))
        if not unknown:
            return table
        with self.session.use() as driver:
            nodes = self._inferred.nodes(driver, self.qualified(name), unknown)
        types = {column: column_type(node) for column, node in nodes.items()}
        nothing = {  # metaxy 0.1 writes NULL of JSON in place of that of SQL
            c: f"NULLIF(CAST({quote(c)} AS jsonb), 'null')" for c, node in nodes.items() if "null" in node.kinds
        }
        return replace(table, schema=nw.Schema({**table.schema, **types}), values={**table.values, **nothing})

    def sql_type(self, dtype: nw.dtypes.DType) -> str:
        """Write the type of a new column."""
        return sql_type(dtype)

    def fitted(self, value: str, kind: str, dtype: nw.dtypes.DType) -> str:
        """Write a value of a query, which is of a type here, as it goes into a column of a table."""
        if kind not in (*JSON_TYPES, "uuid"):
            return value
        return f"CAST({f'to_jsonb({value})' if isinstance(dtype, nw.List) else value} AS {kind})"

    def create(
        self, name: str, types: Mapping[str, str], *, order: Sequence[str] = (), temporary: bool = False
    ) -> None:
        """Create a table, and first its schema.

        Raises:
            MetadataStoreError: also if this user may not create temporary tables, saying how to do without.
        """
        try:
            if not temporary:
                self.session.create_schema()
            super().create(name, types, order=order, temporary=temporary)
        except MetadataStoreError as error:
            if not (temporary and isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege)):
                raise
            raise MetadataStoreError(
                f"{self.session.display}: rows from elsewhere, such as `samples=`, go into a temporary table, which "
                'this user may not create; grant TEMPORARY on the database, or pass versioning_engine="polars"'
            ) from error

    def created(self, name: str) -> None:
        """Collect rough statistics of a new table at once, as the server plans by them, and let times be found.

        Each write asks for rows of faster clocks, which are rare. As rows are stored in the order of their times, an
        index over ranges of pages finds them, and costs writes nothing; deleted rows are few.
        """
        table, found = self.qualified(name), self.find(name)
        if found is not None and {METAXY_UPDATED_AT, METAXY_DELETED_AT} <= found.sql_types.keys():
            self.session.execute(f"CREATE INDEX ON {table} USING brin ({METAXY_UPDATED_AT}) WITH (autosummarize = on)")
            self.session.execute(f"CREATE INDEX ON {table} ({METAXY_DELETED_AT}) WHERE {METAXY_DELETED_AT} IS NOT NULL")
        self.session.execute("SET LOCAL default_statistics_target = 10")
        self.session.execute(f"ANALYZE {table}")

    def describe_columns(self, name: str, columns: Types) -> None:
        """Remember what new columns of JSON hold."""
        documents = {c: dtype for c, dtype in columns.items() if dtype.is_nested() and self.sql_type(dtype) == "jsonb"}
        for column, dtype in documents.items():
            if not self.nested_as_json:
                raise MetadataSchemaError(
                    f"{self.session.display}: column {column!r} is a {type(dtype).__name__}, and "
                    "auto_cast_struct_for_jsonb is false; set it to true to store such columns as JSONB, or turn the "
                    "column into text"
                )
        table, quote, literal = self.qualified(name), POSTGRESQL.quote, POSTGRESQL.literal
        notes = ((quote(column), literal(HOLDS + written_type(dtype))) for column, dtype in documents.items())
        if documents:
            self.session.execute("; ".join(f"COMMENT ON COLUMN {table}.{column} IS {note}" for column, note in notes))

    def retype(self, table: str, column: str, dtype: nw.dtypes.DType, kind: str) -> None:  # noqa: ARG002 - it is JSON
        """Remember the new members."""
        self.describe_columns(table, {column: dtype})
