"""What a thread lends to a database: frames from elsewhere under names that must go again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Loaded:
    """Remembers, for each thread, which names it gave to frames inside a block."""

    def __init__(self) -> None:
        self._threads = threading.local()

    def remember(self, name: str) -> None:
        """Note a name, for the innermost block of this thread; outside of blocks, it is kept."""
        names: list[str] | None = getattr(self._threads, "names", None)
        if names is not None:
            names.append(name)

    @contextmanager
    def forgetting(self, forget: Callable[[str], object]) -> Iterator[None]:
        """Begin a block; at its end, whatever happens, forget each name that was noted in it.

        >>> loaded = Loaded()
        >>> with loaded.forgetting(print):
        ...     loaded.remember("mx_given_1")
        mx_given_1
        """
        names = list[str]()
        outer, self._threads.names = getattr(self._threads, "names", None), names
        try:
            yield
        finally:
            self._threads.names = outer
            for name in names:
                forget(name)
