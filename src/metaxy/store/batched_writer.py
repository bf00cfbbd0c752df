"""Writing in the background: rows are collected from many small frames and written in few large ones."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import narwhals as nw
import polars as pl
from typing_extensions import Self

from metaxy import context
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import (
    BufferedWriterError,
    InvalidConfigError,
    MetadataSchemaError,
    StoreConnectionError,
    StoreLockedError,
)
from metaxy.store.data_versions import DataVersion, versioned_frames
from metaxy.store.given import given_frame
from metaxy.store.session import Scope
from metaxy.store.spill import Spill, frames_of
from metaxy.store.store import MetadataStore
from metaxy.store.writing import check_columns
from metaxy.versioning.frames import collect_to_polars
from metaxy.wording import first_line

RETRY_SECONDS = (0.1, 0.4, 1.6)
UNREACHABLE: Final = (StoreLockedError, StoreConnectionError)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Put:
    """What one `put` was given, the parents whose children are replaced, and where it is kept on disk."""

    frames: dict[FeatureKey, pl.DataFrame]
    parents: Mapping[FeatureKey, pl.DataFrame] = field(default_factory=dict)
    kept: Path | None = None

    @property
    def rows(self) -> int:
        """Number of rows of all features."""
        return sum(frame.height for frame in self.frames.values())


class BufferedMetadataWriter:
    """Writes frames in a background thread, many at once.

    Rows are written in the order of their `put`; of several rows of one sample the last one wins. The store may be open
    or closed; each flush opens it for writing. Graph and configuration are those that were active when the writer was
    made.

    Args:
        flush_batch_size: number of waiting rows that starts a flush.
        flush_interval: seconds that rows wait at most before a flush starts.
        max_queue_size: how many calls of `put` may wait for a flush that is going on; later ones block. 0: any number.
        spill: folder that keeps rows until they are written, so that they outlive a killed process; see `recover`.
        materialization_id: id of the run that writes.

    >>> from metaxy.ext.duckdb import DuckDBMetadataStore
    >>> with BufferedMetadataWriter(DuckDBMetadataStore(":memory:")) as writer:
    ...     writer.has_error, writer.pending
    (False, [])
    """

    def __init__(
        self,
        store: MetadataStore,
        flush_batch_size: int | None = None,
        flush_interval: float = 2.0,
        max_queue_size: int = 0,
        *,
        spill: str | Path | None = None,
        materialization_id: str | None = None,
    ) -> None:
        if flush_batch_size is not None and flush_batch_size < 1:
            raise InvalidConfigError(f"flush_batch_size must be at least 1 or None, not {flush_batch_size}")
        if flush_interval < 0 or max_queue_size < 0:
            raise InvalidConfigError("flush_interval and max_queue_size must not be negative")
        self._store = store
        self._scope = Scope.current(store.hash_algorithm)
        self._batch_size = flush_batch_size
        self._interval = flush_interval
        self._max_waiting = max_queue_size
        self._spill = Spill(spill) if spill is not None else None
        self._materialization_id = materialization_id
        self._thread: threading.Thread | None = None
        # All that follows is shared with the thread and guarded by this condition, which tells of every change.
        self._changed = threading.Condition()
        self._puts: list[Put] = []  # not yet written; the first `_in_flight` of them are being written
        self._in_flight = 0
        self._waiting_rows = 0
        self._deadline = 0.0
        self._accepted = 0  # how many puts there were,
        self._stored = 0  # how many of them are written,
        self._wanted = 0  # and how many someone asked to flush
        self._flushers = 0
        self._failures = 0
        self._cause: BaseException | None = None
        self._broken = False
        self._stopping = False
        self._num_written: Counter[FeatureKey] = Counter()

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def num_written(self) -> dict[FeatureKey, int]:
        """Number of rows that were written, by feature."""
        with self._changed:
            return dict(self._num_written)

    @property
    def has_error(self) -> bool:
        """Whether a flush failed for good: nothing more will be written."""
        return self._broken

    @property
    def pending(self) -> list[dict[FeatureKey, pl.DataFrame]]:
        """What was put and is not written, in order; each item can be given to `MetadataStore.write_multi`."""
        with self._changed:
            return [dict(put.frames) for put in self._puts]

    # -- what users call -----------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the background thread."""
        if self._thread is not None:
            raise BufferedWriterError("the writer was started already; make a new one to start again")
        self._thread = threading.Thread(target=self._run, name="metaxy-buffered-writer", daemon=True)
        self._thread.start()
        return self

    def put(
        self,
        batches: Mapping[Any, Any],
        *,
        replaces: Mapping[Any, Any] | None = None,
        data_version: Mapping[Any, DataVersion] | None = None,
    ) -> None:
        """Take rows of some features; they are checked here, and written later.

        Frames: as for `MetadataStore.write`; lazy ones are collected.

        Args:
            batches: rows by feature.
            replaces: for expansions among them, the parents whose children these are, as for `MetadataStore.write`.
            data_version: versions of results by feature, as for `MetadataStore.write_multi`.

        Raises:
            MetadataSchemaError: if a frame cannot be written; nothing of this call is taken.
            ValueError: if ``replaces`` is given, but rows are kept in a spill folder, which keeps no parents.
            BufferedWriterError: if the writer is not running, or failed.
        """
        frames, parents = self._collected(batches, data_version), self._parents(replaces or {})
        with self._changed:
            self._changed.wait_for(lambda: not self._is_full() or not self._is_running())
            self._require_running()
            kept = self._spill.add(frames, self._scope) if self._spill else None
            if len(self._puts) == self._in_flight:
                self._deadline = time.monotonic() + self._interval
            put = Put(frames, parents, kept)
            self._puts.append(put)
            self._accepted += 1
            self._waiting_rows += put.rows
            self._changed.notify_all()

    def flush(self, timeout: float = 30.0) -> None:
        """Write all that was put before, and wait for it.

        Raises:
            BufferedWriterError: if it cannot be written, or not in time; the rows are kept for the next flush.
        """
        with self._changed:
            self._require_running()
            target, failures = self._accepted, self._failures
            self._wanted = target
            self._flushers += 1
            self._changed.notify_all()
            try:
                ended = self._changed.wait_for(
                    lambda: self._stored >= target or self._failures > failures or not self._is_running(), timeout
                )
            finally:
                self._flushers -= 1
            if self._stored < target:
                what = "the flush failed" if ended else f"the flush did not end within {timeout:g} s"
                raise self._error(what) from (self._cause if ended else None)

    def stop(self, timeout: float = 30.0) -> dict[FeatureKey, int]:
        """Write all that is left at once, end the thread, and return `num_written`.

        Raises:
            BufferedWriterError: if the rows cannot be written, or not in time; `pending` has them.
        """
        if self._thread is None:
            return {}
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise self._error(f"the writer did not stop within {timeout:g} s")
        self._require_unbroken()
        return self.num_written

    def __enter__(self) -> Self:
        """Start the writer."""
        return self.start()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Stop the writer; its error is only logged if the block already failed."""
        try:
            self.stop()
        except BufferedWriterError:
            if error is None:
                raise
            logger.exception("rows were not written")

    @staticmethod
    def recover(store: MetadataStore, spill: str | Path) -> dict[FeatureKey, int]:
        """Write what killed processes left in a spill folder, and return the number of rows by feature.

        What living writers keep there stays. Rows keep the feature version that they were computed for. Rows that were
        written, but not yet removed from the folder, are written once more, which readers do not see. Frames that were
        never finished are removed, unless another machine made them.

        Raises:
            MetadataSchemaError: if rows do not fit the feature any more, as its fields changed; they stay there.
        """
        folder, counts = Spill(spill), Counter[FeatureKey]()
        with store.open("w"), folder.left() as left:
            for kept in left:
                for key, frame in frames_of(kept).items():
                    store.write(key, frame, preserve_feature_version=True, on_duplicate="last")
                    counts[key] += frame.height
                folder.remove(kept)
        return dict(counts)

    # -- conditions; the caller holds `_changed` -----------------------------------------------------------------------

    def _is_running(self) -> bool:
        return self._thread is not None and not self._stopping and not self._broken

    def _is_full(self) -> bool:
        """Return whether too much waits for the flush that is going on."""
        return 0 < self._max_waiting <= len(self._puts) - self._in_flight and self._in_flight > 0

    def _is_due(self) -> bool:
        if self._stopping or not self._puts:
            return self._stopping
        enough = self._batch_size is not None and self._waiting_rows >= self._batch_size
        return enough or self._wanted > self._stored or time.monotonic() >= self._deadline

    def _require_running(self) -> None:
        self._require_unbroken()
        if self._thread is None:
            raise BufferedWriterError("the writer is not started; use `with BufferedMetadataWriter(store) as writer:`")
        if self._stopping:
            raise BufferedWriterError("the writer is stopped; make a new one")

    def _require_unbroken(self) -> None:
        if self._broken:
            raise self._error("the writer failed") from self._cause

    def _error(self, what: str) -> BufferedWriterError:
        """Describe what is not written, and why."""
        lost: Counter[FeatureKey] = Counter()
        for frames in self.pending:
            lost.update({key: frame.height for key, frame in frames.items()})
        rows = ", ".join(f"{count} of {key}" for key, count in lost.items()) or "none"
        why = f": {self._cause}" if self._cause else ""
        return BufferedWriterError(f"{what}{why}; rows not written, kept in `pending`: {rows}")

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        spilling = closing(self._spill) if self._spill else nullcontext()
        with self._scope.graph.use(), context.using_settings(self._scope.settings), spilling:
            while puts := self._take():
                try:
                    written = self._write(self._merged(puts), _merged_parents(puts))
                except BaseException as error:  # whatever it is, those who wait for the thread must learn of it
                    if self._failed(error):
                        return
                else:
                    self._succeeded(puts, written)

    def _take(self) -> Sequence[Put]:
        """Wait until rows are due and return them; nothing once all is written and the writer stops."""
        with self._changed:
            while not self._is_due():
                self._changed.wait(max(0.0, self._deadline - time.monotonic()) if self._puts else None)
            self._in_flight = len(self._puts)
            self._waiting_rows = 0
            return tuple(self._puts)

    def _merged(self, puts: Sequence[Put]) -> dict[FeatureKey, pl.DataFrame]:
        """Concatenate the frames of each feature and keep the last row of each sample."""
        merged = {}
        for key in dict.fromkeys(key for put in puts for key in put.frames):
            frames = [put.frames[key] for put in puts if key in put.frames]
            try:
                together = pl.concat(frames, how="diagonal_relaxed")
            except pl.exceptions.PolarsError as error:
                raise MetadataSchemaError(
                    f"feature {key}: frames that were put have columns of types that do not fit: {first_line(error)}"
                ) from error
            ids = self._scope.definition(key).spec.id_columns
            merged[key] = together.unique(ids, keep="last", maintain_order=True)
        return merged

    def _write(
        self, frames: Mapping[FeatureKey, pl.DataFrame], parents: Mapping[FeatureKey, pl.DataFrame]
    ) -> Counter[FeatureKey]:
        """Write frames; wait and try again while the store cannot be reached."""
        plain = {key: frame for key, frame in frames.items() if key not in parents}

        def write() -> None:
            with self._store.open("w"):
                self._store.write_multi(plain, self._materialization_id)
                for key, replaced in parents.items():
                    children = frames.get(key, pl.DataFrame())
                    self._store.write(key, children, self._materialization_id, replaces=replaced)

        patiently(write)
        return Counter({key: frame.height for key, frame in frames.items()})

    def _succeeded(self, puts: Sequence[Put], written: Counter[FeatureKey]) -> None:
        for put in puts:
            if self._spill and put.kept:
                self._spill.remove(put.kept)
        with self._changed:
            del self._puts[: self._in_flight]
            self._stored += self._in_flight
            self._in_flight = 0
            self._num_written += written
            self._changed.notify_all()

    def _failed(self, error: BaseException) -> bool:
        """Keep the rows; return whether the thread must end, as nobody waits who could react."""
        with self._changed:
            self._in_flight = 0
            self._waiting_rows = sum(put.rows for put in self._puts)
            self._deadline = time.monotonic() + self._interval
            self._wanted = self._stored
            self._failures += 1
            self._cause = error
            self._broken = self._stopping or not self._flushers
            if self._broken:
                logger.error(
                    "%s",
                    self._error("the background flush failed"),
                    exc_info=error if logger.isEnabledFor(logging.DEBUG) else None,
                )
            self._changed.notify_all()
            return self._broken

    # -- frames --------------------------------------------------------------------------------------------------------

    def _parents(self, replaces: Mapping[Any, Any]) -> dict[FeatureKey, pl.DataFrame]:
        if replaces and self._spill:
            raise ValueError("a writer with a spill folder takes no `replaces`: the folder keeps no parents")
        return {coerce_to_feature_key(feature): collect_to_polars(frame) for feature, frame in replaces.items()}

    def _collected(
        self, batches: Mapping[Any, Any], data_version: Mapping[Any, DataVersion] | None
    ) -> dict[FeatureKey, pl.DataFrame]:
        """Check frames and collect them, here, where their databases are open."""
        given: dict[FeatureKey, Any] = {}
        frames: dict[FeatureKey, pl.DataFrame] = {}
        for feature, frame in batches.items():
            key = coerce_to_feature_key(feature)
            if key in given:
                raise ValueError(f"feature {key} is given twice")
            given[key] = frame
        for key, frame in versioned_frames(self._scope, given, data_version).items():
            rows = collect_to_polars(given_frame(frame, f"the frame for feature {key}", collect=True))
            try:
                check_columns(self._scope.definition(key), nw.from_native(rows).schema)
            except MetadataSchemaError:
                if rows.height:
                    raise
            else:
                frames[key] = rows
        return frames


def patiently(write: Callable[[], None]) -> None:
    """Write something; wait and try again while the store cannot be reached, and after no other errors."""
    for pause in RETRY_SECONDS:
        try:
            return write()
        except UNREACHABLE as error:
            logger.warning("trying again in %g s: %s", pause, error)
            time.sleep(pause)
    return write()


def _merged_parents(puts: Sequence[Put]) -> dict[FeatureKey, pl.DataFrame]:
    """Return the parents of each feature."""
    keys = dict.fromkeys(key for put in puts for key in put.parents)
    return {key: pl.concat([put.parents[key] for put in puts if key in put.parents]) for key in keys}
