"""Types inside of types: members of structs and maps, items of lists and arrays."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import narwhals as nw
import polars as pl


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
