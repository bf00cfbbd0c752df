"""Problems of a configuration as one line that says what is wrong, and where."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from metaxy.config.files import locate
from metaxy.environment import variable_of
from metaxy.errors import InvalidConfigError
from metaxy.masking import is_harmless, is_secret, mask_address, mask_text
from metaxy.wording import did_you_mean

ErrorKind = TypeVar("ErrorKind", bound=InvalidConfigError)
_QUOTED: Final = re.compile(r"'([^']+)'")


def config_error(
    kind: type[ErrorKind], message: str, key: Sequence[object] = (), config_file: Path | None = None
) -> ErrorKind:
    """Build an error that begins with its place: the variable that sets the key, else file and line."""
    if key and (variable := variable_of(key)):
        return kind(f"{variable}: {message}")
    if config_file is None:
        return kind(message)
    file, line = locate(config_file, key)
    return kind(message, config_file=file, position=line)


def validation_error(
    error: ValidationError,
    known: Collection[str],
    prefix: Sequence[str] = (),
    config_file: Path | None = None,
) -> InvalidConfigError:
    """Turn what Pydantic found wrong with values of the configuration into our error."""

    def line(problem: Any) -> tuple[int, ...]:
        return locate(config_file, (*prefix, *problem["loc"]))[1] if config_file else ()

    problems = sorted(error.errors(include_url=False), key=line)
    key = (*prefix, *problems[0]["loc"])
    return config_error(InvalidConfigError, _first_of(problems, known, prefix), key, config_file)


def first_problem(error: ValidationError, known: Collection[str] = (), prefix: Sequence[str] = ()) -> str:
    """Return in one line the first problem that Pydantic found, and how many more there are."""
    return _first_of(error.errors(include_url=False), known, prefix)


def _first_of(problems: Sequence[Any], known: Collection[str], prefix: Sequence[str]) -> str:
    first, *others = problems
    name = ".".join(str(part) for part in (*prefix, *first["loc"]))
    text = _describe(first, name, known)
    return " ".join(text.split()) + (f" (and {len(others)} more)" if others else "")


def _describe(problem: Any, name: str, known: Collection[str]) -> str:
    message = mask_text(problem["msg"].removeprefix("Value error, "))
    if problem["type"] == "extra_forbidden":
        return f"unknown key {name!r}.{did_you_mean(str(problem['loc'][-1]), known)}"
    if problem["type"] == "missing":
        return f"{name} is missing"
    if not message.startswith("Input should "):
        return f"{name}: {message}" if name else message
    given = problem["input"]
    expected = message.removeprefix("Input ")
    if isinstance(given, (str, int, float)) and _may_be_shown(name.split(".")):
        shown = mask_address(given) if isinstance(given, str) else given
        return f"{name} {expected}, not {shown!r}.{did_you_mean(str(given), _QUOTED.findall(expected))}".rstrip(".")
    return f"{name} {expected}"


def _may_be_shown(key: Sequence[str]) -> bool:
    """Return whether the value of a key is no secret: what stores and integrations are given may be one."""
    names = [part for part in key if not part.isdigit()]
    return len(names) == 1 or (is_harmless(names[-1]) and not any(map(is_secret, names[:-1])))
