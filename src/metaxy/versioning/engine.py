"""What runs a recipe: `sql_engine` in a database by one statement, or `polars_engine` in Polars by one plan.

Both engines take rows as storages give them and return flat columns with the short names of the recipe; packing them
for the user is not their job.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import narwhals as nw

from metaxy.hashing import HashAlgorithm
from metaxy.versioning.codec import ByField, OutputColumns
from metaxy.versioning.column_types import Types
from metaxy.versioning.digests import Digest
from metaxy.versioning.frames import Frame
from metaxy.versioning.recipe import Latest, Recipe
from metaxy.versioning.row_checks import Checks
from metaxy.versioning.sources import Failed, Rows
from metaxy.versioning.system_columns import SystemColumns
from metaxy.versioning.unions import Union


@dataclass(frozen=True)
class View:
    """By-field columns that a user must see in another form than their table keeps them."""

    forms: Mapping[str, ByField] = field(default_factory=dict)
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changes:
    """Changed samples as one flat table (Arrow or Polars) with ``status``, and how many samples are expected.

    ``repeated`` is how many rows that the user gave are of a sample that another row is of.
    """

    table: Any
    expected: int
    repeated: int = 0


@dataclass(frozen=True)
class Counts:
    """How many samples have each status; if that was asked, also in how many each field changed, by its flag.

    Under `COUNTS` and `STORED` stand the numbers of expected samples and of stored rows.
    """

    statuses: Mapping[int, int]
    fields: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """The table that rows are written to: the types that columns are cast to, and those of the table, as SQL.

    A column whose SQL type is not there is cast by its storage, which changes that type.
    """

    casts: Types = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """What the store needs of an engine."""

    @property
    def algorithms(self) -> frozenset[HashAlgorithm]:
        """Algorithms that it can compute."""

    @property
    def implementation(self) -> nw.Implementation:
        """Library of the lazy frames that it returns."""

    @property
    def packs_lists(self) -> bool:
        """Whether its views can show lists and structs of what a statement returns."""

    def temporary(self) -> AbstractContextManager[None]:
        """Return a block; frames that were taken in it are of no use after it."""

    def changes(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, failed: Failed | None = None
    ) -> Changes:
        """Run a recipe at once."""

    def lazy(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, failed: Failed | None = None
    ) -> nw.LazyFrame[Any]:
        """Return the changed samples as a lazy frame."""

    def count(
        self, recipe: Recipe, inputs: Sequence[Rows], current: Rows | None, failed: Failed | None = None
    ) -> Counts:
        """Count the changed samples of each status; no sample is fetched."""

    def latest(self, rows: Rows, latest: Latest, columns: Sequence[str], view: View) -> nw.LazyFrame[Any]:
        """Return the rows that count, with these columns."""

    def digests(self, rows: nw.LazyFrame[Any], columns: Sequence[str], flags: Sequence[str]) -> Sequence[Digest]:
        """Count and hash rows by some columns, which have no NULLs: all, and for each flag those where it is true."""

    def among(self, rows: nw.LazyFrame[Any], others: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Keep the rows that are equal to one of the others in all columns of these; NULL is equal to nothing."""

    def show(self, flat: nw.LazyFrame[Any], statuses: Sequence[int], shown: OutputColumns) -> nw.LazyFrame[Any]:
        """Show flat rows of some statuses as users see them."""

    def take(self, frame: Frame, *, reread: bool = False) -> nw.LazyFrame[Any]:
        """Bring a frame of the user to where the engine computes; ``reread``: it will be read several times."""

    def rebound(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any] | None:
        """Return a frame over tables of another store as one of this engine's, None if it cannot read them itself."""

    def union(self, union: Union) -> tuple[nw.LazyFrame[Any], str | None] | None:
        """Return the rows of several tables and, if there is one, the column that tells them apart.

        The tables are ones that the engine can read; None if it cannot give all of their columns one type.
        """

    def hashing(self, algorithm: HashAlgorithm) -> "Engine":
        """Return this engine or, for an algorithm that its database lacks, Polars."""

    def for_writing(self, frame: Frame, algorithm: HashAlgorithm) -> "Engine":
        """Return the engine that checks and versions a frame of the user before it is stored."""

    def casting(self, casts: Types) -> "Engine":
        """Return this engine or, for casts inside of what its database keeps as text, Polars."""

    def check(self, frame: nw.LazyFrame[Any], checks: Checks) -> Mapping[str, int]:
        """Count what may be wrong with rows before they are stored."""

    def add_system_columns(self, frame: nw.LazyFrame[Any], system: SystemColumns, target: Target) -> nw.LazyFrame[Any]:
        """Version rows that are written, with the types that their table has."""
