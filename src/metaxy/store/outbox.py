"""Results on their way to the store: they get the versions of their samples, and are written many at a time."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import polars as pl

from metaxy import columns as c
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import BufferedWriterError, ClaimLostError
from metaxy.store.batched_writer import UNREACHABLE, BufferedMetadataWriter, patiently
from metaxy.store.claim import Claim
from metaxy.store.store import MetadataStore
from metaxy.wording import first_line
from metaxy.workers.jobs import Done, Failure

PUT_ROWS: Final = 5_000  # are handed to the writer at once,
PUT_BYTES: Final = 16_000_000  # or as many as have so many bytes,
PUT_SECONDS: Final = 0.5  # or what came in this time
FLUSH_ROWS: Final = 20_000
FLUSH_BYTES: Final = 64_000_000  # which is as many as the writer lets wait
FLUSH_SECONDS: Final = 2.0
WAITING_PUTS: Final = 4
STOP_SECONDS: Final = 3_600.0


def with_versions(results: pl.DataFrame, versions: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Give results the versions of the samples that they are of.

    Columns in: results with the IDs of samples; IDs and versions of all samples. Columns out: both; data versions that
    results have of their own go before those of the sample.
    """
    if c.METAXY_DATA_VERSION_BY_FIELD in results.columns:
        versions = versions.drop(c.METAXY_DATA_VERSION, c.METAXY_DATA_VERSION_BY_FIELD, strict=False)
    return _beside(results, versions, keys)


def _beside(rows: pl.DataFrame, samples: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Put beside each row what samples have, in the order of the rows."""
    # Frames of one row count as sorted, and eager joins of sorted frames find no NaN.
    return rows.lazy().join(samples.lazy(), on=list(keys), how="left", maintain_order="left").collect()


@dataclass(frozen=True)
class Address:
    """Where results go, and how they are told apart.

    ``keys`` are the IDs of samples, ``expands`` says that results are children of these, ``records`` that failures are
    recorded. ``typeless`` are the IDs of children of which only children say the type, as there is no table yet.
    """

    store: MetadataStore
    feature: FeatureKey
    keys: tuple[str, ...]
    expands: bool = False
    records: bool = True
    run_id: str | None = None
    typeless: tuple[str, ...] = ()

    def refuse_typeless(self) -> None:
        """Say that samples without children cannot be written.

        Raises:
            BufferedWriterError: always.
        """
        raise BufferedWriterError(
            f"no sample has children, so that nothing says of which type ID column {self.typeless[0]!r} is; declare it "
            "in the class of the feature"
        )


@dataclass(frozen=True)
class Origin:
    """What jobs are tagged with: the IDs and versions of their samples, and the claim that has these, if one does."""

    versions: pl.DataFrame
    claim: Claim | None = None


@dataclass
class Parcel:
    """What some jobs gave: results with the versions of their samples, the samples that were computed, and failures."""

    to: Address
    results: list[pl.DataFrame] = field(default_factory=list)
    samples: list[pl.DataFrame] = field(default_factory=list)
    failed: list[pl.DataFrame] = field(default_factory=list)
    rows: int = 0
    size: int = 0  # in bytes

    def add(self, done: Done) -> None:
        """Take what a job gave."""
        keys, versions = self.to.keys, done.job.tag.versions
        if done.failures:
            failed = failed_samples(done.failures, versions, keys, self.to.run_id)
            versions = versions.join(failed, on=list(keys), how="anti")
            if self.to.records:
                self.failed.append(failed)
        if done.results.width:
            results = with_versions(_typed(done.results, versions, keys), versions, keys)
            self.results.append(results)
            self.rows += results.height
            self.size += int(results.estimated_size())
        if versions.height:
            self.samples.append(versions)

    @property
    def result(self) -> pl.DataFrame:
        """All results."""
        return pl.concat(self.results, how="diagonal_relaxed") if self.results else pl.DataFrame()

    @property
    def parents(self) -> pl.DataFrame | None:
        """The samples that have these children, all of them; None if samples have none."""
        return pl.concat(self.samples) if self.to.expands and self.samples else None


class Outbox(Protocol):
    """Takes what jobs gave, and sees to it that it is stored."""

    lost: int  # samples that were computed, but belong to others by now

    @property
    def rows(self) -> int:
        """How many rows were written."""

    def take(self, done: Done) -> None:
        """Take what a job gave; it is written soon.

        Raises:
            BufferedWriterError: if the store cannot be written any more.
        """

    def record(self) -> None:
        """Remember in the store which samples failed."""

    def close(self) -> None:
        """Write all that is left.

        Raises:
            BufferedWriterError: if it cannot be written.
        """

    def leave(self) -> None:
        """Do no more than what goes on already."""


class BufferedOutbox:
    """Hands results to a writer in the background, many at a time."""

    lost = 0

    def __init__(self, to: Address) -> None:
        self._to, self._parcel = to, Parcel(to)
        self._waits = bool(to.typeless)  # for children
        self._since = self._recorded = time.monotonic()
        self._failed: list[pl.DataFrame] = []
        self._writer = BufferedMetadataWriter(
            to.store,
            flush_batch_size=FLUSH_ROWS,
            flush_interval=FLUSH_SECONDS,
            max_queue_size=WAITING_PUTS,
            materialization_id=to.run_id,
        ).start()

    @property
    def rows(self) -> int:
        """How many rows were written."""
        return self._writer.num_written.get(self._to.feature, 0)

    def take(self, done: Done) -> None:
        """Take what a job gave; it is written soon."""
        parcel, now = self._parcel, time.monotonic()
        parcel.add(done)
        if (
            parcel.rows >= PUT_ROWS
            or parcel.size >= PUT_BYTES
            or (now - self._since >= PUT_SECONDS and self._is_free())
        ):
            self._put()
        if self._failed and now - self._recorded >= FLUSH_SECONDS:
            self.record()

    def _is_free(self) -> bool:
        """Return whether the writer takes more at once; workers must not wait for a slow write of a few rows."""
        return len(self._writer.pending) < WAITING_PUTS

    def _put(self) -> None:
        self._waits = self._waits and not self._parcel.results
        if self._waits:
            return
        parcel, self._parcel, self._since = self._parcel, Parcel(self._to), time.monotonic()
        self._failed += parcel.failed
        parents = parcel.parents
        if parcel.results or parents is not None:
            replaces = None if parents is None else {self._to.feature: parents}
            self._writer.put({self._to.feature: parcel.result}, replaces=replaces)

    def record(self) -> None:
        """Remember in the store which samples failed."""
        failed, self._failed = [*self._failed, *self._parcel.failed], []
        self._parcel.failed, self._recorded = [], time.monotonic()
        if failed:
            with self._to.store.open("w"):
                self._to.store.record_errors(self._to.feature, pl.concat(failed))

    def close(self) -> None:
        """Write all that is left."""
        self._put()
        if self._waits and self._parcel.samples:
            self._to.refuse_typeless()
        self._writer.stop(STOP_SECONDS)
        self.record()

    def leave(self) -> None:
        """Let the writer end by itself, if it has not: what it has is written."""
        with suppress(BufferedWriterError):
            self._writer.stop(0.0)


class ClaimOutbox:
    """Writes results by the claims that their samples are of, as far as these still have them."""

    def __init__(self, to: Address) -> None:
        self.rows = self.lost = 0
        self._to = to
        self._waits = bool(to.typeless)  # for children
        self._parcels: dict[Claim, Parcel] = {}
        self._since = time.monotonic()

    def take(self, done: Done) -> None:
        """Take what a job gave; it is written soon."""
        self._parcels.setdefault(done.job.tag.claim, Parcel(self._to)).add(done)
        parcels = self._parcels.values()
        rows, size = sum(parcel.rows for parcel in parcels), sum(parcel.size for parcel in parcels)
        if rows >= FLUSH_ROWS or size >= FLUSH_BYTES or time.monotonic() - self._since >= FLUSH_SECONDS:
            self._write_all()

    def record(self) -> None:
        """Remember in the store which samples failed, so that no worker of this time tries them again."""
        for claim, parcel in self._parcels.items():
            if parcel.failed:
                self._fenced(claim.record_errors, pl.concat(parcel.failed))
                parcel.failed = []

    def close(self) -> None:
        """Write all that is left."""
        self._write_all()
        if self._waits and any(parcel.samples for parcel in self._parcels.values()):
            self._to.refuse_typeless()

    def _write_all(self) -> None:
        parcels = sorted(self._parcels.items(), key=lambda each: not each[1].results)  # those that say of types first
        self._waits = self._waits and not (parcels and parcels[0][1].results)
        if self._waits:
            return
        if parcels:
            patiently(partial(self._ship, parcels))
        self._parcels, self._since = {}, time.monotonic()

    def _ship(self, parcels: Sequence[tuple[Claim, Parcel]]) -> None:
        with self._to.store.open("w"):
            for claim, parcel in parcels:
                self._write(claim, parcel)
                parcel.results, parcel.samples = [], []  # if the rest fails, they are not written once more
            self.record()

    def _write(self, claim: Claim, parcel: Parcel) -> None:
        results, parents = parcel.result, parcel.parents
        given = results if parents is None else parents

        def write(frame: pl.DataFrame) -> None:
            rows = frame if parents is None else self._of(results, frame)
            claim.write(rows, replaces=None if parents is None else frame, materialization_id=self._to.run_id)
            self.rows += rows.height

        self.lost += given.height - self._fenced(write, given).height

    def _of(self, results: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
        """Return the results of some samples."""
        return results.join(samples, on=list(self._to.keys), how="semi") if results.height else samples.clear()

    def _fenced(self, work: Callable[[pl.DataFrame], None], frame: pl.DataFrame) -> pl.DataFrame:
        """Do something with the rows of samples that their claim still has, if there are any; return them.

        Raises:
            StoreLockedError, StoreConnectionError: if that may go well later.
            BufferedWriterError: if it cannot be done.
        """
        while frame.height:
            try:
                work(frame)
                break
            except ClaimLostError as error:
                names = list(error.samples[0])
                lost = pl.DataFrame(error.samples, _types(frame, names)).unique()
                frame = frame.join(lost, on=names, how="anti")
            except UNREACHABLE:
                raise
            except Exception as error:  # whatever else the store raises, now and whenever it is tried again
                raise BufferedWriterError(first_line(error)) from error
        return frame

    def leave(self) -> None:
        """Do nothing: what was not written is not written."""


def failed_samples(
    failures: Sequence[Failure], versions: pl.DataFrame, keys: Sequence[str], run_id: str | None
) -> pl.DataFrame:
    """Return failures as `MetadataStore.record_errors` takes them.

    Columns in: IDs and versions of samples. Columns out: IDs, ``metaxy_provenance``, ``error_type``, ``error_message``,
    ``run_id``.
    """
    rows = [{**failure.ids, "error_type": failure.error_type, "error_message": failure.message} for failure in failures]
    texts = {"error_type": pl.String(), "error_message": pl.String()}
    frame = pl.DataFrame(rows, {**_types(versions, keys), **texts})
    provenance = versions.select(*keys, c.METAXY_PROVENANCE)
    return _beside(frame, provenance, keys).with_columns(pl.lit(run_id, pl.String).alias("run_id"))


def _types(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    return {name: frame.schema[name] for name in names}


def _typed(results: pl.DataFrame, versions: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Give the IDs of results, which came as Python values, the types that they had."""
    return results.cast(pl.Schema(_types(versions, keys)))
