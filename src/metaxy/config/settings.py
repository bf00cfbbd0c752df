"""The configuration of a project: arguments over environment variables over files."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, model_validator
from typing_extensions import Self

from metaxy import context
from metaxy.config.entries import PluginConfig, StoreConfig, as_toml, nest_options
from metaxy.config.files import EXTEND, find_config_file, read_config
from metaxy.config.problems import validation_error
from metaxy.config.stores import StoreBuilder
from metaxy.definitions.selection import FeatureSelection
from metaxy.environment import Variables, combine, environment_values, metaxy_variables
from metaxy.errors import ConfigFileNotFoundError, ConfigNotSetWarning, IncompleteStoreConfigWarning, warn_user
from metaxy.settings import Settings

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore

Plugin = TypeVar("Plugin", bound=PluginConfig)
Store = TypeVar("Store", bound="MetadataStore")
FILE_VARIABLES: Final = ("METAXY_CONFIG", "METAXY_CONFIG_FILE")
LOCK_FILE: Final = "metaxy.lock"
_SILENT: Final = "silent"


class MetaxyConfig(Settings):
    """Settings, stores and code of a project. Arguments go over ``METAXY_*`` variables; files are read by `load` only.

    >>> with MetaxyConfig(project="vision", hash_truncation_length=8).use():
    ...     MetaxyConfig.get().project
    'vision'
    """

    store: str = Field(default="dev", description="name of the default store")
    stores: dict[str, StoreConfig] = Field(default_factory=dict, description="stores by name")
    extend: str | None = Field(default=None, description="file that this file adds to; None once it is loaded")
    entrypoints: list[str] = Field(default_factory=list, description="modules that define features")
    theme: str = Field(default="default", description="colours of graphs on the command line")
    ext: dict[str, PluginConfig] = Field(default_factory=dict, description="settings of integrations by name")
    extra_features: list[FeatureSelection] = Field(default_factory=list, description="more features to sync and lock")
    metaxy_lock_path: str | None = Field(default=None, description="lock file; relative to the configuration file")

    _config_file: Path | None = PrivateAttr(default=None)

    # -- validation ----------------------------------------------------------------------------------------------------

    @model_validator(mode="before")
    @classmethod
    def _add_environment(cls, values: Any, info: ValidationInfo) -> Any:
        if not isinstance(values, dict):
            return values
        merged = combine(_nested(values), cls._environment(metaxy_variables()), variables_win=False)
        return _without_incomplete_stores(merged, warn=info.context != _SILENT)

    @classmethod
    def _environment(cls, variables: Variables) -> dict[str, Any]:
        return _nested(environment_values(variables, cls.model_fields.keys() - {EXTEND}))

    @classmethod
    def _from_values(cls, values: dict[str, Any], config_file: Path | None = None, mode: str = "") -> Self:
        try:
            config = cls.model_validate(values, context=mode)
        except ValidationError as error:  # its own text shows values, which may be secret
            raise validation_error(error, cls.model_fields, config_file=config_file) from None
        config._config_file = config_file
        return config

    # -- loading -------------------------------------------------------------------------------------------------------

    @classmethod
    def load(
        cls,
        config_file: str | Path | None = None,
        *,
        search_parents: bool = True,
        auto_discovery_start: Path | None = None,
    ) -> Self:
        """Read the configuration of a project and make it the active one.

        Args:
            config_file: The file; else the one that ``METAXY_CONFIG`` or ``METAXY_CONFIG_FILE`` names, else the nearest
                ``metaxy.toml``, or ``pyproject.toml`` with ``[tool.metaxy]``. Finding none is fine.
            auto_discovery_start: Where to search, the working directory by default.

        Raises:
            ConfigFileNotFoundError: if the file does not exist (a FileNotFoundError).
            InvalidConfigError: if anything is wrong with it, with file and line.
        """
        named = config_file or _file_from_variable()
        start = auto_discovery_start or Path.cwd()
        path = Path(named).absolute() if named else find_config_file(start, search_parents=search_parents)
        values = _nested(read_config(path)) if path else {}
        config = cls._from_values(combine(values, cls._environment(metaxy_variables()), variables_win=True), path)
        cls.set(config)
        return config

    @property
    def config_file(self) -> Path | None:
        """The file that this was read from."""
        return self._config_file

    @property
    def lock_file(self) -> Path | None:
        """Where the lock file is or would be; None without a configuration file, unless the path is absolute."""
        path = Path(self.metaxy_lock_path or LOCK_FILE)
        if path.is_absolute():
            return path
        return self._config_file.parent / path if self._config_file else None

    # -- the active configuration --------------------------------------------------------------------------------------

    @classmethod
    def get(cls, *, load: bool = False) -> "MetaxyConfig":
        """Return the active configuration.

        Args:
            load: Whether to load one if there is none; otherwise the defaults are returned, with a warning.
        """
        active = context.active_settings()
        if isinstance(active, MetaxyConfig):
            return active
        if load:
            return cls.load()
        message = "no configuration is loaded, so defaults are used; call metaxy.init() or MetaxyConfig.load() first"
        warn_user(message, ConfigNotSetWarning)
        return current_config()

    @classmethod
    def set(cls, config: "MetaxyConfig | None") -> None:
        """Make a configuration the active one of the process, in all threads.

        Args:
            config: The configuration; None leaves the process without one.
        """
        context.set_global_settings(config)

    @classmethod
    def reset(cls) -> None:
        """Leave the process without an active configuration."""
        context.set_global_settings(None)

    @classmethod
    def is_set(cls) -> bool:
        """Return whether a configuration is active."""
        return context.active_settings() is not None

    @contextmanager
    def use(self) -> Iterator[Self]:
        """Make this the active configuration of the current context, until the block ends."""
        with context.using_settings(self):
            yield self

    # -- contents ------------------------------------------------------------------------------------------------------

    @property
    def plugins(self) -> list[str]:
        """Names of the integrations that are on."""
        return [name for name, plugin in self.ext.items() if plugin.enable]

    @classmethod
    def get_plugin(cls, name: str, plugin_class: type[Plugin]) -> Plugin:
        """Return the settings of an integration from the active configuration, its defaults if there are none.

        Raises:
            InvalidConfigError: if the settings do not fit the class.
        """
        config = current_config()
        values = config.ext[name].model_dump() if name in config.ext else {}
        try:
            return plugin_class.model_validate(values)
        except ValidationError as error:
            raise validation_error(error, plugin_class.model_fields, ("ext", name), config.config_file) from None

    def to_toml(self) -> str:
        """Return the configuration as TOML, with its secrets."""
        return as_toml(self)

    @overload
    def get_store(self, name: str | None = None, *, expected_type: None = None, **kwargs: Any) -> "MetadataStore": ...
    @overload
    def get_store(self, name: str | None = None, *, expected_type: type[Store], **kwargs: Any) -> Store: ...
    def get_store(self, name: str | None = None, *, expected_type: type[Any] | None = None, **kwargs: Any) -> Any:
        """Build a configured store.

        Args:
            name: Name of the store, the default one if not given.
            expected_type: Class that the store must have.
            kwargs: Options that replace configured ones, and arguments of the constructor.

        Raises:
            InvalidConfigError: if the store is unknown, cannot be imported or created, or has another type.
        """
        return StoreBuilder(name or self.store, self.stores, self, self.config_file).build(expected_type, kwargs)


def _file_from_variable() -> Path | None:
    for name in FILE_VARIABLES:
        if text := os.environ.get(name):
            if not Path(text).exists():
                raise ConfigFileNotFoundError(f"{name} names this file, but there is none", config_file=Path(text))
            return Path(text)
    return None


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with all options of stores in ``config``, so that sources can be merged."""
    stores = values.get("stores")
    if not isinstance(stores, Mapping):
        return dict(values)
    return {**values, "stores": {name: nest_options(entry) for name, entry in stores.items()}}


def _without_incomplete_stores(values: dict[str, Any], *, warn: bool) -> dict[str, Any]:
    """Drop stores without a type, such as a variable for a store that is not configured here leaves behind."""
    stores = values.get("stores")
    if not isinstance(stores, Mapping):
        return values
    incomplete = {name: entry for name, entry in stores.items() if isinstance(entry, Mapping) and "type" not in entry}
    for name, entry in incomplete.items() if warn else ():
        options = entry["config"] if isinstance(entry.get("config"), Mapping) else entry
        shown = ", ".join(sorted(options)) or "nothing"
        message = f"store {name!r} is ignored: it has no type, only {shown}; set stores.{name}.type"
        warn_user(message, IncompleteStoreConfigWarning)
    return {**values, "stores": {name: entry for name, entry in stores.items() if name not in incomplete}}


def current_config() -> MetaxyConfig:
    """Return the active configuration, else one of environment variables and defaults. Cheap, and never warns."""
    active = context.active_settings()
    return active if isinstance(active, MetaxyConfig) else _from_environment(metaxy_variables())


@lru_cache(maxsize=1)
def _from_environment(variables: Variables) -> MetaxyConfig:  # noqa: ARG001 - when they change, so does the configuration
    return MetaxyConfig._from_values({}, mode=_SILENT)
