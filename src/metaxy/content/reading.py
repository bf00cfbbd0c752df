"""From paths to versions: each file is read once, and what changes or breaks meanwhile is noticed."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import polars as pl

from metaxy.content.cache import Cache, Known, Trust, cache_of
from metaxy.content.frames import OnError, Outcome, check_on_error, listed, refuse_errors, result_frame
from metaxy.content.places import ChangedError, Opened, Place, Stamp, place_of
from metaxy.content.running import LateBar, check_number, check_workers, in_threads, processors
from metaxy.errors import ContentCacheWarning, ContentError, warn_user
from metaxy.wording import storable

FACTS: Final[Mapping[str, Any]] = {"size": pl.Int64, "modified": pl.Datetime("us", "UTC"), "etag": pl.String}
SLICE: Final = 50_000  # files that are in memory as objects at once
REMOTE_WORKERS: Final = 16  # threads that mostly wait
TRIES: Final = 3  # times that a file is read which changes meanwhile
REMEMBERED: Final = 2.0  # seconds after which what was read is in the cache
PAUSE: Final = 0.2  # seconds before a remote file is tried again, doubled each time
# What trying again does not mend.
_DEFINITE: Final = (
    *(FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError),
    *(ImportError, ValueError, NotImplementedError),  # ContentError is a ValueError
)


@dataclass(frozen=True)
class Recipe:
    """How the bytes of a file become its version.

    Args:
        name: What versions begin with. Another way to compute them needs another name, for ever.
        digest: Gives what follows the name. What it raises is the error of the file; `ContentError` says that the
            bytes are no good, so that a remote file is not read again.
    """

    name: str
    digest: Callable[[Opened], str]


@dataclass(frozen=True)
class Reading:
    """What holds for all files of a call."""

    recipe: Recipe
    workers: int | None = None
    trust: Trust = "content"
    cache: Cache | None = None
    retries: int = 3
    storage_options: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        *,
        workers: int | None = None,
        trust: Trust = "content",
        cache: "str | os.PathLike[str] | None" = None,
        retries: int = 3,
        storage_options: Mapping[str, Any] | None = None,
    ) -> "Reading":
        """Check options, before anything is listed or read.

        Raises:
            ValueError: if one is wrong.
        """
        check_workers(workers)
        check_number("retries", retries, 0)
        return cls(recipe, workers, trust, cache_of(cache, trust), retries, storage_options)

    def slices(
        self, names: Sequence[Any], progress: bool | None, stamps: Mapping[Any, Stamp] = MappingProxyType({})
    ) -> "Iterator[tuple[Sequence[Any], list[Outcome]]]":
        """Yield what became of files, some at once; stamps that a listing gave need not be asked for."""
        with LateBar(f"hashing by {self.recipe.name}", len(names), unit="files", shown=progress) as bar:
            for start in range(0, len(names), SLICE):
                part = names[start : start + SLICE]
                yield part, self._outcomes(part, bar, stamps)

    def _outcomes(self, names: Sequence[Any], bar: LateBar, stamps: Mapping[Any, Stamp]) -> list[Outcome]:
        found = [self._place(name) for name in names]
        places = {name: place for name, place in zip(names, found, strict=True) if not isinstance(place, Outcome)}
        known = self._known(places, stamps)
        unknown = [place for name, place in places.items() if name not in known]
        bar.advance(len(names) - len(unknown), 0)
        read = self._read_all(unknown, bar)
        return [
            place if isinstance(place, Outcome) else known.get(name) or read[place.name]
            for name, place in zip(names, found, strict=True)
        ]

    def _place(self, name: Any) -> Place | Outcome:
        try:
            return place_of(name, self.storage_options)
        except Exception as error:
            return Outcome.of_error(error)

    def _known(self, places: Mapping[Any, Place], stamps: Mapping[Any, Stamp]) -> dict[Any, Outcome]:
        """Return the outcomes of files that are as they were; reading says why one cannot be looked at."""
        if self.cache is None:
            return {}
        if self.trust == "content":
            self.cache.check()
            return {}
        unseen = [place for name, place in places.items() if name not in stamps]
        seen = dict(zip(unseen, in_threads(_stamp_of, unseen, workers=self._threads(unseen)), strict=True))
        looks = {place.name: stamps.get(name) or seen[place] for name, place in places.items()}
        there = {name: stamp for name, stamp in looks.items() if stamp is not None}
        versions = self.cache.known(self.recipe.name, there, self.trust)
        return {
            name: Outcome(versions[place.name], facts=there[place.name].facts)
            for name, place in places.items()
            if place.name in versions
        }

    def _read_all(self, places: Sequence[Place], bar: LateBar) -> dict[str, Outcome]:
        with closing(Memory(self.cache, self.recipe.name)) as memory:
            read = in_threads(self._read, places, workers=self._threads(places), bar=bar, finished=memory.take)
        return {place.name: outcome for place, (outcome, _) in zip(places, read, strict=True)}

    def _threads(self, places: Sequence[Place]) -> int:
        if self.workers is not None:
            return self.workers
        return processors() if all(place.is_local for place in places) else max(processors(), REMOTE_WORKERS)

    def _read(self, place: Place) -> tuple[Outcome, Known | None]:
        """Read a file, again if it changed meanwhile, or its place did not answer."""
        changes = failures = 0
        while True:
            try:
                return self._read_once(place)
            except ChangedError as error:
                changes += 1
                if changes == TRIES:
                    return Outcome.of_error(error), None
            except Exception as error:
                failures += 1
                if place.is_local or failures > self.retries or isinstance(error, _DEFINITE):
                    return Outcome.of_error(error), None
                time.sleep(PAUSE * 2 ** (failures - 1))

    def _read_once(self, place: Place) -> tuple[Outcome, Known | None]:
        began = time.time_ns()
        with place.open() as opened:
            try:
                digest = self.recipe.digest(opened)
            finally:  # what was read of a file that changed may be broken for that
                if not opened.stamp.is_of(opened.stamp_now()):
                    raise ChangedError("it changed while it was read")
        version = f"{self.recipe.name}:{digest}"
        known = None if self.cache is None else Known(place.name, version, opened.stamp, began)
        return Outcome(version, facts=opened.stamp.facts), known


def _stamp_of(place: Place) -> Stamp | None:
    try:
        return place.stamp()
    except Exception:
        return None


class Memory:
    """Gathers versions that were read, and writes them into the cache now and then, if there is one."""

    def __init__(self, cache: Cache | None, recipe: str) -> None:
        self._cache, self._recipe = cache, recipe
        self._waiting: list[Known] = []
        self._written = time.monotonic()

    def take(self, read: Sequence[tuple[Place, tuple[Outcome, Known | None]]]) -> None:
        """Take what was read since the last time."""
        self._waiting += (known for _, (_, known) in read if known is not None)
        if time.monotonic() - self._written > REMEMBERED:
            self.close()

    def close(self) -> None:
        """Write what waits, also after Ctrl-C; a cache that cannot be written any more costs no version."""
        if self._cache is not None and self._waiting:
            try:
                self._cache.remember(self._recipe, self._waiting)
            except ContentError as error:
                self._cache = None
                warn_user(f"{error}; the versions are right, but what was just read is read again", ContentCacheWarning)
        self._waiting, self._written = [], time.monotonic()


def versions_of_files(
    paths: Iterable[Any],
    recipe: Recipe,
    *,
    workers: int | None = None,
    trust: Trust = "content",
    cache: "str | os.PathLike[str] | None" = None,
    on_error: OnError = "record",
    retries: int = 3,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> pl.DataFrame:
    """Return the frame of versions that a recipe gives for files, as `hash_files` does."""
    check_on_error(on_error)
    reading = Reading.of(
        recipe, workers=workers, trust=trust, cache=cache, retries=retries, storage_options=storage_options
    )
    result = versions_by(reading, listed(paths, "paths"), progress)
    if on_error == "raise":
        refuse_errors(result)
    return result


def versions_by(reading: Reading, paths: Sequence[Any], progress: bool | None) -> pl.DataFrame:
    """Return the frame of versions of files, with the errors of those that have none."""
    frames = [result_frame({"path": []}, [], facts=FACTS)]
    for part, outcomes in reading.slices(paths, progress):
        frames.append(result_frame({"path": list(map(shown_path, part))}, outcomes, facts=FACTS))
    return pl.concat(frames)


def shown_path(path: Any) -> str | None:
    """Return a path as it is in frames: exactly, unless no encoding gave it."""
    if path is None:
        return None
    return storable(os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else str(path))
