"""Files that were cut short, emptied or lost: found before anybody writes to what is left of a table."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from metaxy.errors import StoreConnectionError

FIRST_WRITE = "_first_write"  # formats of tables take such names for no files of theirs
RESTORE = "restore it from a copy"
SQLITE = b"SQLite format 3\x00"


def damaged(what: str) -> StoreConnectionError:
    """Build the error for something that is damaged; it says what, and where."""
    return StoreConnectionError(f"{what}; {RESTORE}")


# -- tables that have lost what leads to their files -------------------------------------------------------------------


@contextmanager
def first_write(table: Path, log: str) -> Iterator[None]:
    """Mark the folder of a table until its log begins, so that what a kill leaves is told from a log that got lost.

    Args:
        log: a pattern of the files that lead to all others.
    """
    table.mkdir(parents=True, exist_ok=True)
    mark = table / FIRST_WRITE
    mark.touch()
    try:
        yield
    finally:
        if next(table.glob(log), None):
            with suppress(OSError):
                mark.unlink()


def lost_its_log(table: Path, log: str, data: str) -> bool:
    """Return whether a folder has files of a table, which no first write left there, and no log.

    Args:
        log: a pattern of the files that lead to all others.
        data: a pattern of the files that hold rows.
    """
    # In this order: a first write marks the folder before its files, and removes the mark only once there is a log.
    has_files = next(table.glob(data), None) is not None
    return has_files and not (table / FIRST_WRITE).exists() and next(table.glob(log), None) is None


def refuse_lost_log(table: Path, log: str, data: str) -> None:
    """Refuse a folder whose files are of a table, which would begin anew without them.

    Args:
        log: a pattern of the files that lead to all others, in one folder.
        data: a pattern of the files that hold rows.
    """
    if lost_its_log(table, log, data):
        folder = log.partition("/")[0]
        raise StoreConnectionError(
            f"{table} has files of a table, but no {folder}; {RESTORE}, or drop the feature to begin anew"
        )


def refuse_lost_catalog(catalog: Path, folder: Path, data: str) -> None:
    """Refuse to begin a new catalog beside the tables of one that got lost.

    Args:
        catalog: the file, which is made before any table is.
        data: a pattern of files that only tables have.
    """
    # Looked at twice, as somebody may just have begun both.
    if _is_empty(catalog) and next(folder.glob(data), None) and _is_empty(catalog):
        state = "empty" if catalog.exists() else "missing"
        raise StoreConnectionError(
            f"{catalog} is {state}, but {folder} has tables; {RESTORE}, or begin anew in another folder"
        )


def _is_empty(file: Path) -> bool:
    """Return whether a database is missing, or has nothing in it; what is new may still be in the log of SQLite."""
    return not size_of(file) and not size_of(Path(f"{file}-wal"))


def size_of(file: Path) -> int | None:
    """Return how many bytes a file has, None if there is none, or not any more."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return None


# -- files that are too short ------------------------------------------------------------------------------------------


def refuse_short_files(folder: str, sizes: Mapping[str, int]) -> None:
    """Refuse a table some of whose files do not have the sizes that they were written with.

    Files that are gone are left to whoever needs them: those of old versions may be missed by nobody.

    Args:
        folder: where they are, with what separates it from their names.
        sizes: the files, by names below the folder.
    """
    for name, size in sizes.items():
        try:
            found = os.stat(folder + name).st_size  # noqa: PTH116 - there may be thousands, and a path costs more
        except FileNotFoundError:
            continue
        if found != size:
            raise damaged(f"{folder}{name} has {found} bytes, but {size} were written")


def beginning(file: Path, size: int) -> bytes:
    """Return the first bytes of a file of a database, none if it cannot be read: who opens it says more.

    Another process reads them. This one may have the file open, and by the rules of POSIX, closing a file gives up all
    locks that the process has on it: a database that is at work in another thread would be without.
    """
    try:
        if os.name != "posix":
            with file.open("rb") as opened:
                return opened.read(size)
        command = ["head", "-c", str(size), "--", str(file)]
        return subprocess.run(command, capture_output=True, check=False).stdout  # noqa: S603 - no text of a shell
    except OSError:
        return b""


def refuse_short_sqlite(file: Path) -> None:
    """Refuse a file of SQLite that ends before its last page, which SQLite takes for a page of zeros."""
    found = _short_sqlite(file)
    # A transaction under way, or one that a kill left, ends before its last page, too: SQLite undoes it from the
    # journal. Looked at twice, as a transaction may end after the file was looked at and before the journal is.
    if found and not size_of(Path(f"{file}-journal")) and found == _short_sqlite(file):
        length, expected = found
        raise damaged(f"{file} ends after {length} of {expected} bytes")


def _short_sqlite(file: Path) -> tuple[int, int] | None:
    """Return how many bytes a file of SQLite has, and how many its header counts; None if there are enough."""
    if size_of(Path(f"{file}-wal")):
        return None  # which has pages that the file does not have yet
    header, length = beginning(file, 100), size_of(file) or 0
    if not header.startswith(SQLITE) or header[24:28] != header[92:96]:
        return None  # something else, or of a version that counts no pages
    page = int.from_bytes(header[16:18], "big")
    expected = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
    return (length, expected) if length < expected else None
