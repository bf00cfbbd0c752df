"""Find and import the code that defines features, and start a project."""

import importlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import Any, Final

from metaxy.config import MetaxyConfig, current_config
from metaxy.dag.graph import FeatureGraph, current_graph
from metaxy.project.locked import load_lock_file, warn_about_drift
from metaxy.project.modules import load_into

SEPARATORS: Final = re.compile(r"[-_.]+")
DEFAULT_ENTRY_POINT_GROUP: Final = "metaxy.project"
VARIABLE_PREFIX: Final = "METAXY_ENTRYPOINT"
CONFIG_VARIABLE: Final = "METAXY_ENTRYPOINTS"  # a key of the configuration, which reads it itself
_loading: ContextVar[bool] = ContextVar("metaxy_loading", default=False)


def init(
    config: MetaxyConfig | str | Path | None = None,
    search_parents: bool = True,
    *,
    isolated: bool = False,
) -> MetaxyConfig:
    """Start a project: make its configuration the active one and load its features into the active graph.

    Features of its lock file are placeholders, until a feature of the same key is defined or synced from a store.

    Args:
        config: A configuration, or the path of its file; the nearest file by default.
        isolated: Take features only from installed packages that the configured project needs.

    Raises:
        InvalidConfigError: if the configuration is wrong.
        EntrypointLoadError: if a module of the project cannot be imported.
    """
    if _loading.get() and MetaxyConfig.is_set():
        return MetaxyConfig.get()  # a module that is being loaded must not replace what loads it
    if isinstance(config, MetaxyConfig):
        MetaxyConfig.set(config)
    else:
        config = MetaxyConfig.load(config, search_parents=search_parents)
    locked = load_lock_file(config)
    load_features(config.entrypoints, filter_project=config.project if isolated else None)
    if locked:
        warn_about_drift(config, current_graph())
    return config


def load_features(
    entrypoints: Iterable[str] | None = None,
    package_entrypoint_group: str = DEFAULT_ENTRY_POINT_GROUP,
    *,
    load_packages: bool = True,
    load_env: bool = True,
    filter_project: str | None = None,
) -> FeatureGraph:
    """Load features from modules, installed packages and the environment into the active graph, and return it.

    A call from inside a module that is being loaded does nothing.

    Args:
        entrypoints: Names of modules; those of the active configuration by default.
        package_entrypoint_group: Which entry points of installed packages to load.
        load_env: Whether to load modules named by ``METAXY_ENTRYPOINT…`` variables.
        filter_project: Only load entry points of this installed package and of what it needs.

    Raises:
        EntrypointLoadError: if a module cannot be imported.
    """
    graph = current_graph()
    if _loading.get():
        return graph
    with _loading_once():
        load_entrypoints(current_config().entrypoints if entrypoints is None else entrypoints)
        if load_packages:
            load_package_entrypoints(package_entrypoint_group, filter_project=filter_project)
        if load_env:
            load_env_entrypoints()
    return graph


@contextmanager
def _loading_once() -> Iterator[None]:
    token = _loading.set(True)
    try:
        yield
    finally:
        _loading.reset(token)


def load_entrypoints(entrypoints: Iterable[str], *, graph: FeatureGraph | None = None) -> None:
    """Load features from modules.

    Raises:
        EntrypointLoadError: if a module cannot be imported.
    """
    for module in [entrypoints] if isinstance(entrypoints, str) else entrypoints:
        load_module_entrypoint(module, graph=graph)


def load_module_entrypoint(module_path: str, *, graph: FeatureGraph | None = None) -> None:
    """Load features from a module; from one that was imported before, they are registered again.

    Raises:
        EntrypointLoadError: if the module cannot be imported.
    """
    what = f"entrypoint {module_path!r}"
    load_into(_or_active(graph), what, module_path, partial(importlib.import_module, module_path))


def load_package_entrypoints(
    group: str = DEFAULT_ENTRY_POINT_GROUP,
    *,
    graph: FeatureGraph | None = None,
    filter_project: str | None = None,
) -> None:
    """Load features from the entry points of installed packages; those that name a function call it.

    Args:
        filter_project: Only load entry points of this package and of what it needs, if it is installed.

    Raises:
        EntrypointLoadError: if an entry point cannot be loaded.
    """
    closure = dependency_closure(filter_project) if filter_project else None
    for entry_point in package_entry_points(group):
        if closure is None or entry_point.dist is None or canonical_name(entry_point.dist.name) in closure:
            load_one_package(entry_point, graph=graph)


def package_entry_points(group: str = DEFAULT_ENTRY_POINT_GROUP) -> list[EntryPoint]:
    """Return the entry points of installed packages; nothing is imported."""
    return list(entry_points(group=group))


def load_one_package(entry_point: EntryPoint, *, graph: FeatureGraph | None = None) -> None:
    """Load features from one entry point of an installed package.

    Raises:
        EntrypointLoadError: if it cannot be loaded.
    """
    what = f"entry point {entry_point.name!r} ({entry_point.value})"
    load_into(_or_active(graph), what, entry_point.module, partial(_run, entry_point))


def _run(entry_point: EntryPoint) -> None:
    target: Any = entry_point.load()
    if callable(target) and not isinstance(target, type):  # a feature class needs no call
        target()


def load_env_entrypoints(*, graph: FeatureGraph | None = None) -> None:
    """Load features from modules named, with commas, by variables whose names begin with ``METAXY_ENTRYPOINT``.

    Raises:
        EntrypointLoadError: if a module cannot be imported.
    """
    for name in sorted(os.environ):
        if name.startswith(VARIABLE_PREFIX) and name != CONFIG_VARIABLE:
            modules = (module.strip() for module in os.environ[name].split(","))
            load_entrypoints(filter(None, modules), graph=graph)


def _or_active(graph: FeatureGraph | None) -> FeatureGraph:
    return current_graph() if graph is None else graph


def canonical_name(name: str) -> str:
    """Return the one spelling of the name of a package.

    >>> canonical_name("My_Project.x")
    'my-project-x'
    """
    return SEPARATORS.sub("-", name).lower()


def dependency_closure(project: str) -> set[str] | None:
    """Return the packages that a project needs, directly or not, with itself; None if it is not installed."""
    found = _installed(project)
    if found is None:
        return None
    closure: set[str] = set()
    todo = [found]
    while todo:
        package = todo.pop()
        name = canonical_name(package.name)
        if name not in closure:
            closure.add(name)
            todo += [needed for needed in map(_installed, _needs(package)) if needed is not None]
    return closure


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _needs(package: Distribution) -> list[str]:
    """Return the names of what a package needs here, without its extras."""
    from packaging.requirements import Requirement  # slow to import, and only isolated loading needs it

    requirements = [Requirement(line) for line in package.requires or ()]
    return [need.name for need in requirements if need.marker is None or need.marker.evaluate({"extra": ""})]
