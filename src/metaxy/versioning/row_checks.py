"""Checks of rows before they are stored: NULL or broken IDs and versions, and samples that occur twice.

One aggregate over the frame, written for SQL or Polars; both give one row with the same names. `raise_problems` turns
counts into an error, so that nothing is stored of a frame with anything wrong in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from metaxy.columns import METAXY_DATA_VERSION_BY_FIELD, METAXY_PROVENANCE_BY_FIELD
from metaxy.definitions.declared import Value
from metaxy.errors import MetadataSchemaError
from metaxy.versioning.codec import given_member_sql, member_polars
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.system_columns import SystemColumns

NUL = "\x00"


@dataclass(frozen=True)
class ColumnCheck:
    """What the type of a column does not tell: whether it is ever NULL, and which values it has; None for any.

    ``annotation`` is how the class declares it, for messages.
    """

    column: str
    annotation: str
    nullable: bool
    values: tuple[Value, ...] | None

    @property
    def kind(self) -> type:
        """Which values they are: `str`, `int` or `bool`."""
        return type(self.values[0]) if self.values else object


@dataclass(frozen=True)
class Checks:
    """The counts to take: per ID column, per field, per declared column, and how many samples there are."""

    feature: str
    ids: tuple[str, ...]
    text_ids: tuple[str, ...]
    system: SystemColumns
    declared: tuple[ColumnCheck, ...] = ()

    @property
    def columns(self) -> dict[str, str]:
        """By-field columns that the frame has, by the letter that counts use for them."""
        given = {"p": METAXY_PROVENANCE_BY_FIELD, "d": METAXY_DATA_VERSION_BY_FIELD}
        return {letter: name for letter, name in given.items() if name in self.system.given}

    def members(self, letter: str) -> list[tuple[int, str]]:
        """Fields whose versions the frame gives in a by-field column."""
        fields = list(enumerate(self.system.members))
        return fields if letter == "p" else [(n, m) for n, m in fields if self.system.overridden(m)]


def counts_sql(checks: Checks, dialect: Dialect) -> dict[str, str]:
    """Write the counts to take of ``mx_s``, by name."""

    def total(condition: str) -> str:
        return f"coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0)"

    def has_nul(value: str) -> str:
        return dialect.contains.format(value, dialect.nul) if dialect.nul else "FALSE"

    ids = {name: f"mx_s.{dialect.quote(name)}" for name in checks.ids}
    counts = {f"null_id_{n}": total(f"{column} IS NULL") for n, column in enumerate(ids.values())}
    counts |= {f"nul_id_{checks.ids.index(name)}": total(has_nul(ids[name])) for name in checks.text_ids}
    for letter, name in checks.columns.items():
        column = f"mx_s.{dialect.quote(name)}"
        for n, member in checks.members(letter):
            value = given_member_sql(checks.system.given[name], column, member, dialect)
            missing = f"{value} IS NULL" if letter == "p" else f"{column} IS NOT NULL AND {value} IS NULL"
            counts |= {f"null_{letter}_{n}": total(missing), f"nul_{letter}_{n}": total(has_nul(value))}
    return {"total": "count(*)", **counts, **_declared_sql(checks.declared, dialect)}


def _declared_sql(declared: Iterable[ColumnCheck], dialect: Dialect) -> dict[str, str]:
    counts = {}
    for n, check in enumerate(declared):
        column = f"mx_s.{dialect.quote(check.column)}"
        if not check.nullable:
            counts[f"none_{n}"] = f"count(*) - count({column})"
        if check.values is not None:
            other = f"{column} IS NOT NULL AND {_comparable(column, check, dialect)} NOT IN ({_list(check, dialect)})"
            counts[f"other_{n}"] = f"coalesce(sum(CASE WHEN {other} THEN 1 ELSE 0 END), 0)"
    return counts


def _comparable(column: str, check: ColumnCheck, dialect: Dialect) -> str:
    if check.kind is str:
        return dialect.text.format(column, dialect.text_type)
    return f"CASE WHEN {column} THEN 1 ELSE 0 END" if check.kind is bool else column


def _list(check: ColumnCheck, dialect: Dialect) -> str:
    return ", ".join(dialect.literal(v) if isinstance(v, str) else str(int(v)) for v in check.values or ())


def check_sql(checks: Checks, source: str, dialect: Dialect) -> str:
    """Write the query that takes the counts, and that of the samples as ``samples``, last."""
    counts = ", ".join(f"{count} AS {name}" for name, count in counts_sql(checks, dialect).items())
    ids = dialect.names(checks.ids, "mx_s")
    samples = f"SELECT count(*) FROM (SELECT DISTINCT {ids} FROM {source} AS mx_s) AS mx_n"
    return f"SELECT {counts}, ({samples}) AS samples FROM {source} AS mx_s"


def check_polars(checks: Checks, frame: pl.DataFrame) -> dict[str, int]:
    """Take the counts of a Polars frame."""
    counts = {f"null_id_{n}": pl.col(name).is_null().sum() for n, name in enumerate(checks.ids)}
    for name in checks.text_ids:
        found = pl.col(name).cast(pl.String).str.contains(NUL, literal=True)
        counts[f"nul_id_{checks.ids.index(name)}"] = found.sum()
    for letter, name in checks.columns.items():
        for n, member in checks.members(letter):
            value = member_polars(frame.schema[name], name, member)
            counts[f"null_{letter}_{n}"] = (value.is_null() & (pl.col(name).is_not_null() | (letter == "p"))).sum()
            counts[f"nul_{letter}_{n}"] = value.str.contains(NUL, literal=True).sum()
    counts |= _declared_polars(checks.declared)
    row = frame.select(pl.len().alias("total"), **counts).row(0, named=True)
    return {**row, "samples": frame.select(checks.ids).n_unique()}


def _declared_polars(declared: Iterable[ColumnCheck]) -> dict[str, pl.Expr]:
    counts = {}
    for n, check in enumerate(declared):
        column = pl.col(check.column)
        if not check.nullable:
            counts[f"none_{n}"] = column.null_count()
        if check.values is not None:
            given = column.cast(pl.String) if check.kind is str else column
            counts[f"other_{n}"] = (~given.is_in(list(check.values))).sum()
    return counts


def raise_problems(checks: Checks, counts: Mapping[str, int]) -> None:
    """Raise for the first thing that is wrong; samples that occur twice are not judged here.

    Raises:
        MetadataSchemaError: naming the feature, the column or field, and how many rows.
    """
    total = counts["total"]
    for name, count in counts.items():
        kind, _, place = name.partition("_")
        letter, _, position = place.partition("_")
        if kind not in {"null", "nul"} or not count:
            continue
        what = "is NULL" if kind == "null" else "contains a NUL character"
        if letter == "id":
            where = f"ID column {checks.ids[int(position)]!r}"
            fix = "give every row an ID" if kind == "null" else "remove it"
        else:
            where = f"field {checks.system.members[int(position)]!r} of {checks.columns[letter]}"
            fix = "give every field a version" if kind == "null" else "remove it"
        raise MetadataSchemaError(f"{checks.feature}: {where} {what} in {count} of {total} rows; {fix}")
