"""DuckDB files that were cut short: DuckDB opens them, and fails only where it reads what is not there."""

import struct
from pathlib import Path

import duckdb

from metaxy.ext.duckdb.results import first_row
from metaxy.storage.damage import beginning, damaged, size_of

HEADER = 4096  # bytes of each of the three that a file begins with
MAGIC = b"DUCK"
BLOCK_SIZES = [2**power for power in range(14, 19)]


def seems_short(file: Path) -> bool:
    """Return whether a file has fewer blocks than it says: it was cut, or DuckDB gave back what it no longer uses."""
    headers, length = beginning(file, 3 * HEADER), size_of(file) or 0
    if headers[8:12] != MAGIC or len(headers) < 3 * HEADER:
        return False
    # Each header: checksum, iteration, two places, number of blocks, their size. The later one counts.
    _, _, _, blocks, size = max(struct.unpack_from("<5Q", headers, at + 8) for at in (HEADER, 2 * HEADER))
    return size in BLOCK_SIZES and length < 3 * HEADER + blocks * size


def refuse_short_file(file: Path, connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse a file that has fewer blocks than are used."""
    query = "SELECT block_size, used_blocks FROM pragma_database_size() LIMIT 1"
    size, used = first_row(connection.execute(query)) or (0, 0)
    length, expected = file.stat().st_size, 3 * HEADER + size * used
    if length < expected:
        raise damaged(f"{file} ends after {length} of at least {expected} bytes")
