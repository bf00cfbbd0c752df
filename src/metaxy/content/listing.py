"""Which files are in a folder, here or elsewhere: all, in one order, under names that are the same everywhere."""

import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from metaxy.content.frames import reason, shown
from metaxy.content.patterns import has_wildcards
from metaxy.content.places import Remote, Stamp, place_of, remote_stamp
from metaxy.errors import ContentError
from metaxy.printable import printable

Identity = tuple[int, int]
_NOWHERE: Final[Identity] = (0, 0)  # what folders have where no number tells them from others
MOST_LINKS: Final = 8  # to folders, one in another
_ADVICE: Final = "its samples would look deleted, so nothing was scanned"


@dataclass(frozen=True, order=True)
class Found:
    """A file: its path from the folder, by slashes, where it is, and what a listing said of it."""

    name: str
    location: str
    stamp: Stamp | None = None


def name_of(parts: "tuple[str, ...]", system: str = sys.platform) -> str:
    r"""Return the name of a file in a folder, which is the same on all systems: parts joined by slashes.

    macOS takes all forms of a letter for one, and some of its disks write it as letter and accent, so it gets one form.

    >>> name_of(("a", "b.png")), name_of(("e\u0301",), "darwin") == "\xe9", name_of(("e\u0301",), "linux") == "\xe9"
    ('a/b.png', True, False)
    """
    name = "/".join(parts)
    return unicodedata.normalize("NFC", name) if system == "darwin" else name


def split_glob(place: str) -> tuple[str, str | None]:
    """Split what may be a glob into the folder before it and the pattern in it.

    >>> split_glob("videos/*/a.mp4"), split_glob("s3://bucket/in"), split_glob("*.png")
    (('videos', '*/a.mp4'), ('s3://bucket/in', None), ('.', '*.png'))
    """
    if not has_wildcards(place) or ("://" not in place and os.path.isdir(place)):  # noqa: PTH112  # as it is written
        return place, None
    parts = (place if "://" in place else place.replace(os.sep, "/")).split("/")
    first = next(number for number, part in enumerate(parts) if has_wildcards(part))
    folder = "/".join(parts[:first])
    return folder or ("/" if place.startswith("/") else "."), "/".join(parts[first:])


def files_in(folder: str, *, hidden: bool, storage_options: Mapping[str, Any] | None) -> list[Found]:
    """List all files in a folder, sorted by their names; what is hidden only if it is asked for, and else not entered.

    Raises:
        ContentError: if the folder, or one in it, cannot be listed.
    """
    try:
        place = place_of(folder, storage_options)
        found = list(_remote(place, hidden) if isinstance(place, Remote) else _local(place.name, hidden))
    except ContentError:
        raise
    except Exception as error:
        raise ContentError(f"{shown(folder)} cannot be listed: {reason(error)}; {_ADVICE}") from error
    return sorted(found)


# -- this machine ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Folder:
    """A folder that is to be listed.

    ``parts`` lead to it from the first one, ``around`` are the folders that it is in, ``links`` of which are links.
    """

    path: str
    parts: tuple[str, ...] = ()
    around: tuple[Identity, ...] = ()
    links: int = 0

    def inner(self, entry: "os.DirEntry[str]", identity: Identity) -> "_Folder":
        """Return a folder in this one.

        Raises:
            ContentError: if it is behind too many links, as folders that link to each other have no end of paths.
        """
        links = self.links + entry.is_symlink()
        if links > MOST_LINKS:
            raise ContentError(
                f"{printable(entry.path)} is behind {links} links, one in another, so that its files have more paths "
                "than anyone can list; remove links, or scan the folders that they lead to"
            )
        return _Folder(entry.path, (*self.parts, entry.name), (*self.around, identity), links)


def _local(folder: str, hidden: bool) -> Iterator[Found]:
    """Yield the files below a folder; links are followed, unless they lead back to a folder around them."""
    waiting = [_Folder(folder)]
    while waiting:
        current = waiting.pop()
        identity, entries = _entries(current)
        for entry in entries:
            if entry.name.startswith(".") and not hidden:
                continue
            if _is_folder(entry):
                waiting.append(current.inner(entry, identity))
            else:
                yield Found(name_of((*current.parts, entry.name)), entry.path)


def _entries(folder: _Folder) -> "tuple[Identity, list[os.DirEntry[str]]]":
    """Say which folder it is, and list it; one that is around itself, or was deleted meanwhile, is empty.

    Raises:
        ContentError: if it cannot be listed.
        OSError: if it is the first one, and cannot be.
    """
    try:
        itself = os.stat(folder.path)  # noqa: PTH116
        identity = (itself.st_dev, itself.st_ino)
        if identity in folder.around and identity != _NOWHERE:
            return identity, []
        with os.scandir(folder.path) as entries:
            return identity, list(entries)
    except OSError as error:
        if not folder.parts:  # messages name it as it was given
            raise
        if isinstance(error, FileNotFoundError):
            return _NOWHERE, []
        raise ContentError(f"{printable(folder.path)} cannot be listed: {reason(error)}; {_ADVICE}") from error


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself, of which reading says what is wrong
        return False


# -- elsewhere ---------------------------------------------------------------------------------------------------------


def _remote(place: Remote, hidden: bool) -> Iterator[Found]:
    """Yield the files below a folder of fsspec.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    filesystem, root = place.filesystem, place.path.rstrip("/")
    filesystem.invalidate_cache()
    listed = filesystem.find(root, detail=True)
    if not listed and not filesystem.exists(root):
        raise FileNotFoundError(2, "no such folder")
    for path, info in listed.items():
        if info.get("type") != "directory" and not path.endswith("/"):
            name = path[len(root) :].lstrip("/")
            if name and (hidden or not _is_hidden(name)):
                yield Found(name, f"{place.name.rstrip('/')}/{name}", remote_stamp(info))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or "/." in name
