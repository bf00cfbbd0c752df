"""Columns at the boundary: versions by field are flat text inside, Struct, Map or JSON outside; and names of users.

The physical type of a table decides how a column is read and written; the ``enable_map_datatype`` setting only decides
what new tables get and what users see. Each direction exists for SQL, Polars and Arrow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import narwhals as nw
import polars as pl

from metaxy.columns import BY_FIELD_COLUMNS
from metaxy.versioning.column_types import Types
from metaxy.versioning.dialect import Dialect

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["struct", "map", "json"]


@dataclass(frozen=True)
class ByField:
    """The physical form of a by-field column; ``members`` are known only for structs."""

    form: Form
    members: tuple[str, ...] = ()


def form_of(dtype: nw.dtypes.DType | None) -> ByField | None:
    """Return the form that a column type stands for, None if it cannot hold versions by field."""
    if isinstance(dtype, nw.Struct):
        return ByField("struct", tuple(f.name for f in dtype.fields))
    if isinstance(dtype, (nw.Map, nw.List)):  # a map is a list of entries where the reader does not know maps
        return ByField("map")
    return ByField("json") if isinstance(dtype, nw.String) else None


def by_field_forms(
    schema: Mapping[str, nw.dtypes.DType], columns: Iterable[str] = BY_FIELD_COLUMNS
) -> dict[str, ByField]:
    """Say in which form a table keeps its by-field columns."""
    forms = {column: form_of(schema.get(column)) for column in columns}
    return {column: form for column, form in forms.items() if form}


def type_of(form: ByField) -> nw.dtypes.DType:
    """Return the type that users see of a form."""
    if form.form == "struct":
        return nw.Struct(dict.fromkeys(form.members, nw.String()))
    return nw.Map(nw.String(), nw.String()) if form.form == "map" else nw.String()


# -- SQL ---------------------------------------------------------------------------------------------------------------


def member_sql(form: ByField | None, column: str, member: str, dialect: Dialect) -> str:
    """Write one member of a column as text; NULL where the column is missing or a struct lacks the member."""
    if form is None or (form.form == "struct" and member not in form.members):
        return dialect.null_text
    if form.form == "json" or dialect.json_only:
        value = dialect.json_member.format(column, dialect.literal(dialect.json_path.format(member)))
    elif form.form == "struct":
        value = dialect.struct_member.format(column, dialect.quote(member))
    else:
        value = dialect.map_member.format(column, dialect.literal(member))
    return dialect.text.format(value, dialect.text_type)


def given_member_sql(form: ByField | None, column: str, member: str, dialect: Dialect) -> str:
    """Write one member of a column of a frame like `member_sql`; what a query makes of a map may not be one."""
    if form is not None and form.form == "map" and dialect.given_map_member and not dialect.json_only:
        return dialect.given_map_member.format(column, dialect.literal(member))
    return member_sql(form, column, member, dialect)


def pack_sql(form: ByField, values: Mapping[str, str], dialect: Dialect) -> str:
    """Write flat text expressions as one column; members of a struct that have no value become NULL."""
    if form.form == "struct" and not dialect.json_only:
        members = {dialect.quote(m): values.get(m, dialect.null_text) for m in form.members or values}
        pairs = ", ".join(f"{name} := {value}" for name, value in members.items())
        types = ", ".join(f"{name} {dialect.text_type}" for name in members)
        return dialect.pack_struct.format(pairs, ", ".join(members.values()), types)
    keys, texts = ", ".join(dialect.literal(m) for m in values), ", ".join(values.values())
    if form.form == "map" and not dialect.json_only:
        return dialect.pack_map.format(keys, texts)
    pairs = ", ".join(f"{dialect.literal(m)}, {v}" for m, v in values.items())
    return dialect.pack_json.format(pairs, keys, texts)


# -- Polars ------------------------------------------------------------------------------------------------------------


def member_polars(dtype: pl.DataType | None, column: str, name: str) -> pl.Expr:
    """Take one member of a by-field column as text; NULL where the column is missing or lacks the member."""
    value = pl.lit(None)
    if isinstance(dtype, pl.Struct) and any(f.name == name for f in dtype.fields):
        value = pl.col(column).struct.field(name)
    elif isinstance(dtype, pl.Map):
        value = pl.col(column).map.get(name)
    elif isinstance(dtype, pl.List):
        entries = pl.col(column).list.filter(pl.element().struct.field("key") == name)
        value = entries.list.first().struct.field("value")
    elif dtype == pl.String:
        value = pl.col(column).str.json_path_match(f"$['{name}']")
    return value.cast(pl.String)


def pack_polars(form: ByField, values: Mapping[str, pl.Expr]) -> pl.Expr:
    """Pack flat text expressions into one column."""
    if form.form == "struct":
        absent = pl.lit(None, pl.String)
        return pl.struct([values.get(m, absent).alias(m) for m in form.members or values])
    if form.form == "map":
        return map_polars(values, pl.Map(pl.String, pl.String))
    return pl.struct([v.alias(m) for m, v in values.items()]).struct.json_encode()


def map_polars(values: Mapping[str, pl.Expr], dtype: pl.Map) -> pl.Expr:
    """Put values under their names into one map."""
    entries = [pl.struct(key=pl.lit(name), value=value.cast(dtype.value)) for name, value in values.items()]
    return pl.concat_arr(entries).arr.to_list().cast(dtype)  # `concat_list` takes structs one by one


# -- Arrow -------------------------------------------------------------------------------------------------------------


def pack_arrow(form: ByField, values: Mapping[str, "pa.ChunkedArray[Any]"]) -> "pa.ChunkedArray[Any]":
    """Pack flat Arrow text columns into one column; structs share the memory of their members."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if form.form == "struct":
        struct: Any = pc.make_struct(*values.values(), field_names=list(values))  # chunks stay chunks
        chunked: pa.ChunkedArray[Any] = struct
        return chunked
    frame = pl.DataFrame({name: pl.Series(name, column) for name, column in values.items()})
    packed = frame.select(pack_polars(form, {name: pl.col(name) for name in values}).alias("m")).to_arrow()
    return packed.column("m").cast(pa.map_(pa.string(), pa.string()))


# -- what users see of flat rows: names instead of short names, versions packed by field -------------------------------


@dataclass(frozen=True)
class ByFieldColumn:
    """A column made of flat ones: the form it takes, and the short name that holds each member."""

    form: ByField
    shorts: Mapping[str, str]


@dataclass(frozen=True)
class ReformedColumn:
    """A stored by-field column that must be shown in another form."""

    short: str
    stored: ByField
    form: ByField


@dataclass(frozen=True)
class ChangedFields:
    """A list of the members whose flag is 1; ``flags`` maps them to short names."""

    flags: Mapping[str, str]


@dataclass(frozen=True)
class EarlierRow:
    """A struct made of flat columns where ``was`` is 1, else NULL; without columns there is nothing but NULL."""

    shorts: Mapping[str, str]
    was: str = "was"


OutputColumn: TypeAlias = str | ByFieldColumn | ReformedColumn | ChangedFields | EarlierRow
OutputColumns: TypeAlias = Mapping[str, OutputColumn]


def output_sql(flat: str, statuses: Sequence[int], shown: OutputColumns, dialect: Dialect) -> str:
    """Write the query that shows the rows of some statuses."""

    def value(item: OutputColumn) -> str:
        if isinstance(item, str):
            return f"mx_flat.{item}"
        if isinstance(item, ChangedFields):
            return _changed_fields_sql(item, dialect)
        if isinstance(item, EarlierRow):
            return _earlier_row_sql(item, dialect)
        if isinstance(item, ByFieldColumn):
            members = {m: f"mx_flat.{short}" for m, short in item.shorts.items()}
        else:
            members = {m: member_sql(item.stored, f"mx_flat.{item.short}", m, dialect) for m in item.form.members}
        return pack_sql(item.form, members, dialect)

    columns = ", ".join(f"{value(item)} AS {dialect.quote(name)}" for name, item in shown.items())
    wanted = ", ".join(map(str, statuses))
    return f"SELECT {columns} FROM ({flat}) AS mx_flat WHERE mx_flat.status IN ({wanted})"


def _changed_fields_sql(item: ChangedFields, dialect: Dialect) -> str:
    part = dialect.pack_list or ""  # where there is none, no view is asked for
    return dialect.concatenated(
        f"({part.format(f'mx_flat.{flag} = 1', dialect.literal(member))})" for member, flag in item.flags.items()
    )


def _earlier_row_sql(item: EarlierRow, dialect: Dialect) -> str:
    if not item.shorts:
        return "NULL"
    pairs = ", ".join(f"{dialect.quote(name)} := mx_flat.{short}" for name, short in item.shorts.items())
    return f"CASE WHEN mx_flat.{item.was} = 1 THEN {dialect.pack_struct.format(pairs)} END"


def output_types(shown: OutputColumns, flat: Types) -> dict[str, nw.dtypes.DType]:
    """Return the types of what is shown."""

    def type_of_item(item: OutputColumn) -> nw.dtypes.DType:
        if isinstance(item, str):
            return flat[item]
        if isinstance(item, ChangedFields):
            return nw.List(nw.String())
        if isinstance(item, EarlierRow):
            return nw.Struct({name: flat[short] for name, short in item.shorts.items()})
        return type_of(item.form)

    return {name: type_of_item(item) for name, item in shown.items()}


def output_polars(flat: pl.LazyFrame, statuses: Sequence[int], shown: OutputColumns) -> pl.LazyFrame:
    """Show the rows of some statuses."""
    schema = flat.collect_schema()

    def value(item: OutputColumn) -> pl.Expr:
        if isinstance(item, str):
            return pl.col(item)
        if isinstance(item, ChangedFields):
            changed = [pl.when(pl.col(flag) == 1).then(pl.lit(member)) for member, flag in item.flags.items()]
            return pl.concat_list(changed).list.drop_nulls()
        if isinstance(item, EarlierRow):
            row = [pl.col(short).alias(name) for name, short in item.shorts.items()]
            return pl.when(pl.col(item.was) == 1).then(pl.struct(row)) if row else pl.lit(None)
        if isinstance(item, ByFieldColumn):
            return pack_polars(item.form, {m: pl.col(short) for m, short in item.shorts.items()})
        members = {m: member_polars(schema[item.short], item.short, m) for m in item.form.members}
        return pack_polars(item.form, members)

    rows = flat.filter(pl.col("status").is_in(list(statuses)))
    return rows.select([value(item).alias(name) for name, item in shown.items()])


def output_arrow(flat: "pa.Table", statuses: Sequence[int], shown: OutputColumns) -> "pa.Table":
    """Show the rows of some statuses; columns that need no packing are not copied again."""
    import pyarrow as pa

    rows = _rows_of(flat, statuses)
    columns: dict[str, Any] = {}
    for name, item in shown.items():
        if isinstance(item, ReformedColumn):
            return output_polars(pl.DataFrame(rows).lazy(), statuses, shown).collect().to_arrow()
        if isinstance(item, str):
            columns[name] = rows[item]
        elif isinstance(item, ChangedFields):
            columns[name] = _changed_fields_arrow(item, rows)
        elif isinstance(item, EarlierRow):
            columns[name] = _earlier_row_arrow(item, rows)
        else:
            columns[name] = pack_arrow(item.form, {m: rows[s] for m, s in item.shorts.items()})
    return pa.table(columns)


def _changed_fields_arrow(item: ChangedFields, rows: "pa.Table") -> Any:
    """Take each list from those that occur, of which there are few."""
    import pyarrow as pa

    flags = pl.DataFrame({member: pl.Series(rows[flag]) for member, flag in item.flags.items()})
    sets = flags.with_row_index("__metaxy_row").group_by(list(item.flags), maintain_order=True).agg("__metaxy_row")
    lists = [[member for member in item.flags if row[member] == 1] for row in sets.iter_rows(named=True)]
    place = pl.Series([0], dtype=pl.Int64).new_from_index(0, rows.num_rows)
    for number, found in enumerate(sets["__metaxy_row"]):
        place = place.scatter(found, number)
    return pa.array(lists, pa.list_(pa.string())).take(place.to_arrow())


def _earlier_row_arrow(item: EarlierRow, rows: "pa.Table") -> Any:
    """Put a mask over the flat columns, whose memory the struct shares."""
    import pyarrow as pa

    if not item.shorts:
        return pa.nulls(rows.num_rows)
    fields = [rows.schema.field(short).with_name(name) for name, short in item.shorts.items()]
    chunks = []
    for batch in rows.select([*item.shorts.values(), item.was]).to_batches():
        *columns, was = batch.columns
        nothing = pl.Series(was).ne_missing(1).to_arrow()
        chunks.append(pa.StructArray.from_arrays(columns, fields=fields, mask=nothing))
    struct: Any = pa.struct(fields)
    return pa.chunked_array(chunks, struct)


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
