"""What became of a run: counts, durations and errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metaxy.notebook import bullets, card, table
from metaxy.printable import printable

SHOWN_ERRORS = 10


@dataclass(frozen=True)
class SampleError:
    """Why one sample was not computed: its IDs, the type of the error, and what it said."""

    ids: Mapping[str, Any]
    error_type: str
    message: str

    def __str__(self) -> str:
        """Name the sample and the error in one line."""
        sample = ", ".join(f"{name} = {value!r}" for name, value in self.ids.items())
        return printable(f"{sample}: {self.error_type}: {self.message}")


@dataclass(frozen=True)
class ProcessReport:
    """What `MetadataStore.process` did.

    Attributes:
        feature: Key of the feature.
        function: Name of the function.
        total: How many samples were to be computed in this run.
        done: How many were computed and are written.
        failed: How many could not be computed.
        rows: How many rows were written: more or less than samples for an expansion.
        new: How many of ``total`` had never been computed.
        stale: How many were to be computed again.
        unread: How many of the samples that were passed could not be read, and stay as they are.
        orphaned: How many samples without parents were deleted, None if they were kept.
        seconds: How long all of it took.
        resolve_seconds: How long it took to find the samples.
        function_seconds: How long the function ran, over all workers.
        errors: The first failures, 1000 at most, and then why samples could not be read.
        interrupted: Whether it was stopped before all samples were tried.
        elsewhere: Of claims, how many samples other workers held when nothing else was left.
        lost: Of claims, how many samples were computed too late: their leases had expired, and others have them.
        limited: Whether there were more samples to compute than ``limit``, which are left to a later run.
    """

    feature: str
    function: str
    total: int
    done: int = 0
    failed: int = 0
    rows: int = 0
    new: int = 0
    stale: int = 0
    unread: int = 0
    orphaned: int | None = None
    seconds: float = 0.0
    resolve_seconds: float = 0.0
    function_seconds: float = 0.0
    errors: tuple[SampleError, ...] = field(default=(), repr=False)
    interrupted: bool = False
    elsewhere: int = 0
    lost: int = 0
    limited: bool = False

    @property
    def throughput(self) -> float:
        """How many samples were computed per second."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def in_sync(self) -> bool:
        """Whether nothing is left to compute of what this run found, and all of it could be read."""
        return self.done == self.total and not self.elsewhere and not self.unread and not self.limited

    def __repr__(self) -> str:
        failed = f", {self.failed:,} failed" if self.failed else ""
        orphaned = f", {self.orphaned:,} orphaned deleted" if self.orphaned else ""
        others = f", {self.unread:,} could not be read" if self.unread else ""
        others += f", {self.lost:,} lost to other workers" if self.lost else ""
        others += f", {self.elsewhere:,} held by other workers" if self.elsewhere else ""
        others += ", more are left" if self.limited else ""
        return (
            f"ProcessReport({self.feature}: {self.done:,} of {self.total:,} samples done{failed}{others}{orphaned}, "
            f"{self.seconds:.1f} s, {self.throughput:,.0f} per second)"
        )

    def _repr_html_(self) -> str:
        """Show counts and the first errors in a notebook."""
        numbers = {
            "samples": self.total, "new": self.new, "stale": self.stale, "done": self.done, "failed": self.failed,
            "unread": self.unread or None,
            "rows": self.rows, "orphaned": self.orphaned, "held by others": self.elsewhere or None,
            "lost to others": self.lost or None,
        }  # fmt: skip
        times = {"seconds": self.seconds, "resolving": self.resolve_seconds, "in the function": self.function_seconds}
        cells = {name: f"{count:,}" for name, count in numbers.items() if count is not None}
        cells |= {name: f"{time:.1f}" for name, time in times.items()} | {"per second": f"{self.throughput:,.0f}"}
        counts = table(cells.items(), (self.feature, self.function), numbers=True)
        return card("", counts, bullets(self.errors[:SHOWN_ERRORS]))
