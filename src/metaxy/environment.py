"""`METAXY_*` variables as values of the configuration.

``METAXY_STORES__DEV__CONFIG__ROOT_PATH`` is the key ``stores.dev.config.root_path``. Texts stay texts until it is known
what they should be: a numeric password is not a number.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from metaxy.errors import InvalidConfigError

PREFIX: Final = "METAXY_"
TABLES: Final = ("stores", "ext")
Variables = tuple[tuple[str, str], ...]


def metaxy_variables() -> Variables:
    """Return the variables of the environment that may belong to the configuration."""
    names = [name for name in os.environ if name[: len(PREFIX)].upper() == PREFIX]  # twice as quick as reading all
    return tuple((name, os.environ[name]) for name in names)


def environment_values(variables: Iterable[tuple[str, str]], keys: Collection[str]) -> dict[str, Any]:
    """Return what variables say about the configuration; an empty one counts only inside a table.

    Args:
        keys: Keys of the configuration; variables about anything else are ignored.

    >>> environment_values([("METAXY_STORES__DEV__CONFIG__ROOT_PATH", "a")], ["stores"])
    {'stores': {'dev': {'config': {'root_path': 'a'}}}}
    """
    values: dict[str, Any] = {}
    for name, text in sorted(variables):  # METAXY_STORES comes before METAXY_STORES__DEV__TYPE, which adds to it
        path = name[len(PREFIX) :].lower().split("__")
        is_nested = len(path) > 1
        if path[0] in keys and all(path) and (path[0] in TABLES if is_nested else text):
            value = _nested_value(text) if is_nested else _value(name, path[0], text)
            for part in reversed(path):
                value = {part: value}
            values = combine(values, value, variables_win=True)
    return values


def _value(name: str, key: str, text: str) -> Any:
    if key == "entrypoints" and not text.lstrip().startswith(("[", "{")):
        return [part.strip() for part in text.split(",") if part.strip()]
    if key not in ("entrypoints", "extra_features", *TABLES):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidConfigError(f"{name}: not valid JSON: {error}") from None


def _nested_value(text: str) -> Any:
    """Read lists and objects as JSON; what is none after all stays text."""
    try:
        return json.loads(text) if text.lstrip().startswith(("[", "{")) else text
    except ValueError:
        return text


def combine(values: Mapping[str, Any], variables: Mapping[str, Any], *, variables_win: bool) -> dict[str, Any]:
    """Merge what variables say with other values, at all depths.

    Variables have no upper case: where other values have the same key in another case, that key is meant.

    >>> combine({"Dev": {"a": 1}}, {"dev": {"a": 2, "b": 3}}, variables_win=True)
    {'Dev': {'a': 2, 'b': 3}}
    """
    merged = dict(values)
    spelled = {str(key).lower(): key for key in values}
    for name, value in variables.items():
        key = spelled.get(name, name)
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = combine(old, value, variables_win=variables_win)
        elif variables_win or key not in merged:
            merged[key] = value
    return merged


def variable_of(path: Iterable[object]) -> str | None:
    """Return the name of the variable that sets a key, if there is one."""
    wanted = PREFIX + "__".join(str(part) for part in path).upper()
    return next((name for name in os.environ if name.upper() == wanted), None)
