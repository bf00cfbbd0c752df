"""Versions of files from their bytes."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Literal, Protocol, TypeAlias

import polars as pl

from metaxy.content.cache import Trust
from metaxy.content.frames import OnError
from metaxy.content.places import ChangedError, Opened, PathLike
from metaxy.content.reading import Recipe, versions_of_files

Algorithm: TypeAlias = Literal["sha256", "blake3", "xxh3_128"]
"""How bytes are hashed: ``sha256`` is everywhere, ``blake3`` is quicker, ``xxh3_128`` withstands no attackers."""

BUFFER: Final = 1024 * 1024  # bytes that a thread reads at once
_buffers: Final = threading.local()


class Hasher(Protocol):
    """Takes bytes, and says their hash."""

    def update(self, data: memoryview, /) -> object:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Return the hash of all bytes so far."""


def hash_files(
    paths: Iterable[PathLike],
    algorithm: Algorithm = "sha256",
    *,
    workers: int | None = None,
    trust: Trust = "content",
    cache: "str | os.PathLike[str] | None" = None,
    on_error: OnError = "record",
    retries: int = 3,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> pl.DataFrame:
    """Hash files by their bytes, wherever they are: on this machine, or anywhere that fsspec reads.

    Frames: paths, URLs → path, size, modified, etag, version, error; one row per path, in their order

    A file that cannot be read has no version, and its row says why. So has one that changes whenever it is read.

    Args:
        paths: Paths or URLs, such as ``s3://bucket/video.mp4``.
        algorithm: ``sha256``, ``blake3`` or ``xxh3_128``; versions begin with it. The last two need
            ``metaxy[content]``.
        workers: Threads that read; None is one per processor, and 16 if files are elsewhere.
        trust: What says that a file is as it was, so that its version is taken from the cache: ``"mtime"`` its size,
            times and inode, ``"etag"`` its ETag, if it has one; ``"content"`` reads every file.
        cache: A small file that remembers versions. It is safe beside other processes, and through crashes.
        on_error: ``"raise"`` raises once all is read, if a file has no version.
        retries: How often reading a remote file is tried again.
        storage_options: Options for the file system of fsspec, such as credentials.
        progress: Whether to show a bar; None is on terminals, if it takes longer than a moment.

    Raises:
        ContentError: if a file has no version and ``on_error`` is ``"raise"``, or the cache is something else.
        ImportError: if the package of the algorithm is missing.

    >>> import metaxy.content as content
    >>> content.hash_files(["gone.png"]).rows(named=True)[0]["error"]
    'FileNotFoundError: No such file or directory'
    """
    return versions_of_files(
        paths,
        byte_recipe(algorithm),
        workers=workers,
        trust=trust,
        cache=cache,
        on_error=on_error,
        retries=retries,
        storage_options=storage_options,
        progress=progress,
    )


def byte_recipe(algorithm: Algorithm) -> Recipe:
    """Return the recipe of an algorithm for bytes.

    Raises:
        ImportError: if its package is missing.
        ValueError: if it is unknown.
    """
    return Recipe(algorithm, partial(_digest, hasher(algorithm)))


def hasher(algorithm: Algorithm) -> Callable[[], Hasher]:
    """Return what makes hashers of an algorithm.

    >>> hasher("sha256")().hexdigest()[:8]
    'e3b0c442'
    """
    if algorithm == "sha256":
        return hashlib.sha256
    try:
        if algorithm == "blake3":
            from blake3 import blake3

            return blake3
        if algorithm == "xxh3_128":
            from xxhash import xxh3_128

            return xxh3_128
    except ImportError as error:
        raise ImportError(f'{algorithm} needs the package {error.name}: pip install "metaxy[content]"') from None
    raise ValueError(f"algorithm={algorithm!r} is none of 'sha256', 'blake3' and 'xxh3_128'")


def _digest(new: Callable[[], Hasher], opened: Opened) -> str:
    """Hash a file from its start to its end, in a buffer that the thread keeps."""
    buffer, hasher, count, size = _buffer(), new(), 0, opened.stamp.size
    read = opened.stream.readinto  # type: ignore[attr-defined]  # raw files, and those of fsspec, have it
    while length := read(buffer):
        hasher.update(buffer[:length])
        count += length
        if size is not None and count > size:
            break  # it may grow for ever
    if size is not None and count != size:
        many = "more than that" if count > size else f"{count:,}"
        raise ChangedError(f"it changed while it was read, or is no ordinary file: of {size:,} bytes, {many} were read")
    return hasher.hexdigest()


def _buffer() -> memoryview:
    if not hasattr(_buffers, "view"):
        _buffers.view = memoryview(bytearray(BUFFER))
    view: memoryview = _buffers.view
    return view
