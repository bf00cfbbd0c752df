"""Import user code into a graph, and say in one line what went wrong."""

import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import FunctionType, ModuleType
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from metaxy.config.problems import first_problem
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import EntrypointLoadError, MetaxyError
from metaxy.wording import did_you_mean, short_path

Loaded = TypeVar("Loaded")
_NEVER_TO_BLAME: Final = sys.stdlib_module_names | {"metaxy", "pydantic"}


def load_into(graph: FeatureGraph, what: str, module: str, load: Callable[[], Loaded]) -> Loaded:
    """Run what imports a module, and return its result; the graph then has all features of the module.

    Python runs a module only once. Features of modules that were imported before are registered again.

    Raises:
        EntrypointLoadError: if it fails, with the line of user code that did.
    """
    before = frozenset(sys.modules)
    with _explained(what, module), graph.use():
        result = load()
        for feature in features_of(module):
            is_known = feature.graph is graph and feature.spec().key in graph.feature_definitions_by_key
            if feature.__module__ in before and not is_known:
                graph.add_feature(feature)
    return result


# -- features of modules -----------------------------------------------------------------------------------------------


def features_of(module: str) -> list[Any]:
    """Return the feature classes that importing a module defines, in about the order in which it does.

    These are the classes that the module holds, by name or in a list, tuple or dict; and those of the modules of the
    same package that it refers to.
    """
    found: dict[Any, None] = {}
    _collect(module, module.partition(".")[0], found, set())
    return list(found)


def _collect(module: str, package: str, found: dict[Any, None], seen: set[str]) -> None:
    if module in seen or module not in sys.modules:
        return
    seen.add(module)
    for value in _held_by(sys.modules[module]):
        is_feature = isinstance(value, type) and isinstance(vars(value).get("_spec"), FeatureSpec)
        origin = value.__name__ if isinstance(value, ModuleType) else value.__module__
        if is_feature or str(origin).partition(".")[0] == package:
            _collect(str(origin), package, found, seen)
        if is_feature:
            found[value] = None


def _held_by(module: ModuleType) -> Iterator[Any]:
    """Yield the modules, classes and functions in a module and, one level deep, in its collections."""
    for value in list(vars(module).values()):
        items = list(value.values()) if isinstance(value, dict) else value
        for item in items if isinstance(items, (list, tuple)) else [value]:
            if isinstance(item, (ModuleType, type, FunctionType)):
                yield item


# -- errors ------------------------------------------------------------------------------------------------------------


@contextmanager
def _explained(what: str, module: str) -> Iterator[None]:
    try:
        yield
    except EntrypointLoadError:
        raise  # a module that loads another one itself
    except (Exception, SystemExit) as error:
        raise EntrypointLoadError(f"cannot load {what}: {_cause(error, module)}") from error


def _cause(error: BaseException, module: str) -> str:
    """Return in one line where user code failed, and how."""
    if isinstance(error, SyntaxError):
        return f"{short_path(error.filename or '?')}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [
        (frame.f_code.co_filename, line, _package(frame.f_globals)) for frame, line in walk_tb(error.__traceback__)
    ]
    places = [f"{short_path(file)}:{line}: " for file, line, package in frames if package not in _NEVER_TO_BLAME]
    if not places and isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
        return _no_module(str(error.name))
    return "".join(places[-1:]) + " ".join(_text(error).split())


def _package(frame_globals: dict[str, Any]) -> str:
    return str(frame_globals.get("__name__", "")).partition(".")[0]


def _text(error: BaseException) -> str:
    if isinstance(error, MetaxyError):
        return str(error)
    if isinstance(error, ValidationError):
        return f"{error.title}: {first_problem(error)}"
    return f"{type(error).__name__}: {error}"


def _no_module(name: str) -> str:
    """Return what may help where Python finds no module of this name."""
    parent, _, last = name.rpartition(".")
    folders = getattr(sys.modules[parent], "__path__", ()) if parent else None
    hint = did_you_mean(last, (info.name for info in pkgutil.iter_modules(folders)))
    return f"there is no module {name!r}.{hint} Install its package, or put its folder on PYTHONPATH"
