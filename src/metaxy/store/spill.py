"""Rows on disk until a store has them, so that they outlive the process that took them."""

import itertools
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

import polars as pl

from metaxy import columns as c
from metaxy.definitions.keys import FeatureKey
from metaxy.store.scope import Scope

SUFFIX = ".put"
_FILE = ".arrow"


class Spill:
    """A folder with one folder per `put`, complete once it has its final name; names sort by time."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._names = (f"{time.time_ns():020d}-{os.getpid()}-{number:08d}" for number in itertools.count())

    def add(self, frames: Mapping[FeatureKey, pl.DataFrame], scope: Scope) -> Path:
        """Keep frames, with the versions that the features have now: code may change before they are recovered."""
        unfinished = self.folder / next(self._names)
        unfinished.mkdir(parents=True)
        for key, frame in frames.items():
            versions = {
                c.METAXY_FEATURE_VERSION: scope.version(key),
                c.METAXY_PROJECT_VERSION: scope.project_version(scope.definition(key)),
            }
            with_versions = frame.with_columns(pl.lit(value).alias(name) for name, value in versions.items())
            with_versions.write_ipc(unfinished / f"{quote(str(key), safe='')}{_FILE}")
        return unfinished.rename(unfinished.with_suffix(SUFFIX))

    def remove(self, kept: Path) -> None:
        """Forget frames; what cannot be removed will be recovered, which writes the same rows again."""
        with suppress(OSError):
            shutil.rmtree(kept.rename(kept.with_suffix(".done")))

    def kept(self) -> Iterator[tuple[Path, dict[FeatureKey, pl.DataFrame]]]:
        """Yield what is kept, oldest first; frames that were never finished are left alone."""
        for folder in sorted(self.folder.glob(f"*{SUFFIX}")):
            files = sorted(folder.glob(f"*{_FILE}"))
            yield folder, {FeatureKey(unquote(file.stem)): pl.read_ipc(file) for file in files}
