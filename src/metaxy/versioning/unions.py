"""Rows of several tables as one relation: every column in one type, versions by field in one form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.versioning.codec import ByField, member_polars, member_sql, pack_polars, pack_sql
from metaxy.versioning.column_types import Types
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.frames import deferred_to_polars
from metaxy.versioning.polars_casts import recast

ROW_ID = "__metaxy_row"


@dataclass(frozen=True)
class Part:
    """A table of a union. ``table`` is its quoted name where it is a plain one, ``types`` are those of SQL."""

    frame: nw.LazyFrame[Any]
    schema: Types
    by_field: Mapping[str, ByField] = field(default_factory=dict)
    table: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Union:
    """Tables of one feature, and the columns that all of their rows get."""

    parts: Sequence[Part]
    schema: Types
    by_field: Mapping[str, ByField]


def has_row_ids(union: Union, dialect: Dialect) -> bool:
    """Return whether the rows of all tables have numbers, which no column of a user hides."""
    columns = {name.lower() for name in union.schema}
    return dialect.row_id is not None and dialect.row_id not in columns and all(part.table for part in union.parts)


# -- SQL ---------------------------------------------------------------------------------------------------------------


def union_sql(union: Union, sources: Sequence[str], dialect: Dialect) -> str | None:
    """Write the query over the union; ``sources`` are what follows FROM. None where SQL cannot give a column its type.

    Numbers of rows become those of the union: tables take turns.
    """
    numbered, selects = has_row_ids(union, dialect), []
    for n, (part, source) in enumerate(zip(union.parts, sources, strict=True)):
        values = [_value_sql(union, part, name, dialect) for name in union.schema]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        row = [f"{len(union.parts)} * mx_t.{dialect.row_id} + {n} AS {ROW_ID}"] if numbered else []
        selects.append(f"SELECT {', '.join([*row, *known])} FROM {source} AS mx_t")
    return "\nUNION ALL ".join(selects)


def _value_sql(union: Union, part: Part, name: str, dialect: Dialect) -> str | None:
    value, quoted = f"mx_t.{dialect.quote(name)}", dialect.quote(name)
    if name not in part.schema:
        kinds = [other.types[name] for other in union.parts if name in other.types]
        absent = dialect.absent_value(kinds[0]) if kinds else None
        return absent and f"{absent} AS {quoted}"
    if name in union.by_field:
        form, wanted = part.by_field.get(name), union.by_field[name]
        if form == wanted:
            return value
        if form is None or form.form != "struct":
            return None
        packed = {member: member_sql(form, value, member, dialect) for member in form.members}
        return f"{pack_sql(wanted, packed, dialect)} AS {quoted}"
    wide = [p for p in union.parts if p.schema.get(name) == union.schema[name] and name in p.types]
    if part.schema[name] == union.schema[name] or any(p.types[name] == part.types.get(name) for p in wide):
        return value
    return f"CAST({value} AS {wide[0].types[name]}) AS {quoted}" if wide else None


# -- Polars ------------------------------------------------------------------------------------------------------------


def union_polars(union: Union) -> pl.LazyFrame:
    """Return the union as a plan, which asks databases for no more than it needs."""
    schema = nw.Schema(union.schema).to_polars()
    return pl.concat([_part_polars(union, part, schema) for part in union.parts])


def _part_polars(union: Union, part: Part, schema: pl.Schema) -> pl.LazyFrame:
    rows: pl.LazyFrame = deferred_to_polars(part.frame).to_native()
    types = rows.collect_schema()
    values = [
        _by_field_polars(types.get(name), part.by_field.get(name), name, union.by_field[name])
        if name in union.by_field
        else recast(pl.col(name), types[name], dtype)
        if name in types
        else pl.lit(None, dtype)
        for name, dtype in schema.items()
    ]
    named = zip(values, schema.items(), strict=True)
    return rows.select(value.cast(dtype).alias(name) for value, (name, dtype) in named)


def _by_field_polars(dtype: pl.DataType | None, form: ByField | None, name: str, wanted: ByField) -> pl.Expr:
    if dtype is None or form is None:
        return pl.lit(None)
    if form.form == wanted.form != "struct":
        return pl.col(name)
    if form.form == "struct":
        packed = pack_polars(wanted, {m: member_polars(dtype, name, m) for m in form.members})
        return pl.when(pl.col(name).is_not_null()).then(packed)
    return _json_of_map(pl.col(name) if isinstance(dtype, pl.List) else pl.col(name).map.entries())


def _json_of_map(entries: pl.Expr) -> pl.Expr:
    """Write maps of texts as JSON, whatever their keys are."""
    key, value = (_json_text(pl.element().struct.field(part)) for part in ("key", "value"))
    pairs = entries.list.eval(pl.concat_str([key, value], separator=":")).list.join(",")
    return pl.when(entries.is_not_null()).then(pl.concat_str([pl.lit("{"), pairs, pl.lit("}")]))


def _json_text(text: pl.Expr) -> pl.Expr:
    """Write a text, or NULL, as JSON."""
    encoded = pl.struct(x=text.cast(pl.String)).struct.json_encode()  # {"x":"…"}
    return encoded.str.slice(5).str.head(-1)
