"""A small file that remembers versions of files, so that what has not changed need not be read again.

SQLite keeps it whole through crashes and between processes. It only ever saves work: who loses it, loses nothing.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from metaxy.content.frames import check_option
from metaxy.content.places import Stamp
from metaxy.errors import ContentError
from metaxy.masking import mask_address
from metaxy.wording import first_line, short_path

Trust: TypeAlias = Literal["content", "etag", "mtime"]
"""What says that a file is as it was: its bytes, an ETag where its place has one, or its size and times."""

RACY: Final = 2_000_000_000  # nanoseconds; what was written so shortly before may be written again in the same tick
PATIENCE: Final = 60.0  # seconds, for another process that writes
_APPLICATION: Final = 0x6D657461  # "meta": the file is ours
_LAYOUT: Final = 1
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS versions (
    name TEXT NOT NULL, recipe TEXT NOT NULL, times TEXT, etag TEXT, version TEXT NOT NULL, PRIMARY KEY (name, recipe)
) WITHOUT ROWID
"""
_ASK: Final = "SELECT name, {what}, version FROM versions JOIN json_each(?) ON name = value WHERE recipe = ?"
_TELL: Final = "INSERT OR REPLACE INTO versions (name, recipe, times, etag, version) VALUES (?, ?, ?, ?, ?)"


def _key(name: str) -> str:
    """Return what a file is remembered by: its name, unless that has a password or the like in it."""
    if "://" not in name or mask_address(name) == name:
        return name
    return f"sha256:{sha256(name.encode()).hexdigest()}"


@dataclass(frozen=True)
class Known:
    """A version that was read, the stamp of the file then, and when reading began, in nanoseconds."""

    name: str
    version: str
    stamp: Stamp
    began: int


def sign_of(stamp: Stamp, trust: Trust) -> str | None:
    """Return what must be equal for a file to be as it was, None where nothing says so.

    >>> sign_of(Stamp(size=3, modified=5, changed=7, inode=9), "mtime"), sign_of(Stamp(size=3, etag="5d41"), "etag")
    ('3 5 7 9', '3 5d41')
    """
    if trust == "etag":
        is_exact = stamp.etag is not None and not stamp.etag.startswith("W/")  # weak ones are equal for like bytes, too
        return f"{stamp.size} {stamp.etag}" if is_exact else None
    if trust == "mtime" and stamp.modified is not None:
        return f"{stamp.size} {stamp.modified} {stamp.changed} {stamp.inode}"
    return None


def _times_of(known: Known) -> str | None:
    """Return the times of a file, None where it may change again without changing them."""
    last = max(known.stamp.modified or 0, known.stamp.changed)
    return sign_of(known.stamp, "mtime") if known.began - last > RACY else None


class Cache:
    """The versions in a file; each call is a transaction of its own."""

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        self.path = Path(path)

    def check(self) -> None:
        """Make the file, if there is none.

        Raises:
            ContentError: if it cannot be made, is not ours, or damaged.
        """
        with self._opened():
            pass

    def known(self, recipe: str, stamps: Mapping[str, Stamp], trust: Trust) -> dict[str, str]:
        """Return the versions of files that are as they were.

        Raises:
            ContentError: if the file is not ours, or damaged.
        """
        names = {_key(name): name for name in stamps}
        signs = {key: sign for key, name in names.items() if (sign := sign_of(stamps[name], trust)) is not None}
        question = _ASK.format(what="etag" if trust == "etag" else "times")
        with self._opened() as database:
            rows = database.execute(question, (json.dumps(list(signs)), recipe)).fetchall()
        return {names[key]: version for key, sign, version in rows if sign == signs[key]}

    def remember(self, recipe: str, read: Iterable[Known]) -> None:
        """Remember versions that were read.

        Raises:
            ContentError: if they cannot be written.
        """
        rows = [(_key(each.name), recipe, _times_of(each), sign_of(each.stamp, "etag"), each.version) for each in read]
        rows = [row for row in rows if row[2] is not None or row[3] is not None]
        if rows:
            with self._opened() as database, database:
                database.executemany(_TELL, rows)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file; what SQLite refuses, commits on a full disk among it, is an error that says what to do."""
        try:
            with closing(sqlite3.connect(self.path, timeout=PATIENCE, isolation_level="IMMEDIATE")) as database:
                self._prepare(database)
                yield database
        except sqlite3.Error as error:
            raise ContentError(
                f"the cache {short_path(self.path)} cannot be used: {first_line(error)}; "
                "delete it, or name another file"
            ) from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Make the table in an empty file; refuse the file of another program."""
        if _is_ours(database):
            return
        with database:
            database.execute("BEGIN IMMEDIATE")
            if _is_ours(database):  # another process was quicker
                return
            if database.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise ContentError(f"{short_path(self.path)} is no cache of this version of Metaxy; name another file")
            database.execute(_CREATE)
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
            database.execute(f"PRAGMA user_version = {_LAYOUT}")


def _is_ours(database: sqlite3.Connection) -> bool:
    found = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    return found == [_APPLICATION, _LAYOUT]


def cache_of(path: "str | os.PathLike[str] | None", trust: Trust) -> Cache | None:
    """Return the cache at a path, None without one.

    Raises:
        ValueError: if what is trusted is unknown, or needs a cache.
    """
    check_option("trust", trust, get_args(Trust))
    if path is None and trust != "content":
        raise ValueError(f"trust={trust!r} needs cache=, the path of a small file that remembers versions")
    return None if path is None else Cache(path)
