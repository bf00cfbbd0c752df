"""Ray datasets as features: each task opens the store once, and writes its blocks as few large appends."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import pyarrow as pa
from ray.data.block import Block, BlockAccessor
from ray.data.datasource import Datasink, WriteResult

from metaxy.config import MetaxyConfig
from metaxy.definitions.keys import coerce_to_feature_key
from metaxy.ext.ray.surroundings import Surroundings
from metaxy.store.external import sync_external_features
from metaxy.store.store import MetadataStore
from metaxy.wording import first_line

logger = logging.getLogger(__name__)
ROWS_PER_WRITE: Final = 100_000


@dataclass(frozen=True)
class MetaxyWriteResult:
    """How many rows were written, and how many could not be.

    >>> MetaxyWriteResult(rows_written=3, rows_failed=0)
    MetaxyWriteResult(rows_written=3, rows_failed=0)
    """

    rows_written: int
    rows_failed: int

    @classmethod
    def total(cls, parts: Iterable["MetaxyWriteResult"]) -> "MetaxyWriteResult":
        """Add up the results of several tasks or writes."""
        counts = [(part.rows_written, part.rows_failed) for part in parts]
        return cls(sum(written for written, _ in counts), sum(failed for _, failed in counts))


class MetaxyDatasink(Datasink[MetaxyWriteResult]):
    """Writes a dataset to a feature, for ``dataset.write_datasink``.

    Frames: IDs, user columns and ``metaxy_provenance_by_field`` → the feature's table.

    The store must be closed, as it is pickled. A task that Ray tries again writes its rows again; each sample is read
    once all the same, as it was written last.

    Args:
        feature: anything that names a feature.
        store: where to write.
        config: the project's configuration; by default the active one, or that of the nearest file.
        on_error: ``raise`` makes the job fail with the first block that cannot be written; ``log`` leaves such blocks
            out, logs why, and counts their rows.
        rows_per_write: how many rows are collected before they are written; Ray waits until a task has so many, across
            blocks, which costs parallelism where the dataset is computed by the same tasks. By default a task collects
            the blocks that it gets.
    """

    def __init__(
        self,
        feature: Any,
        store: MetadataStore,
        config: MetaxyConfig | None = None,
        *,
        on_error: Literal["raise", "log"] = "raise",
        rows_per_write: int | None = None,
    ) -> None:
        if on_error not in ("raise", "log"):
            raise ValueError(f"on_error={on_error!r} is none of 'raise' and 'log'")
        if rows_per_write is not None and rows_per_write < 1:
            raise ValueError(f"rows_per_write must be at least 1, not {rows_per_write}")
        self._surroundings = Surroundings.of(config)
        self._feature = coerce_to_feature_key(feature).to_string()
        self._store = store
        self._on_error = on_error
        self._rows_per_write = rows_per_write
        self._result: MetaxyWriteResult | None = None

    @property
    def result(self) -> MetaxyWriteResult:
        """What was written.

        Raises:
            RuntimeError: before the write has ended.
        """
        if self._result is None:
            raise RuntimeError(f"feature {self._feature}: nothing was written yet; pass this to dataset.write_datasink")
        return self._result

    @property
    def min_rows_per_write(self) -> int | None:
        """How many rows Ray collects for a task."""
        return self._rows_per_write

    def get_name(self) -> str:
        """Return how Ray calls this sink in its progress."""
        return "Metaxy"

    def write(self, blocks: Iterable[Block], *_: Any, **__: Any) -> MetaxyWriteResult:
        """Write the blocks of one task, and return how many rows they had."""
        with self._surroundings.active(), self._store.open("w") as store:
            if self._surroundings.config.sync:
                sync_external_features(store)
            return MetaxyWriteResult.total(self._write(store, tables) for tables in self._collected(blocks))

    def _collected(self, blocks: Iterable[Block]) -> Iterator[list[pa.Table]]:
        waiting: list[pa.Table] = []
        for block in blocks:
            table = BlockAccessor.for_block(block).to_arrow()
            waiting += [table] if table.num_rows else []
            if sum(table.num_rows for table in waiting) >= (self._rows_per_write or ROWS_PER_WRITE):
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def _write(self, store: MetadataStore, tables: list[pa.Table]) -> MetaxyWriteResult:
        """Write blocks at once; if they cannot be and errors are logged, each alone."""
        rows = sum(table.num_rows for table in tables)
        try:
            store.write(self._feature, pa.concat_tables(tables, promote_options="default"))
        except Exception as error:
            if self._on_error == "raise":
                raise
            if len(tables) > 1:
                return MetaxyWriteResult.total(self._write(store, [table]) for table in tables)
            logger.error("feature %s: %d rows were not written: %s", self._feature, rows, first_line(error))
            return MetaxyWriteResult(0, rows)
        return MetaxyWriteResult(rows, 0)

    def on_write_complete(self, write_result: WriteResult[MetaxyWriteResult]) -> None:
        """Add up what the tasks wrote."""
        self._result = MetaxyWriteResult.total(write_result.write_returns)
