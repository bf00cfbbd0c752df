"""Processes that were forked after Polars began to work: its threads are gone, and what waits for them hangs."""

import os
import re
from contextlib import suppress
from pathlib import Path

from metaxy.errors import MetadataStoreError

THREADS = Path("/proc/self/task")
OF_POLARS = re.compile(r"polars-\d+\s*")


class Forks:
    """Remembers, across a fork, whether Polars had threads in the parent."""

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
