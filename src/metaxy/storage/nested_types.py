"""Types inside of types: members of structs and maps, items of lists and arrays."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import narwhals as nw
import polars as pl

Path = tuple[str, ...]  # from a column inwards
ELEMENT, VALUE = "element", "value"  # in paths, what is inside of a list or a map
NOTHING = "metaxy_nothing"  # the member of a struct that stands in for one without members


def parts_of(dtype: Any) -> Iterator[nw.dtypes.DType]:
    """Yield a Narwhals type and all types inside of it.

    >>> [type(part).__name__ for part in parts_of(nw.List(nw.Struct({"seconds": nw.Duration()})))]
    ['List', 'Struct', 'Duration']
    """
    yield dtype() if isinstance(dtype, type) else dtype
    if isinstance(dtype, nw.Struct):
        inner = [member.dtype for member in dtype.fields]
    elif isinstance(dtype, nw.Map):
        inner = [dtype.key, dtype.value]
    else:
        inner = [dtype.inner] if isinstance(dtype, (nw.List, nw.Array)) else []
    for part in inner:
        yield from parts_of(part)


def first_with(
    schema: Mapping[str, nw.dtypes.DType], kinds: tuple[type[nw.dtypes.DType], ...]
) -> tuple[str, nw.dtypes.DType] | None:
    """Return the first column of a schema that is of one of some types, or has it inside; None if there is none.

    >>> first_with({"id": nw.String(), "seconds": nw.List(nw.Duration())}, (nw.Duration,))
    ('seconds', List(Duration(time_unit='us')))
    """
    found = (column for column in schema.items() if any(isinstance(part, kinds) for part in parts_of(column[1])))
    return next(found, None)


def is_untyped(dtype: Any) -> bool:
    """Return whether a type, or a part of it, says nothing, as no value has told which type it is.

    >>> is_untyped(nw.List(nw.Unknown())), is_untyped(nw.Struct({})), is_untyped(nw.List(nw.Int8()))
    (True, True, False)
    """
    return any(isinstance(part, nw.Unknown) or part == nw.Struct({}) for part in parts_of(dtype))


def typed(dtype: Any, known: Any = None) -> Any:
    """Return a type whose parts that say nothing are those of a known type, or left out; None if nothing stays.

    >>> typed(nw.List(nw.Unknown()), nw.List(nw.String())), typed(nw.List(nw.Unknown()))
    (List(String), None)
    >>> typed(nw.Struct({"a": nw.Int8(), "b": nw.Unknown()}))
    Struct({'a': Int8})
    """
    if isinstance(dtype, nw.Unknown):
        return known
    if isinstance(dtype, nw.Struct):
        return _typed_struct(dtype, known)
    if isinstance(dtype, (nw.List, nw.Array)):
        if known is not None and not isinstance(known, (nw.List, nw.Array)):
            return dtype
        inner = typed(dtype.inner, known and known.inner)
        return inner and (nw.List(inner) if isinstance(dtype, nw.List) else nw.Array(inner, dtype.size))
    if isinstance(dtype, nw.Map):
        if known is not None and not isinstance(known, nw.Map):
            return dtype
        key, value = typed(dtype.key, known and known.key), typed(dtype.value, known and known.value)
        return key and value and nw.Map(key, value)
    return dtype


def _typed_struct(dtype: nw.Struct, known: Any) -> Any:
    if known is not None and not isinstance(known, (nw.Struct, nw.Map)):
        return dtype
    others = {m.name: m.dtype for m in known.fields} if isinstance(known, nw.Struct) else {}
    if isinstance(known, nw.Map):
        others = {m.name: known.value for m in dtype.fields}
    members = {m.name: typed(m.dtype, others.get(m.name)) for m in dtype.fields}
    kept = {name: member for name, member in members.items() if member is not None}
    return nw.Struct(kept) if kept else known


def with_leaves(dtype: Any, stored: Callable[[pl.DataType], pl.DataType]) -> pl.DataType:
    """Return a Polars type with other types in place of its flat ones, and with lists in place of arrays.

    >>> with_leaves(pl.Array(pl.UInt8, 2), lambda dtype: pl.Int32())
    List(Int32)
    """
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: with_leaves(field.dtype, stored) for field in dtype.fields})
    if isinstance(dtype, pl.Map):
        return pl.Map(with_leaves(dtype.key, stored), with_leaves(dtype.value, stored))
    if isinstance(dtype, (pl.List, pl.Array)):
        return pl.List(with_leaves(dtype.inner, stored))
    return stored(dtype() if isinstance(dtype, type) else dtype)


# -- types that gain members -------------------------------------------------------------------------------------------


def grown(known: Any, given: Any) -> Any:
    """Return a known type with the members that another one has besides; all else stays.

    >>> grown(nw.List(nw.Struct({"a": nw.Int8()})), nw.List(nw.Struct({"b": nw.String()})))
    List(Struct({'a': Int8, 'b': String}))
    """
    if isinstance(known, nw.Struct) and isinstance(given, nw.Struct):
        own = {member.name: member.dtype for member in known.fields}
        others = {m.name: grown(own[m.name], m.dtype) if m.name in own else m.dtype for m in given.fields}
        return nw.Struct(own | others)
    if isinstance(known, nw.List) and isinstance(given, (nw.List, nw.Array)):
        return nw.List(grown(known.inner, given.inner))
    if isinstance(known, nw.Map) and isinstance(given, nw.Map):
        return nw.Map(known.key, grown(known.value, given.value))
    return known


def grows_inside(known: Any, given: Any) -> bool:
    """Return whether a known type gains members inside of lists or maps, where formats of files cannot add any.

    >>> one, two = nw.Struct({"a": nw.Int8()}), nw.Struct({"a": nw.Int8(), "b": nw.Int8()})
    >>> grows_inside(one, two), grows_inside(nw.List(one), nw.List(two))
    (False, True)
    """
    if isinstance(known, nw.Struct) and isinstance(given, nw.Struct):
        own = {member.name: member.dtype for member in known.fields}
        return any(grows_inside(own[member.name], member.dtype) for member in given.fields if member.name in own)
    return bool(grown(known, given) != known)


def new_members(path: Path, known: Any, given: Any) -> Iterator[tuple[Path, Any, tuple[str, ...]]]:
    """Yield the members with which a known type grows: the way to each, its type, and the members beside it.

    >>> [*new_members(("boxes",), nw.List(nw.Struct({"x": nw.Int8()})), nw.List(nw.Struct({"y": nw.Int8()})))]
    [(('boxes', 'element', 'y'), Int8, ('x',))]
    """
    if isinstance(known, nw.Struct) and isinstance(given, nw.Struct):
        own = {member.name: member.dtype for member in known.fields}
        for member in given.fields:
            place = (*path, member.name)
            if member.name in own:
                yield from new_members(place, own[member.name], member.dtype)
            else:
                yield place, member.dtype, tuple(own)
    elif isinstance(known, nw.List) and isinstance(given, (nw.List, nw.Array)):
        yield from new_members((*path, ELEMENT), known.inner, given.inner)
    elif isinstance(known, nw.Map) and isinstance(given, nw.Map):
        yield from new_members((*path, VALUE), known.value, given.value)


# -- types that say nothing, for engines that have none ----------------------------------------------------------------


def placeholder(dtype: Any) -> pl.DataType:
    """Return a Polars type with text in place of parts that say nothing.

    >>> placeholder(pl.List(pl.Null())), placeholder(pl.Struct({}))
    (List(String), Struct({'metaxy_nothing': String}))
    """
    if isinstance(dtype, pl.Struct):
        return pl.Struct({f.name: placeholder(f.dtype) for f in dtype.fields} or {NOTHING: pl.String()})
    if isinstance(dtype, pl.Map):
        return pl.Map(placeholder(dtype.key), placeholder(dtype.value))
    if isinstance(dtype, pl.List):
        return pl.List(placeholder(dtype.inner))
    if isinstance(dtype, pl.Array):
        return pl.Array(placeholder(dtype.inner), dtype.size)
    return pl.String() if isinstance(dtype, pl.Null) else dtype


def restored(value: pl.Expr, dtype: Any) -> pl.Expr:
    """Turn a value of the type that stands in for another one back: a cast does not reach into lists."""
    if isinstance(dtype, pl.Null):
        return pl.lit(None)
    if placeholder(dtype) == dtype:
        return value
    if isinstance(dtype, pl.List):
        return value.list.eval(restored(pl.element(), dtype.inner))
    if isinstance(dtype, pl.Array):
        return restored(value.cast(pl.List(placeholder(dtype.inner))), pl.List(dtype.inner)).list.to_array(dtype.size)
    if isinstance(dtype, pl.Map):
        entries = pl.List(pl.Struct({"key": dtype.key, "value": dtype.value}))
        return restored(value.cast(placeholder(entries)), entries).cast(dtype)
    members = [restored(value.struct.field(f.name), f.dtype).alias(f.name) for f in dtype.fields]
    return pl.when(value.is_not_null()).then(pl.struct(members)) if members else value.cast(dtype)
