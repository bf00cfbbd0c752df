"""`mx shell`: commands one after the other, with the configuration and the features of the first."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from metaxy.cli.app import guarded, run
from metaxy.cli.failures import usage_error
from metaxy.cli.options import current_options
from metaxy.cli.output import say
from metaxy.cli.workspace import workspace

PROMPT = "$ "
LEAVE = ("exit", "quit")


def shell() -> None:
    """Read commands and run them, until Ctrl-D or `exit`; configuration and features are loaded only once."""
    _ = workspace().config
    if sys.stdin.isatty():
        _keep_lines()
        say("Commands without `mx`, such as: list features. Leave with Ctrl-D.")
    for line in _lines():
        guarded(partial(_run, line))


def _run(line: str) -> object:
    current_options().format = "plain"  # not that of the line before
    try:
        tokens = shlex.split(line)
    except ValueError as error:
        raise usage_error(f"{line}: {str(error).lower()}") from None
    return run(tokens)


def _lines() -> Iterator[str]:
    """Yield what is typed, line by line."""
    while True:
        try:
            line = input(PROMPT if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if line in LEAVE:
            return
        if line and line != "shell":
            yield line


def _keep_lines() -> None:
    """Let the arrow keys bring earlier lines back, where Python can do that."""
    with suppress(ImportError):  # Windows has none
        import readline  # noqa: F401 - `input` uses it once it is imported
