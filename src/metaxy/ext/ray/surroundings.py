"""What a task of Ray needs to know from the driver: configuration, feature graph and settings."""

import contextvars
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph, current_graph
from metaxy.project.entrypoints import init

Item = TypeVar("Item")


@dataclass(frozen=True)
class Surroundings:
    """Configuration and graph of the driver; a worker gets them with its task, and needs no code of the user."""

    config: MetaxyConfig
    graph: FeatureGraph

    @classmethod
    def of(cls, config: MetaxyConfig | None) -> "Surroundings":
        """Start the project of a configuration, by default of the active one, or of the nearest file."""
        active = MetaxyConfig.get() if config is None and MetaxyConfig.is_set() else init(config)
        return cls(active, current_graph())

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make them the active ones of this context until the block ends."""
        with self.config.use(), self.graph.use():
            yield


def in_own_context(items: Generator[Item, None, None]) -> Iterator[Item]:
    """Run a generator in a context of its own: what it activates is not seen by the code that takes its items.

    >>> list(in_own_context(number for number in range(2)))
    [0, 1]
    """
    own, done = contextvars.copy_context(), object()
    try:
        while (item := own.run(next, items, done)) is not done:
            yield item  # type: ignore[misc]  # `done` is not an item
    finally:
        own.run(items.close)
