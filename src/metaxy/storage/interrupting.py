"""Ctrl-C while a library works: the statement ends, and `KeyboardInterrupt` is what the caller sees.

Python raises it wherever the main thread happens to be. Inside a function that a database calls it becomes an error of
the database, or is lost; and a database that is left in the middle may wait for ever for its other threads.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible(stop: Callable[[], object]) -> Iterator[None]:
    """Let Ctrl-C stop what runs in the block, and raise `KeyboardInterrupt` once it has ended.

    Only the main thread hears of Ctrl-C; and whoever handles it otherwise, such as asyncio, goes on doing so.

    Args:
        stop: makes what runs in the block end with an error; it is called in the middle of it.

    Raises:
        KeyboardInterrupt: if Ctrl-C was pressed.

    >>> with interruptible(lambda: None):
    ...     1 + 1
    2
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    pressed = False

    def note(*_: object) -> None:
        nonlocal pressed
        pressed = True
        stop()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception as error:
        if pressed:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt
