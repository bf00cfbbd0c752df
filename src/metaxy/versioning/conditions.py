"""Conditions of users before an engine runs them: the columns that they name, and what they compare with these."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property, partial
from typing import Any, Final

import narwhals as nw
import polars as pl

from metaxy.errors import MetadataSchemaError
from metaxy.versioning.expressions import (
    COMPARISONS,
    all_steps,
    built,
    column_of,
    columns_of,
    is_plain,
    steps,
    value_of,
)
from metaxy.versioning.portable import UnportableError
from metaxy.versioning.rewriting import Rewriting
from metaxy.versioning.values import zone_of
from metaxy.wording import did_you_mean, first_line

COMPARING: Final = COMPARISONS | {"is_in", "is_between"}
CHOOSING: Final = frozenset({"coalesce", "fill_null", "max_horizontal", "min_horizontal", "when_then"})
DIVISIONS: Final = frozenset({"__truediv__", "__floordiv__", "__mod__"})
NUMBERS: Final = frozenset({"number", "boolean"})  # which may be compared with each other
# What may not be compared with each other; a datetime is a date, too, and a boolean of Python an integer.
KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "text": (str, nw.String, nw.Categorical, nw.Enum),
    "boolean": (bool, nw.Boolean),
    "number": (int, float, Decimal, nw.dtypes.NumericType),
    "date": (date, nw.Date, nw.Datetime),
    "time of the day": (time, nw.Time),
    "duration": (timedelta, nw.Duration),
}
# What may not be chosen from together: stores make one of both, each in its own way.
KINDS_TO_CHOOSE: Final[Mapping[str, tuple[type, ...]]] = {"datetime": (datetime, nw.Datetime), **KINDS}
# What Polars raises where a function is not for such values.
SENSELESS: Final = (
    pl.exceptions.ComputeError,
    pl.exceptions.InvalidOperationError,
    pl.exceptions.SchemaError,
    nw.exceptions.InvalidOperationError,
)
Schema = Mapping[str, nw.dtypes.DType]


def checked_conditions(
    where: str, conditions: Iterable[nw.Expr], schema: Schema, *, orders_nan: bool = True
) -> tuple[nw.Expr, ...]:
    """Return conditions that every engine understands alike, for columns of these types.

    ``orders_nan``: the engine takes NaN for a number that equals itself and is greater than all others, as Polars does.

    Raises:
        MetadataSchemaError: naming a column or a member that does not exist, a value that no store knows, or a column
            where text is compared with numbers, or times with and without a zone; for what is no condition, or no
            function of such values, or a division by zero; for what engines compute, or read, in ways of their own; or
            if conditions nest too deep.
    """
    reader, rewriting = _Reader(where, schema), Rewriting(nw.Schema(schema), orders_nan)
    try:
        written = tuple(map(rewriting.rewritten, conditions))
        for condition in written:
            reader.check(condition)
    except RecursionError:
        raise MetadataSchemaError(
            f"{where}: a filter nests too deep; join conditions side by side with | and &, and list values with is_in"
        ) from None
    except UnportableError as error:
        raise MetadataSchemaError(f"{where}: a filter {error}") from None
    return written


def reads_only(expression: nw.Expr, schema: Mapping[str, Any], columns: Sequence[str]) -> bool:
    """Return whether an expression can be evaluated with these columns alone."""
    known = {name: schema[name] for name in columns if name in schema}
    return len(known) == len(columns) and _unknown_column(expression, known, partial(_without_rows, known)) is None


def _without_rows(schema: Schema) -> nw.DataFrame[Any]:
    """Return a frame without rows to try expressions on; columns of types that Polars lacks have none."""
    return nw.from_native(pl.DataFrame(schema={name: _in_polars(dtype) for name, dtype in schema.items()}))


def _in_polars(dtype: nw.dtypes.DType) -> Any:
    if isinstance(dtype, nw.Datetime):
        return pl.Datetime("us", dtype.time_zone and str(zone_of(dtype.time_zone)))
    with suppress(Exception):  # it has its own errors for each kind of type
        return nw.Schema({"c": dtype}).to_polars()["c"]
    return pl.Null()


def _unknown_column(expression: nw.Expr, known: Schema, empty: Callable[[], nw.DataFrame[Any]]) -> str | None:
    """Return a column that an expression reads beside those known, None if there is none; ``empty`` has no rows."""
    names = columns_of(expression)
    if names is not None:
        return next((name for name in names if name not in known), None)
    try:
        empty().select(expression)
    except nw.exceptions.ColumnNotFoundError as error:
        quoted = re.search(r'"(.*?)"(;|$)', str(error))
        return quoted[1] if quoted else first_line(error)
    except Exception:  # types are unknown here, columns are not
        return None
    return None


@dataclass(frozen=True)
class _Comparison:
    """A step of an expression that compares: expressions, and values of Python."""

    operands: tuple[nw.Expr, ...]
    values: tuple[Any, ...]
    with_none: bool = False  # whether one of the two sides is None
    chooses: bool = False  # one of them, which should be of one kind

    @property
    def columns(self) -> str:
        """The columns that are compared, as text."""
        names = (name for operand in self.operands for step in steps(operand) for name in step.kwargs.get("names", ()))
        return ", ".join(dict.fromkeys(map(repr, names))) or "of a selector"


def _comparisons(condition: nw.Expr) -> Iterator[_Comparison]:
    waiting = [condition]
    while waiting:
        whole = waiting.pop()
        for n, step in enumerate(steps(whole)):
            inner = [argument for argument in step.exprs if isinstance(argument, nw.Expr)]
            waiting += inner
            if step.name in COMPARING or step.name == "lit":
                values = [argument for argument in step.exprs if not isinstance(argument, nw.Expr)]
                values += [*_listed(step.kwargs.get("other")), step.kwargs.get("value")]
                compared = (*([built(type(whole), steps(whole)[:n])] if n else ()), *inner)
                none = step.name in COMPARISONS and any(map(_is_none, (*compared, *step.exprs)))
                yield _Comparison(compared, tuple(values), none)
            elif step.name in CHOOSING:
                yield _choice(whole, n, step)


def _choice(whole: nw.Expr, n: int, step: Any) -> _Comparison:
    """Return what a step chooses from; the first argument of `when` is a condition."""
    chosen = step.exprs[1:] if step.name == "when_then" else step.exprs
    operands = [argument for argument in chosen if isinstance(argument, nw.Expr) and not is_plain(argument)]
    if n:
        operands.insert(0, built(type(whole), steps(whole)[:n]))
    return _Comparison(tuple(operands), tuple(map(value_of, filter(is_plain, chosen))), chooses=True)


def _is_none(side: Any) -> bool:
    return is_plain(side) and value_of(side) is None


def _listed(values: Any) -> list[Any]:
    """List the values that `is_in` looks for; of a series only objects."""
    if isinstance(values, (list, tuple, set, frozenset)):
        return list(values)
    return list(values) if str(getattr(values, "dtype", "")).lower() == "object" else []


def _in_words(kind: type, words: Mapping[str, tuple[type, ...]]) -> str | None:
    """Say what a type of Python or of Narwhals is in some words, None if it is none of them."""
    return next((word for word, kinds in words.items() if issubclass(kind, kinds)), None)


def _divides_by_zero(condition: nw.Expr) -> bool:
    divisors = (value for step in all_steps(condition) if step.name in DIVISIONS for value in step.exprs)
    return any(is_plain(value) and value_of(value) == 0 for value in divisors)


@dataclass(frozen=True)
class _Reader:
    """Reads conditions on columns of known types."""

    where: str
    schema: Schema

    def check(self, condition: nw.Expr) -> None:
        """Refuse a condition that engines would understand in ways of their own."""
        unknown = _unknown_column(condition, self.schema, lambda: self._empty)
        if unknown is not None:
            raise MetadataSchemaError(
                f"{self.where}: a filter names column {unknown!r}, which it does not have."
                f"{did_you_mean(unknown, self.schema)}{self._member(unknown)} It has: {', '.join(self.schema)}"
            )
        if _divides_by_zero(condition):
            raise MetadataSchemaError(
                f"{self.where}: a filter divides by zero, for which stores have answers of their own"
            )
        for comparison in _comparisons(condition):
            self._refuse_none(comparison)
            self._refuse_other_members(comparison)
            self._refuse_objects(comparison)
            self._refuse_two_kinds(comparison)
            self._refuse_two_kinds_of_time(comparison)
        self._refuse_senseless(condition)

    def _refuse_none(self, comparison: _Comparison) -> None:
        """Refuse to ask whether something equals NULL: some engines say yes, others that nobody knows."""
        if comparison.with_none:
            raise MetadataSchemaError(
                f"{self.where}: a filter compares column {comparison.columns} with None; use is_null() or ~is_null()"
            )

    def _refuse_objects(self, comparison: _Comparison) -> None:
        for value in {type(value): value for value in comparison.values}.values():
            try:
                pl.lit(value)
            except TypeError as error:
                raise MetadataSchemaError(
                    f"{self.where}: a filter on column {comparison.columns} looks for a Python object of type "
                    f"{type(value).__qualname__}, which no store knows; cast it, for example with str(value)"
                ) from error

    # -- members of structs, text and numbers --------------------------------------------------------------------------

    def _member(self, unknown: str) -> str:
        """Say how a member is written, where its path was taken for the name of a column."""
        name, *members = unknown.split(".")
        if not members or not isinstance(self.schema.get(name), nw.Struct):
            return ""
        return f" A member is nw.col({name!r})" + "".join(f".struct.field({member!r})" for member in members) + "."

    def _refuse_senseless(self, condition: nw.Expr) -> None:
        """Refuse what is no condition, or reads what its columns do not have; Polars tells without any row."""
        try:
            results = self._empty.select(condition).schema.values()
        except Exception as error:  # Narwhals hides which member is missing
            if isinstance(error.__context__, pl.exceptions.StructFieldNotFoundError):
                raise MetadataSchemaError(
                    f"{self.where}: a filter reads member {first_line(error)!r} of a struct that does not have it"
                ) from None
            if self._all_known and (isinstance(error, SENSELESS) or isinstance(error.__context__, SENSELESS)):
                raise MetadataSchemaError(
                    f"{self.where}: a filter{self._on(condition)} makes no sense: {first_line(error)}"
                ) from None
            return
        for dtype in results:
            if self._all_known and not isinstance(dtype, (nw.Boolean, nw.Unknown)):
                raise MetadataSchemaError(
                    f"{self.where}: a filter{self._on(condition)} is {dtype}, and not true or false; compare it"
                )

    def _on(self, condition: nw.Expr) -> str:
        names = [name for step in steps(condition) for name in step.kwargs.get("names", ())]
        return f" on column {', '.join(map(repr, names))}" if names else ""

    @property
    def _all_known(self) -> bool:
        """Whether Polars has the types of all columns."""
        types = zip(self._empty.schema.values(), self.schema.values(), strict=True)
        return all(isinstance(given, nw.Unknown) or not isinstance(known, nw.Unknown) for known, given in types)

    def _refuse_other_members(self, comparison: _Comparison) -> None:
        """Refuse to look columns up in rows of others: engines find nothing, or each has an error of its own."""
        first, *more = steps(comparison.operands[0]) if comparison.operands else [None]
        if first is None or first.name != "struct" or more:
            return
        names = [argument if isinstance(argument, str) else column_of(argument) for argument in first.exprs]
        for row in (row for row in comparison.values if None not in names and row is not None):
            if not isinstance(row, Mapping) or row.keys() != set(names):
                found = ", ".join(map(repr, row)) if isinstance(row, Mapping) else f"a {type(row).__qualname__}"
                raise MetadataSchemaError(
                    f"{self.where}: a filter looks columns {', '.join(map(repr, names))} up in rows of {found}; "
                    "list a dict of all these columns for each row"
                )

    def _refuse_two_kinds(self, comparison: _Comparison) -> None:
        """Refuse to compare text with numbers, or dates: some read the text, others have errors of their own."""
        words = KINDS_TO_CHOOSE if comparison.chooses else KINDS
        found = {_in_words(type(value), words) for value in comparison.values}
        found |= {_in_words(type(dtype), words) for operand in comparison.operands for dtype in self._types(operand)}
        kinds = sorted((kind for kind in found if kind), key=list(words).index)
        if len(kinds) > 1 and (comparison.chooses or not NUMBERS.issuperset(kinds)):
            first, second = kinds[:2]
            one = first if first == "text" else f"a {first}"
            verb = "chooses between" if comparison.chooses else "compares"
            raise MetadataSchemaError(
                f"{self.where}: a filter on column {comparison.columns} {verb} {one} "
                f"{'and' if comparison.chooses else 'with'} a {second}; cast one of them"
            )

    # -- times ---------------------------------------------------------------------------------------------------------

    def _refuse_two_kinds_of_time(self, comparison: _Comparison) -> None:
        """Refuse to compare times with and without a zone: databases take the latter for UTC, Polars refuses too."""
        zoned = {value.tzinfo is not None for value in comparison.values if isinstance(value, datetime)}
        if zoned or len(comparison.operands) > 1:
            types = [dtype for operand in comparison.operands for dtype in self._types(operand)]
            zoned |= {dtype.time_zone is not None for dtype in types if isinstance(dtype, nw.Datetime)}
        if len(zoned) > 1:
            raise MetadataSchemaError(
                f"{self.where}: a filter on column {comparison.columns} compares a time that has a time zone with one "
                "that has none; convert one of them, for example with .replace(tzinfo=timezone.utc)"
            )

    def _types(self, expression: nw.Expr) -> list[nw.dtypes.DType]:
        """Return the types of the columns of an expression, as far as they are known."""
        name = column_of(expression)
        if name is not None:
            return [self.schema[name]]
        try:
            return list(self._empty.select(expression).schema.values())
        except Exception:  # other types are unknown here
            return []

    @cached_property
    def _empty(self) -> nw.DataFrame[Any]:
        return _without_rows(self.schema)
