"""A few rows as Dagster shows them in a table."""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import narwhals as nw
from narwhals.dtypes import DType

import dagster as dg
from metaxy.service.assets import last_rows

LONGEST: Final = 500
"""Characters of a value: events are kept for ever."""
ENDS: Final = 2
Shown = str | int | float | bool | None


def build_table_preview_metadata(
    lazy_df: Any, schema: dg.TableSchema | None = None, *, n_rows: int = 5
) -> dg.TableMetadataValue:
    """Show the last rows of a frame: those that were first written last or, without such a column, at its end.

    Structs, lists and maps are shown as JSON, of lists only the ends; what is long is cut.

    Args:
        lazy_df: Rows, in a frame of any library.
        schema: The columns as Dagster shows them; by default as the frame has them.
        n_rows: How many rows.
    """
    rows = last_rows(lazy_df, n_rows)
    types = rows.schema
    records = [
        dg.TableRecord({name: _shown(value, types[name]) for name, value in row.items()})
        for row in rows.iter_rows(named=True)
    ]
    own = dg.TableSchema([dg.TableColumn(name, str(dtype)) for name, dtype in types.items()])
    return dg.TableMetadataValue(records, schema or own)


def _shown(value: Any, dtype: DType) -> Shown:
    """Return a value as Dagster keeps it."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = _nested(value, dtype) if dtype.is_nested() else _text(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _nested(value: Any, dtype: DType) -> str:
    """Return a nested value as JSON; of a list that has a middle, only the ends."""
    if isinstance(dtype, nw.Map):
        return _json(dict(value) if isinstance(value, Mapping) else {each["key"]: each["value"] for each in value})
    if isinstance(dtype, (nw.List, nw.Array)) and len(value) > ENDS:
        return f"[{_json(value[0])},..,{_json(value[-1])}]"
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, default=_text, ensure_ascii=False)


def _text(value: Any) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
