"""Functions that a decorator made something else of: worker processes cannot find them by their names."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from metaxy.workers.function import Function, RowsOf

_BY_NAME: Final[dict[tuple[str, str], "Undecorated"]] = {}


@dataclass(frozen=True)
class Undecorated:
    """A function that is pickled as the name of what it became: loading its module decorates it there, too."""

    fn: Callable[..., Any]

    def __call__(self, given: Any) -> Any:
        """Call the function."""
        return self.fn(given)

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        """Name the function."""
        return _loaded, _name(self.fn)


def undecorated(fn: Callable[..., Any], rows: RowsOf | None = None) -> Function:
    """Return a function in a form that other processes can load; ``rows`` is what it takes.

    Raises:
        TypeError: if nothing says what it takes.
    """
    function, call = Function.of(fn, rows), Undecorated(fn)
    _BY_NAME[_name(fn)] = call
    return replace(function, call=call)


def _name(fn: Callable[..., Any]) -> tuple[str, str]:
    return fn.__module__, fn.__qualname__


def _loaded(module: str, name: str) -> Undecorated:
    importlib.import_module(module)
    if (module, name) not in _BY_NAME:
        raise ImportError(f"loading module {module} decorates no function {name}: define it at the top of the module")
    return _BY_NAME[module, name]
