"""Types of DuckDB that a DuckLake lacks, as the nearest that it has: lists for arrays, microseconds for nanoseconds."""

from typing import Any

import narwhals as nw

from metaxy.ext.duckdb.dialect import DUCKDB


def storable(frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Turn types that lakes lack into those they have; other columns stay as they are."""
    rows = frame.to_native()
    if all(map(_is_storable, rows.types)):
        return frame
    columns = (_as_stored(DUCKDB.quote(name), kind) for name, kind in zip(rows.columns, rows.types, strict=True))
    kept: nw.LazyFrame[Any] = nw.from_native(rows.project(", ".join(columns)))
    return kept


def _as_stored(column: str, kind: Any) -> str:
    return column if _is_storable(kind) else f"CAST({column} AS {_stored_type(kind)}) AS {column}"


def _is_storable(kind: Any) -> bool:
    if kind.id in ("list", "struct", "map"):
        return all(_is_storable(part) for _, part in kind.children)
    return kind.id not in ("array", "time_ns")


def _stored_type(kind: Any) -> str:
    """Name the type of a lake's column for a type of DuckDB.

    Lakes have lists for arrays, and microseconds for the nanoseconds of times of the day; DuckDB ends the process where
    it writes these to Parquet.
    """
    if kind.id == "struct":
        return f"STRUCT({', '.join(f'{DUCKDB.quote(name)} {_stored_type(part)}' for name, part in kind.children)})"
    if kind.id == "map":
        return f"MAP({', '.join(_stored_type(part) for _, part in kind.children)})"
    if kind.id in ("list", "array"):
        return f"{_stored_type(kind.children[0][1])}[]"
    return "TIME" if kind.id == "time_ns" else str(kind)
