"""Frames of users: types that mean the same everywhere (UUIDs are text), names that all read alike, samples once.

What only this process or one library knows is refused: an object would be stored as its address, and a period or an
interval as the numbers that it is made of.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import narwhals as nw
import polars as pl

from metaxy.columns import INCREMENT_COLUMNS, INTERNAL_PREFIX, is_system_column, name_problem
from metaxy.definitions.names import differing_by_case
from metaxy.errors import MetadataSchemaError
from metaxy.storage.nested_types import parts_of
from metaxy.store.given_values import refuse_years
from metaxy.versioning.frames import (
    Frame,
    as_narwhals,
    collect_to_polars,
    is_in_database,
    with_arrow_leaves,
    with_durations,
    wrapped_frame,
)
from metaxy.wording import first_line

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS: Final = frozenset({"uuid", "json"})  # types of databases and Arrow that are text for everybody else
MISSING: Final = frozenset({"NoneType", "NAType", "NaTType"})  # what libraries have for NULL
OFFSET: Final = re.compile(r"(UTC)?[+-]\d|Z$")  # zones without a name, of which Polars knows only those of whole hours
FAMILIES: Final = (datetime, date, str, bytes)  # a datetime is a date, too
SETS: Final = frozenset({"set", "frozenset"})


def given_frame(frame: Any, what: str, *, collect: bool = False) -> Frame:
    """Wrap a dataframe of the user. Columns in: any. Columns out: the same, of types that mean the same everywhere.

    What an update only said of its samples, such as which fields changed, is left out.
    ``collect``: run a plan of Polars here, once, as all of its rows are needed anyway.

    Raises:
        MetadataSchemaError: if it is no dataframe, or naming the first column of another type, or with a name of ours.
    """
    given = wrapped_frame(frame, what)
    types = _known_types(given, what)
    refuse_names(types, what)
    if said := [name for name in types if name in INCREMENT_COLUMNS]:
        given = given.drop(said)
    if given.implementation.is_polars():
        return _from_polars(given.lazy().collect() if collect else given, what)
    if isinstance(given, nw.LazyFrame):
        return _from_database(given, what)
    if given.implementation.is_pyarrow():
        return nw.from_native(_from_arrow(given.to_native(), what), eager_only=True)
    return _from_polars(_from_pandas(given, what), what, 'frame["{}"].astype(str)')


def _known_types(frame: Frame, what: str) -> Mapping[str, nw.dtypes.DType]:
    """Return the types of columns; of such as decimals of a negative scale, Narwhals has none, but an error."""
    with suppress(ValueError):
        return frame.collect_schema()
    for name in frame.columns:
        try:
            frame.select(name).collect_schema()
        except ValueError as error:
            kind = f"values of a type that is unknown ({first_line(error)})"
            raise _refused(what, name, kind, "to a type that other libraries know") from error
    return frame.collect_schema()


def _refused(what: str, column: str, kind: object, cast: str) -> MetadataSchemaError:
    return MetadataSchemaError(f"{what}: column {column!r} holds {kind}, which no store can keep; cast it: {cast}")


# -- objects -----------------------------------------------------------------------------------------------------------


def _kinds(values: Iterable[Any]) -> dict[str, type]:
    """Return the Python types of values by name, without those that stand for NULL."""
    kinds = {type(value) for value in values}
    return {kind.__qualname__: kind for kind in kinds if kind.__name__ not in MISSING}


def _objects(kinds: Iterable[str]) -> str:
    return f"Python objects of type {', '.join(sorted(kinds))}"


def _are_uuids(kinds: Mapping[str, type]) -> bool:
    return bool(kinds) and all(issubclass(kind, UUID) for kind in kinds.values())


def _texts_of_uuids(name: str, values: Iterable[Any]) -> pl.Series:
    return pl.Series(name, [str(value) if isinstance(value, UUID) else None for value in values], pl.String)


# -- Polars ------------------------------------------------------------------------------------------------------------


def _from_polars(frame: Frame, what: str, cast: str = 'pl.col("{}").ext.storage()') -> Frame:
    schema: pl.Schema = frame.to_native().collect_schema()
    for name, dtype in schema.items():
        for part in _parts_of_polars(dtype):
            if isinstance(part, pl.BaseExtension):
                raise _refused(what, name, f"the extension type {part.ext_name()}", cast.format(name))
            if isinstance(part, pl.Array) and part.size == 0:
                raise _refused(what, name, "arrays of no elements", "to a list")
    refuse_years(frame.to_native(), what)
    objects = [name for name, dtype in schema.items() if dtype == pl.Object]
    if not objects:
        return frame
    eager: pl.DataFrame = frame.lazy().collect().to_native()
    plain = eager.with_columns(_from_series(eager[name], what) for name in objects)
    return nw.from_native(plain.lazy() if isinstance(frame, nw.LazyFrame) else plain)


def _from_series(objects: pl.Series, what: str) -> pl.Series:
    values = objects.to_list()
    kinds = _kinds(values)
    if not kinds:
        return pl.Series(objects.name, values, pl.Null)
    if not _are_uuids(kinds):
        cast = f'pl.col("{objects.name}").map_elements(str, pl.String)'
        raise _refused(what, objects.name, _objects(kinds), cast)
    return _texts_of_uuids(objects.name, values)


def _parts_of_polars(dtype: Any) -> Iterator[Any]:
    """Yield a Polars type and all types inside of it."""
    yield dtype
    inner = [field.dtype for field in dtype.fields] if isinstance(dtype, pl.Struct) else []
    inner += [dtype.key, dtype.value] if isinstance(dtype, pl.Map) else []
    inner += [dtype.inner] if isinstance(dtype, (pl.List, pl.Array)) else []
    for part in inner:
        yield from _parts_of_polars(part)


# -- Pandas ------------------------------------------------------------------------------------------------------------


def _from_pandas(frame: nw.DataFrame[Any], what: str) -> nw.DataFrame[Any]:
    """Make a Polars frame of one whose columns may hold objects, and whose index is no column."""
    texts = {}
    for name, dtype in frame.schema.items():
        if isinstance(dtype, (nw.Object, nw.Categorical, nw.Unknown)):
            kinds = _kinds_of_pandas(frame[name])
            if SETS & set(kinds):
                raise _refused(what, name, _objects(kinds), f'frame["{name}"].map(sorted)')
            _refuse_mixed(frame[name], kinds, what)
            if _are_uuids(kinds):
                texts[name] = _texts_of_uuids(name, frame[name].to_list())
    zones = {name: getattr(dtype, "time_zone", None) or "" for name, dtype in frame.schema.items()}
    at_offset = [nw.col(name).dt.convert_time_zone("UTC") for name, zone in zones.items() if OFFSET.match(zone)]
    rest = frame.drop(list(texts)).with_columns(at_offset)
    try:
        plain: pl.DataFrame = as_narwhals(rest).to_native()
    except Exception as error:  # Arrow has several for what it does not know
        raise _without_arrow(rest, what, error) from error
    return nw.from_native(plain.with_columns(**texts).select(frame.columns), eager_only=True)


def _refuse_mixed(column: nw.Series[Any], kinds: Mapping[str, type], what: str) -> None:
    """Refuse objects of types that Arrow would make one without a word: a time becomes a day, a text bytes."""
    families = {next((base for base in FAMILIES if issubclass(kind, base)), object) for kind in kinds.values()}
    if {date, datetime} <= families or {str, bytes} <= families:
        raise _refused(what, column.name, _objects(kinds), "all to one type")
    zoned = {value.tzinfo is not None for value in column.to_list() if isinstance(value, datetime) and value == value}
    if len(zoned) > 1:
        cast = "all to times with a zone, or all to times without one"
        raise _refused(what, column.name, "times with a time zone and times without one", cast)


def _kinds_of_pandas(column: nw.Series[Any]) -> dict[str, type]:
    values = column.unique() if isinstance(column.dtype, nw.Categorical) else column
    kinds = _kinds(values.to_list())
    kinds.pop("float", None)  # NaN is NULL among objects
    return kinds


def _without_arrow(frame: nw.DataFrame[Any], what: str, error: Exception) -> MetadataSchemaError:
    """Build the error for a frame that does not become Polars, naming the first column that is the reason."""
    for name in frame.columns:
        try:
            as_narwhals(frame.select(name))
        except Exception:
            kinds = _kinds_of_pandas(frame[name]) if isinstance(frame.schema[name], nw.Object) else {}
            kind = _objects(kinds) if kinds else getattr(frame[name].to_native(), "dtype", frame.schema[name])
            return _refused(what, name, kind, f'frame["{name}"].astype(str)')
    return MetadataSchemaError(f"{what} cannot be read: {first_line(error)}")


# -- Arrow -------------------------------------------------------------------------------------------------------------


def _from_arrow(table: "pa.Table", what: str) -> "pa.Table":
    import pyarrow as pa

    table = with_durations(table)
    for index, field in enumerate(table.schema):
        _refuse_arrow(field.type, field.name, what)
        plain = _plain_column(table.column(index), field.name, what)
        if plain.type != field.type:
            table = table.set_column(index, field.name, plain)
    _refuse_unknown(table, what)
    times = [field.name for field in table.schema if any(map(pa.types.is_temporal, _parts_of_arrow(field.type)))]
    refuse_years(collect_to_polars(nw.from_native(table.select(times), eager_only=True)), what)
    return table


def _refuse_arrow(dtype: "pa.DataType", name: str, what: str) -> None:
    import pyarrow as pa

    for part in _parts_of_arrow(dtype):
        if isinstance(part, pa.BaseExtensionType) and not (part is dtype and _is_text(part)):
            raise _refused(what, name, f"the extension type {part.extension_name}", f"to {part.storage_type} or text")
        if pa.types.is_fixed_size_list(part) and part.list_size == 0:
            raise _refused(what, name, "arrays of no elements", "to a list")
        if any(test(part) for test in (pa.types.is_union, pa.types.is_interval, pa.types.is_decimal256)):
            raise _refused(what, name, part, "to a struct, a duration, a smaller decimal or text")


def _refuse_unknown(table: "pa.Table", what: str) -> None:
    """Refuse what would count as a column without a type, although it is none of NULLs."""
    import pyarrow as pa

    for name, dtype in nw.from_native(table).schema.items():
        given = table.schema.field(name).type
        unknown = sum(isinstance(part, nw.Unknown) for part in parts_of(dtype))
        if unknown > sum(map(pa.types.is_null, _parts_of_arrow(given))):
            raise _refused(what, name, given, "to a type that other libraries know, such as a list")


def _is_text(dtype: Any) -> bool:
    return dtype.extension_name.removeprefix("arrow.") in TEXTS


def _parts_of_arrow(dtype: Any) -> Iterator[Any]:
    """Yield an Arrow type and all types inside of it."""
    yield dtype
    for n in range(dtype.num_fields):
        yield from _parts_of_arrow(dtype.field(n).type)


def _plain_column(column: "pa.ChunkedArray[Any]", name: str, what: str) -> Any:
    """Take a column out of what only Arrow wraps values in; the values stay as they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    dtype = column.type
    if isinstance(dtype, pa.BaseExtensionType):
        chunks: list[Any] = column.chunks
        storage: Any = dtype.storage_type
        stored = pa.chunked_array([chunk.storage for chunk in chunks], storage)
        return _texts_of_bytes(stored) if pa.types.is_fixed_size_binary(stored.type) else stored
    if pa.types.is_run_end_encoded(dtype):
        return _plain_column(pc.call_function("run_end_decode", [column]), name, what)
    wanted = with_arrow_leaves(dtype, _plain_type)
    try:
        return column if wanted == dtype else column.cast(wanted)
    except pa.ArrowException as error:
        raise _refused(what, name, dtype, f"to {wanted}") from error


def _plain_type(dtype: Any) -> Any:
    """Return the type that all libraries know for a flat one that only Arrow has."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(dtype):
        return dtype if dtype.value_type in (pa.string(), pa.large_string()) else _plain_type(dtype.value_type)
    if types.is_large_binary(dtype) or types.is_fixed_size_binary(dtype) or types.is_binary_view(dtype):
        return pa.binary()
    if types.is_decimal(dtype):
        return pa.decimal128(dtype.precision, dtype.scale)
    if types.is_timestamp(dtype):
        zone = "UTC" if OFFSET.match(dtype.tz or "") else dtype.tz
        return pa.timestamp("ms" if dtype.unit == "s" else dtype.unit, zone)  # Polars has no seconds
    return pa.date32() if types.is_date64(dtype) else dtype


def _texts_of_bytes(uuids: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any]":
    digits = pl.Series("", uuids).bin.encode("hex").str
    ends = pairwise((0, 8, 12, 16, 20, 32))
    parts = [digits.slice(start, end - start).alias(str(start)) for start, end in ends]
    return pl.DataFrame(parts).select(pl.concat_str(pl.all(), separator="-")).to_arrow().column(0)


# -- databases ---------------------------------------------------------------------------------------------------------


def _from_database(frame: nw.LazyFrame[Any], what: str) -> nw.LazyFrame[Any]:
    texts, native = [], _native_types(frame.to_native())
    for name, dtype in frame.collect_schema().items():
        kind = native.get(name, str(dtype)).lower()
        known = not any(isinstance(part, nw.Unknown) for part in parts_of(dtype))
        if known or kind == "null" or is_system_column(name):
            continue
        if kind not in TEXTS:
            raise _refused(what, name, kind, f'CAST("{name}" AS VARCHAR)')
        texts.append(nw.col(name).cast(nw.String))
    return frame.with_columns(*texts) if texts else frame


def _native_types(frame: Any) -> dict[str, str]:
    """Return the types of a query in the words of its library, as far as that is known."""
    if hasattr(frame, "types") and hasattr(frame, "columns"):  # of DuckDB
        return dict(zip(frame.columns, map(str, frame.types), strict=True))
    if callable(getattr(frame, "schema", None)):  # of Ibis
        return {name: str(dtype) for name, dtype in frame.schema().items()}
    return {}


# -- names -------------------------------------------------------------------------------------------------------------


def refuse_names(schema: Mapping[str, nw.dtypes.DType], what: str) -> None:
    """Refuse columns that would be taken for ours, and names that not every store and library reads as they are."""
    for column, dtype in schema.items():
        if column.lower().startswith(INTERNAL_PREFIX):
            raise _misnamed(what, f"column {column!r}", f"begins with {INTERNAL_PREFIX!r}, as only ours may")
        if reason := name_problem(column):
            raise _misnamed(what, f"column {column!r}", reason)
        for part in parts_of(dtype):
            if isinstance(part, nw.Struct):
                _refuse_members([member.name for member in part.fields], what, f"of column {column!r}")


def _refuse_members(names: list[str], what: str, column: str) -> None:
    for name in names:
        if reason := name_problem(name):
            raise _misnamed(what, f"member {name!r} {column}", reason)
    if alike := differing_by_case(names):
        raise _misnamed(what, f"members {' and '.join(map(repr, alike))} {column}", "differ only by case")


def _misnamed(what: str, name: str, reason: str) -> MetadataSchemaError:
    return MetadataSchemaError(f"{what}: {name} {reason}; rename it")


# -- rows --------------------------------------------------------------------------------------------------------------


def without_repeats(rows: nw.LazyFrame[Any], ids: Sequence[str], where: str, advice: str) -> nw.LazyFrame[Any]:
    """Leave one row of each sample.

    Raises:
        MetadataSchemaError: if rows of one sample differ, with the IDs of such a sample.
    """
    rows = rows.unique()
    several = rows.group_by(list(ids)).agg(nw.len().alias("mx_rows")).filter(nw.col("mx_rows") > 1)
    example = collect_to_polars(several.head(1)).drop("mx_rows")
    if example.is_empty():
        return rows
    repeated = collect_to_polars(several.select(nw.col("mx_rows").sum() - nw.len())).item()
    raise MetadataSchemaError(
        f"{where}: {repeated} rows repeat the ID of another row with other values, for example "
        f"{example.row(0, named=True)}; {advice}"
    )


def last_rows(frame: Frame, ids: Sequence[str], what: str) -> Frame:
    """Keep the last row of each sample, in the order of the frame."""
    if is_in_database(frame):
        raise MetadataSchemaError(f'{what}: rows of a database have no order, so on_duplicate="last" needs a dataframe')
    return nw.from_native(collect_to_polars(frame).unique(ids, keep="last", maintain_order=True))
