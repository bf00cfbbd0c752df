"""Digests of rows: how many there are and, in one number, what they hold; in a database, or in Polars.

A row is hashed to 64 bits and all hashes are added up, so the order of rows plays no part, and rows are hashed in any
number of pieces. Databases hash in ways of their own: digests of two engines are not to be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import narwhals as nw
import polars as pl

from metaxy.columns import INTERNAL_PREFIX
from metaxy.hashing import HashAlgorithm
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.frames import polars_chunks
from metaxy.versioning.polars import HASHES, escaped, joined

HASH: Final = f"{INTERNAL_PREFIX}hash"
CHUNK: Final = 200_000


@dataclass(frozen=True)
class Digest:
    """So many rows, and the sum of their hashes, modulo 2⁶⁴."""

    rows: int
    hashes: int

    def __add__(self, other: "Digest") -> "Digest":
        """Return the digest of these rows and those."""
        return Digest(self.rows + other.rows, (self.hashes + other.hashes) % 2**64)


NOTHING: Final = Digest(0, 0)


def digests_sql(source: str, columns: Sequence[str], flags: Sequence[str], dialect: Dialect) -> str:
    """Write the statement that counts and hashes rows: all of them, and for each flag those where it is true.

    Columns in: ``columns`` without NULLs, ``flags``. Columns out: ``n0`` and ``h0`` for all, ``n1`` and ``h1``, …
    """
    assert dialect.row_hash is not None  # noqa: S101 - the engine asks
    hashed = dialect.row_hash.format(dialect.names(columns, "mx_t"))
    kept = [f"mx_t.{dialect.quote(flag)}" for flag in flags]
    values = [f"count(*) AS n0, {_as_text('mx_t.mx_hash', dialect)} AS h0"]
    for number, flag in enumerate(kept, start=1):
        values.append(f"count(CASE WHEN {flag} THEN 1 END) AS n{number}")
        values.append(f"{_as_text(f'CASE WHEN {flag} THEN mx_t.mx_hash END', dialect)} AS h{number}")
    rows = f"SELECT {', '.join([*kept, f'{hashed} AS mx_hash'])} FROM {source} AS mx_t"
    return f"SELECT {', '.join(values)} FROM ({rows}) AS mx_t"


def _as_text(value: str, dialect: Dialect) -> str:
    """Write a sum as text: it has more digits than most types of numbers."""
    return dialect.text.format(f"sum({value})", dialect.text_type)


def digest_types(flags: Sequence[str]) -> dict[str, nw.dtypes.DType]:
    """Return the types of what the statement returns."""
    return {f"{name}{n}": kind for n in range(len(flags) + 1) for name, kind in (("n", nw.Int64()), ("h", nw.String()))}


def digests_in_row(row: dict[str, Any]) -> list[Digest]:
    """Read what the statement returned."""
    return [Digest(int(row[f"n{n}"]), int(row[f"h{n}"] or 0) % 2**64) for n in range(len(row) // 2)]


def digests_polars(rows: nw.LazyFrame[Any], columns: Sequence[str], flags: Sequence[str]) -> list[Digest]:
    """Count and hash rows in Polars as the statement does, a part at a time where they come from a database."""
    if rows.implementation.is_polars():
        return _digests(rows.to_native(), columns, flags)
    found = [NOTHING] * (len(flags) + 1)
    for chunk in polars_chunks(rows, CHUNK, in_order=False):
        found = [a + b for a, b in zip(found, _digests(chunk.lazy(), columns, flags), strict=True)]
    return found


def _digests(rows: pl.LazyFrame, columns: Sequence[str], flags: Sequence[str]) -> list[Digest]:
    schema = rows.collect_schema()
    text = joined([escaped(_text(name, schema[name])) for name in columns])
    namespace, function = HASHES[HashAlgorithm.XXH3_64]
    hashed = rows.select(*flags, getattr(getattr(text, namespace), function)().cast(pl.Int128).alias(HASH))
    values = {"n0": pl.len(), "h0": pl.col(HASH).sum()}
    for number, flag in enumerate(flags, start=1):
        values[f"n{number}"] = pl.col(flag).sum()
        values[f"h{number}"] = pl.when(flag).then(HASH).sum()
    return digests_in_row(hashed.select(**values).collect().row(0, named=True))


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    text = pl.col(name).bin.encode("hex") if dtype == pl.Binary else pl.col(name).cast(pl.String)
    return text.fill_null("\0")
