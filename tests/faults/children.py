"""Children: processes of their own, which speak over pipes.

They are forked from a process that has imported all they need: a new interpreter would spend more time on that than
on what the test is about. Where the system cannot fork, they import for themselves.
"""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

START = """
import sys
from pathlib import Path
import narwhals as nw
import polars as pl
from tests.factory import define, everything, rows, values
from tests.stores import ON_S3, STORES
from metaxy import columns as c

define("video")
define("clip", "video")
make = lambda **options: (STORES | ON_S3)[sys.argv[1]](Path(sys.argv[2]), **options)
say("ready")
"""

context: Any = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
context.set_forkserver_preload(["pytest", "tests.factory", "tests.stores", __name__])


class Child:
    """A child that runs some code, in which ``say`` sends words to the test and ``listen`` waits for a line of it."""

    def __init__(self, code: str, arguments: list[str]) -> None:
        self.line, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=live, args=(code, arguments, theirs))
        self.process.start()
        theirs.close()

    def end(self) -> None:
        """Kill it, if it is still there, and forget it."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.line.close()


def live(code: str, arguments: list[str], line: "Connection[str, str]") -> None:
    """Do what a child is there for."""

    def say(*words: object) -> None:
        line.send(" ".join(map(str, words)))

    sys.argv = ["child", *arguments]
    try:
        exec(START + code, {"__name__": "child", "say": say, "listen": line.recv})
    except BaseException:
        say(traceback.format_exc())
        raise


@contextmanager
def children(number: int, code: str, *arguments: object) -> Iterator[list[Child]]:
    """Start children at once, each with its number as the last argument, and wait until all are ready."""
    with ExitStack() as stack:
        started = [Child(code, [*map(str, arguments), str(n)]) for n in range(number)]
        for child in started:
            stack.callback(child.end)
        for child in started:
            assert hear(child) == "ready"
        yield started


def hear(child: Child) -> str:
    """Wait for what a child says; empty once it ended."""
    with suppress(EOFError, OSError):  # it may end in the middle of a word
        said: str = child.line.recv()
        return said
    return ""


def tell(child: Child, line: str = "") -> None:
    """Send a line to a child."""
    child.line.send(line)


def interrupt(child: Child) -> None:
    """Press Ctrl-C in a child."""
    assert child.process.pid is not None
    os.kill(child.process.pid, signal.SIGINT)


def rest(child: Child) -> list[str]:
    """Return all that a child still says until it ends."""
    return list(iter(lambda: hear(child), ""))


def finish(child: Child) -> list[str]:
    """Return all that a child still says; it must end well."""
    said = rest(child)
    child.process.join(asked("METAXY_PATIENCE", 600))
    assert child.process.exitcode == 0, said
    return said


def asked(variable: str, default: int) -> int:
    """Return how often to do something: as the environment says, else the default."""
    return int(os.environ.get(variable, default))
