"""From increment to result: what must be computed is computed by a function of the user, and written as it comes."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, Literal

import polars as pl

from metaxy import columns as c
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import (
    BufferedWriterError,
    FeatureNotFoundError,
    MetaxyError,
    ProcessError,
    StoreNotOpenError,
)
from metaxy.progress import Progress, progress
from metaxy.store.backlog import Backlog, Kind, Order
from metaxy.store.batched_writer import UNREACHABLE
from metaxy.store.claims import LEASE
from metaxy.store.data_versions import DataVersion, with_data_versions
from metaxy.store.outbox import Address, BufferedOutbox, ClaimOutbox, Origin, Outbox
from metaxy.store.replacing import declared_types, ids_of_children
from metaxy.store.request import ProcessArguments
from metaxy.store.session import Scope
from metaxy.store.shared_backlog import ClaimSize, SharedBacklog
from metaxy.store.store import MetadataStore
from metaxy.store.unread import reasons, run_once
from metaxy.versioning.frames import collect_to_polars
from metaxy.versioning.increment import LazyIncrement, PolarsIncrement
from metaxy.wording import did_you_mean, first_line
from metaxy.workers.calls import Caller, StartError
from metaxy.workers.executors import Executor, callers
from metaxy.workers.function import Function, RowsOf
from metaxy.workers.interrupts import Stop, stopping
from metaxy.workers.jobs import Computation, Done, Failure, Job, Piece
from metaxy.workers.pool import Pool
from metaxy.workers.report import ProcessReport, SampleError
from metaxy.workers.results import Contract
from metaxy.workers.shape import Shape

BATCH = 1_000  # samples, of functions that take several
BATCH_SECONDS = 0.5  # of functions that take one row, as many are in a batch as take so long
KEPT_ERRORS = 1_000


@dataclass(frozen=True)
class ProcessOptions:
    """What a caller chose."""

    batch_size: int | None = None
    workers: int = 1
    executor: Executor | None = None
    retries: int = 0
    timeout: float | None = None
    on_error: Literal["record", "raise"] = "record"
    limit: int | None = None
    progress: bool | Callable[[str], object] = True
    rows: RowsOf | None = None
    first: Kind = "new"
    order_by: str | Sequence[str] = ()
    orphaned: Literal["keep", "soft_delete", "delete"] = "keep"
    materialization_id: str | None = None
    data_version: DataVersion | None = None
    claim: bool = False
    lease: timedelta = LEASE

    def __post_init__(self) -> None:
        for name in ("batch_size", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is at least 1, not {value!r}")
        if self.retries < 0 or (self.limit is not None and self.limit < 0):
            raise ValueError("retries and limit are not negative")
        if self.timeout is not None and self.timeout <= 0:
            raise ValueError(f"timeout is a number of seconds, not {self.timeout!r}")
        choices: dict[str, tuple[str, ...]] = {"on_error": ("record", "raise"), "first": ("new", "stale")}
        choices["orphaned"] = ("keep", "soft_delete", "delete")
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {' or '.join(map(repr, allowed))}, not {getattr(self, name)!r}")
        given = self.data_version.values() if isinstance(self.data_version, Mapping) else [self.data_version]
        for each in given:
            if each is not None and not (isinstance(each, str) or callable(each)):
                raise TypeError(
                    f"data_version of process is the name of a column or a function of results, not {each!r}"
                )

    @property
    def order(self) -> Order:
        """In which order samples are computed."""
        columns = (self.order_by,) if isinstance(self.order_by, str) else tuple(self.order_by)
        return Order(self.first, columns, self.limit)


class BatchSize:
    """How many samples the next batch has: a number that was asked for, or one that makes batches last some time."""

    def __init__(self, asked: int | None, function: Function, workers: int) -> None:
        self._fixed = asked is not None or function.rows != "one"
        self._size = asked or (BATCH if self._fixed else 1)
        self._workers = workers

    def __call__(self, left: int | None = None) -> int:
        """Return the number, of so many that are left: near the end, batches get smaller, so that all end soon."""
        fair = self._size if self._fixed or left is None else math.ceil(left / (2 * self._workers))
        return max(1, min(self._size, fair))

    def learn(self, done: Done) -> None:
        """Take smaller or larger batches, at most twice as large as before."""
        if not self._fixed and done.job.samples == self._size:
            wanted = self._size * BATCH_SECONDS / max(done.seconds, 1e-6)
            self._size = int(max(1, min(BATCH, 2 * self._size, wanted)))


@dataclass
class Tallies:
    """What is counted while a run goes on."""

    computed: int = 0
    failed: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def add(self, done: Done) -> None:
        """Count a job."""
        self.failed += len(done.failures)
        self.computed += done.job.samples - len(done.failures)
        self.seconds += done.seconds
        self.failures += done.failures[: max(0, KEPT_ERRORS - len(self.failures))]


@dataclass(frozen=True)
class Processing:
    """One run of a function over what is new and stale of a feature."""

    store: MetadataStore
    scope: Scope
    definition: FeatureDefinition
    function: Function
    options: ProcessOptions
    accept: Callable[[pl.DataFrame], pl.DataFrame] | None = None

    @classmethod
    def build(
        cls, store: MetadataStore, feature: Any, fn: Any, options: ProcessOptions, accept: Any = None
    ) -> "Processing":
        """Check what was passed, before anything is done.

        Raises:
            TypeError: if nothing says what the function takes.
            StoreNotOpenError: if the store is open, but not for writing.
        """
        if store.session.mode == "r":
            raise StoreNotOpenError(
                f'{store!r} is open for reading only; process it closed, or in `with store.open("w"):`'
            )
        scope = Scope.current(store.hash_algorithm)
        return cls(store, scope, scope.definition(feature), Function.of(fn, options.rows), options, accept)

    # -- what the feature is -------------------------------------------------------------------------------------------

    @cached_property
    def plan(self) -> FeaturePlan:
        """The feature with all that it needs."""
        return self.scope.graph.get_feature_plan(self.definition.key)

    @cached_property
    def contract(self) -> Contract:
        """What results must look like."""
        ids = list(self.definition.spec.id_columns)
        keys, own = ids_of_children(self.scope, self.definition) if self.definition.spec.expands else (ids, [])
        declared = self.definition.declared_columns
        required = [column.name for column in declared if column.required and column.names == (column.name,)]
        return Contract(tuple(keys), tuple(own), tuple(name for name in required if name not in ids))

    @cached_property
    def finish(self) -> Callable[[pl.DataFrame], pl.DataFrame] | None:
        """Let the caller look at results, and give them the data versions that it chose."""
        accept, chosen = self.accept, self.options.data_version
        if chosen is None:
            return accept
        version = partial(with_data_versions, definition=self.definition, data_version=chosen)
        return version if accept is None else lambda rows: version(accept(rows))

    @property
    def groups(self) -> bool:
        """Whether a sample is made of several rows of a parent."""
        return any(dep.aggregates for dep in self.plan.feature_deps)

    @cached_property
    def batch_size(self) -> BatchSize:
        """How many samples workers get at once."""
        return BatchSize(self.options.batch_size, self.function, self.options.workers)

    @cached_property
    def claim_size(self) -> ClaimSize:
        """How many samples are claimed at once."""
        return ClaimSize(self.options.workers, self.batch_size)

    def address(self, shape: Shape) -> Address:
        """Say where results go."""
        options, contract = self.options, self.contract
        records, run_id = options.on_error == "record", options.materialization_id
        typeless = tuple(name for name in contract.own if not shape.knows(name))
        expands = self.definition.spec.expands
        return Address(self.store, self.definition.key, contract.keys, expands, records, run_id, typeless)

    @property
    def where(self) -> str:
        """Say in which feature and function something happened."""
        return f"feature {self.definition.key}, function {self.function.name}"

    # -- the run -------------------------------------------------------------------------------------------------------

    def run(self, update: dict[str, Any]) -> ProcessReport:
        """Compute what must be computed.

        Raises:
            ProcessError: if a sample fails, and errors are not recorded; or if the store fails.
            KeyboardInterrupt: after Ctrl-C, when all that was begun is written.
        """
        began = time.perf_counter()
        with ExitStack() as stack:
            with self.store.open("w"):
                update = self._asked(update)
                increment = self.store.resolve_update(self.definition.key, lazy=True, **update)
                self._refuse_groups_of_rows(increment)
                orphaned = self._orphaned(increment)
                backlog = stack.enter_context(closing(self._backlog(increment, update)))
                shape = Shape(self._known_types())
            resolved = time.perf_counter() - began
            work = Work(self, backlog, shape)
            stop = work.run() if backlog.total else Stop()
            report = ProcessReport(
                str(self.definition.key), self.function.name, resolve_seconds=resolved, **work.counts
            )
            report = replace(report, interrupted=stop.interrupted)
            report = self._with_unread(report, update.get("samples"))
        if not stop.asked and orphaned is not None:
            try:
                report = replace(report, orphaned=self._delete(orphaned))
            except MetaxyError as error:
                done = f"{report.done:,} of {report.total:,} samples are computed and written"
                raise ProcessError.of(f"{self.where}: {done}, but {first_line(error)}", report) from error
        report = replace(report, seconds=time.perf_counter() - began)
        self._raise_if_stopped(report, work.tallies, stop)
        return report

    def _with_unread(self, report: ProcessReport, samples: Any) -> ProcessReport:
        """Say which samples could not be read, and why: nothing is known of them, so they are as they were."""
        found = [] if samples is None else reasons(samples, self.definition.spec.id_columns)
        errors = []
        for ids, reason in found[:KEPT_ERRORS]:
            kind, colon, message = reason.partition(": ")
            errors.append(SampleError(ids, kind if colon else "unread", message if colon else reason))
        return replace(report, unread=len(found), errors=(*report.errors, *errors)[:KEPT_ERRORS])

    def _asked(self, update: dict[str, Any]) -> dict[str, Any]:
        """Return what is asked of an update, with what goes without saying here."""
        samples = run_once(update.get("samples"))
        update = {"payload": "ignore", **update, "samples": samples}  # what is stored is what the function returned
        return {"one_row_per_group": True, **update} if self.groups and self.function.rows == "one" else update

    def _backlog(self, increment: LazyIncrement, update: dict[str, Any]) -> Backlog | SharedBacklog:
        if not self.options.claim:
            return Backlog.fetch(increment, self.options.order)
        began = self.store.clock.now()
        if update.get("errors") != "skip":  # no sample is tried twice by workers of the same time
            update = {"failed_before": began, **update}
        order, lease = self.options.order, self.options.lease
        claim = partial(self.store.claim, self.definition.key, lease=lease, first=order.first, order_by=order.columns)
        columns, left = increment.sample_columns, math.inf if order.limit is None else order.limit
        return SharedBacklog(lambda limit: claim(limit=limit, **update), self.claim_size, columns, left).begin()

    def _refuse_groups_of_rows(self, increment: LazyIncrement) -> None:
        if self.function.rows == "one" and increment.sample_columns and not self.groups:
            raise TypeError(
                f"{self.where}: several rows may be one sample, so the function must take a list of rows or a frame"
            )

    def _known_types(self) -> dict[str, pl.DataType]:
        """Return the types of columns that are flat: as the table has them or, where there is none, as is declared."""
        try:
            schema = self.store.read_feature_schema_from_store(self.definition.key).to_polars()
        except FeatureNotFoundError:
            schema = pl.Schema({})
        known = {**declared_types(self.definition), **schema}
        return {name: dtype for name, dtype in known.items() if not dtype.is_nested() and not c.is_system_column(name)}

    def _orphaned(self, increment: LazyIncrement) -> pl.DataFrame | None:
        """Return what names the orphaned samples, None if they are kept.

        Raises:
            TooManyOrphansError: if so many are that it looks like a mistake.
        """
        if self.options.orphaned == "keep":
            return None
        frame = increment.orphaned
        known = frame.collect_schema().names()
        names = [*self.definition.spec.id_columns, c.METAXY_UPDATED_AT]
        orphaned = collect_to_polars(frame.select(name for name in names if name in known))
        if orphaned.height:  # rather now than when all is computed
            self.store.delete_orphaned(self.definition.key, _only_orphaned(orphaned), dry_run=True)
        return orphaned

    def _delete(self, orphaned: pl.DataFrame) -> int:
        """Delete orphaned samples, unless there are so many that it looks like a mistake."""
        if orphaned.is_empty():  # there may not even be a table
            return 0
        gone, key = _only_orphaned(orphaned), self.definition.key
        with self.store.open("w"):
            if self.options.orphaned == "soft_delete":
                return self.store.delete_orphaned(key, gone).rows
            samples = self.store.delete_orphaned(key, gone, dry_run=True).rows
            self.store.delete(key, rows=orphaned, soft=False)  # and their earlier rows, which are no more samples
            return samples

    def _raise_if_stopped(self, report: ProcessReport, tallies: Tallies, stop: Stop) -> None:
        so_far = f"{report.done:,} of {report.total:,} samples are computed and written; process again to go on"
        if stop.interrupted:
            raise KeyboardInterrupt(f"{self.where}: {so_far}")
        if stop.asked:
            cause = tallies.failures[0].cause
            raise ProcessError.of(f"{self.where}, sample {report.errors[0]}; {so_far}", report) from cause


@dataclass
class Work:
    """The part of a run in which workers work."""

    of: Processing
    backlog: Backlog | SharedBacklog
    shape: Shape
    tallies: Tallies = field(default_factory=Tallies)
    rows: int = 0
    lost: int = 0

    @property
    def counts(self) -> dict[str, Any]:
        """What the report says of it."""
        tallies = self.tallies
        errors = tuple(SampleError(each.ids, each.error_type, each.message) for each in tallies.failures)
        return {
            "total": self.backlog.total,
            "new": self.backlog.counts["new"],
            "stale": self.backlog.counts["stale"],
            "done": tallies.computed - self.lost,
            "lost": self.lost,
            "elsewhere": self.backlog.elsewhere,
            "limited": self.backlog.more,
            "failed": tallies.failed,
            "rows": self.rows,
            "function_seconds": tallies.seconds,
            "errors": errors,
        }

    def run(self) -> Stop:
        """Compute the backlog, until it is done or must be left; returns why it was left."""
        of, options = self.of, self.of.options
        outbox: Outbox = (ClaimOutbox if options.claim else BufferedOutbox)(of.address(self.shape))
        try:
            with (
                progress(str(of.definition.key), self.backlog.expected, shown=options.progress) as bar,
                callers(of.function, options.executor, options.timeout) as caller,
                stopping(
                    lambda: bar.note("Ctrl-C: what was begun is finished and written; once more ends at once")
                ) as stop,
            ):
                self._compute(outbox, bar, caller, stop)
                outbox.close()
        except StartError as error:
            raise ProcessError(f"{of.where}: {error}") from error
        except (BufferedWriterError, *UNREACHABLE) as error:
            cause = error.__cause__ if isinstance(error, BufferedWriterError) and error.__cause__ else error
            raise ProcessError(
                f"{of.where}: {of.store!r} cannot be written: {first_line(cause)}; what was computed since is computed "
                "again when you process again"
            ) from cause
        except MetaxyError as error:  # such as rows that no table of the store can hold
            raise ProcessError(f"{of.where}: {first_line(error)}") from error
        finally:
            outbox.leave()
        self.rows, self.lost = outbox.rows, outbox.lost
        return stop

    def _compute(self, outbox: Outbox, bar: Progress, caller: Callable[[], Caller], stop: Stop) -> None:
        options, size = self.of.options, self.of.batch_size
        how = Computation(self.of.function, self.of.contract, self.shape, options.retries, self.of.finish)
        pool = Pool(how, caller, options.workers)
        self.backlog.before_more = outbox.record
        for done in pool.run(map(self._job, self.backlog.pieces(size)), stop):
            size.learn(done)
            self.of.claim_size.learn(done)
            outbox.take(done)
            self.tallies.add(done)
            bar.expect(self.backlog.expected)
            bar.advance(done.job.samples - len(done.failures), len(done.failures))
            stop.asked = stop.asked or bool(done.failures and options.on_error == "raise")

    def _job(self, piece: Piece) -> Job:
        """Split rows into what the function sees, and the versions that its results get."""
        versions = [name for name in piece.rows.columns if name in c.VERSION_COLUMNS]
        own = piece.rows.select(*self.of.contract.keys, *versions)
        given = piece.rows.drop(name for name in piece.rows.columns if c.is_system_column(name))
        own = own.unique(self.of.contract.keys) if self.backlog.sample_columns else own
        return Job(given, piece.starts, Origin(own, self.backlog.claim))


def _only_orphaned(orphaned: pl.DataFrame) -> PolarsIncrement:
    return PolarsIncrement(orphaned.clear(), orphaned.clear(), orphaned)


def process(
    store: MetadataStore,
    feature: Any,
    fn: Any,
    arguments: ProcessArguments,
    accept: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
) -> ProcessReport:
    """Compute what is new and stale of a feature by a function, and write it.

    Args:
        accept: is given results before they are written, and returns them; samples for which it raises have failed.

    Raises:
        TypeError: if there is no such argument.
    """
    known = ProcessArguments.__annotations__
    for name in arguments:
        if name not in known:
            raise TypeError(f"process has no option {name!r}.{did_you_mean(name, known)}")
    own = {field.name for field in fields(ProcessOptions)}
    options: dict[str, Any] = {name: value for name, value in arguments.items() if name in own}
    update = {name: value for name, value in arguments.items() if name not in own}
    return Processing.build(store, feature, fn, ProcessOptions(**options), accept).run(update)
