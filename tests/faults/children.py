"""Children: processes of their own, which speak over pipes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]

START = """
import sys
from pathlib import Path
import narwhals as nw
import polars as pl
from tests.factory import define, everything, rows, values
from tests.stores import ON_S3, STORES
from metaxy import columns as c

def say(*words):
    print(*words, flush=True)

define("video")
define("clip", "video")
make = lambda **options: (STORES | ON_S3)[sys.argv[1]](Path(sys.argv[2]), **options)
say("ready")
"""

Child = subprocess.Popen[str]


@contextmanager
def children(number: int, code: str, *arguments: object) -> Iterator[list[Child]]:
    """Start children at once, each with its number as the last argument, and wait until all are ready."""
    with ExitStack() as stack:
        started = [_start(code, [*arguments, n]) for n in range(number)]
        for child in started:
            stack.enter_context(child)
            stack.callback(child.kill)
        for child in started:
            assert hear(child) == "ready"
        yield started


def _start(code: str, arguments: list[object]) -> Child:
    command = [sys.executable, "-c", START + code, *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", cwd=ROOT
    )


def hear(child: Child) -> str:
    """Wait for a line of a child; empty once it ended."""
    assert child.stdout is not None
    return child.stdout.readline().strip()


def tell(child: Child, line: str = "") -> None:
    """Send a line to a child."""
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def finish(child: Child) -> list[str]:
    """Return all that a child still says; it must end well."""
    output, _ = child.communicate(timeout=asked("METAXY_PATIENCE", 600))
    assert child.returncode == 0
    return output.splitlines()


def asked(variable: str, default: int) -> int:
    """Return how often to do something: as the environment says, else the default."""
    return int(os.environ.get(variable, default))
