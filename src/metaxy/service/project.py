"""The project that questions are about: its configuration, its features and its stores, each loaded when needed."""

import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import ValidationError

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import DefinitionError, RequestError
from metaxy.masking import mask, mask_address
from metaxy.project.entrypoints import init, load_features
from metaxy.store.external import sync_external_features
from metaxy.wording import did_you_mean, first_of

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore

Track: TypeAlias = Callable[[Sequence[FeatureKey]], Iterable[FeatureKey]]
"""What a face may put around the features that are worked on, such as a progress bar."""


@dataclass(frozen=True, eq=False)
class Project:
    """Configuration, features and stores of a project; making one loads nothing.

    Only `graph` imports user code, so other questions are answered quickly, and where that code is broken.

    Args:
        config_file: The configuration file; the nearest one by default.
        named: The project whose features are meant; the configured one by default.
        all_projects: The features of all projects are meant.
        sync: First replace external features by those that the default store has.
        locked: Another version of an external feature is an error.
        wait: Seconds to wait for stores whose file another process locks; as they are configured by default.
        given: A store in place of the default one.
    """

    config_file: Path | None = None
    named: str | None = None
    all_projects: bool = False
    sync: bool = False
    locked: bool = False
    wait: float | None = None
    given: "MetadataStore | None" = field(default=None, repr=False)

    @classmethod
    def loaded(cls) -> "Project":
        """Return what this process has loaded: the active graph, and the active or the nearest configuration.

        For faces inside a process of the user, whose code has imported its features, such as definitions of Dagster.
        """
        project = cls()
        vars(project).update(config=MetaxyConfig.get(load=True), graph=FeatureGraph.get_active())
        return project

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make configuration and graph the active ones of this thread until the block ends."""
        with self.config.use(), self.graph.use():
            yield

    @cached_property
    def config(self) -> MetaxyConfig:
        """The configuration, now the active one."""
        config = MetaxyConfig.load(self.config_file)
        wanted = ({"locked": True} if self.locked else {}) | ({} if self.wait is None else {"wait": self.wait})
        if any(getattr(config, name) != value for name, value in wanted.items()):
            config = _with(config, **wanted)
            MetaxyConfig.set(config)
        return config

    @cached_property
    def graph(self) -> FeatureGraph:
        """The features of the project, loaded now; the folder of the configuration file can be imported from."""
        self.make_importable()
        with _keeping_objects():
            init(self.config)
        if self.sync:
            sync_external_features(self.store(), on_version_mismatch="error" if self.locked else None)
        return FeatureGraph.get_active()

    def unlocked_graph(self) -> FeatureGraph:
        """Load what the lock file is made from: this project and the installed packages it needs, no placeholders."""
        self.make_importable()
        with _keeping_objects():
            return load_features(self.config.entrypoints, filter_project=self.config.project)

    def make_importable(self) -> None:
        """Let modules be imported from the folder of the configuration file."""
        folder = str(self.config.config_file.parent if self.config.config_file else Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)

    def with_graph(self, graph: FeatureGraph) -> "Project":
        """Return this project with other features, such as those that it had once."""
        return self._with(graph)

    def with_store(self, store: "MetadataStore") -> "Project":
        """Return this project with a store that is given in place of the default one."""
        return self._with(self.graph, given=store)

    def without_waiting(self) -> "Project":
        """Return this project with stores that answer at once, or else are busy: for faces that ask all the time.

        Their questions never stand in the way of a process that waits for the file of a store to write to it. Who has
        said how long to wait keeps to that.
        """
        if self.wait is not None:
            return self
        other = replace(self, wait=0.0)
        vars(other).update(config=_with(self.config, wait=0.0), graph=self.graph)
        return other

    def _with(self, graph: FeatureGraph, **changes: Any) -> "Project":
        other = replace(self, **changes)
        vars(other).update(config=self.config, graph=graph)  # what is loaded is no field
        return other

    # -- which project -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The project that is meant: the named one, else the configured one."""
        return self.named or self.config.project

    @property
    def scope(self) -> str | None:
        """The project whose features count; None for all."""
        return None if self.all_projects else self.name

    def own_name(self, command: str) -> str:
        """Return the configured project, for what changes how others see it.

        Raises:
            RequestError: if there is none, or others are meant.
        """
        self.refuse_no_config()
        configured = self.config.project
        if self.all_projects or self.named not in (None, configured):
            flag = "--all-projects" if self.all_projects else f"--project {self.named}"
            message = f"`mx {command}` works on the configured project only, so it cannot be used with {flag}"
            hint = f"the configured project is {configured}" if configured else 'set project = "…" in metaxy.toml'
            raise RequestError("CONFLICTING_FLAGS", message, hint=hint, kind="request", conflicting_flags=[flag])
        if configured is None:
            hint = f'set project = "…" in {self.config.config_file or "metaxy.toml"}'
            message = f"`mx {command}` needs to know which project this is"
            raise RequestError("PROJECT_NOT_SET", message, hint=hint, kind="request")
        return configured

    def refuse_no_config(self) -> None:
        """Say that there is no configuration, where something is missing that it would give.

        Raises:
            RequestError: if no file was found and no variable says anything either.
        """
        config = self.config
        if config.config_file is None and not (config.stores or config.entrypoints or config.project):
            message = f"no metaxy.toml, nor a pyproject.toml with [tool.metaxy], in {Path.cwd()} or a folder above"
            hint = "write a new project with `mx init`, or name the file with --config-file"
            raise RequestError("CONFIG_NOT_FOUND", message, hint=hint, kind="request")

    # -- what is in it -------------------------------------------------------------------------------------------------

    def store(self, name: str | None = None) -> "MetadataStore":
        """Build a configured store, the default one without a name; it is not opened yet."""
        if name is None and self.given is not None:
            return self.given
        self.refuse_no_config()
        store: MetadataStore = self.config.get_store(name)
        return store

    def store_name(self, name: str | None = None) -> str:
        """Return what messages call a store."""
        return repr(self.store(name))

    def keys(self, features: Sequence[str] | None = None, *, strict: bool = True) -> list[FeatureKey]:
        """Return the keys of the named features, without names those of all features that are meant.

        Args:
            strict: Refuse features that the graph does not have, instead of leaving them out.

        Raises:
            RequestError: if a key is malformed or unknown, or there are no features because there is no configuration.
        """
        if features is None:
            keys = self.graph.list_features(self.scope, only_current_project=False)
            if not keys:
                self.refuse_no_config()
            return keys
        named = list(dict.fromkeys(map(feature_key, features)))
        known = self.graph.feature_definitions_by_key
        if strict and (missing := [str(key) for key in named if key not in known]):
            raise _unknown_features(missing, sorted(map(str, known)))
        return [key for key in named if key in known]

    def unknown(self, features: Sequence[str] | None) -> dict[str, str]:
        """Return those of the named features that the graph does not have, each with the one that may be meant."""
        known = self.graph.feature_definitions_by_key
        missing = [str(key) for key in dict.fromkeys(map(feature_key, features or ())) if key not in known]
        return {name: did_you_mean(name, map(str, known)) for name in missing}

    def configuration(self) -> dict[str, Any]:
        """Return the configuration as plain data, without secrets."""
        return masked(self.config)


def feature_key(text: str) -> FeatureKey:
    """Return the key that someone typed.

    Raises:
        RequestError: if it is malformed.
    """
    try:
        return coerce_to_feature_key(text)
    except (DefinitionError, ValidationError, ValueError, TypeError) as error:
        problems = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else str(error)
        message = f"{text!r} is not the key of a feature: {problems.removeprefix('Value error, ')}"
        raise RequestError("INVALID_FEATURE_KEY", message, kind="request", key=text) from None


def masked(config: MetaxyConfig) -> dict[str, Any]:
    """Return a configuration as plain data, without its secrets: those of stores and integrations."""
    values = config.model_dump(mode="json")
    for store in values["stores"].values():
        store["config"] = mask(store["config"])
    values["ext"] = {name: mask(plugin) for name, plugin in values["ext"].items()}
    return {name: mask_address(value) if isinstance(value, str) else value for name, value in values.items()}


def _unknown_features(missing: Sequence[str], known: Sequence[str]) -> RequestError:
    """Return the error that names features which the graph does not have, with what may be meant."""
    close = "".join(did_you_mean(name, known) for name in missing)
    hint = f"known features: {first_of(known)}" if known else "the graph is empty"
    message = f"{', '.join(map(repr, missing))} {'is' if len(missing) == 1 else 'are'} not in the graph.{close}"
    return RequestError("FEATURES_NOT_FOUND", message, hint=hint, features=list(missing))


@contextmanager
def _keeping_objects() -> Iterator[None]:
    """Do not search for garbage while features are loaded: they stay, and with many of them it takes a fifth longer."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # once per process: what is garbage now is never collected
            gc.freeze()
        if was_enabled:
            gc.enable()


def _with(config: MetaxyConfig, **settings: object) -> MetaxyConfig:
    changed = config.model_copy(update=settings)
    changed._config_file = config.config_file
    return changed
