"""Sources of an SQL statement: a table or a query, the form of its columns, and flags computed beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import narwhals as nw

from metaxy.versioning.codec import ByField, member_sql
from metaxy.versioning.column_types import Types
from metaxy.versioning.dialect import Dialect


@dataclass(frozen=True)
class Source:
    """One relation of a statement.

    ``sql`` may follow FROM. ``keep`` and ``stale`` name boolean columns that user filters and staleness predicates were
    turned into. ``row_id`` names a column that identifies rows within one statement, where there is one. ``types`` are
    those of the columns, as far as they are at hand. ``deep``: most samples have several rows, so it seems.
    """

    sql: str
    columns: tuple[str, ...]
    by_field: Mapping[str, ByField] = field(default_factory=dict, hash=False)
    keep: str | None = None
    stale: str | None = None
    row_id: str | None = None
    types: Types = field(default_factory=dict, hash=False)
    deep: bool = False

    def ordered(self, column: str, value: str, dialect: Dialect) -> str:
        """Write the value of a column as something to order by: text by its bytes."""
        is_text = isinstance(self.types.get(column), (nw.String, nw.Enum, nw.Categorical))
        return dialect.byte_order.format(value) if is_text else value

    def member(self, column: str, member: str, dialect: Dialect, table: str = "mx_t") -> str:
        """Write one member of a by-field column as text."""
        return member_sql(self.by_field.get(column), f"{table}.{dialect.quote(column)}", member, dialect)
