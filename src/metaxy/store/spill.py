"""Rows on disk until a store has them, so that they outlive the process that took them."""

import itertools
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote

import polars as pl

from metaxy import columns as c
from metaxy.definitions.keys import FeatureKey
from metaxy.storage.files import at_home
from metaxy.storage.leases import Lease
from metaxy.store.session import Scope

PUT = ".put"
WRITER = ".writer"
LOCK = "lock"
_FILE = ".arrow"


class Spill:
    """A folder with one folder per writer, held while it lives, and in that one per `put`.

    The folder of a `put` is complete once it has its final name; names sort by time.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(at_home(os.fspath(folder)))
        self._own = self.folder / f"{_host()}-{os.getpid()}-{uuid.uuid4().hex}{WRITER}"
        self._lease: Lease | None = None
        self._names = (f"{time.time_ns():020d}-{number:08d}" for number in itertools.count())

    def add(self, frames: Mapping[FeatureKey, pl.DataFrame], scope: Scope) -> Path:
        """Keep frames, with the versions that the features have now: code may change before they are recovered."""
        self._hold()
        unfinished = self._own / next(self._names)
        unfinished.mkdir()
        for key, frame in frames.items():
            versions = {
                c.METAXY_FEATURE_VERSION: scope.version(key),
                c.METAXY_PROJECT_VERSION: scope.project_version(scope.definition(key)),
            }
            with_versions = frame.with_columns(pl.lit(value).alias(name) for name, value in versions.items())
            with_versions.write_ipc(unfinished / f"{quote(str(key), safe='')}{_FILE}")
        return unfinished.rename(unfinished.with_suffix(PUT))

    def _hold(self) -> None:
        """Make the folder of this writer, and hold it if this disk has locks."""
        if self._lease is None:
            self._own.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):
                self._lease = Lease.take(self._own / LOCK)

    def close(self) -> None:
        """Let others recover what is left; nothing stays if nothing is."""
        if self._lease is not None:
            self._lease.release()
        with suppress(OSError):
            self._own.rmdir()

    def remove(self, kept: Path) -> None:
        """Forget frames; what cannot be removed will be recovered, which writes the same rows again."""
        with suppress(OSError):
            shutil.rmtree(kept.rename(kept.with_suffix(".done")))

    @contextmanager
    def left(self) -> Iterator[list[Path]]:
        """Yield what writers left that do not live any more, oldest first; nobody else recovers it meanwhile.

        Without an error, what is still in their folders goes afterwards: frames that were never finished. On disks
        without locks, and those of another machine, nobody can tell: only whole frames are taken from there.
        """
        writers, leases = _without_living(self.folder.glob(f"*{WRITER}"))
        try:
            yield sorted((put for writer in writers for put in writer.glob(f"*{PUT}")), key=lambda put: put.name)
            for lease in filter(_is_of_this_host, leases):
                _remove_but(lease.path)
        finally:
            for lease in leases:
                _let_go(lease)


def frames_of(put: Path) -> dict[FeatureKey, pl.DataFrame]:
    """Return what was given to one `put`."""
    return {FeatureKey(unquote(file.stem)): pl.read_ipc(file) for file in sorted(put.glob(f"*{_FILE}"))}


def _without_living(writers: Iterator[Path]) -> tuple[list[Path], list[Lease]]:
    """Return the folders of writers that are not known to live, and what holds them."""
    found: list[Path] = []
    leases: list[Lease] = []
    for writer in writers:
        try:
            lease = Lease.take(writer / LOCK)
        except OSError:
            found.append(writer)
            continue
        if lease is not None:
            found.append(writer)
            leases.append(lease)
    return found, leases


def _let_go(lease: Lease) -> None:
    if not _is_of_this_host(lease):
        lease.forget()
        return
    lease.release()
    with suppress(OSError):
        lease.path.parent.rmdir()  # unless rows are left


def _is_of_this_host(lease: Lease) -> bool:
    return lease.path.parent.name.rsplit("-", 2)[0] == _host()


def _remove_but(lock: Path) -> None:
    for left in lock.parent.iterdir():
        if left != lock:
            shutil.rmtree(left, ignore_errors=True)


def _host() -> str:
    return quote(platform.node(), safe="")
