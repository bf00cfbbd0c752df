"""The samples that are to be computed: fetched once, kept on disk, and read back a few at a time."""

import io
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Literal

import narwhals as nw
import polars as pl

from metaxy import columns as c
from metaxy.store.work_lists import refuse_unknown_order
from metaxy.versioning.frames import polars_chunks
from metaxy.versioning.increment import LazyIncrement
from metaxy.workers.jobs import Piece

CHUNK_ROWS = 10_000
Kind = Literal["new", "stale"]


@dataclass(frozen=True)
class Order:
    """In which order samples are computed, and how many of them: one kind after the other, each by some columns."""

    first: Kind = "new"
    columns: tuple[str, ...] = ()
    limit: int | None = None

    @property
    def kinds(self) -> tuple[Kind, Kind]:
        """Both kinds of samples, in order."""
        return ("new", "stale") if self.first == "new" else ("stale", "new")


@dataclass
class Backlog:
    """Samples in a file without a name, which is gone with the process however that ends.

    The increment is asked once for each kind of samples. Later changes of the tables do not reach the backlog.
    """

    sample_columns: tuple[str, ...]
    left: float = math.inf  # how many samples may still be added
    counts: dict[Kind, int] = field(default_factory=lambda: {"new": 0, "stale": 0})
    _file: IO[bytes] = field(default_factory=lambda: tempfile.TemporaryFile(prefix="metaxy-"))  # noqa: SIM115
    _places: list[tuple[Kind, int, int]] = field(default_factory=list)
    _has_broken: bool = False
    more: bool = False  # whether there are samples that may not be added
    claim: None = None  # samples are nobody's
    elsewhere: int = 0
    before_more: Callable[[], None] | None = None

    @classmethod
    def fetch(cls, increment: LazyIncrement, order: Order) -> "Backlog":
        """Write the samples of an increment to disk.

        Raises:
            MetadataSchemaError: if an ID or a version that is needed is NULL.
            ValueError: if there is no column by which to order.
        """
        backlog = cls(increment.sample_columns, math.inf if order.limit is None else order.limit)
        try:
            for kind in order.kinds:
                if not backlog.more:
                    backlog._add(kind, backlog._sorted(getattr(increment, kind), order))
            if backlog._has_broken:
                increment.collect()  # says which and why
        except BaseException:
            backlog.close()
            raise
        return backlog

    @property
    def total(self) -> int:
        """How many samples there are."""
        return sum(self.counts.values())

    expected = total

    def pieces(self, size: Callable[[int], int], kinds: Sequence[Kind] = ("new", "stale")) -> Iterator[Piece]:
        """Yield the samples in order, as many at a time as ``size`` says for so many that are left, or less."""
        left = sum(self.counts[kind] for kind in kinds)
        for place, length in [(place, length) for kind, place, length in self._places if kind in kinds]:
            self._file.seek(place)
            chunk = Piece.of(pl.read_ipc(io.BytesIO(self._file.read(length))), self.sample_columns)
            left -= chunk.samples
            yield from chunk.parts(size, left)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _sorted(self, view: nw.LazyFrame[Any], order: Order) -> nw.LazyFrame[Any]:
        known = view.collect_schema().names()
        refuse_unknown_order(order.columns, known)
        if order.columns and self.sample_columns:
            raise ValueError("order_by needs samples of one row each, and here several rows may be one sample")
        columns = [*order.columns, *self.sample_columns]
        view = view.sort(columns) if columns else view
        unlimited = self.left == math.inf or self.sample_columns
        return view if unlimited else view.head(int(self.left) + 1)  # one more says that there are more

    def _add(self, kind: Kind, view: nw.LazyFrame[Any]) -> None:
        rest: pl.DataFrame | None = None
        for rows in polars_chunks(view, CHUNK_ROWS):
            chunk = Piece.of(rows if rest is None else pl.concat([rest, rows]), self.sample_columns)
            whole = max(chunk.samples - 1, 0) if self.sample_columns else chunk.samples  # the last one may go on
            self._keep(kind, chunk.part(0, whole))
            rest = chunk.rows.slice(chunk.starts[whole])
            if self.more:
                return
        if rest is not None:
            self._keep(kind, Piece.of(rest, self.sample_columns))

    def _keep(self, kind: Kind, piece: Piece) -> None:
        self.more = self.more or piece.samples > self.left
        piece = piece.part(0, int(min(self.left, piece.samples)))
        if not piece.samples:
            return
        self._has_broken = self._has_broken or piece.rows[c.METAXY_PROVENANCE].null_count() > 0
        place, buffer = self._file.seek(0, io.SEEK_END), io.BytesIO()
        piece.rows.write_ipc(buffer)
        self._places.append((kind, place, self._file.write(buffer.getvalue())))
        self.counts[kind] += piece.samples
        self.left -= piece.samples
