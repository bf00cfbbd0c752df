"""The only ambient state of Metaxy: the active graph and the active configuration.

Nothing below the public facade asks this module; graphs and settings are arguments there. It must not know what a
graph or a configuration is: it only holds them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metaxy.config import MetaxyConfig
    from metaxy.registry import FeatureGraph

_graph: ContextVar["FeatureGraph | None"] = ContextVar("metaxy_graph", default=None)
_config_override: ContextVar["MetaxyConfig | None"] = ContextVar("metaxy_config", default=None)
_config_global: "MetaxyConfig | None" = None


def active_graph() -> "FeatureGraph | None":
    """Return the graph of this context, None where the default graph counts."""
    return _graph.get()


def set_active_graph(graph: "FeatureGraph | None") -> None:
    """Make a graph the active one of this context."""
    _graph.set(graph)


@contextmanager
def using_graph(graph: "FeatureGraph") -> Iterator[None]:
    """Activate a graph until the block ends."""
    token = _graph.set(graph)
    try:
        yield
    finally:
        _graph.reset(token)


def active_config() -> "MetaxyConfig | None":
    """Return the configuration of this context, else the global one, else None."""
    return _config_override.get() or _config_global


def set_global_config(config: "MetaxyConfig | None") -> None:
    """Make a configuration the active one of the process, in all threads."""
    global _config_global
    _config_global = config


@contextmanager
def using_config(config: "MetaxyConfig") -> Iterator[None]:
    """Activate a configuration in this context until the block ends."""
    token = _config_override.set(config)
    try:
        yield
    finally:
        _config_override.reset(token)
