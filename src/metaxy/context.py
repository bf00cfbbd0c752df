"""The only ambient state of Metaxy: the active graph and the active settings.

Nothing below the public facade asks this module; graphs and settings are arguments there. It must not know what a
graph is, nor a configuration: it only holds them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from metaxy.settings import Settings

_graph: ContextVar[Any] = ContextVar("metaxy_graph", default=None)
_override: ContextVar[Settings | None] = ContextVar("metaxy_settings", default=None)
_global: Settings | None = None


def active_graph() -> Any:
    """Return the graph of this context, None where the default graph counts."""
    return _graph.get()


def set_active_graph(graph: Any) -> None:
    """Make a graph the active one of this context."""
    _graph.set(graph)


@contextmanager
def using_graph(graph: Any) -> Iterator[None]:
    """Activate a graph until the block ends."""
    token = _graph.set(graph)
    try:
        yield
    finally:
        _graph.reset(token)


def settings() -> Settings:
    """Return the active settings: those of this context, else of the process, else of the environment. Never warns.

    >>> settings().hash_truncation_length
    16
    """
    return active_settings() or Settings.from_environment()


def active_settings() -> Settings | None:
    """Return the settings of this context, else those of the process, None if neither were set."""
    return _override.get() or _global


def set_global_settings(active: Settings | None) -> None:
    """Make settings the active ones of the process, in all threads."""
    global _global
    _global = active


@contextmanager
def using_settings(active: Settings) -> Iterator[None]:
    """Activate settings in this context until the block ends."""
    token = _override.set(active)
    try:
        yield
    finally:
        _override.reset(token)
