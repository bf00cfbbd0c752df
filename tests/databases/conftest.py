"""An empty graph and default settings; PostgreSQL in a database of its own."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.services import postgres

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph


@pytest.fixture(autouse=True)
def graph() -> Iterator[FeatureGraph]:
    """The active graph of the test."""
    with FeatureGraph().use() as graph, MetaxyConfig().use():
        yield graph


@pytest.fixture
def database() -> dict[str, Any]:
    """An empty database, as parameters for a connection."""
    return dict(postgres.new_database())
