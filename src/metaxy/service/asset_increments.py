"""What must be computed of a feature, or of a part of it, for a run that goes on for long: taken once, kept on disk."""

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

import narwhals as nw
import polars as pl
from narwhals.dtypes import DType
from polars.io.plugins import register_io_source

from metaxy import columns as c
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import FeatureNotFoundError, MetadataSchemaError
from metaxy.service.parts import Conditions
from metaxy.service.project import Project
from metaxy.store.backlog import Backlog, Kind, Order
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars, polars_chunks
from metaxy.versioning.increment import LazyIncrement, PolarsIncrement

BATCH: Final = 10_000
ROWS_PER_WRITE: Final = 50_000  # of small frames together, as each write costs the store more than their rows
KINDS: Final[tuple[Kind, Kind]] = ("new", "stale")
Orphaned = Literal["keep", "soft_delete", "delete"]


class AssetIncrement:
    """New, stale and orphaned samples of a feature, or of those of its rows that a run has, when the run began.

    New and stale samples are kept on disk, and gone with the process. They have all columns of
    `MetadataStore.resolve_update`, among them the versions that their results are to have.
    """

    def __init__(
        self,
        project: Project,
        store: MetadataStore,
        plan: FeaturePlan,
        backlog: Backlog,
        orphaned: pl.DataFrame,
        schemas: Mapping[Kind, pl.Schema],
    ) -> None:
        self.feature: FeatureKey = plan.feature.key
        self.expands: bool = plan.feature.expands
        self._failures: list[pl.DataFrame] = []
        self.orphaned: nw.DataFrame[Any] = nw.from_native(orphaned, eager_only=True)
        self._project, self._store, self._plan, self._backlog = project, store, plan, backlog
        self._schemas = schemas
        self._reading = threading.Lock()
        self._given: set[Kind] = set()
        weakref.finalize(self, backlog.close)

    @classmethod
    def take(cls, project: Project, store: MetadataStore, key: FeatureKey, part: Conditions) -> "AssetIncrement":
        """Resolve an update, and keep what it says.

        Raises:
            FeatureNotFoundError: if a required parent has no table.
            MetadataSchemaError: if the samples have no column by which partitions are told apart.
        """
        with project.active(), store.open("w"):
            plan = project.graph.get_feature_plan(key)
            update = store.resolve_update(key, lazy=True, **_narrowed(store, plan, part))
            orphaned = _orphaned(update, plan, part)
            restricted = _restricted(update, key, part)
            schemas = {kind: getattr(restricted, kind).collect_schema().to_polars() for kind in KINDS}
            return cls(project, store, plan, Backlog.fetch(restricted, Order()), orphaned, schemas)

    @property
    def counts(self) -> dict[str, int]:
        """How many samples are new, stale and orphaned; of an expansion, parents are new and stale."""
        counts = self._backlog.counts
        return {"new": counts["new"], "stale": counts["stale"], "orphaned": len(self.orphaned)}

    def __bool__(self) -> bool:
        return any(self.counts.values())

    def __repr__(self) -> str:
        return f"AssetIncrement({', '.join(f'{kind}={count}' for kind, count in self.counts.items())})"

    @property
    def new(self) -> nw.LazyFrame[Any]:
        """Samples to compute."""
        return self._frame("new")

    @property
    def stale(self) -> nw.LazyFrame[Any]:
        """Samples to compute again."""
        return self._frame("stale")

    @property
    def samples(self) -> nw.LazyFrame[Any]:
        """All samples to compute, with ``metaxy_status``: ``new`` or ``stale``; it need not be written."""
        frames = [self._frame(kind).to_native().with_columns(pl.lit(kind).alias(c.METAXY_STATUS)) for kind in KINDS]
        together: nw.LazyFrame[Any] = nw.from_native(pl.concat(frames, how="diagonal_relaxed"))
        return together

    def batches(self, size: int = BATCH) -> Iterator[nw.DataFrame[Any]]:
        """Yield the samples to compute, new ones first, at most ``size`` at a time; rows of one sample stay together.

        Raises:
            ValueError: if ``size`` is less than 1.
        """
        if size < 1:
            raise ValueError(f"a batch must hold at least one sample, not {size}")
        for rows in self._rows(KINDS, size):
            yield nw.from_native(rows, eager_only=True)

    def record_errors(self, frame: Any) -> None:
        """Remember that samples could not be computed, as `MetadataStore.record_errors` does.

        Frames: IDs and ``metaxy_provenance``, as the samples have them, ``error_type`` and ``error_message``.
        """
        rows = collect_to_polars(frame)
        if "run_id" not in rows.columns:
            rows = rows.with_columns(run_id=pl.lit(self._store.materialization_id, pl.String))
        with self._project.active(), self._store.open("w"):
            self._store.record_errors(self.feature, rows)
        self._failures.append(rows)

    @property
    def failed(self) -> int:
        """Of how many samples an error was recorded."""
        return sum(rows.height for rows in self._failures)

    # -- what becomes of it --------------------------------------------------------------------------------------------

    def write(self, frames: Iterator[Any]) -> None:
        """Write results as they come, small frames together; children of an expansion replace those that there were.

        Raises:
            MetadataSchemaError: if rows cannot be written, or parents of an expansion were not even looked at.
        """
        if not self.expands:
            for frame in _gathered(frames):
                with self._store.open("w"):
                    self._store.write(self.feature, frame)
            return
        samples = self.samples
        ids = [name for name in self._plan.feature.id_columns if name in samples.collect_schema()]
        parents = collect_to_polars(samples.select(*ids, c.METAXY_PROVENANCE))
        self._given.clear()
        with self._store.open("w"), self._store.replacing(self.feature, parents) as replacement:
            for frame in _gathered(frames):
                replacement.write(frame)
            self._refuse_left_out()
            for failed in self._failures:  # they stay to be computed
                replacement.parents = replacement.parents.join(failed, on=replacement.keys, how="anti")

    def clean(self, how: Orphaned, max_share: float) -> None:
        """Delete the orphaned samples, or keep them.

        Raises:
            TooManyOrphansError: if more than this share of the feature would go; none does.
        """
        if how == "keep" or not len(self.orphaned):
            return
        rows = self.orphaned.to_polars()
        gone = PolarsIncrement(rows.clear(), rows.clear(), rows)
        with self._store.open("w"):
            self._store.delete_orphaned(self.feature, gone, max_share=max_share, dry_run=how == "delete")
            if how == "delete":
                self._store.delete(self.feature, rows=rows, soft=False)

    def close(self) -> None:
        """Remove what is on disk."""
        self._backlog.close()

    # -- reading -------------------------------------------------------------------------------------------------------

    def _rows(self, kinds: Sequence[Kind], size: int = BATCH) -> Iterator[pl.DataFrame]:
        pieces = self._backlog.pieces(lambda _: size, kinds)
        while True:
            with self._reading:  # threads of Polars may read both kinds at once, from one file
                piece = next(pieces, None)
            if piece is None:
                break
            yield piece.rows
        self._given.update(kinds)

    def _frame(self, kind: Kind) -> nw.LazyFrame[Any]:
        first = next(self._backlog.pieces(lambda _: 1, (kind,)), None)
        schema = self._schemas[kind] if first is None else first.rows.schema

        def chunks(
            columns: list[str] | None, predicate: pl.Expr | None, count: int | None, _: int | None
        ) -> Iterator[pl.DataFrame]:
            left = count
            for rows in self._rows((kind,)):
                part = rows if left is None else rows.head(left)
                left = None if left is None else left - part.height
                found = part if predicate is None else part.filter(predicate)
                yield found if columns is None else found.select(columns)
                if left == 0:
                    return

        return nw.from_native(register_io_source(chunks, schema=schema))

    def _refuse_left_out(self) -> None:
        left = [kind for kind, count in self._backlog.counts.items() if count and kind not in self._given]
        if left:
            raise MetadataSchemaError(
                f"feature {self.feature}: not all {' and '.join(left)} parents were read, and those without children "
                "would count as computed; read all batches, and record_errors of parents that cannot be computed"
            )


def chunks_of(frame: Any) -> Iterator[Any]:
    """Give a plan of Polars as frames of a few thousand rows each, and anything else as it is."""
    if isinstance(frame, nw.LazyFrame) and frame.implementation.is_polars():
        yield from map(nw.from_native, polars_chunks(frame, BATCH))
    else:
        yield frame


def _gathered(frames: Iterator[Any]) -> Iterator[Any]:
    """Put small frames of Polars together; before an error is raised, those that came before it are given."""
    waiting: list[pl.DataFrame] = []
    height = 0  # of what waits
    try:
        for frame in frames:
            rows = frame.to_native() if isinstance(frame, nw.DataFrame) else None
            if waiting and (not isinstance(rows, pl.DataFrame) or rows.schema != waiting[0].schema):
                yield _together(waiting)
            if not isinstance(rows, pl.DataFrame):
                yield frame
                continue
            height = height + rows.height if waiting else rows.height
            waiting.append(rows)
            if height >= ROWS_PER_WRITE:
                yield _together(waiting)
    except Exception:
        if waiting:
            yield _together(waiting)
        raise
    if waiting:
        yield _together(waiting)


def _together(waiting: list[pl.DataFrame]) -> pl.DataFrame:
    rows = pl.concat(waiting)
    waiting.clear()
    return rows


# -- parts -------------------------------------------------------------------------------------------------------------


def _restricted(update: LazyIncrement, key: FeatureKey, part: Conditions) -> LazyIncrement:
    """Leave only the samples of a part; where several rows are a sample, the part must be one of whole samples."""

    def view(frame: nw.LazyFrame[Any]) -> Callable[[], nw.LazyFrame[Any]]:
        types: Mapping[str, DType] = frame.collect_schema()
        if update.sample_columns:
            types = {name: types[name] for name in update.sample_columns}
        try:
            conditions = part(types)
        except MetadataSchemaError as error:
            message = f"the samples of feature {key} that its parents give cannot be told apart by partitions"
            raise MetadataSchemaError(f"{message}: {error}") from error
        return lambda: frame.filter(*conditions) if conditions else frame

    new, stale = view(update.new), view(update.stale)
    return LazyIncrement(new=new, stale=stale, orphaned=update.orphaned, sample_columns=update.sample_columns)


def _orphaned(update: LazyIncrement, plan: FeaturePlan, part: Conditions) -> pl.DataFrame:
    """Return what names the orphaned samples of a part."""
    frame = update.orphaned
    types = frame.collect_schema()
    names = [name for name in (*plan.feature.id_columns, c.METAXY_UPDATED_AT) if name in types]
    try:
        conditions = part(types)
    except MetadataSchemaError:
        found = collect_to_polars(frame.select(names).head(1))  # before the first write there are no columns, either
        if found.is_empty():
            return found
        raise
    return collect_to_polars((frame.filter(*conditions) if conditions else frame).select(names))


def _narrowed(store: MetadataStore, plan: FeaturePlan, part: Conditions) -> dict[str, Any]:
    """Return filters by which rows of other parts are not even compared, where one parent says which part a sample is.

    They save time only: where a dependency renames, groups or is optional, what is resolved is filtered all the same.
    """
    deps = plan.feature_deps
    if any(dep.rename or dep.aggregates for dep in deps):
        return {}
    known = {dep.feature: _conditions(store, dep.feature, part) for dep in deps}
    holders = [dep for dep in deps if known[dep.feature]]
    own = _conditions(store, plan.feature.key, part)
    if len(holders) != 1 or holders[0].optional or not own:
        return {}
    return {"filters": {holders[0].feature: known[holders[0].feature]}, "target_filters": own}


def _conditions(store: MetadataStore, key: FeatureKey, part: Conditions) -> list[nw.Expr]:
    """Return what holds for the rows of a part in the table of a feature, nothing if there are no such columns."""
    with suppress(FeatureNotFoundError, MetadataSchemaError):
        return list(part(store.read(key).collect_schema()))
    return []
