"""Names as text, for what is loaded only when someone asks for it."""

import importlib
from typing import Any


def resolve(target: str) -> Any:
    """Return the module, or the object in a module, that a target names.

    >>> resolve("metaxy.hashing:MIN_TRUNCATION_LENGTH")
    8
    """
    module, _, name = target.partition(":")
    place = importlib.import_module(module)
    return getattr(place, name) if name else place
