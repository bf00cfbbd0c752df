"""The versions of rows that are written: what each system column gets, as data, with its two renderings.

Columns in: IDs, user columns, ``metaxy_provenance_by_field`` and whichever other system columns the user gives.
Columns out: the same, with all ten system columns. A provenance that is given is trusted; data versions default to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import narwhals as nw
import polars as pl

from metaxy import columns as c
from metaxy.hashing import HashSettings
from metaxy.versioning import polars as plan
from metaxy.versioning.codec import ByField, given_member_sql, member_polars, pack_polars, pack_sql, type_of
from metaxy.versioning.column_types import Types
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.polars_casts import recast

PACKED = {"__metaxy_p": c.METAXY_PROVENANCE_BY_FIELD, "__metaxy_d": c.METAXY_DATA_VERSION_BY_FIELD}


@dataclass(frozen=True)
class SystemColumns:
    """What the rows of one write get.

    ``members`` are the fields in order; ``user_columns`` what is stored beside the system columns. ``texts`` and
    ``times`` are constants for whole columns, None for NULL; columns in ``kept`` keep what the frame has, with the
    constant only for NULLs. ``forms`` says how the table keeps by-field columns, ``given`` how the frame does;
    those in ``verbatim`` are stored as they are. Unless ``exact``, a data version of a sample that only repeats its
    provenance is computed anew: `resolve_update` gave it, and versions by field may have been set since.
    """

    members: tuple[str, ...]
    user_columns: tuple[str, ...]
    hash: HashSettings
    texts: Mapping[str, str | None]
    times: Mapping[str, datetime | None]
    kept: frozenset[str]
    given: Mapping[str, ByField]
    forms: Mapping[str, ByField]
    verbatim: frozenset[str] = frozenset()
    exact: bool = False

    @property
    def overrides_data(self) -> bool:
        """Whether the user gives data versions by field."""
        return c.METAXY_DATA_VERSION_BY_FIELD in self.given

    def overridden(self, member: str) -> bool:
        """Whether the user gives the data version of this field."""
        form = self.given.get(c.METAXY_DATA_VERSION_BY_FIELD)
        return form is not None and (form.form != "struct" or member in form.members)

    @property
    def hash_order(self) -> list[int]:
        """Positions of the members in the order in which the sample hash takes them."""
        return sorted(range(len(self.members)), key=lambda n: self.members[n])


def system_column_types(system: SystemColumns, given: Types, casts: Types) -> dict[str, nw.dtypes.DType]:
    """Return the columns of versioned rows, in the order of the query, with their types."""
    types = {name: given[name] for name in system.user_columns}
    types |= {name: type_of(system.forms[name]) for name in PACKED.values()}
    types |= {name: nw.String() for name in (c.METAXY_PROVENANCE, c.METAXY_DATA_VERSION, *system.texts)}
    return types | {name: nw.Datetime("us", "UTC") for name in system.times} | dict(casts)


# -- SQL ---------------------------------------------------------------------------------------------------------------


def system_columns_sql(
    system: SystemColumns, source: str, dialect: Dialect, casts: Mapping[str, str] | None = None
) -> str:
    """Write the query that versions rows; ``casts`` maps columns to the types that their table has."""
    flat = _flat_sql(system, source, dialect)
    hashes = _hash_sql(system, dialect)
    final = _final_sql(system, dialect, casts or {})
    return f"SELECT {final}\nFROM (SELECT *, {hashes}\n  FROM ({flat}) AS mx_f) AS mx_h"


def _flat_sql(system: SystemColumns, source: str, dialect: Dialect) -> str:
    kept = [f"mx_s.{dialect.quote(name)}" for name in (*system.user_columns, *sorted(system.kept | system.verbatim))]
    provenance = f"mx_s.{dialect.quote(c.METAXY_PROVENANCE_BY_FIELD)}"
    data = f"mx_s.{dialect.quote(c.METAXY_DATA_VERSION_BY_FIELD)}"
    for n, member in enumerate(system.members):
        value = given_member_sql(system.given[c.METAXY_PROVENANCE_BY_FIELD], provenance, member, dialect)
        kept.append(f"{value} AS __metaxy_p{n}")
        if system.overridden(member):
            own = given_member_sql(system.given[c.METAXY_DATA_VERSION_BY_FIELD], data, member, dialect)
            kept.append(f"CASE WHEN {data} IS NULL THEN {value} ELSE {own} END AS __metaxy_d{n}")
        else:
            kept.append(f"{value} AS __metaxy_d{n}")
    if system.overrides_data:
        kept.append(f"{data} IS NOT NULL AS __metaxy_own")
    return f"SELECT {', '.join(kept)} FROM {source} AS mx_s"


def _hash_sql(system: SystemColumns, dialect: Dialect) -> str:
    def sample(prefix: str) -> str:
        values = (dialect.escaped(f"{prefix}{n}") for n in system.hash_order)
        return dialect.hashed(dialect.joined(values), system.hash)

    given = dialect.quote(c.METAXY_PROVENANCE)
    provenance = (
        f"coalesce({given}, {sample('__metaxy_p')})" if c.METAXY_PROVENANCE in system.kept else sample("__metaxy_p")
    )
    own = f"CASE WHEN __metaxy_own THEN {sample('__metaxy_d')} END" if system.overrides_data else "NULL"
    return f"{provenance} AS __metaxy_p, {own} AS __metaxy_d"


def _final_sql(system: SystemColumns, dialect: Dialect, casts: Mapping[str, str]) -> str:
    values = {name: dialect.quote(name) for name in system.user_columns}
    for prefix, name in PACKED.items():
        members = {m: f"{prefix}{n}" for n, m in enumerate(system.members)}
        packed = pack_sql(system.forms[name], members, dialect)
        values[name] = dialect.quote(name) if name in system.verbatim else packed
    values[c.METAXY_PROVENANCE] = "__metaxy_p"
    values[c.METAXY_DATA_VERSION] = _data_version_sql(system, dialect)
    for name, text in system.texts.items():
        values[name] = dialect.null_text if text is None else dialect.literal(text)
    for name, time in system.times.items():
        values[name] = dialect.timestamp(time)
    for name in system.kept & {*system.texts, *system.times}:
        kind = dialect.text_type if name in system.texts else dialect.timestamp_type
        values[name] = f"coalesce({dialect.text.format(dialect.quote(name), kind)}, {values[name]})"
    for name, kind in casts.items():
        values[name] = f"CAST({values[name]} AS {kind})"
    return ", ".join(f"{value} AS {dialect.quote(name)}" for name, value in values.items())


def _data_version_sql(system: SystemColumns, dialect: Dialect) -> str:
    computed = ["__metaxy_d", "__metaxy_p"] if system.overrides_data else ["__metaxy_p"]
    if c.METAXY_DATA_VERSION in system.kept:
        given = dialect.quote(c.METAXY_DATA_VERSION)
        computed.insert(0, given if system.exact else f"nullif({given}, __metaxy_p)")
    return f"coalesce({', '.join(computed)})" if len(computed) > 1 else computed[0]


# -- Polars ------------------------------------------------------------------------------------------------------------


def system_columns_polars(
    system: SystemColumns, frame: pl.LazyFrame, casts: Mapping[str, Any] | None = None
) -> pl.LazyFrame:
    """Version rows; ``casts`` maps columns to the types that their table has."""
    schema = frame.collect_schema()
    kept = sorted(system.kept | system.verbatim)
    flat = frame.select(*system.user_columns, *kept, *_flat_polars(system, schema))
    hashed = flat.with_columns(_hash_polars(system))
    return hashed.select(_final_polars(system, schema, casts or {}))


def _flat_polars(system: SystemColumns, schema: pl.Schema) -> list[pl.Expr]:
    provenance, data = PACKED.values()
    flat = []
    for n, member in enumerate(system.members):
        value = member_polars(schema[provenance], provenance, member)
        flat.append(value.alias(f"__metaxy_p{n}"))
        if system.overridden(member):
            own = member_polars(schema[data], data, member)
            value = pl.when(pl.col(data).is_null()).then(value).otherwise(own)
        flat.append(value.alias(f"__metaxy_d{n}"))
    return [*flat, pl.col(data).is_not_null().alias("__metaxy_own")] if system.overrides_data else flat


def _hash_polars(system: SystemColumns) -> list[pl.Expr]:
    def sample(prefix: str) -> pl.Expr:
        return plan.hashed(plan.joined([plan.escaped(pl.col(f"{prefix}{n}")) for n in system.hash_order]), system.hash)

    given = [pl.col(c.METAXY_PROVENANCE).cast(pl.String)] if c.METAXY_PROVENANCE in system.kept else []
    own = pl.when("__metaxy_own").then(sample("__metaxy_d")) if system.overrides_data else pl.lit(None, pl.String)
    return [pl.coalesce([*given, sample("__metaxy_p")]).alias("__metaxy_p"), own.alias("__metaxy_d")]


def _final_polars(system: SystemColumns, schema: pl.Schema, casts: Mapping[str, Any]) -> list[pl.Expr]:
    values: dict[str, pl.Expr] = {name: pl.col(name) for name in system.user_columns}
    for prefix, name in PACKED.items():
        members = {m: pl.col(f"{prefix}{n}") for n, m in enumerate(system.members)}
        values[name] = pl.col(name) if name in system.verbatim else pack_polars(system.forms[name], members)
    values[c.METAXY_PROVENANCE] = pl.col("__metaxy_p")
    values[c.METAXY_DATA_VERSION] = _data_version_polars(system)
    moment = pl.Datetime("us", "UTC")
    constants = {name: pl.lit(text, pl.String) for name, text in system.texts.items()}
    constants |= {name: pl.lit(time, moment) for name, time in system.times.items()}
    for name, constant in constants.items():
        kept = pl.col(name).cast(constant_type(name)) if name in system.kept else None
        values[name] = constant if kept is None else pl.coalesce(kept, constant)
    for name in casts.keys() & values.keys():
        values[name] = recast(values[name], schema.get(name), casts[name])
    return [value.alias(name) for name, value in values.items()]


def _data_version_polars(system: SystemColumns) -> pl.Expr:
    given = pl.col(c.METAXY_DATA_VERSION).cast(pl.String)
    own = given if system.exact else pl.when(given != pl.col("__metaxy_p")).then(given)
    computed = [pl.col("__metaxy_d"), pl.col("__metaxy_p")]
    return pl.coalesce([own, *computed] if c.METAXY_DATA_VERSION in system.kept else computed)


def constant_type(column: str) -> pl.DataType:
    """Return the Polars type of a system column that is not by field."""
    kinds = {column.name: column.kind for column in c.SYSTEM_COLUMNS}
    return pl.Datetime("us", "UTC") if kinds[column] == "timestamp" else pl.String()
