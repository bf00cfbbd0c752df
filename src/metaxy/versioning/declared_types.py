"""Which types of columns fit which annotations, and what only the values of a column can tell.

`docs/declared-columns.md` has the table.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import narwhals as nw

from metaxy.definitions.declared import Annotation, Kind, KindName, Value

INTEGER_DECIMAL: Final = 0  # the scale of decimals in which databases keep integers that are too large for their own


def _is(*kinds: type[nw.dtypes.DType]) -> Callable[[Any], bool]:
    return lambda dtype: isinstance(dtype, kinds)


def _is_integer(dtype: Any) -> bool:
    return bool(dtype.is_integer()) or (isinstance(dtype, nw.Decimal) and dtype.scale == INTEGER_DECIMAL)


COARSE: Final = ("s", "ms")
MICROSECONDS: Final = "us"  # the unit of Python's own times
_is_text: Final = _is(nw.String, nw.Categorical, nw.Enum)
FLAT: Final[Mapping[KindName, Callable[[Any], bool]]] = {
    "int": _is_integer,
    "float": lambda dtype: bool(dtype.is_integer() or dtype.is_float()),
    "Decimal": lambda dtype: bool(dtype.is_integer()) or isinstance(dtype, nw.Decimal),
    "str": _is_text,
    "UUID": _is_text,
    "Path": _is_text,
    "bool": _is(nw.Boolean),
    "bytes": _is(nw.Binary),
    "date": _is(nw.Date),
    "datetime": _is(nw.Datetime),
    "time": _is(nw.Time),
    "timedelta": _is(nw.Duration),
}


@dataclass(frozen=True)
class Misfit:
    """A column, or a part of it, that is of another type than its annotation, or of none: a member is missing."""

    path: str
    annotation: Annotation
    dtype: Any

    def __str__(self) -> str:
        """Say what does not fit."""
        if self.dtype is None:
            return f"{self.path!r} is missing ({self.annotation})"
        return f"{self.path!r} is {self.dtype}, not {self.annotation}"


def misfit(path: str, annotation: Annotation, dtype: Any) -> Misfit | None:
    """Return the innermost part of a type that does not fit its annotation, None if all of it fits.

    >>> numbers = Annotation((Kind("list", inner=Annotation((Kind("float"),))),))
    >>> str(misfit("scores", numbers, nw.List(nw.String())))
    "'scores[]' is String, not float | None"
    >>> misfit("scores", numbers, nw.List(nw.Int8())) is None
    True
    """
    if _fits(annotation, dtype):
        return None
    if len(annotation.kinds) == 1:
        for place, part, inner in _parts(annotation.kinds[0], dtype):
            found = Misfit(path + place, part, None) if inner is None else misfit(path + place, part, inner)
            if found is not None:
                return found
    return Misfit(path, annotation, dtype)


def allowed_values(annotation: Annotation, dtype: Any) -> tuple[Value, ...] | None:
    """Return the values that a column of a type that fits may have, None if any value of the type will do.

    >>> colour = Annotation((Kind("str", ("red", "blue")),))
    >>> allowed_values(colour, nw.String()), allowed_values(colour, nw.Enum(["red"]))
    (('red', 'blue'), None)
    """
    fitting = [kind for kind in annotation.kinds if _kind_fits(kind, dtype)]
    values = tuple(value for kind in fitting for value in kind.values)
    if not all(kind.values for kind in fitting) or any(isinstance(value, float) for value in values):
        return None
    if isinstance(dtype, nw.Enum) and set(dtype.categories) <= set(values):
        return None
    return values or None


def _fits(annotation: Annotation, dtype: Any) -> bool:
    unknown = not annotation.kinds or isinstance(dtype, (nw.Unknown, nw.Object))
    return unknown or any(_kind_fits(kind, dtype) for kind in annotation.kinds)


def _kind_fits(kind: Kind, dtype: Any) -> bool:
    if kind.name in FLAT:
        return FLAT[kind.name](dtype)
    parts = list(_parts(kind, dtype))
    nested = isinstance(dtype, (nw.List, nw.Array) if kind.name == "list" else (nw.Struct, nw.Map)) or bool(parts)
    return nested and all(inner is not None and _fits(part, inner) for _, part, inner in parts)


def _parts(kind: Kind, dtype: Any) -> Iterator[tuple[str, Annotation, Any]]:
    """Yield the parts of a nested type with their annotations; None is the type of a part that is missing."""
    if kind.name == "list" and isinstance(dtype, (nw.List, nw.Array)):
        yield "[]", kind.inner or Annotation(), dtype.inner
        return
    members = _members(dtype)
    if members is None:
        return
    if kind.name == "dict":
        yield from ((f".{name}", kind.inner or Annotation(), inner) for name, inner in members.items())
    for name, annotation in kind.members if kind.name == "struct" else ():
        inner = members.get(name, members.get(EVERY))
        if inner is not None or name in kind.required:
            yield f".{name}", annotation, inner


EVERY: Final = "*"


def _members(dtype: Any) -> dict[str, Any] | None:
    """Return the types of the members of a struct, or of a map, which Arrow may call a list of keys and values."""
    if isinstance(dtype, nw.Struct):
        return {member.name: member.dtype for member in dtype.fields}
    if isinstance(dtype, nw.Map):
        return {EVERY: dtype.value}
    entry = _members(dtype.inner) if isinstance(dtype, nw.List) and isinstance(dtype.inner, nw.Struct) else None
    return {EVERY: entry["value"]} if entry is not None and entry.keys() == {"key", "value"} else None


PLAIN: Final[Mapping[KindName, nw.dtypes.DType]] = {
    "int": nw.Int64(),
    "float": nw.Float64(),
    "str": nw.String(),
    "UUID": nw.String(),
    "Path": nw.String(),
    "bool": nw.Boolean(),
    "bytes": nw.Binary(),
    "date": nw.Date(),
}


def plain_type(annotation: Annotation) -> Any:
    """Return the type of a column that holds no value yet, None where an annotation leaves open which one it gets.

    Times are left open, as annotations say neither their unit nor whether they have a zone, and so are decimals.

    >>> texts = Annotation((Kind("list", inner=Annotation((Kind("str"),))),))
    >>> plain_type(texts), plain_type(Annotation((Kind("time"),)))
    (List(String), None)
    """
    if len(annotation.kinds) != 1:
        return None
    kind = annotation.kinds[0]
    if kind.name == "list":
        inner = plain_type(kind.inner or Annotation())
        return inner and nw.List(inner)
    return PLAIN.get(kind.name)


def kept_as(annotation: Annotation, dtype: Any) -> Any:
    """Return the type in which a new column is kept: the declared one, where the values may be of a narrower one.

    >>> kept_as(Annotation((Kind("float"),)), nw.Int64()), kept_as(Annotation((Kind("int"),)), nw.Int64())
    (Float64, Int64)
    """
    names = [kind.name for kind in annotation.kinds]
    if names == ["float"] and dtype.is_integer():
        return nw.Float64()
    if names == ["datetime"] and isinstance(dtype, nw.Datetime) and dtype.time_unit in COARSE:
        return nw.Datetime(MICROSECONDS, dtype.time_zone)
    if names == ["timedelta"] and isinstance(dtype, nw.Duration) and dtype.time_unit in COARSE:
        return nw.Duration(MICROSECONDS)
    if names == ["list"] and isinstance(dtype, nw.List):
        return nw.List(kept_as(annotation.kinds[0].inner or Annotation(), dtype.inner))
    return dtype
