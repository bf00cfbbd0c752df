"""Tables of ClickHouse: each sorts by version and ID, what is nested is JSON, and comments say what JSON holds."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import narwhals as nw

from metaxy.columns import BY_FIELD_COLUMNS
from metaxy.errors import MetadataSchemaError, MetadataStoreError
from metaxy.ext.clickhouse.dialect import CLICKHOUSE
from metaxy.ext.clickhouse.types import MOMENT, TEXTS, is_text, narwhals_type, note, sql_type
from metaxy.ext.ibis.tables import Table, Tables
from metaxy.versioning.column_types import Types

COLUMNS = """SELECT name, type, comment FROM system.columns
WHERE database = currentDatabase() AND table = {} AND default_kind NOT IN ('ALIAS', 'MATERIALIZED', 'EPHEMERAL')
ORDER BY position"""
SIZE = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() AND table = {}"

# Of tables that are made of others, or whose rows are elsewhere, there are no parts.
PARTS = """SELECT t.uuid, count(p.name), sum(sipHash64(p.name, p.hash_of_all_files))
FROM system.tables AS t LEFT JOIN (SELECT * FROM system.parts WHERE active) AS p
ON p.database = t.database AND p.table = t.name
WHERE t.database = currentDatabase() AND t.name = {} AND t.engine LIKE '%MergeTree' GROUP BY t.uuid"""


class ClickHouseTables(Tables):
    """Tables of one database."""

    by_field_type = "Map(String, String)"
    longest_name = 200  # bytes; its files are named after tables
    knows_commits = True
    unless_there = "IF NOT EXISTS "

    def find(self, name: str) -> Table | None:
        """Return a table, None if there is none of that name."""
        with self.session.use() as driver:
            rows = driver.query(COLUMNS.format(CLICKHOUSE.literal(name))).result_rows
        if not rows:
            return None
        types = {column: narwhals_type(kind, comment) for column, kind, comment in rows}
        return Table({column: kind for column, kind, _ in rows}, nw.Schema(types))

    def size(self, name: str) -> int | None:
        """Return the bytes of the parts of a table that count."""
        with self.session.use() as driver:
            [(size,)] = driver.query(SIZE.format(CLICKHOUSE.literal(name))).result_rows
        return int(size) or None

    def commit_token(self, name: str) -> str | None:
        """Return a hash of the parts that count; each change makes new ones, and those of a new table are others."""
        with self.session.use() as driver:
            rows = driver.query(PARTS.format(CLICKHOUSE.literal(name))).result_rows
        return ":".join(map(str, rows[0])) if rows else None

    def sql_type(self, dtype: nw.dtypes.DType) -> str:
        """Write the type of a new column."""
        kind = sql_type(dtype)
        if kind is None:
            raise MetadataSchemaError(
                f"{self.session.display} has no type for columns of {dtype}; cast them to another type"
            )
        return kind

    def given_type(self, column: str, dtype: nw.dtypes.DType) -> str:
        """Write the type of a column of a frame that is put beside the tables; structs of versions are tuples."""
        if column.startswith(BY_FIELD_COLUMNS) and isinstance(dtype, nw.Struct):
            members = ", ".join(f"{CLICKHOUSE.quote(member.name)} Nullable(String)" for member in dtype.fields)
            return f"Tuple({members})"
        if column.startswith(BY_FIELD_COLUMNS) and isinstance(dtype, nw.Map):
            return "Map(String, Nullable(String))"
        return self.sql_type(dtype)

    def fitted(self, value: str, kind: str, dtype: nw.dtypes.DType) -> str:
        """Write a value of a query, which is of a type here, as it goes into a column of a table."""
        if kind.startswith("Map(") and "Nullable(" not in kind:
            value = f"mapFilter((k, v) -> v IS NOT NULL, {value})"
        if dtype.is_nested() and is_text(kind):  # the value is JSON as well, or an array, a tuple or a map
            texts = ", ".join(map(CLICKHOUSE.literal, TEXTS))
            value = f"if(toTypeName({value}) IN ({texts}), CAST({value} AS Nullable(String)), toJSONString({value}))"
        if dtype.is_float():  # as for rows from elsewhere
            value = f"if(isNaN({value}), nan, {value} + 0)"
        return f"CAST({value} AS {kind})"

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
        self.session.execute(f"CREATE TABLE IF NOT EXISTS {self.qualified(name)} ({columns}) ENGINE = {engine}")

    def describe_columns(self, name: str, columns: Types) -> None:
        """Remember what new columns hold, where their types do not say so."""
        notes = {column: text for column, dtype in columns.items() if (text := note(dtype))}
        comments = (f"COMMENT COLUMN {CLICKHOUSE.quote(c)} {CLICKHOUSE.literal(text)}" for c, text in notes.items())
        if notes:
            self.session.execute(f"ALTER TABLE {self.qualified(name)} {', '.join(comments)}")

    def retype(self, table: str, column: str, dtype: nw.dtypes.DType, kind: str) -> None:
        """Remember the new members.

        Raises:
            MetadataSchemaError: if it is not one of our columns of JSON.
        """
        if not is_text(kind):
            raise MetadataSchemaError(
                f"{self.session.display}: column {column!r} is {kind}, to which Metaxy adds no members; run "
                "ALTER TABLE … MODIFY COLUMN, or write a column of its own"
            )
        self.describe_columns(table, {column: dtype})

    def discard(self, name: str) -> None:
        """Remove a new table, unless another writer has rows in it by now."""
        with suppress(MetadataStoreError):  # servers before 23.12 cannot; what is left there is an empty table
            self.session.execute(f"DROP TABLE IF EMPTY {self.qualified(name)}")
