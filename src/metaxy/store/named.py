"""Rows that a caller names by a frame: by their IDs and, where it has them, by the times of their writes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_UPDATED_AT
from metaxy.errors import MetadataSchemaError
from metaxy.store.given import given_frame
from metaxy.versioning.column_types import Types
from metaxy.versioning.engine import Engine
from metaxy.versioning.frames import Frame, collect_to_polars, is_in_database
from metaxy.versioning.key_types import check_same_type, meeting_type, refuse_nested_ids
from metaxy.wording import did_you_mean, first_line


@dataclass(frozen=True)
class NamedRows:
    """Rows of a table that a caller names, where the engine computes: each once, and never with a NULL.

    Columns: IDs, and ``metaxy_updated_at`` where ``frame`` has it: then the row that was written at this time is meant.
    """

    frame: nw.LazyFrame[Any]
    ids: tuple[str, ...]

    @property
    def samples(self) -> nw.LazyFrame[Any]:
        """The IDs alone."""
        return self.frame.select(*self.ids)

    @property
    def are_writes(self) -> bool:
        """Whether rows are named, and not only their samples."""
        return METAXY_UPDATED_AT in self.frame.columns


def named_rows(engine: Engine, given: Any, ids: Sequence[str], types: Types, what: str) -> NamedRows:
    """Check a frame that names rows of a table, and bring it to where the engine computes.

    Columns in: all IDs, any others. ``types`` are those of the table.

    Raises:
        MetadataSchemaError: if IDs are missing, NULL, or of types that cannot be equal to those of the table.
    """
    frame = given_frame(given, what, collect=True)
    if isinstance(frame, nw.DataFrame) and not len(frame):  # whatever is wrong with it, it names nothing
        nothing = pl.DataFrame(schema={name: nw.Schema(types).to_polars()[name] for name in ids})
        return NamedRows(engine.take(nw.from_native(nothing)), tuple(ids))
    schema = frame.collect_schema()
    for name in ids:
        if name not in schema:
            raise MetadataSchemaError(
                f"{what} lack ID column {name!r}.{did_you_mean(name, schema)} They have: {', '.join(schema)}"
            )
    columns = [*ids, *([METAXY_UPDATED_AT] if METAXY_UPDATED_AT in schema and METAXY_UPDATED_AT in types else [])]
    return NamedRows(engine.take(as_names(frame, columns, types, what)), tuple(ids))


def given_ids(given: Any, ids: Sequence[str], what: str) -> Frame:
    """Return the IDs by which a caller chooses samples: those columns of a frame, or a list where there is one.

    Raises:
        MetadataSchemaError: if the frame has none of the IDs, or a list is given where there are several.
    """
    values = nw.from_native(given, allow_series=True, pass_through=True)
    if isinstance(values, (str, bytes)):
        raise MetadataSchemaError(
            f"{what} are a {type(values).__name__}, which is no dataframe; pass a list, [{values!r}], or one"
        )
    if isinstance(values, (list, tuple, set, frozenset, nw.Series)):
        if len(ids) > 1:
            raise MetadataSchemaError(f"{what} are a list, but samples have several: {', '.join(ids)}; pass a frame")
        given = _column(ids[0], values, what)
    frame = given_frame(given, what, collect=True)
    if isinstance(frame, nw.DataFrame) and not len(frame):  # whatever is wrong with it, it names nothing
        return nw.from_native(pl.DataFrame(schema=dict.fromkeys(ids, pl.Null)))
    known = [name for name in ids if name in frame.columns]
    if not known:
        near = did_you_mean(ids[0], frame.columns)
        raise MetadataSchemaError(
            f"{what} lack ID column{'s' * (len(ids) > 1)} {', '.join(map(repr, ids))}.{near} They have: "
            f"{', '.join(frame.columns)}"
        )
    return frame.select(*known)


def _column(name: str, values: Any, what: str) -> pl.DataFrame:
    """Make a frame of a list of IDs."""
    if isinstance(values, nw.Series):
        return values.to_polars().rename(name).to_frame()
    try:
        return pl.DataFrame({name: list(values)})
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise MetadataSchemaError(f"{what} are no list of values of one type: {first_line(error)}") from error


def as_names(frame: Frame, columns: Sequence[str], types: Types, what: str) -> Frame:
    """Return some columns of a frame, each row once, as values of these types; rows that none can equal are left out.

    Raises:
        MetadataSchemaError: if a column holds NULL, or values that are never equal to those of its type.
    """
    names = with_types(frame, columns, types, what)
    if isinstance(names, nw.DataFrame):
        each: Frame = nw.from_native(names.to_native().unique(maintain_order=True))
        return each
    return names.unique()


def with_types(frame: Frame, columns: Sequence[str], types: Types, what: str) -> Frame:
    """Return the same with rows as often as they are given, which costs a fraction of it."""
    schema = frame.collect_schema()
    refuse_nested_ids(what, columns, schema)
    names = frame.select(*columns)
    same = all(schema[name] == types[name] for name in columns)
    if not is_in_database(names) or not same:
        names = nw.from_native(collect_to_polars(names))
    _refuse_nulls(names, columns, what)
    for name in columns:
        check_same_type(what, name, schema[name], types[name])
    if isinstance(names, nw.DataFrame):
        return nw.from_native(narrowed(names.to_native(), nw.Schema(types).to_polars()))
    return names


def _refuse_nulls(names: Frame, columns: Iterable[str], what: str) -> None:
    counts = collect_to_polars(names.select(nw.col(name).is_null().sum() for name in columns)).row(0, named=True)
    for name, count in counts.items():
        if count:
            raise MetadataSchemaError(f"{what}: column {name!r} is NULL in {count} rows; leave these rows out")


def narrowed(names: pl.DataFrame, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Give values the types of a table; one that has no equal there names no row of it."""
    for name in types.keys() & names.columns:
        given = names.schema[name]
        wanted = pl.String() if isinstance(types[name], (pl.Enum, pl.Categorical)) else types[name]
        if given != wanted and not isinstance(wanted, pl.Unknown):
            both = meeting_type(given, wanted)
            narrow = pl.col(name).cast(wanted, strict=False)
            exact = narrow.cast(both, strict=False) == pl.col(name).cast(both, strict=False)
            names = names.filter(exact).with_columns(narrow)
    return names
