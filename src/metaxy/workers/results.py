"""What a function gave, held against what it was given: each sample must be answered, and by its own IDs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import polars as pl

from metaxy.columns import METAXY_DATA_VERSION_BY_FIELD, is_system_column, name_problem
from metaxy.definitions.names import differing_by_case
from metaxy.errors import MetadataSchemaError
from metaxy.versioning.frames import collect_to_polars
from metaxy.wording import did_you_mean

Row: TypeAlias = dict[str, Any]
SHOWN = 60  # letters of a value in a message
KINDS = 256  # sets of columns that are remembered


class ResultError(Exception):
    """What a function returned is not what its feature needs; says so of the function, without its name."""


@dataclass(frozen=True)
class Contract:
    """What results must look like.

    ``keys`` are the IDs of a sample that is given. ``own`` are the IDs that rows of an expansion add to those of their
    parent, none elsewhere; ``required`` are the columns that the class of the feature declares.
    """

    keys: tuple[str, ...]
    own: tuple[str, ...] = ()
    required: tuple[str, ...] = ()

    # -- rows ----------------------------------------------------------------------------------------------------------

    def of_one(self, given: Row, result: Any) -> list[Row]:
        """Return the rows that belong to one row; IDs that they lack are added.

        Raises:
            ResultError: if there are too many or too few, or they are of another sample.
        """
        if self.own:
            children = [self._named(given, row) for row in _rows(result, "a list of dicts, one per child")]
            self._refuse_repeats(children)
            return children
        rows = _rows([result] if isinstance(result, Mapping) else result, "a dict")
        if len(rows) != 1:
            raise ResultError(f"returned {len(rows)} rows for one")
        return [self._named(given, rows[0])]

    def of_many(self, given: Sequence[Row], result: Any) -> list[tuple[int, list[Row]]]:
        """Return the rows that belong to each sample, with the number of its first row among those given.

        Results are matched by their IDs, or by their place where they lack them.

        Raises:
            ResultError: if a sample has too many or too few, or rows are of another sample.
        """
        rows = _listed(result, "a list of dicts")
        if any(not isinstance(row, Mapping) or not all(key in row for key in self.keys) for row in rows):
            return self._by_place(given, rows)
        places: dict[tuple[Any, ...], int] = {}
        for place, row in enumerate(given):
            places.setdefault(self._key(row), place)
        found: dict[int, list[Row]] = {place: [] for place in places.values()}
        for result_row in rows:
            key = self._key(result_row)
            if key not in places:
                raise ResultError(f"returned a row for {self.shown(result_row)}, which it was not given")
            found[places[key]].append(self._named(given[places[key]], result_row))
        for place, each in found.items():
            self._refuse_count(given[place], len(each))
            self._refuse_repeats(each)
        return list(found.items())

    def _by_place(self, given: Sequence[Row], rows: Sequence[Any]) -> list[tuple[int, list[Row]]]:
        lacking = next((key for row in rows if isinstance(row, Mapping) for key in self.keys if key not in row), "")
        if len(rows) != len(given) or (self.own and lacking):
            without = f" without {lacking!r}, so that nothing says which belongs to which" if lacking else ""
            raise ResultError(f"returned {len(rows)} rows for {len(given)}{without}")
        return [(place, self.of_one(row, result)) for place, (row, result) in enumerate(zip(given, rows, strict=True))]

    def _named(self, given: Row, row: Mapping[str, Any]) -> Row:
        """Return a row with the IDs of the sample that it is of."""
        for key in self.keys:
            if key in row and _comparable(row[key]) != _comparable(given[key]):
                raise ResultError(f"returned a row for {self.shown({**given, **row})}, which it was not given")
        _refuse_columns(self, tuple(row))
        for name in self.own:
            if row[name] is None:
                raise ResultError(f"returned a row whose ID {name!r} is None")
        return {**row, **{key: given[key] for key in self.keys}}

    def _key(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(_comparable(row[key]) for key in self.keys)

    def _refuse_count(self, given: Row, count: int) -> None:
        if not self.own and count != 1:
            raise ResultError(f"returned {count or 'no'} row{'s' * (count > 1)} for {self.shown(given)}")

    def _refuse_repeats(self, rows: Sequence[Row]) -> None:
        ids = Counter(tuple(_comparable(row[name]) for name in self.own) for row in rows) if self.own else Counter()
        for values, count in ids.items():
            if count > 1:
                names = ", ".join(f"{name} = {value!r}" for name, value in zip(self.own, values, strict=True))
                raise ResultError(f"returned {count} rows with {names}")

    # -- frames --------------------------------------------------------------------------------------------------------

    def of_frame(self, given: pl.DataFrame, result: Any) -> pl.DataFrame:
        """Return the frame of results as Polars, with the IDs in the types of those given.

        Raises:
            ResultError: if samples have too many or too few rows, or rows are of another sample.
        """
        if result is None:
            raise ResultError("returned None instead of a frame")
        parts = result if isinstance(result, list) else [result]  # those of a generator
        if not parts:
            raise ResultError("returned no frame")
        frames = [frame for frame in map(self._frame, parts) if not self.own or frame.width]
        if not frames:  # children that are none need no columns
            return pl.DataFrame()
        frame = pl.concat(frames, how="vertical_relaxed")
        _refuse_columns(self, tuple(frame.columns), self.keys)
        frame = self._with_types_of(given, frame)
        self._refuse_others(given.select(self.keys).unique(), frame)
        return frame

    def _refuse_others(self, samples: pl.DataFrame, frame: pl.DataFrame) -> None:
        """Refuse rows of other samples, several of one, and samples without any."""
        strange = frame.join(samples, on=self.keys, how="anti")
        if strange.height:
            raise ResultError(f"returned a row for {self.shown(strange.row(0, named=True))}, which it was not given")
        ids = [*self.keys, *self.own]
        twice = frame.filter(pl.struct(ids).is_duplicated())
        if twice.height:
            raise ResultError(f"returned several rows for {self.shown(twice.row(0, named=True), ids)}")
        if not self.own and frame.height < samples.height:
            missing = samples.join(frame, on=self.keys, how="anti")
            raise ResultError(f"returned no row for {self.shown(missing.row(0, named=True))}")
        for name in self.own:
            if frame[name].null_count():
                raise ResultError(f"returned a row whose ID {name!r} is NULL")

    def _frame(self, result: Any) -> pl.DataFrame:
        try:
            return collect_to_polars(result)
        except MetadataSchemaError:
            raise ResultError(f"returned a {type(result).__name__} instead of a frame") from None

    def _with_types_of(self, given: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
        wanted = {key: given.schema[key] for key in self.keys if frame.schema[key] != given.schema[key]}
        try:
            return frame.cast(pl.Schema(wanted)) if wanted else frame
        except pl.exceptions.PolarsError:
            name, dtype = next(iter(wanted.items()))
            raise ResultError(f"returned the ID {name!r} as {frame.schema[name]}, not {dtype}") from None

    # -- both ----------------------------------------------------------------------------------------------------------

    def shown(self, row: Mapping[str, Any], names: Sequence[str] | None = None) -> str:
        """Name a sample by its IDs."""
        return ", ".join(f"{name} = {repr(row.get(name))[:SHOWN]}" for name in names or self.keys)


@lru_cache(KINDS)  # of what is right: most rows have the columns of the one before
def _refuse_columns(contract: Contract, columns: tuple[Any, ...], needed: tuple[str, ...] = ()) -> None:
    """Refuse results that lack a column, or have one that is not theirs to say, or that no table can have."""
    present = set(columns)
    for name in present:
        if problem := name_problem(name) if isinstance(name, str) else "has a name that is no text":
            raise ResultError(f"returned a column {name!r}, which {problem}")
        if is_system_column(name) and name != METAXY_DATA_VERSION_BY_FIELD:
            raise ResultError(f"returned {name!r}, a column that Metaxy fills; leave it out")
    if twins := differing_by_case([*contract.keys, *(name for name in present if name not in contract.keys)]):
        raise ResultError(f"returned columns that differ only by case: {', '.join(map(repr, sorted(twins)))}")
    for name in (*needed, *contract.own, *contract.required):
        if name not in present:
            shown = ", ".join(columns) or "none"
            raise ResultError(f"returned no column {name!r}.{did_you_mean(name, present)} It returned: {shown}")


def _comparable(value: Any) -> Any:
    """Return a value that is equal to itself, as NaN is not."""
    return "NaN" if isinstance(value, float) and value != value else value


def _listed(result: Any, expected: str) -> Sequence[Any]:
    if result is None:
        raise ResultError(f"returned None instead of {expected}")
    if not isinstance(result, (list, tuple)):
        raise ResultError(f"returned a {type(result).__name__} instead of {expected}")
    return result


def _rows(result: Any, expected: str) -> list[Mapping[str, Any]]:
    rows = _listed(result, expected)
    for row in rows:
        if not isinstance(row, Mapping):
            raise ResultError(f"returned a {type(row).__name__} instead of {expected}")
    return list(rows)
