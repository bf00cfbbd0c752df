"""Is everything as it should be? Configuration, modules, features, lock file and stores are looked at one by one."""

import os
import platform
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Literal, NamedTuple

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.errors import FeatureNotFoundError, MetaxyError, MetaxyMissingFeatureDependency, MetaxyWarning
from metaxy.masking import Secrets
from metaxy.project.entrypoints import (
    CONFIG_VARIABLE,
    VARIABLE_PREFIX,
    load_entrypoints,
    load_env_entrypoints,
    load_one_package,
    package_entry_points,
)
from metaxy.project.locked import LockFile, load_lock_file, warn_about_drift
from metaxy.service.project import Project
from metaxy.store.store import MetadataStore
from metaxy.store.table_columns import table_problems
from metaxy.wording import short_path

State = Literal["fine", "note", "problem"]


class Finding(NamedTuple):
    """What was found about one thing."""

    area: str
    subject: str
    state: State
    text: str


def examine(project: Project) -> list[Finding]:
    """Look at everything about a project, in a graph of its own, and say what is found; secrets are hidden."""
    config = project.config
    project.make_importable()
    hide = Secrets.of([store.config for store in config.stores.values()]).hide
    return [each if each.state == "fine" else each._replace(text=hide(each.text)) for each in _findings(config)]


def _findings(config: MetaxyConfig) -> Iterator[Finding]:
    yield Finding("versions", "metaxy", "fine", version("metaxy"))
    yield Finding("versions", "python", "fine", platform.python_version())
    yield from _configuration(config)
    with FeatureGraph().use() as graph:
        yield from _lock_file(config)
        yield from _modules(config)
        yield from _features(config, graph)
        yield from _drift(config, graph)
        for name in sorted(config.stores):
            yield from _store(config, name, graph)


def _configuration(config: MetaxyConfig) -> Iterator[Finding]:
    if config.config_file is None:
        text = (
            "no metaxy.toml, nor a pyproject.toml with [tool.metaxy], here or in a folder above; write one by `mx init`"
        )
        yield Finding("configuration", "file", "problem", text)
    else:
        yield Finding("configuration", "file", "fine", str(config.config_file))
    if config.project is None:
        yield Finding("configuration", "project", "note", 'not set; `mx push` and `mx lock` need project = "…"')
    else:
        yield Finding("configuration", "project", "fine", config.project)
    if config.store not in config.stores:
        known = ", ".join(sorted(config.stores)) or "none"
        yield Finding(
            "configuration", "default store", "problem", f"there is no store {config.store!r}; known: {known}"
        )
    length = f"hash_truncation_length = {config.hash_truncation_length}"
    yield Finding("configuration", "hashes", "fine", length)


# -- features ----------------------------------------------------------------------------------------------------------


def _modules(config: MetaxyConfig) -> Iterator[Finding]:
    for module in config.entrypoints:
        yield _tried("entry points", module, partial(load_entrypoints, [module]), "of the configuration")
    for point in package_entry_points():
        origin = f"of package {point.dist.name} {point.dist.version}" if point.dist else "of a package"
        yield _tried("entry points", point.value, partial(load_one_package, point), origin)
    names = [name for name in os.environ if name.startswith(VARIABLE_PREFIX) and name != CONFIG_VARIABLE]
    if names:
        yield _tried("entry points", ", ".join(sorted(names)), load_env_entrypoints, "of the environment")


def _tried(area: str, subject: str, action: Callable[[], object], text: str) -> Finding:
    try:
        action()
    except MetaxyError as error:
        return Finding(area, subject, "problem", _one_line(error))
    return Finding(area, subject, "fine", text)


def _features(config: MetaxyConfig, graph: FeatureGraph) -> Iterator[Finding]:
    counts: dict[str, list[int]] = {}
    for definition in graph.feature_definitions_by_key.values():
        counts.setdefault(definition.project, [0, 0])[definition.is_external] += 1
    for project, (own, external) in sorted(counts.items()):
        note = " (this project)" if project == config.project else ""
        yield Finding("features", project, "fine", f"{own} defined, {external} external{note}")
    if config.project is not None and config.project not in counts:
        yield Finding("features", config.project, "problem", "the configured project has no features")
    for key in graph.feature_definitions_by_key:
        try:
            graph.get_feature_plan(key)
        except MetaxyMissingFeatureDependency as error:
            yield Finding("features", str(key), "problem", _one_line(error))


def _lock_file(config: MetaxyConfig) -> Iterator[Finding]:
    path = config.lock_file
    if path is None or not path.exists():
        yield Finding("lock file", short_path(path) if path else "-", "fine", "none; needed only with other projects")
        return
    count = 0
    try:
        count = len(LockFile.read(path).features)
    except MetaxyError as error:
        yield Finding("lock file", short_path(path), "problem", _one_line(error))
        return
    yield _tried("lock file", short_path(path), lambda: load_lock_file(config), f"{count} feature(s)")


def _drift(config: MetaxyConfig, graph: FeatureGraph) -> Iterator[Finding]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            warn_about_drift(config, graph)
        except MetaxyError:
            return  # a file that cannot be read was reported before
    for warning in caught:
        yield Finding("lock file", "drift", "problem", " ".join(str(warning.message).split()))


# -- stores ------------------------------------------------------------------------------------------------------------


def _store(config: MetaxyConfig, name: str, graph: FeatureGraph) -> Iterator[Finding]:
    try:
        store = config.get_store(name)
        with warnings.catch_warnings(record=True) as caught, store.open("r"):
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", MetaxyWarning)
            problems = list(_hash_problems(store, graph))
            count = sum(store.has_feature(key) for key in graph.feature_definitions_by_key)
            columns = list(_columns(store, name, config, graph))
    except MetaxyError as error:
        yield Finding("stores", name, "problem", _one_line(error))
        return
    of_all = f"{count} of {len(graph.feature_definitions_by_key)} feature(s)"
    yield Finding("stores", name, "fine", f"{store.display()}: {of_all}, {store.hash_algorithm.value}")
    yield from (Finding("stores", name, "problem", problem) for problem in problems)
    yield from (Finding("stores", name, "note", text) for text in dict.fromkeys(str(each.message) for each in caught))
    yield from columns


def _columns(store: MetadataStore, name: str, config: MetaxyConfig, graph: FeatureGraph) -> Iterator[Finding]:
    """Yield where tables are not as classes declare them; it is a problem only where writes would be refused."""
    for key, definition in graph.feature_definitions_by_key.items():
        action = definition.declared or config.declared
        if action != "ignore" and (problems := table_problems(store, definition)):
            state: State = "problem" if action == "error" else "note"
            yield Finding("columns", f"{key} in {name}", state, "; ".join(problems))


def _hash_problems(store: MetadataStore, graph: FeatureGraph) -> Iterator[str]:
    """Yield what reading each feature complains about, such as rows under other hash settings."""
    for key in graph.feature_definitions_by_key:
        try:
            store.read(key, allow_fallback=False)
        except (FeatureNotFoundError, MetaxyMissingFeatureDependency):
            continue  # no rows, or reported with the features
        except MetaxyError as error:
            yield _one_line(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
