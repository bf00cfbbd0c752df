"""Every store, in an empty folder; an empty graph and default settings.

Whoever asks for `make` or `store` runs on every store of `tests/stores.py`; marked with `three_stores`, on three only:
what it proves is decided above the store. Marked with `object_store`, also in buckets.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stores import IN_DEPTH, ON_S3, STORES, THREE, StoreFactory

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.store.store import MetadataStore

IN_BUCKETS = [pytest.param(name, marks=[pytest.mark.slow] * (name in IN_DEPTH["conformance"])) for name in ON_S3]


@pytest.fixture(autouse=True)
def graph() -> Iterator[FeatureGraph]:
    """The active graph of the test."""
    with FeatureGraph().use() as graph, MetaxyConfig().use():
        yield graph


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on every store, or as its marks say."""
    if "make_store" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        in_short = IN_BUCKETS if "object_store" in marks else []
        metafunc.parametrize("make_store", [*(THREE if "three_stores" in marks else STORES), *in_short], indirect=True)


@pytest.fixture
def make_store(request: pytest.FixtureRequest) -> StoreFactory:
    """Make a closed store in a folder; the conformance kit asks for this."""
    return (STORES | ON_S3)[request.param]


@pytest.fixture
def make(make_store: StoreFactory, tmp_path: Path) -> StoreFactory:
    """Make a closed store; all stores of a test have the same tables, unless ``folder`` keeps them apart."""

    def make(folder: str = "", **options: object) -> MetadataStore:
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        return make_store(path, **options)

    return make


@pytest.fixture
def store(make: StoreFactory) -> Iterator[MetadataStore]:
    """A store that is open for writing."""
    with make().open("w") as store:
        yield store
