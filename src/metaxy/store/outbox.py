"""Results on their way to the store: they get the versions of their samples, and are written many at a time."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from metaxy import columns as c
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import BufferedWriterError
from metaxy.store.batched_writer import BufferedMetadataWriter
from metaxy.store.store import MetadataStore
from metaxy.workers.jobs import Done, Failure

PUT_ROWS: Final = 5_000  # are handed to the writer at once,
PUT_BYTES: Final = 16_000_000  # or as many as have so many bytes,
PUT_SECONDS: Final = 0.5  # or what came in this time
FLUSH_ROWS: Final = 20_000
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
    return results.join(versions, on=list(keys), how="left", maintain_order="left")


@dataclass
class Outbox:
    """Collects what jobs gave, and hands it to a writer in the background.

    ``keys`` are the IDs of samples, ``replaces`` says that results are children of these.
    """

    store: MetadataStore
    feature: FeatureKey
    keys: tuple[str, ...]
    replaces: bool = False
    run_id: str | None = None
    writer: BufferedMetadataWriter = field(init=False)
    _results: list[pl.DataFrame] = field(default_factory=list)
    _parents: list[pl.DataFrame] = field(default_factory=list)
    _since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.writer = BufferedMetadataWriter(
            self.store,
            flush_batch_size=FLUSH_ROWS,
            flush_interval=FLUSH_SECONDS,
            max_queue_size=WAITING_PUTS,
            materialization_id=self.run_id,
        ).start()

    def take(self, done: Done) -> None:
        """Take the results of a job; they are written soon.

        Raises:
            BufferedWriterError: if the store cannot be written any more.
        """
        versions: pl.DataFrame = done.job.tag
        if done.failures:
            failed = pl.DataFrame([failure.ids for failure in done.failures], _types(versions, self.keys))
            versions = versions.join(failed, on=list(self.keys), how="anti")
        if done.results.height:
            self._results.append(with_versions(_typed(done.results, versions, self.keys), versions, self.keys))
        if self.replaces:
            self._parents.append(versions)
        rows = sum(frame.height for frame in self._results)
        size = sum(frame.estimated_size() for frame in self._results)
        if rows >= PUT_ROWS or size >= PUT_BYTES or time.monotonic() - self._since >= PUT_SECONDS:
            self.put()

    def put(self) -> None:
        """Hand all that was taken to the writer."""
        if self._results or self._parents:
            frame = pl.concat(self._results, how="diagonal_relaxed") if self._results else pl.DataFrame()
            parents = {self.feature: pl.concat(self._parents)} if self._parents else None
            self.writer.put({self.feature: frame}, replaces=parents)
        self._results, self._parents, self._since = [], [], time.monotonic()

    def close(self) -> None:
        """Write all that is left.

        Raises:
            BufferedWriterError: if it cannot be written.
        """
        self.put()
        self.writer.stop(STOP_SECONDS)

    def leave(self) -> None:
        """Let the writer end by itself, if it has not: what it has is written."""
        with suppress(BufferedWriterError):
            self.writer.stop(0.0)


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
    return frame.join(provenance, on=list(keys), how="left").with_columns(pl.lit(run_id, pl.String).alias("run_id"))


def _types(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    return {name: frame.schema[name] for name in names}


def _typed(results: pl.DataFrame, versions: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Give the IDs of results, which came as Python values, the types that they had."""
    return results.cast(pl.Schema(_types(versions, keys)))
