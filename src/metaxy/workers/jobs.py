"""One batch: the function is called for it, again where that fails, and for parts of it, until the culprit is alone."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from metaxy.workers.calls import Caller, Outcome
from metaxy.workers.function import Function
from metaxy.workers.results import Contract, ResultError, Row
from metaxy.workers.shape import Answer, Shape

PAUSES: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # seconds before a failed call is tried again


@dataclass(frozen=True)
class Piece:
    """Whole samples: their rows, the numbers of the rows with which they begin, and the number of all rows."""

    rows: pl.DataFrame
    starts: Sequence[int]

    @classmethod
    def of(cls, rows: pl.DataFrame, sample_columns: Sequence[str]) -> "Piece":
        """Find where samples begin: at every row, or where the columns change that tell samples apart."""
        if not sample_columns:
            return Piece(rows, range(rows.height + 1))
        runs = rows.select(pl.struct(sample_columns).rle_id()).to_series()
        return Piece(rows, [*runs.arg_unique().sort().to_list(), rows.height])

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.starts) - 1

    def part(self, start: int, stop: int) -> "Piece":
        """Return some of the samples."""
        first, last = self.starts[start], self.starts[stop]
        return Piece(self.rows.slice(first, last - first), [row - first for row in self.starts[start : stop + 1]])

    def parts(self, size: Callable[[int], int], behind: int = 0) -> Iterator["Piece"]:
        """Yield all samples, as many at a time as ``size`` says for so many that are left; others are ``behind``."""
        start = 0
        while start < self.samples:
            stop = min(start + size(self.samples - start + behind), self.samples)
            yield self.part(start, stop)
            start = stop


@dataclass(frozen=True)
class Job(Piece):
    """Samples to compute; whoever hands them out recognises them by their tag."""

    tag: Any = None


@dataclass(frozen=True)
class Failure:
    """A sample that could not be computed: its IDs, and what was raised."""

    ids: Row
    error_type: str
    message: str
    cause: BaseException | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Done:
    """What became of a job: the rows of the samples that were computed, the failures of the others, and how long."""

    job: Job
    results: pl.DataFrame
    failures: tuple[Failure, ...]
    seconds: float


@dataclass(frozen=True)
class Computation:
    """How jobs are done; ``finish`` adds to right results what only they can tell."""

    function: Function
    contract: Contract
    shape: Shape
    retries: int = 0
    finish: Callable[[pl.DataFrame], pl.DataFrame] | None = None

    def do(self, caller: Caller, job: Job) -> Done:
        """Compute all samples of a job that can be computed."""
        began = time.perf_counter()
        attempts = {"one": _Ones, "many": _Lists, "frame": _Frames}[self.function.rows](self, caller, job)
        results = attempts.results()
        if self.finish and results.height:
            results = self._finished(job, results, self.finish, attempts.failed)
        seconds = time.perf_counter() - began
        failures = [self._failure(job, number, outcome) for number, outcome in sorted(attempts.failed.items())]
        return Done(job, results, tuple(failures), seconds)

    def _finished(
        self,
        job: Job,
        results: pl.DataFrame,
        finish: Callable[[pl.DataFrame], pl.DataFrame],
        failed: dict[int, Outcome],
    ) -> pl.DataFrame:
        """Finish all results at once or, where that fails, those of each sample, so that only the culprits fail."""
        try:
            return finish(results)
        except Exception:
            samples = [job.part(number, number + 1).rows.select(self.contract.keys) for number in range(job.samples)]
        results = results.cast(pl.Schema({key: job.rows.schema[key] for key in self.contract.keys}))
        finished = [results.clear()]
        for number, sample in enumerate(samples):
            own = results.join(sample.unique(), on=self.contract.keys, how="semi", nulls_equal=True)
            try:
                finished += [finish(own)] if own.height else []
            except Exception as error:
                failed[number] = Outcome.of(error)
        return pl.concat(finished, how="diagonal_relaxed")

    def _failure(self, job: Job, number: int, outcome: Outcome) -> Failure:
        ids = job.part(number, number + 1).rows.select(self.contract.keys).row(0, named=True)
        return Failure(ids, outcome.error_type, outcome.message, outcome.cause)


@dataclass
class _Attempts:
    """The calls for one job; ``failed`` are the last outcomes of samples, by their number.

    Functions may change what they are given: each call gets rows of its own, and results are held against the job.
    """

    how: Computation
    caller: Caller
    job: Job
    failed: dict[int, Outcome] = field(default_factory=dict)

    def results(self) -> pl.DataFrame:
        raise NotImplementedError

    def _ids(self, rows: pl.DataFrame) -> list[Row]:
        return rows.select(self.how.contract.keys).rows(named=True)

    def _framed(self, answers: Sequence[Answer]) -> pl.DataFrame:
        frame, wrong = self.how.shape.frame_of(answers)
        for number, error in wrong:
            self.failed[number] = Outcome.of(error)
        return frame


class _Ones(_Attempts):
    """Calls for one row each; those that fail are tried again, all after one pause."""

    def results(self) -> pl.DataFrame:
        ids = self._ids(self.job.rows)
        answers: dict[int, list[Row]] = {}
        pending = list(range(len(ids)))
        for pause in (0.0, *_pauses(self.how.retries)):
            time.sleep(pause)
            outcomes = self.caller.run(self.job.rows[pending].rows(named=True))
            failed = [
                n for n, outcome in zip(pending, outcomes, strict=True) if not self._take(n, ids, outcome, answers)
            ]
            pending = [number for number in failed if not isinstance(self.failed[number].cause, ResultError)]
            if not pending:
                break
        return self._framed(sorted(answers.items()))

    def _take(self, number: int, ids: Sequence[Row], outcome: Outcome, answers: dict[int, list[Row]]) -> bool:
        """Keep what a call gave; return whether it was right."""
        if not outcome.failed:
            try:
                answers[number] = self.how.contract.of_one(ids[number], outcome.value)
            except Exception as error:  # whatever values of users raise
                outcome = Outcome.of(error)
        if outcome.failed:
            self.failed[number] = outcome
        else:
            self.failed.pop(number, None)
        return not outcome.failed


class _Split(_Attempts):
    """Calls for many samples at once; where one fails, halves are tried, and only the whole and the last ones again."""

    def _parts(self) -> Iterator[tuple[int, Any]]:
        """Yield what is right of the results, with the number of the first sample that it is of."""
        pending = [(0, self.job.samples)]
        while pending:
            start, stop = pending.pop()
            whole_or_alone = stop - start in (1, self.job.samples)
            outcome = self._tried(start, stop, self.how.retries if whole_or_alone else 0)
            if not outcome.failed:
                yield start, outcome.value
            elif stop - start == 1:
                self.failed[start] = outcome
            else:
                middle = (start + stop) // 2
                pending += [(middle, stop), (start, middle)]

    def _tried(self, start: int, stop: int, retries: int) -> Outcome:
        part = self.job.part(start, stop).rows
        outcome = self._called(part)
        for pause in _pauses(retries):
            if not outcome.failed or isinstance(outcome.cause, ResultError):
                break
            time.sleep(pause)
            outcome = self._called(part)
        return outcome

    def _called(self, part: pl.DataFrame) -> Outcome:
        (outcome,) = self.caller.run([self._given(part)])
        if outcome.failed:
            return outcome
        try:
            return Outcome(self._checked(part, outcome.value))
        except Exception as error:  # whatever values of users raise
            return Outcome.of(error)

    def _given(self, part: pl.DataFrame) -> Any:
        return part.clone()

    def _checked(self, part: pl.DataFrame, result: Any) -> Any:
        raise NotImplementedError


class _Lists(_Split):
    def results(self) -> pl.DataFrame:
        numbers = {row: number for number, row in enumerate(self.job.starts[:-1])}
        return self._framed(
            [(numbers[self.job.starts[start] + row], rows) for start, answers in self._parts() for row, rows in answers]
        )

    def _given(self, part: pl.DataFrame) -> list[Row]:
        return part.rows(named=True)

    def _checked(self, part: pl.DataFrame, result: Any) -> list[Answer]:
        return self.how.contract.of_many(self._ids(part), result)


class _Frames(_Split):
    def results(self) -> pl.DataFrame:
        frames = [frame for _, frame in self._parts()]
        return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()

    def _checked(self, part: pl.DataFrame, result: Any) -> pl.DataFrame:
        return self.how.shape.accept(self.how.contract.of_frame(part, result))


def _pauses(retries: int) -> Iterator[float]:
    for number in range(retries):
        yield PAUSES[min(number, len(PAUSES) - 1)]
