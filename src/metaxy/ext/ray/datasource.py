"""Features as Ray datasets: rows in several read tasks, or an increment that is computed once."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Final, NamedTuple, TypeAlias

import narwhals as nw
import pyarrow as pa
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

import ray
from metaxy.columns import METAXY_STATUS
from metaxy.config import MetaxyConfig
from metaxy.definitions.keys import coerce_to_feature_key
from metaxy.ext.ray.surroundings import Surroundings, in_own_context
from metaxy.store.request import as_filters
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_arrow, count_lazy_rows

BLOCK_ROWS: Final = 50_000
ROWS_PER_TASK: Final = 10_000  # fewer are not worth a process
SAMPLED_ROWS: Final = 1_000


class MetaxyDatasource(Datasource):
    """Reads a feature, or what is to be computed of it, for ``ray.data.read_datasource``.

    Frames: the feature's table → its columns, or ``columns``, as several read tasks that each read a range of IDs; with
    ``incremental``, new and stale samples as `MetadataStore.resolve_update` gives them, with ``metaxy_status`` "new" or
    "stale". Their columns are known even if there are no rows.

    The store must be closed, as it is pickled. Configuration and graph of this process go to the workers with the
    tasks. An increment is computed once, here, and shared through the object store; read tasks read on the workers, so
    that rows which are written meanwhile may be among theirs.

    Args:
        feature: anything that names a feature.
        store: where it is.
        config: the project's configuration; by default the active one, or that of the nearest file.
        incremental: read new and stale samples instead of stored rows.
        staleness_predicates: stored rows that fulfil one are stale whatever their version; with ``incremental``.
        filters: conditions on the rows; with ``incremental`` on the stored rows of the feature itself.
        feature_version: as for `MetadataStore.read`, like all that follow; they have no meaning with ``incremental``.
        columns: what to read.
        allow_fallback: whether to look into fallback stores.
        with_feature_history: rows of all feature versions.
        with_sample_history: all rows of each sample.
        include_soft_deleted: deleted samples too.
    """

    def __init__(
        self,
        feature: Any,
        store: MetadataStore,
        config: MetaxyConfig | None = None,
        *,
        incremental: bool = False,
        staleness_predicates: Any = None,
        feature_version: str | None = None,
        filters: Any = None,
        columns: Sequence[str] | None = None,
        allow_fallback: bool = True,
        with_feature_history: bool = False,
        with_sample_history: bool = False,
        include_soft_deleted: bool = False,
    ) -> None:
        self._surroundings = Surroundings.of(config)
        self._store = store
        self._incremental = incremental
        self._predicates = staleness_predicates
        options = {
            "feature_version": feature_version,
            "columns": columns,
            "allow_fallback": allow_fallback,
            "with_feature_history": with_feature_history,
            "with_sample_history": with_sample_history,
            "include_soft_deleted": include_soft_deleted,
        }
        self._key = coerce_to_feature_key(feature)
        self._rows = StoredRows(self._key.to_string(), as_filters(filters), options)

    def get_name(self) -> str:
        """Return how Ray calls this source in its progress."""
        return "Metaxy"

    def estimate_inmemory_data_size(self) -> int | None:
        """Return about how many bytes the rows have, from which Ray derives how many blocks it makes of them."""
        return self._found.size

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, *_: Any, **__: Any
    ) -> list[ReadTask]:
        """Return tasks that each read a part of the rows, in blocks of at most ``per_task_row_limit`` rows.

        Raises:
            FeatureNotFoundError: if the feature, or a parent of it, has no table.
        """
        limit = min(per_task_row_limit or BLOCK_ROWS, BLOCK_ROWS)
        schema, parts = self._found.schema, self._found.parts(parallelism)
        return [ReadTask(partial(_blocks, part.read, limit), part.metadata(), schema) for part in parts]

    @cached_property
    def _found(self) -> "Shared | Stored":
        """What there is to read, looked at once: Ray asks several times, and must get the same answer."""
        with self._surroundings.active(), self._store.open("r"):
            if not self._incremental:
                definition = self._surroundings.graph.feature_definitions_by_key.get(self._key)
                column = definition.spec.id_columns[0] if definition else None
                return Stored.of(self._rows, self._store, self._surroundings, column)
            increment = self._store.resolve_update(
                self._rows.feature, target_filters=self._rows.filters, staleness_predicates=self._predicates
            )
        return Shared.of([_with_status(getattr(increment, kind), kind) for kind in ("new", "stale")])


Reader: TypeAlias = Callable[[], Iterator[pa.Table]]


class Part(NamedTuple):
    """What one task reads: a function that returns the rows, and their number where it is known."""

    read: Reader
    rows: int | None = None

    def metadata(self) -> BlockMetadata:
        """Return what Ray wants to know before it reads."""
        return BlockMetadata(num_rows=self.rows, size_bytes=None, input_files=None, exec_stats=None)


@dataclass(frozen=True)
class Shared:
    """Rows at hand, cut into chunks that all workers get from the object store."""

    schema: pa.Schema
    size: int
    chunks: "Sequence[tuple[ray.ObjectRef[pa.Table], int]]"

    @classmethod
    def of(cls, tables: Sequence[pa.Table]) -> "Shared":
        """Put tables of the same columns into the object store."""
        table = pa.concat_tables(tables, promote_options="permissive")
        starts = range(0, max(table.num_rows, 1), ROWS_PER_TASK)
        slices = [table.slice(start, ROWS_PER_TASK) for start in starts]
        return cls(table.schema, table.nbytes, [(ray.put(part), part.num_rows) for part in slices])

    def parts(self, parallelism: int) -> list[Part]:
        """Spread the chunks over at most so many tasks."""
        step = -(-len(self.chunks) // max(parallelism, 1))
        groups = [self.chunks[start : start + step] for start in range(0, len(self.chunks), step)]
        return [Part(partial(_shared, [ref for ref, _ in group]), sum(rows for _, rows in group)) for group in groups]


@dataclass(frozen=True)
class StoredRows:
    """Which rows of a feature are read, and which columns of them."""

    feature: str
    filters: Sequence[Any]
    options: Mapping[str, Any]

    def read(self, store: MetadataStore) -> nw.LazyFrame[Any]:
        """Read them from a store that is open."""
        rows: nw.LazyFrame[Any] = store.read(self.feature, filters=list(self.filters) or None, **self.options)
        return rows

    def between(self, column: str, first: Any, end: Any) -> "StoredRows":
        """Return those from ``first`` on and before ``end``; None is no bound."""
        more = [nw.col(column) >= first] if first is not None else []
        more += [nw.col(column) < end] if end is not None else []
        return replace(self, filters=[*self.filters, *more])

    def bounds(self, store: MetadataStore, column: str, parts: int) -> list[Any]:
        """Return the values at which a column is cut into parts of about equally many of them."""
        options = {**self.options, "columns": [column]}
        values = replace(self, options=options).read(store).unique()
        count = count_lazy_rows(values)
        step = -(-count // parts)
        position = nw.col("__metaxy_position")
        cuts = values.with_row_index("__metaxy_position", order_by=column).filter(
            (position % step == 0) & (position > 0)
        )
        found: list[Any] = collect_to_arrow(cuts.select(column))[column].to_pylist()
        return sorted(found)


@dataclass(frozen=True)
class Stored:
    """Rows of a table, of which each task reads a range of the values of one column."""

    rows: StoredRows
    store: MetadataStore
    surroundings: Surroundings
    schema: pa.Schema
    count: int
    size: int
    column: str | None

    @classmethod
    def of(cls, rows: StoredRows, store: MetadataStore, surroundings: Surroundings, column: str | None) -> "Stored":
        """Count rows of a store that is open, and look at the first; ``column`` bounds parts, if there is one."""
        frame = rows.read(store)
        first, count = collect_to_arrow(frame.head(SAMPLED_ROWS)), count_lazy_rows(frame)
        size = first.nbytes * count // max(first.num_rows, 1)
        return cls(rows, store, surroundings, first.schema, count, size, column)

    def parts(self, parallelism: int) -> list[Part]:
        """Cut the rows into at most so many ranges, each of enough rows to be worth a task."""
        read = partial(_stored, self.surroundings, self.store)
        tasks = min(parallelism, self.count // ROWS_PER_TASK)
        if tasks <= 1 or self.column is None:
            return [Part(partial(read, self.rows), self.count)]
        with self.surroundings.active(), self.store.open("r"):
            bounds = self.rows.bounds(self.store, self.column, tasks)
        ends = zip([None, *bounds], [*bounds, None], strict=True)
        return [Part(partial(read, self.rows.between(self.column, first, end))) for first, end in ends]


def _with_status(frame: nw.DataFrame[Any], kind: str) -> pa.Table:
    return collect_to_arrow(frame.with_columns(nw.lit(kind).cast(nw.String()).alias(METAXY_STATUS)))


def _shared(chunks: "Sequence[ray.ObjectRef[pa.Table]]") -> Iterator[pa.Table]:
    for chunk in chunks:
        yield ray.get(chunk)


def _stored(surroundings: Surroundings, store: MetadataStore, rows: StoredRows) -> Iterator[pa.Table]:
    def tables() -> Generator[pa.Table, None, None]:
        with surroundings.active(), store.open("r"):
            yield collect_to_arrow(rows.read(store))

    return in_own_context(tables())


def _blocks(read: Reader, limit: int) -> Iterator[pa.Table]:
    """Yield rows in blocks of at most so many; one without rows, which has their columns, if there are none."""
    for table in read():
        for start in range(0, max(table.num_rows, 1), limit):
            yield table.slice(start, limit)
