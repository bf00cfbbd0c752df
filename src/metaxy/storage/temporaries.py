"""Temporary names in a database, for frames from elsewhere: what a thread made in a block goes at its end."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Temporaries:
    """Remembers, for each thread, how to let go of what it loaded inside a block."""

    def __init__(self) -> None:
        self._threads = threading.local()

    def remember(self, let_go: Callable[[], object]) -> None:
        """Note what ends the innermost block of this thread; outside of blocks, what was loaded is kept."""
        noted: list[Callable[[], object]] | None = getattr(self._threads, "noted", None)
        if noted is not None:
            noted.append(let_go)

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Begin a block; at its end, whatever happens, let go of what was loaded in it.

        >>> loaded = Temporaries()
        >>> with loaded.forgetting():
        ...     loaded.remember(lambda: print("gone"))
        gone
        """
        noted = list[Callable[[], object]]()
        outer, self._threads.noted = getattr(self._threads, "noted", None), noted
        try:
            yield
        finally:
            self._threads.noted = outer
            for let_go in noted:
                let_go()
