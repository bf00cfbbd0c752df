"""How errors look to someone who typed a command: one line, and an exit code that a script can act on."""

import sys
from collections.abc import Iterable
from typing import Final

from cyclopts import CycloptsError, UnknownCommandError

from metaxy.errors import (
    FilterParseError,
    InvalidConfigError,
    MetaxyError,
    StoreConnectionError,
    StoreLockedError,
    did_you_mean,
)

FAILURE: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130  # what shells report for Ctrl-C
UNREACHABLE: Final = 3


def exit_code(error: Exception) -> int:
    """Return 2 for wrong input or configuration, 3 for a store that cannot be reached, else 1.

    >>> exit_code(MetaxyError("no such feature")), exit_code(InvalidConfigError("no such key"))
    (1, 2)
    """
    if isinstance(error, (StoreConnectionError, StoreLockedError)):
        return UNREACHABLE
    is_usage = isinstance(error, (InvalidConfigError, FilterParseError)) or bool(validation_text(error))
    return USAGE if is_usage else FAILURE


def one_line(error: Exception) -> str:
    """Return what went wrong, and how to learn more where Metaxy did not expect it.

    >>> one_line(MetaxyError("no such feature"))
    'Error: no such feature'
    >>> one_line(RuntimeError("oh"))
    'Error: unexpected RuntimeError: oh (run it again with --debug for the traceback)'
    """
    text = validation_text(error)
    if not text and isinstance(error, (MetaxyError, OSError)):
        text = str(error)
    if not text:
        text = f"unexpected {type(error).__name__}: {error} (run it again with --debug for the traceback)"
    return "Error: " + " ".join(text.split())


def validation_text(error: Exception) -> str:
    """Return the first thing that pydantic found wrong, and how many more there are; empty for other errors."""
    pydantic = sys.modules.get("pydantic_core")  # where it is not loaded, it cannot have raised this
    if pydantic is None or not isinstance(error, pydantic.ValidationError):
        return ""
    first, *others = error.errors(include_url=False)
    place = ".".join([error.title, *(str(part) for part in first["loc"])])
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {first['msg'].removeprefix('Value error, ')}{more}"


def usage_line(error: CycloptsError, commands: Iterable[str]) -> str:
    """Return what is wrong with a command line, with the command that may be meant."""
    if isinstance(error, UnknownCommandError) and error.unused_tokens and not error.command_chain:
        # Its own text would import the module of every command to compare their names.
        name = error.unused_tokens[0]
        kind = "option" if name.startswith("-") else "command"
        text = f"unknown {kind} {name!r}.{did_you_mean(name, commands)}"
    else:
        text = str(error)
    return "Error: " + " ".join(text.split()) + " See --help."
