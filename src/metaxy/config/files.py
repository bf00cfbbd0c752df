"""Configuration files: found, parsed, merged with the files that they extend, filled with environment variables.

Everything here works on plain values and knows no key but ``extend``.
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from metaxy.errors import ConfigFileNotFoundError, InvalidConfigError
from metaxy.wording import short_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Values = dict[str, Any]
CONFIG_FILE: Final = "metaxy.toml"
PYPROJECT: Final = "pyproject.toml"
SECTION: Final = ("tool", "metaxy")
EXTEND: Final = "extend"

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_PLACE: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_TABLE: Final = re.compile(r"\s*\[+([^\[\]]+)\]")
_KEY: Final = re.compile(r"\s*([^\s=#\[][^=#]*?)\s*=")
_KEY_PART: Final = re.compile(r'"([^"]*)"|\'([^\']*)\'|([A-Za-z0-9_-]+)')


class ConfigFile(NamedTuple):
    """A file as it was read; of a ``pyproject.toml`` only ``[tool.metaxy]``."""

    path: Path
    text: str
    values: Values

    @property
    def section(self) -> tuple[str, ...]:
        """The table of the file that is the configuration."""
        return SECTION if self.path.name == PYPROJECT else ()


# -- finding -----------------------------------------------------------------------------------------------------------


def find_config_file(start: Path, *, search_parents: bool) -> Path | None:
    """Return the nearest ``metaxy.toml``, or ``pyproject.toml`` with a ``[tool.metaxy]``."""
    start = start.absolute()
    for folder in (start, *start.parents) if search_parents else (start,):
        if (folder / CONFIG_FILE).is_file():
            return folder / CONFIG_FILE
        if _configures(folder / PYPROJECT):
            return folder / PYPROJECT
    return None


def _configures(pyproject: Path) -> bool:
    """Return whether a file has our section; one that never mentions us is not parsed, so it may be broken."""
    return pyproject.is_file() and b"metaxy" in pyproject.read_bytes() and bool(_read_file(pyproject).values)


# -- reading -----------------------------------------------------------------------------------------------------------


def read_config(path: Path) -> Values:
    """Return the values of a file and the files that it extends, with ``${VAR}`` and ``${VAR:-default}`` filled in.

    Raises:
        ConfigFileNotFoundError: if it does not exist.
        InvalidConfigError: if it, or a file that it extends, cannot be read or is no TOML.
    """
    merged: Values = {}
    for file in reversed(_chain(path)):
        merged = _extend(merged, file.values)
    merged.pop(EXTEND, None)
    return {key: _fill(value) for key, value in merged.items()}


def _chain(path: Path) -> list[ConfigFile]:
    """Read a file, the file that it extends, and so on."""
    files = [_read_file(path)]
    while parent := files[-1].values.get(EXTEND):
        last = files[-1]
        target = last.path.parent / Path(str(parent)).expanduser()
        line = line_of(last, (EXTEND,))
        if not target.is_file():
            message = f"{EXTEND} names {str(parent)!r}, but there is no such file"
            raise InvalidConfigError(message, config_file=last.path, position=line)
        if any(file.path.resolve() == target.resolve() for file in files):
            circle = " → ".join(short_path(file) for file in (*(file.path for file in files), target))
            message = f"these files extend each other in a circle: {circle}"
            raise InvalidConfigError(message, config_file=last.path, position=line)
        files.append(_read_file(target))
    return files


def _read_file(path: Path) -> ConfigFile:
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows may begin a file with a mark
        values: Any = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigFileNotFoundError("there is no such file", config_file=path) from None
    except tomllib.TOMLDecodeError as error:
        message, position = _toml_problem(str(error), text)
        raise InvalidConfigError(message, config_file=path, position=position) from None
    except UnicodeDecodeError as error:
        raise InvalidConfigError(f"not UTF-8 text: {error}", config_file=path) from None
    except OSError as error:
        raise InvalidConfigError(f"cannot be read: {error.strerror}", config_file=path) from error
    if path.name == PYPROJECT:
        for key in SECTION:
            values = values.get(key, {})
            if not isinstance(values, dict):
                raise InvalidConfigError(f"{'.'.join(SECTION)} is not a table", config_file=path)
    return ConfigFile(path, text, values)


def _toml_problem(message: str, text: str) -> tuple[str, tuple[int, ...]]:
    """Return what is wrong with TOML, and at which line and column."""
    found = _PLACE.fullmatch(message)
    what = found[1] if found else message
    if found and found[2]:
        position = int(found[2]), int(found[3])
    else:
        lines = text.split("\n")
        position = len(lines), len(lines[-1]) + 1
    return what[:1].lower() + what[1:], position


def _extend(parent: Values, child: Values) -> Values:
    """Put a file over the one that it extends: lists are joined, tables merged one level deep, others replaced."""
    merged = dict(parent)
    for key, value in child.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = {**old, **value}
        elif isinstance(old, list) and isinstance(value, list):
            merged[key] = [*old, *value]
        else:
            merged[key] = value
    return merged


def _fill(value: Any) -> Any:
    """Fill environment variables into all texts of a value."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: os.environ.get(found[1], found[2] or ""), value)
    if isinstance(value, dict):
        return {key: _fill(item) for key, item in value.items()}
    return [_fill(item) for item in value] if isinstance(value, list) else value


# -- where things stand ------------------------------------------------------------------------------------------------


def locate(path: Path, key: Sequence[object]) -> tuple[Path, tuple[int, ...]]:
    """Return the file and, if it can be found, the line that set a key: in a file, or one that it extends."""
    try:
        files = _chain(path)
    except InvalidConfigError:  # it has changed since it was read
        return path, ()
    for file in files:
        if line := line_of(file, key):
            return file.path, line
    return path, ()


def line_of(file: ConfigFile, key: Sequence[object]) -> tuple[int, ...]:
    """Return the number of the line that sets a key, or of the nearest table around it; empty if there is none."""
    wanted = (*file.section, *(str(part) for part in key))
    table: tuple[str, ...] = ()
    best: tuple[int, tuple[int, ...]] = (len(file.section), ())
    for number, line in enumerate(file.text.splitlines(), start=1):
        if header := _TABLE.match(line):
            here = table = _parts(header[1])
        elif assignment := _KEY.match(line):
            here = (*table, *_parts(assignment[1]))
        else:
            continue
        shared = here[: len(wanted)]
        if shared == wanted[: len(shared)] and len(shared) > best[0]:
            best = len(shared), (number,)
    return best[1]


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(double or single or bare for double, single, bare in _KEY_PART.findall(dotted))
