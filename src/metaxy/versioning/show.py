"""What users see of flat rows: names instead of short names, versions packed by field; for SQL, Polars and Arrow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from metaxy.versioning.codec import ByField, member_polars, member_sql, pack_arrow, pack_polars, pack_sql, type_of
from metaxy.versioning.column_types import Types
from metaxy.versioning.dialect import Dialect

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Packed:
    """A column made of flat ones: the form it takes, and the short name that holds each member."""

    form: ByField
    shorts: Mapping[str, str]


@dataclass(frozen=True)
class Repacked:
    """A stored by-field column that must be shown in another form."""

    short: str
    stored: ByField
    form: ByField


Shown = Mapping[str, str | Packed | Repacked]


def show_sql(flat: str, statuses: Sequence[int], shown: Shown, dialect: Dialect) -> str:
    """Write the query that shows the rows of some statuses."""

    def value(item: str | Packed | Repacked) -> str:
        if isinstance(item, str):
            return f"mx_flat.{item}"
        if isinstance(item, Packed):
            members = {m: f"mx_flat.{short}" for m, short in item.shorts.items()}
        else:
            members = {m: member_sql(item.stored, f"mx_flat.{item.short}", m, dialect) for m in item.form.members}
        return pack_sql(item.form, members, dialect)

    columns = ", ".join(f"{value(item)} AS {dialect.quote(name)}" for name, item in shown.items())
    wanted = ", ".join(map(str, statuses))
    return f"SELECT {columns} FROM ({flat}) AS mx_flat WHERE mx_flat.status IN ({wanted})"


def shown_types(shown: Shown, flat: Types) -> dict[str, nw.dtypes.DType]:
    """Return the types of what is shown."""
    return {name: flat[item] if isinstance(item, str) else type_of(item.form) for name, item in shown.items()}


def show_polars(flat: pl.LazyFrame, statuses: Sequence[int], shown: Shown) -> pl.LazyFrame:
    """Show the rows of some statuses."""
    schema = flat.collect_schema()

    def value(item: str | Packed | Repacked) -> pl.Expr:
        if isinstance(item, str):
            return pl.col(item)
        if isinstance(item, Packed):
            return pack_polars(item.form, {m: pl.col(short) for m, short in item.shorts.items()})
        members = {m: member_polars(schema[item.short], item.short, m) for m in item.form.members}
        return pack_polars(item.form, members)

    rows = flat.filter(pl.col("status").is_in(list(statuses)))
    return rows.select([value(item).alias(name) for name, item in shown.items()])


def show_arrow(flat: "pa.Table", statuses: Sequence[int], shown: Shown) -> "pa.Table":
    """Show the rows of some statuses; columns that need no packing are not copied again."""
    import pyarrow as pa

    rows = _rows_of(flat, statuses)
    if any(isinstance(item, Repacked) for item in shown.values()):
        frame = pl.DataFrame(rows).lazy()
        return show_polars(frame, statuses, shown).collect().to_arrow()
    columns: dict[str, Any] = {
        name: rows[item]
        if isinstance(item, str)
        else pack_arrow(item.form, {m: rows[s] for m, s in item.shorts.items()})
        for name, item in shown.items()
        if not isinstance(item, Repacked)
    }
    return pa.table(columns)


def _rows_of(flat: "pa.Table", statuses: Sequence[int]) -> "pa.Table":
    """Take the rows of some statuses: a part of the table as it lies, where they follow each other."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pc.is_in(flat["status"], pa.array(statuses, flat["status"].type))
    found = wanted.to_numpy().nonzero()[0]
    if not len(found):
        return flat.slice(0, 0)
    first, past = int(found[0]), int(found[-1]) + 1
    return flat.slice(first, past - first) if past - first == len(found) else flat.filter(wanted)
