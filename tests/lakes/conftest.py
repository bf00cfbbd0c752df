"""An empty graph with a parent and a child, and default settings."""

from collections.abc import Iterator

import pytest
from tests.factory import define

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph


@pytest.fixture(autouse=True)
def graph() -> Iterator[FeatureGraph]:
    """The active graph of the test."""
    with FeatureGraph().use() as graph, MetaxyConfig().use():
        define("video")
        define("clip", "video")
        yield graph
