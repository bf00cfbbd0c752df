"""Where bytes are: a file on this machine, or anywhere fsspec reads; with what tells whether they have changed."""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from io import FileIO
from typing import Any, BinaryIO, Final, Protocol, TypeAlias, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

PathLike: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"

BLOCK: Final = 4 * 1024 * 1024  # bytes that are read ahead of a remote file
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?:://|::.*://)", re.DOTALL)  # one letter is a drive
_KINDS: Final[tuple[tuple[Callable[[int], bool], str], ...]] = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# A pipe that took the place of a file must not stop us, and programs that are started meanwhile get no open files.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_MODIFIED: Final = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")
_ETAG: Final = ("ETag", "etag", "e_tag")


class ChangedError(OSError):
    """A file changed while it was read."""


@dataclass(frozen=True)
class Stamp:
    """What tells whether a file has changed without reading it; times are in nanoseconds."""

    size: int | None
    modified: int | None = None
    changed: int = 0  # when anything about the file changed, such as its name; restored times do not hide that
    inode: int = 0
    etag: str | None = None

    def is_of(self, other: "Stamp") -> bool:
        """Whether a file did not change between two stamps."""
        return (self.size, self.etag) == (other.size, other.etag) if self.etag and other.etag else self == other

    @property
    def facts(self) -> dict[str, Any]:
        """What users see of it."""
        modified = None if self.modified is None else _moment(self.modified)
        return {"size": self.size, "modified": modified, "etag": self.etag}


def _moment(nanoseconds: int) -> datetime | None:
    """Return a time that frames can hold, to the microsecond; None for one beyond the years of Python."""
    try:
        whole = datetime.fromtimestamp(nanoseconds // 1_000_000_000, tz=timezone.utc)
    except (OverflowError, OSError, ValueError):
        return None
    return whole.replace(microsecond=nanoseconds % 1_000_000_000 // 1000)


@dataclass(frozen=True)
class Opened:
    """A file that is open for reading from its start; the end of its name may say its format."""

    stream: BinaryIO
    name: str
    stamp: Stamp  # as it was when it was opened
    stamp_now: Callable[[], Stamp]


class Place(Protocol):
    """A file somewhere."""

    @property
    def name(self) -> str:
        """What the file is called: an absolute path, or a URL."""

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine, which is not tried again when reading fails."""

    def stamp(self) -> Stamp:
        """Say what tells whether it has changed.

        Raises:
            OSError: if it is no file, or cannot be reached.
        """

    def open(self) -> AbstractContextManager[Opened]:
        """Open it."""


def place_of(path: PathLike, storage_options: Mapping[str, Any] | None = None) -> Place:
    """Return where a path or URL leads; options are for the file system of fsspec.

    Raises:
        ImportError: if a package that it needs is missing.
        ValueError: if nobody knows such URLs, or the name cannot be one.

    >>> place_of("data/a.bin").is_local, place_of("memory://data/a.bin").is_local
    (True, False)
    """
    text = os.fsdecode(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("the name is not UTF-8, so that it cannot be kept exactly; rename the file") from None
    if "\0" in text:
        raise ValueError("the name has a zero byte")
    if not text:
        raise ValueError("the name is empty")
    if text.lower().startswith("file://"):
        return Local(os.path.abspath(url2pathname(urlsplit(text).path)))  # noqa: PTH100  # what Path.absolute keeps
    return Remote.of(text, dict(storage_options or {})) if _URL.match(text) else Local(os.path.abspath(text))  # noqa: PTH100


# -- this machine ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Local:
    """A file on this machine."""

    name: str
    is_local = True

    def stamp(self) -> Stamp:
        """Say what tells whether it has changed."""
        return _stamp(os.stat(self.name))  # noqa: PTH116  # a Path per file costs more than the look

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """Open it."""
        self.stamp()  # as opening something else may already do something
        with FileIO(self.name, opener=_descriptor) as file:
            yield Opened(cast("BinaryIO", file), self.name, _stamp_of(file), partial(_stamp_of, file))


def _stamp_of(file: FileIO) -> Stamp:
    return _stamp(os.fstat(file.fileno()))


def _descriptor(name: str, _: int) -> int:
    return os.open(name, _FLAGS)


def _stamp(found: os.stat_result) -> Stamp:
    if not stat.S_ISREG(found.st_mode):
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a folder, not a file")
        kind = next((words for is_one, words in _KINDS if is_one(found.st_mode)), "something else")
        raise OSError(errno.EINVAL, f"{kind}, not a file")
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


# -- elsewhere ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Remote:
    """A file that fsspec reads."""

    name: str
    filesystem: Any
    path: str
    is_local = False

    @classmethod
    def of(cls, url: str, options: dict[str, Any]) -> "Remote":
        """Find the file system of a URL."""
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise ImportError('URLs need the package fsspec: pip install "metaxy[content]"') from None
        filesystem, path = url_to_fs(url, **options)
        return cls(url, filesystem, path)

    def stamp(self) -> Stamp:
        """Say what tells whether it has changed."""
        self.filesystem.invalidate_cache(self.path)
        return remote_stamp(self.filesystem.info(self.path))

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """Open it."""
        with closing(self.filesystem.open(self.path, "rb", block_size=BLOCK)) as file:
            details = getattr(file, "details", None)
            stamp = remote_stamp(details) if isinstance(details, Mapping) else self.stamp()
            yield Opened(file, self.name, stamp, self.stamp)


def remote_stamp(info: Mapping[str, Any]) -> Stamp:
    """Return the stamp of what a file system of fsspec says of a file.

    Raises:
        IsADirectoryError: if it is a folder.

    >>> remote_stamp({"type": "file", "size": 3, "ETag": '"5d41"', "mtime": 1.5})
    Stamp(size=3, modified=1000000000, changed=0, inode=0, etag='5d41')
    """
    if info.get("type") == "directory":
        raise IsADirectoryError(errno.EISDIR, "a folder, not a file")
    etag = next((str(info[name]).strip('"') for name in _ETAG if info.get(name)), None)
    return Stamp(info.get("size"), _nanoseconds(next((info[n] for n in _MODIFIED if info.get(n)), None)), etag=etag)


def _nanoseconds(given: Any) -> int | None:
    """Return a time of a file system in nanoseconds, whole seconds; None where it says none that we know.

    The list of a bucket and the answer for one of its objects may say fractions of a second, or not.
    """
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given.replace("Z", "+00:00"))
        except ValueError:
            return None
    if isinstance(given, datetime):
        given = (given if given.tzinfo else given.replace(tzinfo=timezone.utc)).timestamp()
    return int(given) * 1_000_000_000 if isinstance(given, (int, float)) else None
