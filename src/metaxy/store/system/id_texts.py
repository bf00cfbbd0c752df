"""IDs as one text, for system tables: JSON in a canonical form, which says itself which kind each value is.

IDs that are equal have one text, however wide their type is, and whatever unit or zone it has. Kinds that JSON does not
have are objects: ``{"date": "2026-01-31"}``. Texts are only compared with texts; rows of features are looked up by the
values that `ids_of_texts` makes of them.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import narwhals as nw
import polars as pl

from metaxy.errors import MetadataSchemaError
from metaxy.versioning.column_types import Types
from metaxy.versioning.key_types import type_family

TIMES: Final = {"date": "%Y-%m-%d", "time": "%H:%M:%S%.9f"}
MOMENT: Final = "%Y-%m-%dT%H:%M:%S"
INT64: Final = range(-(2**63), 2**63)


def texts_of_ids(frame: pl.DataFrame, ids: Iterable[str]) -> pl.Series:
    """Write the IDs of each row as one text.

    Raises:
        MetadataSchemaError: if an ID is NULL, or holds several values.

    >>> texts_of_ids(pl.DataFrame({"n": [1], "id": ["é"], "x": [2.5]}), ["n", "id", "x"]).item()
    '{"id": "é", "n": 1, "x": 2.5}'
    """
    columns = [(name, _json_values(frame[name])) for name in sorted(ids)]
    heads = [f"{json.dumps(name, ensure_ascii=False)}: " for name, _ in columns]
    rows = zip(*(values for _, values in columns), strict=True)
    texts = ["{" + ", ".join(map("".join, zip(heads, row, strict=True))) + "}" for row in rows]
    return pl.Series("ids", texts, pl.String)


def _json_values(column: pl.Series) -> list[str]:
    """Write each value of a column as JSON."""
    if nulls := column.null_count():
        raise MetadataSchemaError(f"ID column {column.name!r} is NULL in {nulls} rows; leave these rows out")
    dtype = column.dtype
    if dtype.is_nested() or isinstance(dtype, pl.Object):
        raise MetadataSchemaError(f"ID column {column.name!r} is {dtype}, but an ID is one value")
    if dtype.is_integer() or (isinstance(dtype, pl.Decimal) and not dtype.scale):
        return column.cast(pl.Int128).cast(pl.String).to_list()
    if dtype == pl.Boolean:
        return ["true" if value else "false" for value in column]
    if dtype.is_float():
        return [_number(value) for value in column.cast(pl.Float64)]
    if isinstance(dtype, (pl.String, pl.Enum, pl.Categorical)):
        return [json.dumps(value, ensure_ascii=False) for value in column.cast(pl.String)]
    kind, values = _tagged(column)
    return [json.dumps({kind: value}) for value in values]


def _number(value: float) -> str:
    """Write a number of which databases know only one zero, and JSON only such as are finite."""
    return json.dumps(value + 0.0 or 0.0) if math.isfinite(value) else json.dumps({"float": str(value)})


def _tagged(column: pl.Series) -> tuple[str, Iterable[str]]:
    """Name the kind of a column that JSON does not have, and write its values as texts."""
    dtype = column.dtype
    if isinstance(dtype, pl.Date):
        return "date", column.dt.to_string(TIMES["date"])
    if isinstance(dtype, pl.Time):
        return "time", column.dt.to_string(TIMES["time"])
    if isinstance(dtype, pl.Datetime):
        plain = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else column
        fractions = plain.dt.nanosecond().cast(pl.String).str.zfill(9)
        return ("moment" if dtype.time_zone else "datetime"), plain.dt.to_string(MOMENT) + "." + fractions
    if isinstance(dtype, pl.Duration):
        factor = {"ms": 1_000_000, "us": 1_000, "ns": 1}[dtype.time_unit]
        return "nanoseconds", [str(value * factor) for value in column.to_physical()]
    if isinstance(dtype, pl.Decimal):
        return "decimal", [_decimal(format(value, "f")) for value in column]
    if isinstance(dtype, pl.Binary):
        return "bytes", [value.hex() for value in column]
    raise MetadataSchemaError(f"ID column {column.name!r} is {dtype}, which has no text; cast it")


def _decimal(text: str) -> str:
    """Write a decimal number without zeros that say nothing; arithmetic would round it to 28 digits."""
    short = text.rstrip("0").rstrip(".")
    return "0" if short in ("", "-0", "-") else short


# -- and back ----------------------------------------------------------------------------------------------------------

# The family of types that each kind may be an ID of, as `type_family` names it.
FAMILIES: Final[Mapping[str, str]] = {
    "int": "integer",
    "float": "float",
    "str": "text",
    "bool": "boolean",
    "date": "date",
    "time": "time",
    "datetime": "timestamp",
    "moment": "timestamp with time zone",
    "nanoseconds": "duration",
    "decimal": "decimal",
    "bytes": "binary",
}


def ids_of_texts(
    texts: Sequence[str], types: Types, ids: Iterable[str] | None = None
) -> tuple[pl.DataFrame, list[int]]:
    """Read texts of IDs as columns, and say the places of the texts that they are of.

    Texts with other columns than ``ids``, or with values of other kinds than those of ``types``, are left out. Where
    these do not know a column, or nothing says which columns there are, the last text decides.
    """
    values: list[dict[str, Any]] = json.loads(f"[{','.join(texts)}]")
    names = dict.fromkeys(ids if ids is not None else values[-1] if values else ())
    last = next((row for row in reversed(values) if row.keys() == names.keys()), None)
    if last is None:
        return pl.DataFrame(schema={name: _polars_type(types.get(name)) for name in names}), []
    kinds = {name: _family(value, types.get(name)) for name, value in last.items()}
    places = [n for n, row in enumerate(values) if {name: _kind(value) for name, value in row.items()} == kinds]
    columns = {name: _column(kind, [_plain(values[n][name]) for n in places]) for name, kind in kinds.items()}
    return pl.DataFrame(columns), places


def _polars_type(dtype: nw.dtypes.DType | None) -> pl.DataType:
    known = nw.Unknown() if dtype is None else dtype
    return pl.Null() if isinstance(known, nw.Unknown) else nw.Schema({"id": known}).to_polars()["id"]


def _family(value: Any, dtype: nw.dtypes.DType | None) -> str:
    """Return the kind that values of a type are written as, that of a value where the type is not known."""
    if dtype is None or isinstance(dtype, nw.Unknown):
        return _kind(value)
    family = type_family(dtype)
    return next((kind for kind, of in FAMILIES.items() if of == family), _kind(value))


def _kind(value: Any) -> str:
    return next(iter(value)) if isinstance(value, dict) else type(value).__name__


def _plain(value: Any) -> Any:
    return next(iter(value.values())) if isinstance(value, dict) else value


def _column(kind: str, values: list[Any]) -> pl.Series:
    if kind == "int":
        return pl.Series(values, dtype=pl.Int64 if all(value in INT64 for value in values) else pl.Int128)
    return READERS[kind](values)


def _moments(values: list[str]) -> pl.Series:
    """Read times in microseconds, or in nanoseconds where one is as exact as that: these end in 2262."""
    texts = pl.Series(values, dtype=pl.String)
    unit: Any = "us" if texts.str.ends_with("000").all() else "ns"
    return texts.str.to_datetime(f"{MOMENT}%.f", time_unit=unit)


def _durations(values: list[str]) -> pl.Series:
    numbers = [int(value) for value in values]
    whole = not any(number % 1000 for number in numbers)
    spans = [number // 1000 for number in numbers] if whole else numbers
    return pl.Series(spans, dtype=pl.Int64).cast(pl.Duration("us" if whole else "ns"))


def _decimals(values: list[str]) -> pl.Series:
    numbers = [Decimal(value) for value in values]
    scale = max((-int(number.as_tuple().exponent) for number in numbers), default=0)
    return pl.Series(numbers, dtype=pl.Decimal(38, max(scale, 0)))


READERS: Final[Mapping[str, Callable[[list[Any]], pl.Series]]] = {
    "float": lambda values: pl.Series([float(value) for value in values], dtype=pl.Float64),
    "str": lambda values: pl.Series(values, dtype=pl.String),
    "bool": lambda values: pl.Series(values, dtype=pl.Boolean),
    "date": lambda values: pl.Series(values, dtype=pl.String).str.to_date(TIMES["date"]),
    "time": lambda values: pl.Series(values, dtype=pl.String).str.to_time(TIMES["time"]),
    "datetime": _moments,
    "moment": lambda values: _moments(values).dt.replace_time_zone("UTC"),
    "nanoseconds": _durations,
    "decimal": _decimals,
    "bytes": lambda values: pl.Series([bytes.fromhex(value) for value in values], dtype=pl.Binary),
}
