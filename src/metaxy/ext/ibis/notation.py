"""Types of columns as text, which a database keeps where a type of its own does not say what a column holds.

Flat types are written as Ibis does, all else as JSON, as members of structs may have any name: a struct is an object, a
list an array of one type, a map an array of two.
"""

import json
from typing import Any

import ibis
import narwhals as nw

from metaxy.ext.ibis.compiling import ibis_type, narwhals_types


def written_type(dtype: Any) -> str:
    r"""Write a type, in ASCII and without line breaks.

    >>> written_type(nw.Struct({"content-type": nw.List(nw.String()), "é\n": nw.Map(nw.String(), nw.Int8())}))
    '{"content-type": ["string"], "\\u00e9\\n": ["string", "int8"]}'
    >>> written_type(nw.Datetime("us", "UTC"))
    "timestamp('UTC', 6)"
    """
    described = _described(dtype)
    return described if isinstance(described, str) else json.dumps(described)


def read_type(text: str) -> nw.dtypes.DType:
    """Read a type, also nested ones in the words of Ibis, as tables of earlier days have them.

    Raises:
        ValueError: if it is no type that we have written.

    >>> read_type('{"a b": ["int64"]}'), read_type("struct<ab: array<int64>>")
    (Struct({'a b': List(Int64)}), Struct({'ab': List(Int64)}))
    """
    dtype: nw.dtypes.DType = _read(json.loads(text) if text.startswith(("{", "[")) else text)
    return dtype


def _described(dtype: Any) -> Any:
    if isinstance(dtype, nw.Struct):
        return {member.name: _described(member.dtype) for member in dtype.fields}
    if isinstance(dtype, nw.Map):
        return [_described(dtype.key), _described(dtype.value)]
    if isinstance(dtype, (nw.List, nw.Array)):
        return [_described(dtype.inner)]
    return str(ibis_type(dtype))


def _read(described: Any) -> Any:
    if isinstance(described, dict):
        return nw.Struct({name: _read(inner) for name, inner in described.items()})
    if isinstance(described, list):
        inner = [_read(part) for part in described]
        return nw.List(inner[0]) if len(inner) == 1 else nw.Map(*inner)
    try:
        return narwhals_types(ibis.schema({"c": described}))["c"]
    except Exception as error:  # Ibis lets through what its parser raises
        raise ValueError(f"{described!r} is no type") from error
