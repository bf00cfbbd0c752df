"""What a store has of a feature and what the feature needs, as pictures show it: numbers that others have counted."""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

State: TypeAlias = Literal["missing", "root_feature", "needs_update", "up_to_date", "error"]
UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


class FeatureStats(BaseModel):
    """How many rows a feature has, how many samples it needs, when it was last written, and how large its table is.

    What is not known is None: ``rows`` where there is no table, the counts of samples for roots and where parents have
    no rows, ``size_bytes`` where the storage cannot say. ``by_parents``: missing and stale ones are parents, as in an
    expansion. ``failed`` samples are missing or stale as well.

    >>> FeatureStats(state="needs_update", rows=1200, missing=3, stale=0, orphaned=1, size_bytes=2048).lines
    ['1,200 rows, 3 missing, 1 orphaned', '2.0 KiB']
    >>> FeatureStats(state="missing", missing=2, by_parents=True).lines, FeatureStats(state="missing").lines
    (['no table, 2 missing parents'], ['no table, no input'])
    >>> FeatureStats(state="error", error="no such column").lines
    ['could not be counted: no such column']
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State
    rows: int | None = None
    missing: int | None = None
    stale: int | None = None
    orphaned: int | None = None
    failed: int | None = None
    last_write: datetime | None = None
    size_bytes: int | None = None
    by_parents: bool = False
    error: str | None = None

    @property
    def to_compute(self) -> int | None:
        """How many samples there are to compute, None where that is not known."""
        return 0 if self.state == "root_feature" else self.left

    @property
    def left(self) -> int | None:
        """How many samples are missing or stale, None where that is not known, and of roots, which others give."""
        unknown = self.error is not None or self.by_parents or self.missing is None
        return None if unknown else (self.missing or 0) + (self.stale or 0)

    @property
    def lines(self) -> list[str]:
        """What a picture says of it, in short lines."""
        if self.error is not None:
            return [f"could not be counted: {self.error}"]
        lines = (", ".join(self._counts()), ", ".join(self._table()))
        return [line for line in lines if line]

    def _counts(self) -> Iterator[str]:
        yield "no table" if self.rows is None else f"{self.rows:,} {'row' if self.rows == 1 else 'rows'}"
        if self.state == "up_to_date":
            yield "up to date"
        elif self.state != "root_feature" and self.missing is None:
            yield "no input"
        unit = " parents" if self.by_parents else ""
        for name, of in (("missing", unit), ("stale", unit), ("orphaned", ""), ("failed", "")):
            if count := getattr(self, name):
                yield f"{count:,} {name}{of}"

    def _table(self) -> Iterator[str]:
        if self.last_write is not None:
            yield f"written {self.last_write.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
        if self.size_bytes is not None:
            yield size_text(self.size_bytes)


def size_text(size: int) -> str:
    """Return a number of bytes as people read it.

    >>> size_text(1), size_text(1023), size_text(1536), size_text(5 * 2**40)
    ('1 bytes', '1023 bytes', '1.5 KiB', '5.0 TiB')
    """
    power = min((max(size, 1).bit_length() - 1) // 10, len(UNITS) - 1)
    return f"{size / 1024**power:.1f} {UNITS[power]}" if power else f"{size} {UNITS[0]}"
