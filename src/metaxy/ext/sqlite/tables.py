"""Tables of SQLite: any type, and what its names and types cannot say."""

from collections.abc import Mapping, Sequence

import narwhals as nw

from metaxy.ext.ibis.tables import Table, Tables
from metaxy.ext.sqlite.dialect import SQLITE
from metaxy.ext.sqlite.types import narwhals_type, refuse_lost_names, sql_type


class SQLiteTables(Tables):
    """Tables of one file."""

    by_field_type = "TEXT"  # SQLite stores numbers in columns of a type that it does not know

    def find(self, name: str) -> Table | None:
        """Return a table, None if there is none of that name."""
        with self.session.use() as driver:
            types = dict(driver.execute("SELECT name, type FROM pragma_table_info(?)", [name]).fetchall())
            kinds = driver.execute("SELECT type, wr FROM pragma_table_list(?)", [name]).fetchall()
        schema = nw.Schema({c: narwhals_type(kind) for c, kind in types.items()})
        return Table(types, schema, row_ids=set(kinds) == {("table", 0)}) if types else None

    def create(
        self, name: str, types: Mapping[str, str], *, order: Sequence[str] = (), temporary: bool = False
    ) -> None:
        """Create a table."""
        refuse_lost_names(types)
        super().create(name, types, order=order, temporary=temporary)

    def add_column(self, table: str, column: str, kind: str) -> None:
        """Add a column to a table."""
        refuse_lost_names([column])
        super().add_column(table, column, kind)

    def sql_type(self, dtype: nw.dtypes.DType) -> str:
        """Write the type of a new column."""
        return sql_type(dtype)

    def retype(self, table: str, column: str, dtype: nw.dtypes.DType, kind: str) -> None:  # noqa: ARG002 - it is JSON
        """Put a column with another type in its place: SQLite changes no types."""
        place, old, new = (SQLITE.quote(name) for name in (table, column, "metaxy_retyped"))
        for statement in (
            f"ALTER TABLE {place} ADD COLUMN {new} {self.sql_type(dtype)}",
            f"UPDATE {place} SET {new} = {old} WHERE {old} IS NOT NULL",
            f"ALTER TABLE {place} DROP COLUMN {old}",
            f"ALTER TABLE {place} RENAME COLUMN {new} TO {old}",
        ):
            self.session.execute(statement)
