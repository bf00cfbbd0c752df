"""What a function gave, as it was then: functions use the same dicts, arrays and frames for their next results."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl

from metaxy.errors import MetadataSchemaError
from metaxy.versioning.frames import collect_to_polars

UNCHANGING: Final = frozenset(
    {type(None), bool, int, float, complex, str, bytes, date, datetime, time, timedelta, Decimal}
)


def snapshot(value: Any) -> Any:
    """Return a value that later changes of the object do not reach.

    >>> row = {"vector": [1, 2]}
    >>> kept = snapshot(row)
    >>> row["vector"][0] = 7
    >>> kept
    {'vector': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {key: each if type(each) in UNCHANGING else snapshot(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        copied = list(value) if UNCHANGING.issuperset(map(type, value)) else [snapshot(each) for each in value]
        return tuple(copied) if isinstance(value, tuple) else copied
    if type(value).__module__.partition(".")[0] == "numpy" or isinstance(value, bytearray):
        return value.copy() if hasattr(value, "copy") else value
    return value


def snapshot_of_frame(value: Any) -> Any:
    """Return a frame, in memory of its own: Polars, pandas and Arrow may look at an array of NumPy.

    What is no frame is returned as it is.
    """
    if isinstance(value, list):
        return [snapshot_of_frame(each) for each in value]
    try:
        frame = collect_to_polars(value)
    except MetadataSchemaError:
        return value
    return frame.select(pl.all().gather(pl.int_range(pl.len()))) if frame.height else frame
