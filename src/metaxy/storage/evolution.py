"""How the columns of a frame fit the columns of its table: equal, cast without loss, new, or refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import narwhals as nw

from metaxy.errors import MetadataSchemaError
from metaxy.storage.port import SchemaEvolution
from metaxy.versioning.codec import ByField

Schema = Mapping[str, nw.dtypes.DType]


@dataclass(frozen=True)
class Fit:
    """What has to happen so that rows fit a table: columns to cast, columns and struct members to add."""

    casts: frozenset[str] = frozenset()
    new_columns: tuple[str, ...] = ()
    new_members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def is_lossless(source: nw.dtypes.DType, target: nw.dtypes.DType) -> bool:
    """Return whether values of one type can be stored as another without loss; integers are checked when cast.

    >>> is_lossless(nw.Int64(), nw.Int32()), is_lossless(nw.Float64(), nw.Int64()), is_lossless(nw.Int64(), nw.String())
    (True, False, False)
    """
    text = (nw.String, nw.Enum, nw.Categorical)
    if source == target or isinstance(source, nw.Unknown) or isinstance(target, nw.Unknown):
        return True
    if source.is_integer():
        return target.is_integer() or isinstance(target, (nw.Float64, nw.Decimal))
    if source.is_float():
        return isinstance(target, nw.Float64)
    if isinstance(source, text):
        return isinstance(target, text)
    if isinstance(source, (nw.Date, nw.Datetime)):
        return isinstance(target, nw.Datetime)
    return type(source) is type(target)


def fit_columns(
    feature: str,
    frame: Schema,
    table: Schema,
    by_field: Mapping[str, ByField],
    members: Iterable[str],
    evolution: SchemaEvolution,
) -> Fit:
    """Compare a frame's columns (user columns, and system columns that must exist) with those of its table.

    Raises:
        MetadataSchemaError: if a cast would lose something, names differ only by case, or the table may not grow.
    """
    lower = {name.lower(): name for name in table}
    for name in frame:
        if name not in table and name.lower() in lower:
            raise MetadataSchemaError(
                f"{feature}: column {name!r} differs only by case from {lower[name.lower()]!r} of its table; rename it"
            )
    for name, dtype in frame.items():
        if name in table and not is_lossless(dtype, table[name]):
            raise MetadataSchemaError(
                f"{feature}: column {name!r} is {dtype} but its table has {table[name]}; storing it changes values: "
                "cast the column, or rename it"
            )
    casts = frozenset(name for name, dtype in frame.items() if name in table and dtype != table[name])
    new_columns = tuple(name for name in frame if name not in table)
    wanted = list(members)
    new_members = {
        column: tuple(m for m in wanted if m not in form.members)
        for column, form in by_field.items()
        if form.form == "struct" and not set(wanted) <= set(form.members)
    }
    if evolution == "strict" and (new_columns or new_members):
        _refuse(feature, frame, new_columns, new_members)
    return Fit(casts, new_columns, new_members)


def _refuse(feature: str, frame: Schema, columns: tuple[str, ...], members: Mapping[str, tuple[str, ...]]) -> None:
    added = [f'ADD COLUMN "{name}" {frame[name]}' for name in columns]
    added += [f'ADD COLUMN "{column}"."{member}" String' for column, names in members.items() for member in names]
    raise MetadataSchemaError(
        f"{feature}: its table lacks {', '.join(repr(n) for n in (*columns, *sum(members.values(), ())))}; "
        f'set schema_evolution = "add", or run: ALTER TABLE … {", ".join(added)}'
    )
