"""Columns, and parts of them, that hold no value: no type is decided by no value.

They get the types of their table. What has none there either is not stored until a value says of which type it is.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.columns import BY_FIELD_COLUMNS, METAXY_PROVENANCE_BY_FIELD, is_system_column
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import UntypedColumnWarning, warn_user
from metaxy.storage.nested_types import is_untyped, placeholder, restored, typed
from metaxy.versioning.column_types import Types
from metaxy.versioning.frames import Frame, collect_to_polars, is_in_database


def has_rows(frame: Frame) -> bool:
    """Return whether a frame has any row."""
    return not collect_to_polars(frame.head(1)).is_empty()


def says_nothing(frame: Frame, spec: FeatureSpec) -> bool:
    """Return whether a frame has no rows, and does not even say of which types its IDs and versions would be."""
    schema = frame.collect_schema()
    needed = (*spec.id_columns, METAXY_PROVENANCE_BY_FIELD)
    said = all(name in schema and not is_untyped(schema[name]) for name in needed)
    return not said and not has_rows(frame)


def untyped_columns(frame: Frame, spec: FeatureSpec) -> dict[str, nw.dtypes.DType]:
    """Return the columns, but IDs, that do not say their type, or that of a part."""
    ids = spec.id_columns
    return {n: dtype for n, dtype in frame.collect_schema().items() if is_untyped(dtype) and n not in ids}


def with_known_types(frame: Frame, spec: FeatureSpec, types_of: Callable[[Types], Types]) -> Frame:
    """Give columns that do not say their type the one that they have elsewhere, as in their table.

    Columns in: any. Columns out: the same ones, without those that have no type elsewhere either.
    """
    untyped = untyped_columns(frame, spec)
    if not untyped:
        return frame
    if is_in_database(frame):
        return frame.drop(untyped)  # of a database: each is a NULL
    versions = nw.Struct({f.key.to_struct_key(): nw.String() for f in spec.fields})
    known = {**types_of(untyped), **dict.fromkeys(BY_FIELD_COLUMNS, versions)}
    types = {name: typed(dtype, known.get(name)) for name, dtype in untyped.items()}
    kept = {name: dtype for name, dtype in types.items() if dtype is not None and not isinstance(dtype, nw.Unknown)}
    rows: nw.DataFrame[Any] = nw.from_native(collect_to_polars(frame))
    lost = [name for name in types.keys() - kept.keys() if rows[name].null_count() < len(rows)]
    lost += [part for name, dtype in kept.items() for part in _left_out(name, untyped[name], dtype)]
    if lost:
        _warn_about(spec, sorted(lost))
    return rows.drop(types.keys() - kept.keys()).with_columns(
        nw.col(name).cast(dtype) for name, dtype in kept.items() if dtype != untyped[name]
    )


def with_placeholders(samples: Frame, spec: FeatureSpec) -> tuple[Frame, dict[str, pl.DataType]]:
    """Give columns that do not say their type one that every engine knows; also returns what they were.

    Versions of which nothing is known are left out.
    """
    untyped = untyped_columns(samples, spec)
    if not untyped or is_in_database(samples):
        return samples, {}
    rows = collect_to_polars(samples)
    rows = rows.drop(name for name, dtype in untyped.items() if is_system_column(name) and not dtype.is_nested())
    types = {name: rows.schema[name] for name in untyped if name in rows.schema}
    placed = rows.with_columns(pl.col(name).cast(placeholder(dtype)) for name, dtype in types.items())
    return nw.from_native(placed), {name: dtype for name, dtype in types.items() if not is_system_column(name)}


def without_placeholders(frame: Any, given: Mapping[str, pl.DataType]) -> Any:
    """Give the columns of a result back the types that they had among the samples."""
    columns = [restored(pl.col(name), dtype).alias(name) for name, dtype in given.items() if name in frame.columns]
    if not columns:
        return frame
    if isinstance(frame, nw.LazyFrame):
        return nw.from_native(frame.to_native().with_columns(columns))
    rows = collect_to_polars(frame).with_columns(columns)
    return nw.from_native(rows.to_arrow() if frame.implementation.is_pyarrow() else rows, eager_only=True)


def _left_out(name: str, dtype: Any, kept: Any) -> Iterator[str]:
    """Name the lists and maps inside of a type that the type which is stored lacks."""
    if kept is None:
        if isinstance(dtype, (nw.List, nw.Array, nw.Map)):
            yield name
    elif isinstance(dtype, nw.Struct) and isinstance(kept, nw.Struct):
        members = {member.name: member.dtype for member in kept.fields}
        for member in dtype.fields:
            yield from _left_out(f"{name}.{member.name}", member.dtype, members.get(member.name))
    elif isinstance(dtype, (nw.List, nw.Array)) and isinstance(kept, (nw.List, nw.Array)):
        yield from _left_out(name, dtype.inner, kept.inner)
    elif isinstance(dtype, nw.Map) and isinstance(kept, nw.Map):
        yield from _left_out(name, dtype.value, kept.value)


def _warn_about(spec: FeatureSpec, names: list[str]) -> None:
    message = (
        f"feature {spec.key}: {', '.join(map(repr, names))} hold values, but none that says of which type, and "
        "are stored as NULL; cast them to their type, for example a list of texts"
    )
    warn_user(message, UntypedColumnWarning)
