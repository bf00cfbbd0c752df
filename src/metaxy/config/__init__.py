"""Configuration: `metaxy.toml`, `METAXY_*` variables and arguments, merged into one `MetaxyConfig`."""

from metaxy.config.entries import PluginConfig, StoreConfig
from metaxy.config.settings import MetaxyConfig, current_config
from metaxy.errors import ConfigFileNotFoundError, InvalidConfigError

__all__ = [
    "ConfigFileNotFoundError",
    "InvalidConfigError",
    "MetaxyConfig",
    "PluginConfig",
    "StoreConfig",
    "current_config",
]
