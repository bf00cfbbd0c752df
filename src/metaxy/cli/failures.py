"""Errors on the command line: one line for people, an exit code for scripts."""

from collections.abc import Iterable, Mapping
from typing import Final

from cyclopts import CycloptsError, UnknownCommandError

from metaxy.errors import ErrorKind, RequestError
from metaxy.service.failures import Failure
from metaxy.wording import did_you_mean

FAILURE: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130  # what shells report for Ctrl-C
EXITS: Final[Mapping[ErrorKind, int]] = {"failure": FAILURE, "request": USAGE, "unreachable": 3}


def message_of(failure: Failure) -> str:
    """Return what went wrong, and how to learn more where Metaxy did not expect it."""
    return failure.message + (" (run it again with --debug for the traceback)" if failure.is_unexpected else "")


def plain_text(failure: Failure) -> str:
    r"""Return an error as people read it.

    >>> plain_text(Failure.of(RequestError("NO_FEATURES", "nothing is left", hint="add some")))
    'Error: nothing is left\nHint: add some'
    >>> plain_text(Failure.of(RuntimeError("oh")))
    'Error: unexpected RuntimeError: oh (run it again with --debug for the traceback)'
    """
    hint = failure.details.get("hint")
    return f"Error: {message_of(failure)}" + (f"\nHint: {hint}" if hint else "")


def usage_error(message: str, *, code: str = "USAGE_ERROR", hint: str = "", **details: object) -> RequestError:
    """Return the error for a command line that says too little, too much, or nothing that can be understood."""
    return RequestError(code, message, hint=hint, kind="request", **details)


def conflict(message: str, *flags: str) -> RequestError:
    """Return the error for options that do not go together."""
    return usage_error(message, code="CONFLICTING_FLAGS", conflicting_flags=list(flags))


def usage_text(error: CycloptsError, commands: Iterable[str]) -> str:
    """Return what is wrong with a command line, with the command that may be meant."""
    if isinstance(error, UnknownCommandError) and error.unused_tokens and not error.command_chain:
        # Its own text would import the module of every command to compare their names.
        name = error.unused_tokens[0]
        kind = "option" if name.startswith("-") else "command"
        text = f"unknown {kind} {name!r}.{did_you_mean(name, commands)}"
    else:
        text = str(error)
    return " ".join(text.split()) + " See --help."
