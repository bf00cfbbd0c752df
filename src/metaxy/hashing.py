"""The recipe of all versions: parts → text → hash → truncated hash.

Definitions are hashed with SHA-256 over their parts. Samples are hashed with a configurable algorithm over values
joined with ``|``; a value that comes from rows is escaped first, so that no two inputs give the same text.
Engines render the same recipe for whole columns; here it is for one value.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

MIN_TRUNCATION_LENGTH: Final = 8
DEFAULT_TRUNCATION_LENGTH: Final = 16
SEPARATOR: Final = "|"
ESCAPE: Final = "\\"


class HashAlgorithm(Enum):
    """Algorithms that can hash samples; which of them a store supports is up to its engine."""

    XXH3_64 = "xxh3_64"
    XXHASH64 = "xxhash64"
    XXHASH32 = "xxhash32"
    WYHASH = "wyhash"
    SHA256 = "sha256"
    MD5 = "md5"
    FARMHASH = "farmhash"


DEFAULT_ALGORITHM: Final = HashAlgorithm.MD5


@dataclass(frozen=True)
class HashSettings:
    """How samples are hashed: the algorithm, and how many characters of its text are kept."""

    algorithm: HashAlgorithm = DEFAULT_ALGORITHM
    length: int = DEFAULT_TRUNCATION_LENGTH


def digest_parts(parts: Iterable[str], length: int) -> str:
    """Return the first ``length`` hexadecimal digits of the SHA-256 of parts written one after another.

    >>> digest_parts(["video.audio", "__metaxy_initial__"], 8)
    'eb91ed45'
    """
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:length]


def escape_value(value: str) -> str:
    r"""Escape the separator in a value that comes from rows.

    >>> print(escape_value("a|b"), escape_value("a\\b"), escape_value("plain"))
    a\|b a\\b plain
    """
    return value.replace(ESCAPE, ESCAPE * 2).replace(SEPARATOR, ESCAPE + SEPARATOR)


def join_values(values: Iterable[str]) -> str:
    """Join already escaped values with the separator."""
    return SEPARATOR.join(values)
