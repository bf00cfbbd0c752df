"""Names as text, for what is loaded only when someone asks for it."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def resolve(target: str) -> Any:
    """Return the module, or the object in a module, that a target names.

    >>> resolve("metaxy.hashing:MIN_TRUNCATION_LENGTH")
    8
    """
    module, _, name = target.partition(":")
    place = importlib.import_module(module)
    return getattr(place, name) if name else place


def attributes(module: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a module each of whose names is loaded from its home when it is first used.

    Args:
        module: The name of the module.
        homes: The module that each name is in.
    """

    def load(name: str) -> Any:
        itself = sys.modules[module]
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name, obj=itself)
        value = resolve(f"{homes[name]}:{name}")
        setattr(itself, name, value)
        return value

    return load, lambda: sorted({*vars(sys.modules[module]), *homes})
