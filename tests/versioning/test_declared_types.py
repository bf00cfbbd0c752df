"""Which types of columns fit which annotations: the table of `docs/declared-columns.md`, on all types of Polars."""

import dataclasses
import enum
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional
from uuid import UUID

import narwhals as nw
import polars as pl
from pydantic import AwareDatetime, BaseModel, Field, Json, PositiveInt, create_model
from typing_extensions import Required, TypedDict

from metaxy.definitions.declared import DeclaredColumn, ExactTypes, declared_columns
from metaxy.definitions.definition import _names_and_types, _WithoutDefaults
from metaxy.versioning.declared_types import allowed_values, misfit


class Size(enum.Enum):
    S = "s"
    L = "l"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Day(enum.Enum):
    FIRST = date(2024, 1, 1)


class Mixed(enum.Enum):
    A = "a"
    B = 2


class Box(BaseModel):
    x: int
    label: str | None = None


class Tree(BaseModel):
    children: list["Tree"] = []


class Part(TypedDict, total=False):
    x: Required[int]


@dataclasses.dataclass
class Point:
    x: int


class Pair(NamedTuple):
    x: int
    y: str


TYPES: dict[str, Any] = {
    "Boolean": pl.Boolean(),
    "Int8": pl.Int8(),
    "UInt64": pl.UInt64(),
    "Int128": pl.Int128(),
    "Float32": pl.Float32(),
    "Float64": pl.Float64(),
    "Decimal(20, 0)": pl.Decimal(20, 0),
    "Decimal(10, 2)": pl.Decimal(10, 2),
    "String": pl.String(),
    "Categorical": pl.Categorical(),
    "Enum": pl.Enum(["s"]),
    "Binary": pl.Binary(),
    "Date": pl.Date(),
    "Datetime": pl.Datetime("ms"),
    "Datetime UTC": pl.Datetime("us", "UTC"),
    "Time": pl.Time(),
    "Duration": pl.Duration("ns"),
    "List(Int64)": pl.List(pl.Int64()),
    "Array(Float32)": pl.Array(pl.Float32(), 2),
    "List(String)": pl.List(pl.String()),
    "List(Null)": pl.List(pl.Null()),
    "Struct(x)": pl.Struct({"x": pl.Int64()}),
    "Struct(y)": pl.Struct({"y": pl.Int64()}),
    "Struct(x: String)": pl.Struct({"x": pl.String()}),
    "Map(Int64)": pl.Map(pl.String(), pl.Int64()),
    "entries": pl.List(pl.Struct({"key": pl.String(), "value": pl.Int64()})),
    "List(Struct(x))": pl.List(pl.Struct({"x": pl.Int64()})),
}
ANYTHING = tuple(TYPES)
INTEGERS = ("Int8", "UInt64", "Int128", "Decimal(20, 0)")
TEXTS = ("String", "Categorical", "Enum")
NUMBERS = ("Int8", "UInt64", "Int128", "Float32", "Float64")
OF_X = ("Struct(x)", "Map(Int64)", "entries")
FITS: list[tuple[Any, Sequence[str]]] = [
    (bool, ["Boolean"]),
    (int, INTEGERS),
    (PositiveInt, INTEGERS),
    (Annotated[int, "anything"], INTEGERS),
    (float, NUMBERS),
    (Decimal, [*INTEGERS, "Decimal(10, 2)"]),
    (str, TEXTS),
    (UUID, TEXTS),
    (Path, TEXTS),
    (Json, TEXTS),
    (Size, TEXTS),
    (Literal["s", "m"], TEXTS),
    (Level, INTEGERS),
    (Literal[1, 2], INTEGERS),
    (Mixed, [*INTEGERS, *TEXTS]),
    (Literal[True], ["Boolean"]),
    (bytes, ["Binary"]),
    (date, ["Date"]),
    (datetime, ["Datetime", "Datetime UTC"]),
    (AwareDatetime, ["Datetime", "Datetime UTC"]),
    (time, ["Time"]),
    (timedelta, ["Duration"]),
    (list[int], ["List(Int64)", "List(Null)"]),
    (set[int], ["List(Int64)", "List(Null)"]),
    (tuple[float, ...], ["List(Int64)", "List(Null)", "Array(Float32)"]),
    (tuple[float, float], ["List(Int64)", "List(Null)", "Array(Float32)"]),
    (Sequence[str], ["List(String)", "List(Null)"]),
    (list, ["List(Int64)", "List(Null)", "Array(Float32)", "List(String)", "entries", "List(Struct(x))"]),
    (list[Box], ["List(Struct(x))", "List(Null)"]),
    (dict[str, int], ["Struct(x)", "Struct(y)", "Map(Int64)", "entries"]),
    (dict, ["Struct(x)", "Struct(y)", "Struct(x: String)", "Map(Int64)", "entries"]),
    (Box, ["Struct(x)"]),
    (Part, OF_X),
    (Point, OF_X),
    (Tree, ["Struct(x)", "Struct(y)", "Struct(x: String)"]),
    (int | str | None, [*INTEGERS, *TEXTS]),
    (Optional[list[int]], ["List(Int64)", "List(Null)"]),
    (Any, ANYTHING),
    (object, ANYTHING),
    (tuple[int, str], ANYTHING),
    (Pair, ANYTHING),
    (Day, ANYTHING),
]


def columns(*, recorded: bool = False) -> tuple[DeclaredColumn, ...]:
    """Declare a column for each annotation; ``recorded``: as a store or a lock file knows them."""
    declared: Any = {f"c{n}": (annotation, ...) for n, (annotation, _) in enumerate(FITS)}
    model = create_model("All", **declared)
    if recorded:
        return declared_columns(_names_and_types(model.model_json_schema(schema_generator=_WithoutDefaults)), {})
    return declared_columns(model.model_json_schema(by_alias=False, schema_generator=ExactTypes), model.model_fields)


def fitting(column: DeclaredColumn) -> list[str]:
    types = nw.from_native(pl.DataFrame(schema=TYPES)).schema
    return [name for name, dtype in types.items() if misfit("c", column.annotation, dtype) is None]


def test_the_types_that_fit_each_annotation() -> None:
    found = {str(annotation): fitting(column) for (annotation, _), column in zip(FITS, columns(), strict=True)}
    assert found == {str(annotation): [name for name in TYPES if name in types] for annotation, types in FITS}


def test_what_is_recorded_tells_the_same_but_for_decimals_and_days() -> None:
    inexact = {n for n, (annotation, _) in enumerate(FITS) if annotation in (Decimal, Day)}
    exact, recorded = columns(), columns(recorded=True)
    assert {n for n in range(len(FITS)) if fitting(exact[n]) != fitting(recorded[n])} == inexact
    [decimal] = [recorded[n] for n, (annotation, _) in enumerate(FITS) if annotation is Decimal]
    assert set(fitting(decimal)) == {*NUMBERS, *TEXTS, "Decimal(20, 0)", "Decimal(10, 2)"}


def test_values_are_asked_for_only_where_a_type_cannot_tell() -> None:
    by_annotation = {
        str(annotation): column.annotation for (annotation, _), column in zip(FITS, columns(), strict=True)
    }
    size, mixed = by_annotation[str(Size)], by_annotation[str(Mixed)]
    assert allowed_values(size, nw.String()) == ("s", "l")
    assert allowed_values(size, nw.Enum(["l", "s"])) is None
    assert allowed_values(size, nw.Enum(["l", "m"])) == ("s", "l")
    assert (allowed_values(mixed, nw.String()), allowed_values(mixed, nw.Int8())) == (("a",), (2,))
    assert allowed_values(by_annotation[str(int | str | None)], nw.String()) is None


def test_the_innermost_misfit_is_named() -> None:
    class Frame(BaseModel):
        boxes: list[Box]
        sizes: dict[str, float] = Field(default_factory=dict)

    [column] = declared_columns(
        create_model("M", frame=(Frame, ...)).model_json_schema(schema_generator=ExactTypes), {}
    )
    boxes = nw.List(nw.Struct({"x": nw.String()}))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"boxes": boxes}, "'frame.boxes[].x' is String, not int"),
        ({"boxes": nw.List(nw.Struct({"label": nw.String()}))}, "'frame.boxes[].x' is missing (int)"),
        ({"sizes": nw.Struct({"a": nw.Date()})}, "'frame.boxes' is missing (list[Box])"),
        (
            {"boxes": nw.List(nw.Unknown()), "sizes": nw.Map(nw.String(), nw.Date())},
            "'frame.sizes.*' is Date, not float",
        ),
    ]
    for given, text in cases:
        assert str(misfit("frame", column.annotation, nw.Struct(given))) == text
    assert str(misfit("frame", column.annotation, nw.String())) == "'frame' is String, not Frame"
