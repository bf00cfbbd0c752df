"""Schema evolution: how the columns of a frame fit those of its table: equal, cast without loss, new, or refused."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw

from metaxy.columns import is_system_column
from metaxy.errors import MetadataSchemaError
from metaxy.storage.nested_types import grown, new_members, typed
from metaxy.storage.port import NewMember, SchemaEvolution
from metaxy.versioning.codec import ByField

Schema = Mapping[str, nw.dtypes.DType]
Types = tuple[nw.dtypes.DType, nw.dtypes.DType]


TEXT = (nw.String, nw.Enum, nw.Categorical)
FLOATS = (nw.Float16, nw.Float32, nw.Float64)
UNITS = ("s", "ms", "us", "ns")
LONGEST_EXAMPLE = 80


@dataclass(frozen=True)
class Fit:
    """What has to happen so that rows fit a table: columns to cast, columns and struct members to add.

    ``casts`` are the types that columns get. ``tried`` are those of the casts that lose nothing only if the values are
    small or round enough, ``refused`` those that lose something whatever the values are: the types of the rows, and
    those of the table.
    """

    casts: Schema = field(default_factory=dict)
    tried: Mapping[str, Types] = field(default_factory=dict)
    refused: Mapping[str, Types] = field(default_factory=dict)
    new_columns: tuple[str, ...] = ()
    new_members: tuple[NewMember, ...] = ()

    @property
    def growing(self) -> frozenset[str]:
        """Columns whose type in the table is not yet the one that rows get."""
        return frozenset(member.path[0] for member in self.new_members)


def is_lossless(source: Any, target: Any) -> bool:
    """Return whether every value of one Narwhals type can be stored as another without loss.

    >>> is_lossless(nw.Int32(), nw.Int64()), is_lossless(nw.Int64(), nw.Int32()), is_lossless(nw.Int64(), nw.String())
    (True, False, False)
    """
    if source == target or isinstance(source, nw.Unknown) or isinstance(target, nw.Unknown):
        return True
    if source.is_numeric():
        return target.is_numeric() and _number_fits(source, target)
    if isinstance(source, TEXT):
        return isinstance(target, TEXT)
    if isinstance(source, nw.Date):
        return isinstance(target, nw.Datetime) and target.time_zone is None
    if isinstance(source, (nw.Datetime, nw.Duration)) and type(source) is type(target):
        return _is_same_kind_of_time(source, target) and UNITS.index(source.time_unit) <= UNITS.index(target.time_unit)
    if isinstance(target, nw.Array) and getattr(source, "size", None) != target.size:
        return False
    return _members_fit(source, target, is_lossless)


def common_type(left: Any, right: Any) -> Any:
    """Return a type that holds every value of two types without loss, None if there is none.

    >>> common_type(nw.Int32(), nw.UInt32()), common_type(nw.Int64(), nw.String())
    (Int64, None)
    """
    if left == right or isinstance(right, nw.Unknown):
        return left
    if isinstance(left, nw.Unknown):
        return right
    both = (typed(left, right) or right, typed(right, left) or left)
    wider: list[Any] = [nw.String()] if all(isinstance(dtype, TEXT) for dtype in both) else []
    wider += [grown(*both), grown(*both[::-1])]
    wider += [nw.Int16(), nw.Int32(), nw.Int64()] if all(dtype.is_integer() for dtype in both) else []
    return next((dtype for dtype in wider if all(is_lossless(one, dtype) for one in both)), None)


def is_map_of(source: nw.dtypes.DType, target: nw.dtypes.DType) -> bool:
    """Return whether a map can hold the members of a struct without loss.

    >>> is_map_of(nw.Struct({"left": nw.Int8()}), nw.Map(nw.String(), nw.Int64()))
    True
    """
    if not (isinstance(source, nw.Struct) and isinstance(target, nw.Map) and isinstance(target.key, nw.String)):
        return False
    return all(is_lossless(member.dtype, target.value) for member in source.fields)


def may_fit(source: nw.dtypes.DType, target: nw.dtypes.DType) -> bool:
    """Return whether some values can be stored as the other type, which is found out by trying.

    >>> may_fit(nw.Int64(), nw.Int32()), may_fit(nw.Float64(), nw.Int64())
    (True, False)
    """
    if source.is_integer():
        return target.is_integer() or isinstance(target, (nw.Float64, nw.Decimal))
    if isinstance(source, nw.Decimal) and not source.scale:  # as which some databases keep large integers
        return target.is_integer()
    if isinstance(source, nw.Datetime):
        return isinstance(target, nw.Datetime) and _is_same_kind_of_time(source, target)
    return _members_fit(source, target, lambda *types: is_lossless(*types) or may_fit(*types))


def _as_moments(name: str, source: nw.dtypes.DType, target: nw.dtypes.DType) -> Types:
    """Return the types of a column such that times of ours compare: they are UTC, whatever their table says."""
    if is_system_column(name) and isinstance(source, nw.Datetime) and isinstance(target, nw.Datetime):
        return nw.Datetime(source.time_unit, target.time_zone), target
    return source, target


def _is_same_kind_of_time(source: Any, target: Any) -> bool:
    """Return whether both types have a time zone, or none: what has none may be any moment of 26 hours."""
    return isinstance(source, nw.Duration) or (source.time_zone is None) == (target.time_zone is None)


def _number_fits(source: nw.dtypes.DType, target: nw.dtypes.DType) -> bool:
    if source.is_float():
        return type(target) in FLOATS[FLOATS.index(type(source)) :]
    whole, fraction = _digits(source)
    if target.is_float():
        return isinstance(target, nw.Float64) and whole + fraction <= 15 and not fraction
    room, fine = _digits(target)
    loses_sign = target.is_unsigned_integer() and not source.is_unsigned_integer()
    return not loses_sign and whole <= room - target.is_integer() and fraction <= fine


def _digits(dtype: nw.dtypes.DType) -> tuple[int, int]:
    """Count the digits of a type's largest value, before and after the point."""
    if isinstance(dtype, nw.Decimal):
        return dtype.precision - dtype.scale, dtype.scale
    bits = int(str(dtype).lstrip("UInt")) - dtype.is_signed_integer()
    return len(str(2**bits)), 0


def _members_fit(source: Any, target: Any, fits: Callable[[Any, Any], bool]) -> bool:
    if isinstance(source, nw.Struct) and isinstance(target, nw.Struct):
        known = {member.name: member.dtype for member in target.fields}
        return all(m.name in known and fits(m.dtype, known[m.name]) for m in source.fields)
    if isinstance(source, nw.Map) and isinstance(target, nw.Map):
        return fits(source.key, target.key) and fits(source.value, target.value)
    arrays = (nw.List, nw.Array)
    return isinstance(source, arrays) and isinstance(target, arrays) and fits(source.inner, target.inner)


def fit_columns(
    feature: str,
    frame: Schema,
    table: Schema,
    by_field: Mapping[str, ByField],
    members: Iterable[str],
    evolution: SchemaEvolution,
    *,
    structs_as_maps: bool = False,
) -> Fit:
    """Compare a frame's columns (user columns, and system columns that must exist) with those of its table.

    Raises:
        MetadataSchemaError: if names differ only by case, or the table may not grow.
    """
    lower = {name.lower(): name for name in table}
    for name in frame:
        if name not in table and name.lower() in lower:
            raise MetadataSchemaError(
                f"{feature}: column {name!r} differs only by case from {lower[name.lower()]!r} of its table; rename it"
            )
    typed = {name: dtype for name, dtype in table.items() if not isinstance(dtype, nw.Unknown)}
    different = {name: (dtype, typed[name]) for name, dtype in frame.items() if name in typed and dtype != typed[name]}
    casts = {name: grown(known, given) for name, (given, known) in different.items()}
    doubtful = {
        name: types
        for name, types in different.items()
        if not is_lossless(*_as_moments(name, types[0], casts[name])) and not (structs_as_maps and is_map_of(*types))
    }
    tried = {name: types for name, types in doubtful.items() if may_fit(*_as_moments(name, types[0], casts[name]))}
    refused = {name: types for name, types in doubtful.items() if name not in tried}
    new_columns = tuple(name for name in frame if name not in table)
    added = tuple(_added(feature, different, by_field, list(members)))
    if evolution == "strict" and (new_columns or added):
        _refuse(feature, frame, new_columns, added)
    return Fit(casts, tried, refused, new_columns, added)


def _added(
    feature: str, different: Mapping[str, Types], by_field: Mapping[str, ByField], members: Sequence[str]
) -> Iterator[NewMember]:
    for column, form in by_field.items():
        lacking = [m for m in members if form.form == "struct" and m not in form.members]
        yield from (NewMember((column, member), nw.String()) for member in lacking)
    for name, (given, known) in different.items():
        for path, dtype, siblings in new_members((name,), known, given):
            twin = next((sibling for sibling in siblings if sibling.lower() == path[-1].lower()), None)
            if twin is not None:
                raise MetadataSchemaError(
                    f"{feature}: {'.'.join(path)!r} differs only by case from {twin!r} of its table; rename it"
                )
            yield NewMember(path, dtype)


def lossy(
    feature: str, column: str, source: nw.dtypes.DType, target: nw.dtypes.DType, example: Any = None
) -> MetadataSchemaError:
    """Build the error for a column that does not fit its table, with a value that would change if there is one."""
    shown = repr(example) if example is not None else ""
    short = shown if len(shown) <= LONGEST_EXAMPLE else f"{shown[:LONGEST_EXAMPLE]}…"
    return MetadataSchemaError(
        f"{feature}: column {column!r} is {source} but its table has {target}; storing it changes values"
        f"{f', for example {short}' if short else ''}: cast the column, or rename it"
    )


def _refuse(feature: str, frame: Schema, columns: tuple[str, ...], members: tuple[NewMember, ...]) -> None:
    lacking = [*columns, *(".".join(member.path) for member in members)]
    added = [f'ADD COLUMN "{name}" {frame[name]}' for name in columns]
    quoted = (".".join(f'"{part}"' for part in member.path) for member in members)
    added += [f"ADD COLUMN {path} {member.dtype}" for path, member in zip(quoted, members, strict=True)]
    raise MetadataSchemaError(
        f"{feature}: its table lacks {', '.join(map(repr, lacking))}; "
        f'set schema_evolution = "add", or run: ALTER TABLE … {", ".join(added)}'
    )
