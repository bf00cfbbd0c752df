"""The session of a store: opened once, closed once, counted across threads; what one call works with; the clock."""

import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from metaxy import context
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import InvalidConfigError, MetadataStoreError, StoreNotOpenError
from metaxy.hashing import HashAlgorithm, HashSettings
from metaxy.settings import Settings
from metaxy.storage.port import AccessMode, Storage
from metaxy.versioning.codec import Form

THREADS = Path("/proc/self/task")
OF_POLARS = re.compile(r"polars-\d+\s*")


class Clock:
    """Strictly increasing UTC microseconds: two writes of one store never share a timestamp."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = datetime.min.replace(tzinfo=timezone.utc)

    def now(self) -> datetime:
        """Return the time, at least one microsecond after the last answer."""
        with self._lock:
            self._last = max(datetime.now(timezone.utc), self._last + timedelta(microseconds=1))
            return self._last


class Forks:
    """Remembers across a fork whether Polars had threads in the parent; they are gone, and who waits for them hangs."""

    def __init__(self) -> None:
        self._used = False
        self._at_fork = False
        self._lost = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._look, after_in_child=self._inherit)

    def _look(self) -> None:
        self._at_fork = polars_works() if THREADS.exists() else self._used

    def _inherit(self) -> None:
        self._lost = self._lost or self._at_fork

    def check(self, display: str) -> None:
        """Note that a store is used, and refuse it where that would hang.

        Raises:
            MetadataStoreError: in a process that was forked after Polars was used.
        """
        self._used = True
        if self._lost:
            raise MetadataStoreError(
                f"{display}: this process was forked after Polars was used, and would hang; start processes with "
                'multiprocessing.get_context("spawn") or "forkserver"'
            )


def polars_works() -> bool:
    """Return whether Polars has started its threads in this process, as far as the system tells."""
    for thread in THREADS.glob("*/comm"):
        with suppress(OSError):  # it has just ended
            if OF_POLARS.fullmatch(thread.read_text()):
                return True
    return False


FORKS = Forks()


@dataclass(frozen=True)
class Scope:
    """The graph and the settings that one call of a verb works with."""

    graph: FeatureGraph
    settings: Settings
    algorithm: HashAlgorithm

    @classmethod
    def current(cls, algorithm: HashAlgorithm) -> "Scope":
        """Take the active graph and configuration."""
        return cls(FeatureGraph.get_active(), context.settings(), algorithm)

    @cached_property
    def hash(self) -> HashSettings:
        """How samples are hashed."""
        return HashSettings(self.algorithm, self.settings.hash_truncation_length)

    @property
    def needs_sync(self) -> bool:
        """Whether external features are loaded before a store is used."""
        return self.settings.sync and (self.graph.has_external_features or bool(self.settings.extra_features))

    @property
    def shape(self) -> Form:
        """How users see columns with versions by field, and how new tables keep them."""
        return "map" if self.settings.enable_map_datatype else "struct"

    def definition(self, feature: Any) -> FeatureDefinition:
        """Return the definition of a feature, given by anything that names one."""
        return self.graph.get_feature_definition(coerce_to_feature_key(feature))

    def version(self, key: FeatureKey) -> str:
        """Return the current version of a feature."""
        return self.graph.get_feature_version(key, self.hash.length)

    def project_version(self, definition: FeatureDefinition) -> str:
        """Return the version of the project that a write belongs to."""
        return self.graph.get_project_version(self.settings.project or definition.project, self.hash.length)


class Session:
    """Opens a storage at the outermost entry and closes it at the outermost exit, whichever threads they are in.

    The effective mode is the strongest that anyone holds. Asking to write while it is open for reading reconnects,
    which is refused while another thread is inside.
    """

    def __init__(self, storage: Storage, display: str, algorithm: HashAlgorithm) -> None:
        self._storage = storage
        self._display = display
        self._algorithm = algorithm
        self._lock = threading.RLock()
        self._inside: Counter[int] = Counter()
        self._mode: AccessMode | None = None
        self.resources = ExitStack()  # what must be closed together with the storage
        self._held: set[int] = set()

    @property
    def mode(self) -> AccessMode | None:
        """The effective mode, None while closed."""
        return self._mode

    @contextmanager
    def entered(self, mode: AccessMode) -> Iterator[bool]:
        """Hold the storage open; yields whether this is the outermost entry."""
        if mode not in ("r", "w"):
            raise InvalidConfigError(f"a store is opened with mode 'r' or 'w', not {mode!r}")
        me = threading.get_ident()
        outermost = self._enter(mode, me)
        try:
            yield outermost
        finally:
            self._exit(me)  # a fallback store may be left by another thread than the one that entered it

    def _enter(self, mode: AccessMode, me: int) -> bool:
        FORKS.check(self._display)
        with self._lock:
            outermost = self._mode is None
            if outermost:
                self._storage.open(mode)
                self._mode = mode
            elif mode == "w" and self._mode == "r":
                self._upgrade(me)
            self._inside[me] += 1
            return outermost

    def _upgrade(self, me: int) -> None:
        if any(thread != me for thread in self._inside):
            raise StoreNotOpenError(
                f'{self._display} is open for reading in another thread; open it with `store.open("w")` first'
            )
        self._storage.close()
        try:
            self._storage.open("w")
        except BaseException:
            self._storage.open("r")  # whoever reads goes on reading
            raise
        self._mode = "w"

    def _exit(self, me: int) -> None:
        with self._lock:
            self._inside[me] -= 1
            if not self._inside[me]:
                del self._inside[me]
            if not self._inside and self._mode is not None:
                self._mode = None
                self._held.clear()
                try:
                    self.resources.close()
                finally:
                    self._storage.close()

    def hold(self, key: int, block: AbstractContextManager[object]) -> None:
        """Stay in a block until this session ends; ``key`` tells blocks apart that need to be entered only once."""
        with self._lock:
            if key not in self._held:
                self.resources.enter_context(block)
                self._held.add(key)

    def scope(self, mode: AccessMode) -> Scope:
        """Return what one call works with that needs the store open like this."""
        self.require(mode)
        return Scope.current(self._algorithm)

    def require(self, mode: AccessMode) -> None:
        """Refuse to work on a store that is not open for this.

        Raises:
            StoreNotOpenError: saying how to open it.
            MetadataStoreError: in a process that was forked after Polars was used.
        """
        FORKS.check(self._display)
        if self._mode is None:
            raise StoreNotOpenError(f'{self._display} is closed; use `with store.open("{mode}"):`')
        if mode == "w" and self._mode == "r":
            raise StoreNotOpenError(f'{self._display} is open for reading only; use `with store.open("w"):` to write')


def dependents_first(graph: FeatureGraph, given: Mapping[Any, Any]) -> dict[FeatureKey, Any]:
    """Put frames in the order in which they are stored.

    Raises:
        ValueError: if two of them are for one feature.
    """
    frames: dict[FeatureKey, Any] = {}
    for feature, frame in given.items():
        key = coerce_to_feature_key(feature)
        if key in frames:
            raise ValueError(f"feature {key} is given twice")
        frames[key] = frame
    return {key: frames[key] for key in graph.topological_sort_features(list(frames), descending=True)}
