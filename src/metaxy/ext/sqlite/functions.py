"""Functions that SQLite lacks, in Python: hashes, aggregation in an order, times as text."""

import hashlib
import sqlite3
from collections.abc import Callable
from datetime import timedelta, timezone
from typing import Any

import polars as pl

from metaxy.ext.sqlite.dialect import HASHLIB
from metaxy.hashing import HashAlgorithm
from metaxy.versioning.dialect import EPOCH
from metaxy.versioning.polars import HASHES


def add_functions(session: sqlite3.Connection) -> None:
    """Give a session the functions that statements of ours use."""
    functions: dict[str, Callable[[Any], Any]] = {
        **{f"mx_{algorithm.value}": _hasher(algorithm) for algorithm in (*HASHLIB, *HASHES)},
        "mx_time_text": _time_text,
        "mx_micros": _micros_of_text,
    }
    for name, function in functions.items():
        session.create_function(name, 1, function, deterministic=True)
    joining: Any = _OrderedJoin
    session.create_aggregate("mx_ordered_join", -1, joining)


def _hasher(algorithm: HashAlgorithm) -> Callable[[str | None], str | None]:
    """Return a function for one text. Only md5 and sha256 are fast for single texts."""
    if algorithm in HASHLIB:

        def digest(text: str | None) -> str | None:
            return (
                None if text is None else hashlib.new(algorithm.value, text.encode(), usedforsecurity=False).hexdigest()
            )

        return digest
    namespace, function = HASHES[algorithm]
    hashed = getattr(getattr(pl.col("text"), namespace), function)().cast(pl.String)

    def compute(text: str | None) -> str | None:
        found: str | None = pl.DataFrame({"text": [text]}, {"text": pl.String}).select(hashed).item()
        return found

    return compute


class _OrderedJoin:
    """Glues texts in the order of their keys; SQLite orders aggregates only since 3.44."""

    def __init__(self) -> None:
        self.values: list[tuple[tuple[Any, ...], str]] = []
        self.glue = ""

    def step(self, value: str | None, glue: str, *keys: Any) -> None:
        """Take a row."""
        self.glue = glue
        if value is not None:
            self.values.append((tuple((key is None, key) for key in keys), value))

    def finalize(self) -> str | None:
        """Return the text, None if no row has a value."""
        return self.glue.join(value for _, value in sorted(self.values)) if self.values else None


def micros(moment: Any) -> int:
    """Return a time as microseconds since 1970."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return int((aware - EPOCH) // timedelta(microseconds=1))


def _time_text(moment: int | None) -> str | None:
    return (
        None if moment is None else pl.Series([moment]).cast(pl.Datetime("us")).dt.to_string("%Y-%m-%d %H:%M:%S%.6f")[0]
    )


def _micros_of_text(text: Any) -> int | None:
    if text is None:
        return None
    return micros(pl.Series([str(text)]).str.to_datetime(time_unit="us")[0])
