"""How errors look to someone who typed a command: one line, and an exit code that a script can act on."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

from cyclopts import CycloptsError, UnknownCommandError

from metaxy.errors import (
    AmbiguousProjectError,
    DefinitionError,
    EntrypointLoadError,
    ExternalFeatureVersionMismatchError,
    FeatureNotFoundError,
    FilterParseError,
    HashSettingsMismatchError,
    InvalidConfigError,
    MetaxyError,
    MetaxyMissingFeatureDependency,
    SnapshotError,
    StoreConnectionError,
    StoreImportError,
    StoreLockedError,
    UnknownFeatureError,
    did_you_mean,
)
from metaxy.masking import Secrets
from metaxy.printable import json_text

FAILURE: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130  # what shells report for Ctrl-C
UNREACHABLE: Final = 3
GENERIC: Final = "GENERIC_ERROR"
USAGE_ERROR: Final = "USAGE_ERROR"

# Which code an error has in JSON, and how the process exits; the first class that fits counts.
CODES: Final[Sequence[tuple[type[Exception], str, int]]] = (
    (StoreConnectionError, "STORE_UNREACHABLE", UNREACHABLE),
    (StoreLockedError, "STORE_LOCKED", UNREACHABLE),
    (StoreImportError, "STORE_IMPORT_ERROR", USAGE),
    (InvalidConfigError, "INVALID_CONFIG", USAGE),
    (FilterParseError, "INVALID_FILTER", USAGE),
    (EntrypointLoadError, "ENTRYPOINT_ERROR", FAILURE),
    (MetaxyMissingFeatureDependency, "MISSING_DEPENDENCY", FAILURE),
    (AmbiguousProjectError, "PROJECT_NOT_SET", FAILURE),
    (ExternalFeatureVersionMismatchError, "VERSION_MISMATCH", FAILURE),
    (HashSettingsMismatchError, "HASH_SETTINGS_MISMATCH", FAILURE),
    (DefinitionError, "INVALID_DEFINITION", FAILURE),
    (UnknownFeatureError, "FEATURES_NOT_FOUND", FAILURE),
    (FeatureNotFoundError, "FEATURES_NOT_FOUND", FAILURE),
    (SnapshotError, "SNAPSHOT_ERROR", FAILURE),
)


class CommandError(MetaxyError):
    """A command cannot do what was asked.

    Args:
        code: What programs know the error by.
        message: What is wrong, in one line.
        hint: What to do about it.
        exit_code: How the process exits.
        details: Data that programs may want; part of the error in JSON.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", exit_code: int = FAILURE, **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.exit_code = exit_code
        self.details = details


def exit_code(error: Exception) -> int:
    """Return 2 for wrong input or configuration, 3 for a store that cannot be reached, else 1.

    >>> exit_code(MetaxyError("no such feature")), exit_code(InvalidConfigError("no such key"))
    (1, 2)
    """
    return error.exit_code if isinstance(error, CommandError) else _code_and_exit(error)[1]


def _code_and_exit(error: Exception) -> tuple[str, int]:
    for kind, code, exits in CODES:
        if isinstance(error, kind):
            return code, exits
    return (USAGE_ERROR, USAGE) if validation_text(error) else (GENERIC, FAILURE)


def message_of(error: Exception) -> str:
    """Return what went wrong, and how to learn more where Metaxy did not expect it; in one line without secrets.

    Only errors of filters have more: the text of the filter, and a mark below the place that is wrong.
    """
    text = validation_text(error)
    secrets = configured_secrets()
    if not text and isinstance(error, MetaxyError):
        text = secrets.hide_values(str(error))
    if not text and isinstance(error, OSError):
        text = secrets.hide(str(error))
    if not text:
        said = secrets.hide(str(error))  # somebody may have put the password of a connection into it
        text = f"unexpected {type(error).__name__}: {said} (run it again with --debug for the traceback)"
    return text if isinstance(error, FilterParseError) else " ".join(text.split())


def configured_secrets() -> Secrets:
    """Return the secrets of the active configuration; where none was loaded, there are none."""
    context = sys.modules.get("metaxy.context")  # to import it takes longer than help, which fails here too
    stores = getattr(context.active_settings(), "stores", {}) if context else {}
    return Secrets.of([store.config for store in stores.values()])


def plain_text(error: Exception) -> str:
    """Return an error as people read it.

    >>> plain_text(MetaxyError("no such feature"))
    'Error: no such feature'
    >>> plain_text(RuntimeError("oh"))
    'Error: unexpected RuntimeError: oh (run it again with --debug for the traceback)'
    """
    hint = f"\nHint: {error.hint}" if isinstance(error, CommandError) and error.hint else ""
    return f"Error: {message_of(error)}{hint}"


def as_json(error: Exception) -> str:
    """Return an error as programs read it: one line of JSON.

    >>> as_json(CommandError("NO_FEATURES", "nothing is left", features=["a"]))
    '{"error": "NO_FEATURES", "message": "nothing is left", "features": ["a"]}'
    """
    code, details = _code_and_exit(error)[0], _details(error)
    if isinstance(error, CommandError):
        code, details = error.code, ({"hint": error.hint} if error.hint else {}) | error.details
    return json_text({"error": code, "message": message_of(error), **details})


def _details(error: Exception) -> dict[str, Any]:
    if isinstance(error, UnknownFeatureError):
        return {"features": [error.key]}
    return {"features": [str(key) for key in error.keys]} if isinstance(error, FeatureNotFoundError) else {}


def validation_text(error: Exception) -> str:
    """Return the first thing that pydantic found wrong, and how many more there are; empty for other errors."""
    pydantic = sys.modules.get("pydantic_core")  # where it is not loaded, it cannot have raised this
    if pydantic is None or not isinstance(error, pydantic.ValidationError):
        return ""
    first, *others = error.errors(include_url=False)
    place = ".".join([error.title, *(str(part) for part in first["loc"])])
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {first['msg'].removeprefix('Value error, ')}{more}"


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
