"""Ctrl-C while workers work: the first one ends the run in order, the second one at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """Whether a run must end, and whether the user said so."""

    asked: bool = False
    interrupted: bool = False

    def __call__(self) -> bool:
        """Return whether no more jobs may begin."""
        return self.asked


@contextmanager
def stopping(note: Callable[[], None]) -> Iterator[Stop]:
    """Yield what says whether to stop; Ctrl-C does nothing else the first time, in the main thread, but to tell so."""
    stop = Stop()

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signals call it
        if stop.interrupted:
            raise KeyboardInterrupt
        stop.asked = stop.interrupted = True
        with suppress(Exception):  # it may come in the middle of a line
            note()

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield stop
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
