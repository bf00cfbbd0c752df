"""Functions that SQLite lacks, or has for ASCII only, in Python: hashes, texts, times, aggregation in an order."""

import hashlib
import math
import operator
import sqlite3
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from metaxy.ext.sqlite.dialect import HASHLIB
from metaxy.ext.sqlite.times import moment_of_text, part, text_of_moment, truncated, written
from metaxy.ext.sqlite.types import NAN
from metaxy.hashing import HashAlgorithm

# What Polars takes for white space; Python takes some control characters, too.
WHITE_SPACE = "".join(map(chr, (*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029)))
WHITE_SPACE += "\u202f\u205f\u3000"

# With as many arguments as the number says, none of which is NULL: then the answer is NULL, too.
FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "mx_length": (1, len),
    "mx_lower": (1, str.lower),
    "mx_upper": (1, str.upper),
    "mx_strip": (1, lambda text: text.strip(WHITE_SPACE)),
    "mx_strip_start": (1, lambda text: text.lstrip(WHITE_SPACE)),
    "mx_strip_end": (1, lambda text: text.rstrip(WHITE_SPACE)),
    "mx_starts_with": (2, str.startswith),
    "mx_ends_with": (2, str.endswith),
    "mx_matches": (2, lambda text, pattern: _one(text).str.contains(pattern)[0]),
    "mx_replaced": (3, lambda text, pattern, new: _one(text).str.replace_all(pattern, new)[0]),
    "mx_abs": (1, lambda number: _computed(abs, number)),
    "mx_add": (2, lambda left, right: _computed(operator.add, left, right)),
    "mx_ceil": (1, lambda number: _computed(_whole(math.ceil), number)),
    "mx_divide": (2, lambda left, right: _computed(operator.truediv, left, right)),
    "mx_floor": (1, lambda number: _computed(_whole(math.floor), number)),
    "mx_multiply": (2, lambda left, right: _computed(operator.mul, left, right)),
    "mx_negate": (1, lambda number: _computed(operator.neg, number)),
    "mx_subtract": (2, lambda left, right: _computed(operator.sub, left, right)),
    "mx_bytes": (1, b64decode),
    "mx_real": (1, lambda number: NAN if number == "NaN" else float(number)),
    "mx_moment": (1, moment_of_text),
    "mx_moment_text": (1, text_of_moment),
    "mx_moment_part": (2, part),
    "mx_moment_written": (2, written),
    "mx_moment_truncated": (2, truncated),
}


def add_functions(session: sqlite3.Connection) -> None:
    """Give a session the functions that statements of ours use."""
    for algorithm in HASHLIB:
        session.create_function(f"mx_{algorithm.value}", 1, _hasher(algorithm), deterministic=True)
    for name, (arguments, function) in FUNCTIONS.items():
        session.create_function(name, arguments, _unless_null(function), deterministic=True)
    joining: Any = _OrderedJoin
    session.create_aggregate("mx_ordered_join", -1, joining)


def _computed(function: Callable[..., float], *numbers: Any) -> Any:
    """Compute with floats, of which NaN is a text here."""
    found = function(*map(float, numbers))
    return NAN if math.isnan(found) else found


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    return lambda number: float(function(number)) if math.isfinite(number) else number


def _one(text: str) -> pl.Series:
    return pl.Series("", (text,), pl.String)


def _unless_null(function: Callable[..., Any]) -> Callable[..., Any]:
    def compute(*values: Any) -> Any:
        return None if None in values else function(*values)

    return compute


def _hasher(algorithm: HashAlgorithm) -> Callable[[str | None], str | None]:
    """Return a function for one text."""
    digest = getattr(hashlib, algorithm.value)  # `hashlib.new` takes twice as long
    return lambda text: None if text is None else digest(text.encode(), usedforsecurity=False).hexdigest()


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
