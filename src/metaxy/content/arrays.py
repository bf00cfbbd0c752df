"""Versions of arrays and tensors, by one canonical form.

An array is written as its type, such as ``f4``, and its shape, such as ``2,3``, each ended by a line, and its values
row by row, the lowest byte first. Every NaN is the same, and so are the two zeros. Texts are written as their length, a
colon, and themselves in UTF-8.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from metaxy.content.frames import OnError, Outcome, check_on_error, listed, result_frame
from metaxy.content.rounding import check_decimals, recipe_name, rounded_array
from metaxy.content.running import check_workers, in_threads
from metaxy.errors import ContentError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

STEP: Final = 1 << 18  # values that are brought into their form at once
_TABULAR: Final = frozenset({"polars", "pandas", "pyarrow", "narwhals"})
_KINDS: Final = frozenset("biufcMmUS")  # whose values are themselves, and no addresses or fields


def hash_arrays(
    arrays: Iterable[Any], *, decimals: int | None = None, workers: int | None = None, on_error: OnError = "record"
) -> pl.DataFrame:
    """Hash arrays of NumPy, or tensors of any library that hands its data over (``__array__``, ``__dlpack__``).

    Frames: arrays → version, error; one row per array, in their order

    Type and shape are part of a version; how the values lie in memory, and which of their bytes comes first, are not.
    Every NaN is the same, and so are 0.0 and -0.0.

    Args:
        arrays: Several arrays, or one whose parts along the first axis are hashed.
        decimals: Round floats to so many digits behind the point before they are hashed; versions then say so.
        workers: Threads; None is one per processor.
        on_error: ``"raise"`` raises if an array has no version, such as one of Python objects.

    Raises:
        ContentError: if an array has no version and ``on_error`` is ``"raise"``.
        ImportError: if NumPy is missing.

    >>> import numpy as np
    >>> import metaxy.content as content
    >>> table = np.arange(6, dtype=">f4").reshape(2, 3)
    >>> one, other = content.hash_arrays([table, np.asfortranarray(table.astype("<f4"))])["version"]
    >>> one == other, one[:22]
    (True, 'array:a15e15c5e6dffe33')
    """
    check_on_error(on_error)
    check_decimals(decimals)
    check_workers(workers)
    name = recipe_name("array", decimals)

    def outcome(array: Any) -> Outcome:
        try:
            return Outcome(f"{name}:{array_digest(array, decimals).hex()}")
        except Exception as error:
            return Outcome.of_error(error)

    return result_frame({}, in_threads(outcome, listed(arrays, "arrays"), workers=workers), on_error=on_error)


def is_array(value: Any) -> bool:
    """Return whether a value is an array or a tensor, and no single number."""
    return (hasattr(value, "__array__") and bool(getattr(value, "shape", ()))) or hasattr(value, "__dlpack__")


def array_digest(value: Any, decimals: int | None = None) -> bytes:
    """Return the SHA-256 of the canonical form of an array.

    Raises:
        ContentError: if it has none.
    """
    array = _array_of(value)
    kind = array.dtype.kind
    if kind not in _KINDS or (kind in "fc" and array.dtype.itemsize > (8 if kind == "f" else 16)):
        raise ContentError(f"arrays of {array.dtype} have no canonical form; convert it, or use hash_values")
    whole = sha256(f"{_type_of(array)}\n{','.join(map(str, array.shape))}\n".encode("ascii"))
    for part in _parts(array):
        whole.update(_bytes_of(part, decimals))
    return whole.digest()


def _array_of(value: Any) -> "Array":
    """Return the array that a value is, or hands over.

    Raises:
        ContentError: if it is none, or some of what it says would be lost.
    """
    try:
        import numpy as np
    except ImportError:
        raise ImportError('arrays need the package numpy: pip install "metaxy[images]", or numpy itself') from None
    _refuse_mask(value)
    if type(value).__module__.partition(".")[0] in _TABULAR:
        raise ContentError("columns may have NULLs, which arrays have not; use hash_values(column.to_list())")
    if hasattr(value, "__array__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    raise ContentError(f"a {type(value).__qualname__} is no array; use hash_values, or numpy.asarray(…, dtype=…)")


def plain_array(value: Any) -> "Array":
    """Return the array that a value is or hands over, in the byte order of this machine.

    Raises:
        ContentError: if it has a mask, which would be lost.
    """
    import numpy as np

    _refuse_mask(value)
    array = np.asarray(value)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _refuse_mask(value: Any) -> None:
    import numpy as np

    if isinstance(value, np.ma.MaskedArray):
        raise ContentError("the mask of a masked array would be lost; fill it: array.filled(…)")


def little_endian(values: "Array") -> bytes:
    """Return values one after another, in the byte order that hashes are of."""
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _type_of(array: "Array") -> str:
    """Return the type of values, without the order of bytes, and of texts without the length of the longest.

    >>> import numpy as np
    >>> _type_of(np.zeros(1, ">i2")), _type_of(np.array(["abc"])), _type_of(np.zeros(1, "<M8[ms]"))
    ('i2', 'U', 'M8[ms]')
    """
    name: str = array.dtype.str[1:]
    return name[0] if name[0] in "US" else name


def _parts(array: "Array") -> "Iterator[Array]":
    """Yield the values row by row, some at once, without a copy of all where that can be."""
    if array.flags.c_contiguous or array.size <= STEP or array.ndim < 2:
        flat = array.reshape(-1)
        for start in range(0, flat.size, STEP):
            yield flat[start : start + STEP]
    else:
        for part in array:
            yield from _parts(part)


def _bytes_of(part: "Array", decimals: int | None) -> bytes:
    kind = part.dtype.kind
    if kind in "US":
        texts = (text.encode("utf-8") if kind == "U" else text for text in part.tolist())
        return b"".join(b"%d:%s" % (len(text), text) for text in texts)
    if kind in "fc":
        part = _plain_floats(part, decimals)
    return little_endian(part)


def _plain_floats(part: "Array", decimals: int | None) -> "Array":
    """Return floats rounded, with one NaN and one zero."""
    import numpy as np

    if part.dtype.kind == "c":
        halves = np.stack([_plain_floats(part.real, decimals), _plain_floats(part.imag, decimals)], axis=-1)
        return halves.reshape(-1)
    kept = part.dtype.newbyteorder("=")
    if decimals is not None:
        part = rounded_array(part.astype(np.float64), decimals)
    plain = part.astype(kept) + kept.type(0)  # -0.0 + 0.0 is 0.0
    plain[np.isnan(plain)] = np.nan
    return np.asarray(plain)
