"""The port between the SQL engine and a database."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

import narwhals as nw

from metaxy.versioning.column_types import Types
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.frames import Frame

TypesOf: TypeAlias = Callable[[], Types]


class Database(Protocol):
    """What the SQL engine needs of a database, for the calling thread.

    ``types`` returns the types of a query's columns, for databases that cannot say so themselves without work.
    """

    @property
    def dialect(self) -> Dialect:
        """How this database writes SQL."""

    @property
    def implementation(self) -> nw.Implementation:
        """Library of its lazy frames."""

    @property
    def reads_frames(self) -> bool:
        """Whether frames of this process are read where they lie, so that checking them in SQL costs no copy."""

    def is_deep(self, table: str, keys: Sequence[str]) -> bool:
        """Say whether a table seems to have several rows for most values of its keys, if that is known at no cost."""

    def relation(self, query: str, types: TypesOf) -> nw.LazyFrame[Any]:
        """Return a query as a lazy frame."""

    def fetch(self, query: str, types: TypesOf) -> Any:
        """Run a query and return an Arrow table."""

    def query_of(self, frame: nw.LazyFrame[Any]) -> str:
        """Return the SQL of a lazy frame of this database."""

    def owns(self, frame: Frame) -> bool:
        """Return whether a frame lives in this very database."""

    def rebound(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any] | None:
        """Return a frame over tables that another connection opened as one of this, None if they are elsewhere."""

    def load(self, frame: Frame) -> nw.LazyFrame[Any]:
        """Put a frame from elsewhere beside the tables."""

    def embeddable(self, frame: nw.LazyFrame[Any], *, reread: bool = False) -> nw.LazyFrame[Any]:
        """Return a frame of this database as statements can hold it: where they must not nest, beside the tables.

        ``reread``: several statements will read it, so that it is computed here and now if that is cheaper.
        """

    def temporary(self) -> AbstractContextManager[None]:
        """Return a block; what this thread loads in it is let go when it ends."""
