"""What a command works on: the configuration, the graph and the stores, each made when a command first asks for it."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metaxy.cli.failures import USAGE, CommandError
from metaxy.cli.options import GlobalOptions, current_options
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.project.loading import init, load_features
from metaxy.store.external import sync_external_features

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore


class Workspace:
    """Configuration, graph and stores of one call of `metaxy`.

    Only `graph` imports user code, so commands that do not ask for it start quickly, and run where that code is broken.

    Args:
        options: The global options of the call.
    """

    def __init__(self, options: GlobalOptions) -> None:
        self.options = options

    @cached_property
    def config(self) -> MetaxyConfig:
        """The configuration, now the active one."""
        config = MetaxyConfig.load(self.options.config_file)
        if self.options.locked and not config.locked:
            config = _with(config, locked=True)
            MetaxyConfig.set(config)
        return config

    @cached_property
    def graph(self) -> FeatureGraph:
        """The features of the project, loaded now; the folder of the configuration file can be imported from."""
        self.make_importable()
        with _keeping_objects():
            init(self.config)
        if self.options.sync:
            sync_external_features(self.store(), on_version_mismatch="error" if self.options.locked else None)
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

    @property
    def project(self) -> str | None:
        """The project that the command is about: that of --project, else the configured one."""
        return self.options.project or self.config.project

    @property
    def projects(self) -> list[str] | None:
        """The projects whose features count; None for all."""
        return None if self.options.all_projects or self.project is None else [self.project]

    def own_project(self, command: str) -> str:
        """Return the configured project, for commands that change what others see of it.

        Args:
            command: Name of the command, for messages.

        Raises:
            CommandError: if there is none, or the global options name others.
        """
        self.refuse_no_config()
        configured, asked = self.config.project, self.options.project
        if self.options.all_projects or asked not in (None, configured):
            flag = "--all-projects" if self.options.all_projects else f"--project {asked}"
            message = f"`mx {command}` works on the configured project only, so it cannot be used with {flag}"
            hint = f"the configured project is {configured}" if configured else 'set project = "…" in metaxy.toml'
            raise CommandError("CONFLICTING_FLAGS", message, hint=hint, exit_code=USAGE, conflicting_flags=[flag])
        if configured is None:
            where = self.config.config_file or "metaxy.toml"
            raise CommandError(
                "PROJECT_NOT_SET", f"`mx {command}` needs to know which project this is",
                hint=f'set project = "…" in {where}', exit_code=USAGE,
            )  # fmt: skip
        return configured

    def store(self, name: str | None = None) -> "MetadataStore":
        """Build a configured store, the default one without a name; it is not opened yet."""
        self.refuse_no_config()
        store: MetadataStore = self.config.get_store(name)
        return store

    def refuse_no_config(self) -> None:
        """Say that there is no configuration, where something is missing that it would give.

        Raises:
            CommandError: if no file was found and no variable says anything either.
        """
        config = self.config
        if config.config_file is None and not (config.stores or config.entrypoints or config.project):
            raise CommandError(
                "CONFIG_NOT_FOUND",
                f"no metaxy.toml, nor a pyproject.toml with [tool.metaxy], in {Path.cwd()} or a folder above",
                hint="write a new project with `mx init`, or name the file with --config-file",
                exit_code=USAGE,
            )


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


_made: Final[ContextVar[Workspace | None]] = ContextVar("metaxy_workspace", default=None)


def workspace() -> Workspace:
    """Return what the running command works on; commands of one call, as in `mx shell`, share it."""
    made = _made.get()
    if made is None or made.options is not current_options():
        made = Workspace(current_options())
        _made.set(made)
    return made
