"""Rows that are written beside the columns that their feature class declares: what does not fit, in one line.

Types are compared first. Only where they cannot tell, whether a column is ever NULL and which values it has, are rows
counted, together with everything else that is counted of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import narwhals as nw

from metaxy.definitions.declared import DeclaredColumn
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import DeclaredColumnsWarning, MetadataSchemaError, warn_user
from metaxy.settings import OnMisfit
from metaxy.storage.nested_types import first_with
from metaxy.store.casts import keeps_values
from metaxy.versioning.column_types import Types
from metaxy.versioning.declared_types import allowed_values, kept_as, misfit, plain_type
from metaxy.versioning.frames import Frame, collect_to_polars, is_in_database
from metaxy.versioning.row_checks import ColumnCheck
from metaxy.wording import did_you_mean

SHOWN: Final = 5  # problems of one write
LONGEST: Final = 60  # letters of an example
FIX: Final = (
    'correct the rows or the class, or set declared = "ignore" in metaxy.toml or in feature_config of the class'
)


@dataclass(frozen=True)
class Problem:
    """What does not fit, and how to find a row for example, None where there is none to show."""

    text: str
    column: str = ""
    rows: nw.Expr | None = None


@dataclass(frozen=True)
class Comparison:
    """What types tell of a write, and what must be counted."""

    action: OnMisfit
    problems: tuple[Problem, ...] = ()
    checks: tuple[ColumnCheck, ...] = ()

    @classmethod
    def of(cls, definition: FeatureDefinition, default: OnMisfit, given: Types, kept: Types) -> "Comparison":
        """Compare the types of a frame with what is declared.

        Args:
            default: What to do about misfits where the feature does not say.
            given: The columns of the frame.
            kept: Those that will be stored, with their types.
        """
        action = definition.declared or default
        if action == "ignore" or not definition.declared_columns:
            return cls("ignore")
        present = declared_among(definition, given)
        misfits = {name: misfit(name, column.annotation, given[name]) for name, column in present.items()}
        problems = [
            *map(Problem, missing(definition, given)),
            *(
                Problem(str(each), name, ~nw.col(name).is_null() if name in kept else None)
                for name, each in misfits.items()
                if each is not None
            ),
            *_only_null(present, kept),
        ]
        fitting = {name: column for name, column in present.items() if name in kept and misfits[name] is None}
        return cls(action, tuple(problems), tuple(_checks(fitting, definition, kept)))

    def report(self, definition: FeatureDefinition, counts: Mapping[str, int], rows: Frame) -> None:
        """Warn of all that does not fit, or refuse it, in one line.

        Raises:
            MetadataSchemaError: where misfits are errors.

        Warns:
            DeclaredColumnsWarning: where they are not.
        """
        problems = [*self.problems, *self._counted(counts)]
        if not problems:
            return
        ids = definition.spec.id_columns
        texts = [_with_example(problem, rows, ids) for problem in problems[:SHOWN]]
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        message = f"feature {definition.key}: {'; '.join([*texts, *more])}; {FIX}"
        if self.action == "error":
            raise MetadataSchemaError(message)
        warn_user(message, DeclaredColumnsWarning)

    def _counted(self, counts: Mapping[str, int]) -> Iterator[Problem]:
        for n, check in enumerate(self.checks):
            column = nw.col(check.column)
            if count := counts.get(f"none_{n}"):
                text = f"{check.column!r} ({check.annotation}) is NULL in {count} of {counts['total']} rows"
                yield Problem(text, check.column, column.is_null())
            if (count := counts.get(f"other_{n}")) and check.values is not None:
                text = f"{check.column!r} is not {check.annotation} in {count} of {counts['total']} rows"
                given = column.cast(nw.String) if check.kind is str else column
                yield Problem(text, check.column, ~given.is_in(check.values))


def with_declared_types(frame: Frame, definition: FeatureDefinition, default: OnMisfit, known: Types) -> Frame:
    """Give columns that no table has yet their declared type where theirs is narrower, unless a value would change."""
    if (definition.declared or default) == "ignore" or not definition.declared_columns:
        return frame
    kept, schema = {*known, *definition.spec.id_columns}, frame.collect_schema()
    given = {name: dtype for name, dtype in schema.items() if name not in kept}
    types = {
        name: kept_as(column.annotation, given[name]) for name, column in declared_among(definition, given).items()
    }
    casts = {name: dtype for name, dtype in types.items() if dtype != given[name]}
    exact = [nw.col(name).cast(dtype) for name, dtype in casts.items() if keeps_values(frame, name, dtype)]
    if not exact:
        return frame
    return (frame if is_in_database(frame) else nw.from_native(collect_to_polars(frame))).with_columns(exact)


def types_without_values(
    definition: FeatureDefinition,
    default: OnMisfit | None,
    tables: Sequence[Types],
    unsupported: tuple[type[nw.dtypes.DType], ...],
    untyped: Types,
) -> Types:
    """Return the types of columns that hold no value: those of the first table that has them, else the declared ones.

    Only where misfits are errors, as values of another type are refused then anyway; else the first value decides.

    Args:
        default: What to do about misfits where the feature does not say; None if there shall be no new columns.
        tables: The columns of the tables of the feature.
        unsupported: Types that a new column cannot have.
        untyped: The columns that hold no value.
    """
    known = {name: dtype for table in reversed(tables) for name, dtype in table.items()}
    if default is None or (definition.declared or default) != "error":
        return known
    there = {name.lower() for name in known}
    types = {name: plain_type(column.annotation) for name, column in declared_among(definition, untyped).items()}
    new = {name: dtype for name, dtype in types.items() if dtype is not None and name.lower() not in there}
    return known | {name: dtype for name, dtype in new.items() if not first_with({name: dtype}, unsupported)}


def declared_among(definition: FeatureDefinition, given: Types) -> dict[str, DeclaredColumn]:
    """Return the declared columns that are among some columns, by the names that they have there."""
    found = {column.found_in(given): column for column in definition.declared_columns}
    return {name: column for name, column in found.items() if name is not None}


def missing(definition: FeatureDefinition, given: Types) -> Iterator[str]:
    """Say of each declared column that is not among some columns that it is missing; those with a default may be."""
    known = {name for column in definition.declared_columns for name in column.names}
    for column in definition.declared_columns:
        if column.required and column.found_in(given) is None:
            hint = did_you_mean(column.name, given.keys() - known - {*definition.spec.id_columns})
            yield f"{column.name!r} is missing ({column.annotation})" + hint.replace(" Did", ", did")


def _only_null(present: Mapping[str, DeclaredColumn], kept: Types) -> Iterator[Problem]:
    """Find columns that are not stored, as they hold no value that tells their type."""
    for name, column in present.items():
        if name not in kept and not column.annotation.nullable:
            yield Problem(f"{name!r} ({column.annotation}) is NULL in all rows")


def _checks(fitting: Mapping[str, DeclaredColumn], definition: FeatureDefinition, kept: Types) -> Iterator[ColumnCheck]:
    for name, column in fitting.items():
        nullable = column.annotation.nullable or name in definition.spec.id_columns
        values = allowed_values(column.annotation, kept[name])
        if not nullable or values is not None:
            yield ColumnCheck(name, str(column.annotation), nullable, values)


def _with_example(problem: Problem, rows: Frame, ids: Sequence[str]) -> str:
    """Add the first value that does not fit, and its sample; rows of databases are in the order of their IDs."""
    if problem.rows is None:
        return problem.text
    columns = list(dict.fromkeys([*ids, problem.column]))
    wrong = rows.filter(problem.rows).select(columns)
    first = collect_to_polars((wrong.sort(list(ids)) if is_in_database(wrong) else wrong).head(1))
    if first.is_empty():
        return problem.text
    row: dict[str, Any] = first.row(0, named=True)
    value, sample = repr(row[problem.column]), ", ".join(f"{name}={row[name]!r}" for name in ids)
    shown = value if len(value) <= LONGEST else value[:LONGEST] + "…"
    return f"{problem.text}, first {shown} of {sample}"
