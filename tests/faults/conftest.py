"""Every store, in an empty folder, and two features."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.factory import define
from tests.stores import STORES

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.store.store import MetadataStore


@pytest.fixture(autouse=True)
def graph() -> Iterator[FeatureGraph]:
    """The active graph of the test; the children have the same."""
    with FeatureGraph().use() as graph, MetaxyConfig().use():
        define("video")
        define("clip", "video")
        yield graph


@pytest.fixture(params=STORES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a store."""
    return str(request.param)


@pytest.fixture
def make(name: str, tmp_path: Path) -> Callable[..., MetadataStore]:
    """Make the store of that name; always with the same tables."""
    return lambda **options: STORES[name](tmp_path, **options)
