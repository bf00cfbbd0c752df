"""Rows that go into a recipe, and sources of an SQL statement: a relation, its columns, flags computed beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import narwhals as nw

from metaxy.versioning.codec import ByField, member_sql
from metaxy.versioning.column_types import Types
from metaxy.versioning.dialect import Dialect


@dataclass(frozen=True)
class Source:
    """One relation of a statement.

    ``sql`` may follow FROM. ``keep`` and ``stale`` name boolean columns that user filters and staleness predicates were
    turned into. ``row_id`` names a column that identifies rows within one statement, where there is one. ``types`` are
    those of the columns, as far as they are at hand. ``deep``: most samples have several rows, so it seems. ``texts``
    are IDs that are text both here and where rows are looked up by them.
    """

    sql: str
    columns: tuple[str, ...]
    by_field: Mapping[str, ByField] = field(default_factory=dict, hash=False)
    keep: str | None = None
    stale: str | None = None
    row_id: str | None = None
    types: Types = field(default_factory=dict, hash=False)
    deep: bool = False
    texts: frozenset[str] = frozenset()

    def ordered(self, column: str, value: str, dialect: Dialect) -> str:
        """Write the value of a column as something to order by: text by its bytes."""
        is_text = isinstance(self.types.get(column), (nw.String, nw.Enum, nw.Categorical))
        return dialect.byte_order.format(value) if is_text else value

    def member(self, column: str, member: str, dialect: Dialect, table: str = "mx_t") -> str:
        """Write one member of a by-field column as text."""
        return member_sql(self.by_field.get(column), f"{table}.{dialect.quote(column)}", member, dialect)


@dataclass(frozen=True)
class Asked:
    """What the user asks of rows.

    They must fulfil all ``filters``, and all ``renamed_filters``, which know columns as ``rename`` (old names to new
    ones) names them. A row that fulfils one predicate of ``stale`` counts as stale. ``among`` is a frame with some of
    the IDs: samples that none of its rows names are left out before anything else is done. ``whole`` are columns on
    which filters keep or drop all rows of a sample, or of a parent, alike; the IDs, if nothing is said.
    """

    filters: Sequence[nw.Expr] = ()
    renamed_filters: Sequence[nw.Expr] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    stale: Sequence[nw.Expr] = ()
    among: nw.LazyFrame[Any] | None = None
    whole: Sequence[str] = ()


@dataclass(frozen=True)
class Failed:
    """Samples that failed, to leave out of an increment or, with ``only``, alone to show.

    Columns: ``e0 e1 …``, the keys in the order of `Recipe.match`, and ``ep``, the provenance that was expected; each
    sample is one row.
    """

    frame: nw.LazyFrame[Any]
    only: bool = False


@dataclass(frozen=True)
class FailedSource:
    """The same as what may follow FROM."""

    sql: str
    only: bool


@dataclass(frozen=True)
class Rows:
    """Rows that go into a recipe: a relation, the form of its by-field columns, and what the user asks of it, if any.

    ``table`` is the quoted name where the relation is a plain table of the engine's database; ``schema`` are the types
    of its columns, if they are at hand. ``row_id`` names a column of a relation that is no table, which tells its rows
    apart. ``where`` names the rows in messages.
    """

    frame: nw.LazyFrame[Any]
    table: str | None = None
    by_field: Mapping[str, ByField] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    schema: Types = field(default_factory=dict)
    row_id: str | None = None
    where: str = "the rows"
    asked: Asked | None = None

    @property
    def types(self) -> Types:
        """Types of the columns; some libraries run a query to learn them."""
        return self.schema or self.frame.collect_schema()

    @property
    def unfiltered(self) -> "Rows":
        """The same rows, of which the user asks nothing."""
        return replace(self, asked=None)
