"""The samples that are to be computed where processes share them: each claims some, as its workers need them."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from metaxy.columns import METAXY_STATUS
from metaxy.errors import MetaxyError
from metaxy.store.backlog import Kind
from metaxy.store.claim import Claim
from metaxy.versioning.frames import collect_to_polars
from metaxy.workers.jobs import Done, Piece

CLAIM_SECONDS: Final = 10.0  # of work for all workers are in a claim,
LARGEST: Final = 10_000  # but at most so many samples,
GROWTH: Final = 8  # or so many times those of the last one


@dataclass
class ClaimSize:
    """How many samples are claimed at once: two batches per worker or, if calls are short, what they do in seconds."""

    workers: int
    batch: Callable[[], int]
    _last: int = 0
    _samples: int = 0
    _seconds: float = 0.0

    def __call__(self) -> int:
        """Return the number for the next claim."""
        least = 2 * self.workers * self.batch()
        wanted = self.workers * CLAIM_SECONDS * self._samples / max(self._seconds, 1e-6)
        self._last = int(max(least, min(wanted, LARGEST, GROWTH * self._last)))
        return self._last

    def learn(self, done: Done) -> None:
        """Learn how long samples take."""
        self._samples += done.job.samples
        self._seconds += done.seconds


@dataclass
class SharedBacklog:
    """Samples that are claimed when they are needed; what is claimed is released with it, unless it was written.

    ``take`` claims as many as are asked for, ``left`` is how many may still be claimed, and ``claim`` is that of the
    piece that was handed out last. ``elsewhere`` is how many others held when nothing else was left, ``more`` says
    whether there was something, but no more may be claimed. ``before_more`` is done before each further claim.
    """

    take: Callable[[int], Claim]
    size: Callable[[], int]
    sample_columns: Sequence[str]
    left: float = math.inf
    counts: dict[Kind, int] = field(default_factory=lambda: {"new": 0, "stale": 0})
    elsewhere: int = 0
    more: bool = False
    claim: Claim | None = None
    before_more: Callable[[], None] | None = None
    _piece: Piece | None = None
    _unclaimed: int = 0
    _open: list[Claim] = field(default_factory=list)

    def begin(self) -> "SharedBacklog":
        """Take the first claim."""
        self._claim_more()
        return self

    @property
    def total(self) -> int:
        """How many samples were claimed."""
        return sum(self.counts.values())

    @property
    def expected(self) -> int:
        """How many samples will have been claimed in the end, if no other worker takes any."""
        return self.total + int(min(self._unclaimed, self.left))

    def pieces(self, size: Callable[[int], int]) -> Iterator[Piece]:
        """Yield samples, as many at a time as ``size`` says for so many that are left, until others hold all."""
        while self._piece is not None:
            yield from self._piece.parts(size, self._unclaimed)
            self._claim_more()

    def close(self) -> None:
        """Let others have what was not written; where that fails, they have it when the leases expire."""
        for claim in self._open:
            with suppress(MetaxyError):
                claim.release()

    def _claim_more(self) -> None:
        """Claim samples and count them; there is no piece if there are none, or there shall be no more."""
        self.claim = self._piece = None
        if self.before_more:
            self.before_more()
        if not self.left:
            self.more = self._unclaimed > 0
            return
        claim = self.take(int(min(self.size(), self.left)))
        self._open = [each for each in self._open if each.held]
        if not claim:
            self._unclaimed, own = 0, sum(each.held for each in self._open)
            self.elsewhere = max(0, claim.elsewhere - own)
            return
        self._open.append(claim)
        self._unclaimed = claim.unclaimed
        self.left -= claim.held
        samples = collect_to_polars(claim.samples)
        self.claim, self._piece = claim, Piece.of(samples.drop(METAXY_STATUS), self.sample_columns)
        for status in samples[METAXY_STATUS].gather(list(self._piece.starts[:-1])):
            self.counts[status] += 1
