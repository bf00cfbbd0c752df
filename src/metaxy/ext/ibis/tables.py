"""Tables of a database: what is in them, and how they are made and changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import narwhals as nw
from ibis.common.exceptions import TableNotFound

from metaxy.errors import MetadataStoreError
from metaxy.ext.ibis.compiling import ibis_schema, narwhals_types
from metaxy.ext.ibis.session import Session
from metaxy.versioning.column_types import Types
from metaxy.versioning.dialect import Dialect

GIVEN = "mx_given_"
FOR_A_WHILE = (GIVEN, "ibis_")


@dataclass(frozen=True)
class Table:
    """A table of a database: the SQL types of its columns, how Metaxy sees them, and which hold any JSON.

    ``values`` are SQL for what is seen of columns instead of what is stored. ``row_ids``: its rows have the numbers by
    which the dialect tells rows apart, as those of views have not.
    """

    sql_types: Mapping[str, str]
    schema: nw.Schema
    documents: frozenset[str] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict)
    row_ids: bool = True


class Tables:
    """The tables of a session; a database overrides what its types need."""

    by_field_type = "JSON"  # of by-field columns, where they are not structs
    longest_name = 63  # bytes of a name that the database keeps
    knows_commits = False  # has `commit_token`
    unless_there = ""  # what lets ADD COLUMN do nothing where another writer was first

    def __init__(self, session: Session, dialect: Dialect) -> None:
        self.session = session
        self.dialect = dialect

    def qualified(self, name: str) -> str:
        """Write the name of a table."""
        return ".".join(self.dialect.quote(part) for part in (self.session.schema, name) if part is not None)

    def find(self, name: str) -> Table | None:
        """Return a table, None if there is none of that name."""
        session = self.session
        try:
            with session.use():
                schema = session.ibis.get_schema(name)
        except (TableNotFound, MetadataStoreError) as error:
            if isinstance(error, MetadataStoreError) and not isinstance(error.__cause__, TableNotFound):
                raise
            return None
        types = {column: session.ibis.compiler.type_mapper.to_string(dtype) for column, dtype in schema.items()}
        return Table(types, narwhals_types(schema))

    def names(self) -> Sequence[str]:
        """Return the names of all tables but those that Ibis and Metaxy have put beside them for a while."""
        with self.session.use():
            names: list[str] = self.session.ibis.list_tables()
        return [name for name in names if not name.startswith(FOR_A_WHILE)]

    def size(self, name: str) -> int | None:  # noqa: ARG002 - others know it
        """Return the bytes of a table, None if the database does not say."""
        return None

    def commit_token(self, name: str) -> str | None:  # noqa: ARG002 - others know it
        """Return what is another text after every change of a table, None if the database does not say."""
        return None

    def seen(self, name: str, table: Table) -> Table:  # noqa: ARG002 - others look at its rows
        """Return how rows of a table are read; UUIDs, which others may have put there, are text as everywhere."""
        quote, text, kind_of_text = self.dialect.quote, self.dialect.text, self.dialect.text_type
        texts = [column for column, dtype in table.schema.items() if isinstance(dtype, nw.String)]
        uuids = [column for column in texts if "uuid" in table.sql_types[column].lower()]
        return replace(table, values={column: text.format(quote(column), kind_of_text) for column in uuids})

    # -- types ---------------------------------------------------------------------------------------------------------

    def sql_type(self, dtype: nw.dtypes.DType) -> str:
        """Write the type of a new column."""
        kind: str = self.session.ibis.compiler.type_mapper.to_string(ibis_schema({"c": dtype})["c"])
        return kind

    def given_type(self, column: str, dtype: nw.dtypes.DType) -> str:  # noqa: ARG002 - others need the name
        """Write the type of a column of a frame that is put beside the tables."""
        return self.sql_type(dtype)

    def fitted(self, value: str, kind: str, dtype: nw.dtypes.DType) -> str:  # noqa: ARG002 - others cast
        """Write a value of a query, which is of a type here, as it goes into a column of a table."""
        return value

    # -- changes -------------------------------------------------------------------------------------------------------

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
        place = self.dialect.quote(name) if temporary else self.qualified(name)
        self.session.execute(f"CREATE {what} {place} ({columns})")

    def created(self, name: str) -> None:
        """Do what a new table needs once it has rows."""

    def add_column(self, table: str, column: str, kind: str) -> None:
        """Add a column to a table."""
        place, added = self.qualified(table), f"ADD COLUMN {self.unless_there}{self.dialect.quote(column)} {kind}"
        self.session.execute(f"ALTER TABLE {place} {added}")

    def rename_column(self, table: str, old: str, new: str) -> None:
        """Give a column of a table another name."""
        names = f"{self.dialect.quote(old)} TO {self.dialect.quote(new)}"
        self.session.execute(f"ALTER TABLE {self.qualified(table)} RENAME COLUMN {names}")

    def describe_columns(self, name: str, columns: Types) -> None:
        """Remember what new columns hold, where their types do not say so."""

    def retype(self, table: str, column: str, dtype: nw.dtypes.DType, kind: str) -> None:
        """Let a column, whose type is ``kind``, hold structs with more members than before."""
        raise NotImplementedError

    def discard(self, name: str) -> None:
        """Remove a table that was created for rows which were refused then; transactions do so by themselves."""
