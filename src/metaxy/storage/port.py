"""The storage port: seven methods over append-only tables, and what an adapter can do, as data.

A storage knows tables, rows and physical types. It knows nothing of versions, samples or graphs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, runtime_checkable

import narwhals as nw

from metaxy.definitions.keys import FeatureKey
from metaxy.versioning.codec import ByField

AccessMode = Literal["r", "w"]
SchemaEvolution = Literal["add", "strict"]
HUGE = (nw.Int128, nw.UInt128)


@dataclass(frozen=True)
class Capabilities:
    """What a storage can do; the store and the tests read it instead of asking which database it is."""

    by_field: Literal["struct", "map", "json"] = "struct"  # how new tables keep it, where users want structs
    has_map: bool = True
    has_decimal: bool = True
    transactions: bool = False
    creates_tables: bool = False
    adds_members: bool = True  # to structs of tables, also in lists and maps
    structs_as_maps: bool = False  # whether structs of users may go into columns that are maps
    unsupported: tuple[type[nw.dtypes.DType], ...] = ()  # types that no column can have
    orders_nan: bool = True  # whether its conditions always take NaN for the greatest number, equal to itself


@dataclass(frozen=True)
class Scan:
    """A table as its storage gives it: lazy rows with physical columns, and the form of its by-field columns.

    ``table`` is the quoted name where the rows are a plain table of an SQL database; ``types`` are its SQL types.
    ``documents`` are columns of JSON that hold lists and structs of any kind, which are seen as text. ``row_id`` names
    a column of the rows, beside those of the schema, that tells them apart. ``handle`` is what the storage has opened,
    for its own use when rows are added.
    """

    frame: nw.LazyFrame[Any]
    schema: nw.Schema
    table: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    by_field: Mapping[str, ByField] = field(default_factory=dict)
    documents: frozenset[str] = frozenset()
    row_id: str | None = None
    handle: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class NewMember:
    """A member that the structs of a column lack.

    ``path`` leads to it from the column inwards; what is inside of a list is called ``element``, of a map ``value``.
    """

    path: tuple[str, ...]
    dtype: nw.dtypes.DType


@dataclass(frozen=True)
class Append:
    """Rows to add to one table, with the physical types that the table has or will have.

    ``create``: the table does not exist yet. ``new_columns``: columns to add to it first; ``new_members``: members
    to add to its structs, whose types the rows have. ``ids``: the columns that say of which sample a row is, for
    tables that sort. ``base``: the table that the rows were fitted to; it may have changed since.
    """

    key: FeatureKey
    frame: nw.LazyFrame[Any]
    create: bool = False
    new_columns: tuple[str, ...] = ()
    new_members: tuple[NewMember, ...] = ()
    ids: tuple[str, ...] = ()
    base: Scan | None = None


class Storage(Protocol):
    """Append-only tables, one per feature."""

    @property
    def capabilities(self) -> Capabilities:
        """What this storage can do."""

    def open(self, mode: AccessMode) -> None:
        """Connect; ``w`` must be able to write at once."""

    def close(self) -> None:
        """Disconnect."""

    def has_table(self, key: FeatureKey) -> bool:
        """Return whether the table exists, without reading it."""

    def scan(self, key: FeatureKey) -> Scan:
        """Return all rows of a table, lazily.

        Raises:
            TableNotFoundError: if it does not exist.
        """

    def append(self, writes: Sequence[Append]) -> None:
        """Add rows to tables: all of them or, without transactions, each table wholly, in the given order."""

    def delete(self, key: FeatureKey, condition: nw.Expr | None) -> None:
        """Remove the rows that fulfil a condition, None for all."""

    def drop(self, key: FeatureKey) -> None:
        """Remove a table; absent afterwards."""

    def describe(self, key: FeatureKey) -> Mapping[str, str]:
        """Say where a table lies, for messages and status displays; no secrets."""


@runtime_checkable
class Hosting(Protocol):
    """A storage whose engine reads the tables of some others itself, so that these need not be opened."""

    def host(self, other: Storage) -> Storage | None:
        """Return the tables of another storage as this one reads them, None if it cannot."""


@runtime_checkable
class DeletesAmong(Protocol):
    """A storage that looks rows up in a frame of its database; for others, the frame becomes a long condition."""

    def delete_among(self, key: FeatureKey, condition: nw.Expr | None, rows: nw.LazyFrame[Any]) -> None:
        """Remove the rows that fulfil a condition, and are equal to one of these rows in all columns of these."""


@runtime_checkable
class RenamesColumns(Protocol):
    """A storage that can give a column another name, for all rows at once."""

    def rename_column(self, key: FeatureKey, old: str, new: str) -> None:
        """Rename a column of a table, which has none of the new name."""


@runtime_checkable
class Listable(Protocol):
    """A storage that knows which tables it has."""

    def tables(self) -> Sequence[FeatureKey]:
        """Return keys whose tables exist, sorted, system tables and tables of others among them.

        What no feature can be called is left out. Where the name of a table may stand for several keys, which differ by
        hyphens and underscores, it is the one with underscores.
        """


@runtime_checkable
class Measurable(Protocol):
    """A storage that may know how large its tables are."""

    def size(self, key: FeatureKey) -> int | None:
        """Return how many bytes a table takes where it lies, None if that cannot be said; no rows are read.

        Raises:
            TableNotFoundError: if it does not exist, where that is noticed.
        """


@runtime_checkable
class Committed(Protocol):
    """A storage that may know which state a table is in."""

    def commit_token(self, key: FeatureKey) -> str | None:
        """Return what is another text after every change of the rows of a table, None if that cannot be said for sure.

        Who sees the same text at two times, in whichever process, has seen all changes. It is never made of clocks, nor
        used again when a table is dropped and made anew; it may change although no row did. No rows are read.

        Raises:
            TableNotFoundError: if the table does not exist.
        """


@runtime_checkable
class Optimizable(Protocol):
    """A storage whose tables get slower with every write, until they are tidied."""

    def optimize(self, key: FeatureKey, keep: timedelta, ids: Sequence[str] = ()) -> None:
        """Merge small files and remove those that were replaced longer ago than this; other writers may go on.

        ``ids`` are the columns that rows are looked up by, for storages that have indexes.
        """


@runtime_checkable
class Fragmented(Optimizable, Protocol):
    """One that knows when it is time."""

    def pieces(self, key: FeatureKey, scan: Scan) -> int:
        """Count the small files of a table that `optimize` would do away with, as a scan of it knows them.

        It is asked after every write, so it reads no rows.
        """


@dataclass(frozen=True)
class Claimant:
    """Who claims samples: one claim of one worker, for a version of a feature."""

    claim: str
    worker: str
    feature: str
    version: str


@dataclass(frozen=True)
class Taken:
    """What a claimant got: the places of its samples among those it asked for, and how far these were looked at.

    ``token`` is greater than those of all claims before. ``elsewhere`` counts samples that other live claims hold.
    """

    token: int
    expires_at: datetime
    places: Sequence[int]
    seen: int
    elsewhere: int


class Claims(Protocol):
    """Hands out samples, which are texts, each to one live claim at a time; times are UTC, by the database's clock."""

    def clock(self) -> datetime:
        """Return the time."""

    def prepare(self) -> datetime:
        """Create the table if it is missing, forget what was finished or expired long ago, and return the time."""

    def take(
        self, claimant: Claimant, samples: Sequence[str], *, since: datetime, limit: int, rest: int, lease: timedelta
    ) -> Taken:
        """Claim the first of these samples that no live claim holds, and that were not finished since a time.

        At most ``limit``, and no more than a fair share of all that are left: these and ``rest``.
        """

    def renew(self, claim: str, lease: timedelta) -> Mapping[str, datetime]:
        """Let a claim live on; return the samples that it still holds, and when they expire."""

    def finish(self, claim: str, samples: Sequence[str], work: Callable[[], None]) -> Sequence[str]:
        """Do some work for samples while nobody can take them over, and remember with it that they are finished.

        If the claim does not hold all of them, nothing is done, and those that it lost are returned.
        """

    def release(self, claim: str) -> None:
        """Let go of what a claim holds and has not finished."""


@runtime_checkable
class Coordinates(Protocol):
    """A storage that can compare and swap, and so can share out work."""

    def claims(self, key: FeatureKey) -> Claims | None:
        """Return the claims that a table keeps, None if this database cannot; nothing is created yet."""
