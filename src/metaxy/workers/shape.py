"""The columns of all results of a run: rows become frames that fit together, and those that do not fit are named."""

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.storage.evolution import is_lossless, may_fit
from metaxy.wording import did_you_mean
from metaxy.workers.results import ResultError, Row

MOST_KINDS = 100  # sets of columns that are counted
Answer = tuple[int, list[Row]]
"""The number of a sample in its batch, and its rows."""


class Shape:
    """Which columns results have, as most have them, and of which types: of their table, then of results before."""

    def __init__(self, types: Mapping[str, pl.DataType]) -> None:
        self._lock = threading.Lock()
        self._types = dict(types)
        self._spelled = {name.lower(): name for name in types}
        self._kinds: Counter[frozenset[str]] = Counter()

    def knows(self, name: str) -> bool:
        """Return whether the type of a column is known."""
        return name in self._types

    # -- rows ----------------------------------------------------------------------------------------------------------

    def frame_of(self, answers: Sequence[Answer]) -> tuple[pl.DataFrame, list[tuple[int, ResultError]]]:
        """Make one frame of rows; returns it, and what is wrong with the samples that it leaves out."""
        wrong = self._without_columns(answers)
        fine = [answer for answer in answers if answer[0] not in wrong]
        columns, misfits = self._columns(fine)
        if misfits:
            wrong |= misfits
            fine = [answer for answer in fine if answer[0] not in wrong]
            columns, _ = self._columns(fine)
        frame = pl.DataFrame(columns)
        self._learn(frame)
        return frame, sorted(wrong.items(), key=lambda each: each[0])

    def _without_columns(self, answers: Sequence[Answer]) -> dict[int, ResultError]:
        """Find the rows whose columns are not those of most others."""
        kinds = Counter(frozenset(row) for _, rows in answers for row in rows)
        usual = self._usual(kinds)
        wrong = {kind: error for kind in kinds if (error := self._misfit(kind, usual))}
        if not wrong:
            return {}
        found = ((number, wrong.get(frozenset(row))) for number, rows in answers for row in rows)
        return {number: error for number, error in found if error}

    def _usual(self, kinds: Mapping[frozenset[str], int]) -> frozenset[str]:
        """Count results by their columns; return those of most so far, of as many rather those that a table has."""
        with self._lock:
            for kind, count in kinds.items():
                if kind in self._kinds or len(self._kinds) < MOST_KINDS:
                    self._kinds[kind] += count
            stored = set(self._spelled.values())
            return max(self._kinds, key=lambda kind: (self._kinds[kind], kind <= stored), default=frozenset())

    def _misfit(self, names: Collection[str], usual: frozenset[str]) -> ResultError | None:
        """Say what is wrong with the columns of a result."""
        if missing := usual - set(names):
            return _lacking(missing, sorted(names))
        for name in names:
            if (spelled := self._spelled.get(name.lower(), name)) != name:
                return ResultError(f"returned {name!r}, which differs only by case from {spelled!r}, as it is stored")
        if extra := set(names) - usual:
            return ResultError(f"returned a column {min(extra)!r}, which other results do not have")
        return None

    def _columns(self, answers: Sequence[Answer]) -> tuple[list[pl.Series], dict[int, ResultError]]:
        """Make the columns of rows; where values do not fit, say which samples they are of."""
        names = dict.fromkeys(name for _, rows in answers for row in rows for name in row)
        series: list[pl.Series] = []
        misfits: dict[int, ResultError] = {}
        for name in names:
            values = [(number, row.get(name)) for number, rows in answers for row in rows]
            try:
                series.append(self.fitted(_series(name, [value for _, value in values])))
            except Exception:  # whatever values of users raise
                misfits |= self._misfits(name, values)
        return series, misfits

    def _misfits(self, name: str, values: Sequence[tuple[int, Any]]) -> dict[int, ResultError]:
        """Find the values that do not fit the column or, if nothing is known of it, those of the less common types."""
        found: list[tuple[int, pl.Series]] = []
        wrong: dict[int, ResultError] = {}
        for number, value in values:
            try:
                found.append((number, _series(name, [value])))
            except Exception:  # whatever values of users raise
                wrong[number] = ResultError(f"returned {name!r} as a {type(value).__name__}, which cannot be stored")
        kinds = Counter(one.dtype for _, one in found if one.dtype != pl.Null)
        usual = self._types.get(name) or (kinds.most_common(1)[0][0] if kinds else pl.Null())
        for number, one in found:
            try:
                _fitted(one, usual)
            except ResultError as error:
                wrong[number] = error
        if not wrong:  # each fits by itself, and not together: none of these samples is to blame more than another
            text = f"returned {name!r} as {', '.join(map(str, kinds))}, which are no one type"
            return dict.fromkeys((number for number, _ in values), ResultError(text))
        return wrong

    # -- frames --------------------------------------------------------------------------------------------------------

    def accept(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame in the types that its columns have.

        Raises:
            ResultError: if a column is missing, or of a type that does not fit.
        """
        if wrong := self._misfit(frame.columns, self._usual({frozenset(frame.columns): frame.height})):
            raise wrong
        fitted = frame.with_columns(self.fitted(column) for column in frame.iter_columns())
        self._learn(fitted)
        return fitted

    def fitted(self, column: pl.Series) -> pl.Series:
        """Return a column in the type that it has elsewhere."""
        known = self._types.get(column.name)
        return column if known is None else _fitted(column, known)

    def _learn(self, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        with self._lock:
            for name, dtype in frame.schema.items():
                if not dtype.is_nested() and dtype != pl.Null:
                    self._types.setdefault(name, dtype)


def _series(name: str, values: list[Any]) -> pl.Series:
    """Make a column of values that all have one type; whole numbers may stand among others."""
    try:
        series = pl.Series(name, values, strict=True)
        if series.dtype == pl.Object:
            raise TypeError(f"{name} holds Python objects")
        return series
    except TypeError:
        if {type(value) for value in values} <= {int, float, type(None)}:
            return pl.Series(name, values, pl.Float64, strict=True)
        raise


def _fitted(column: pl.Series, known: pl.DataType) -> pl.Series:
    """Cast a column to a type if that loses nothing."""
    if column.dtype == known or known == pl.Null or known.is_nested():  # what is nested may grow: its table says
        return column
    if column.dtype == pl.Null or is_lossless(*map(_in_narwhals, (column.dtype, known))):
        return column.cast(known)
    if may_fit(*map(_in_narwhals, (column.dtype, known))):
        cast = column.cast(known, strict=False)
        if cast.null_count() == column.null_count() and (cast.cast(column.dtype, strict=False) == column).all():
            return cast
    raise ResultError(f"returned {column.name!r} as {column.dtype}, not {known}")


def _in_narwhals(dtype: pl.DataType) -> Any:
    return nw.Schema.from_polars(pl.Schema({"": dtype}))[""]


def _lacking(missing: Iterable[str], present: Iterable[str]) -> ResultError:
    name = min(missing)
    return ResultError(
        f"returned no column {name!r}, which other results have.{did_you_mean(name, present)} It returned: "
        f"{', '.join(present)}"
    )
