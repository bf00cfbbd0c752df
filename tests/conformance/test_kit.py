"""The conformance kit that third parties run on their stores, on ours."""

import pytest

from metaxy.testing.conformance import EngineConformance, StorageConformance


@pytest.mark.object_store
class TestStorage(StorageConformance):
    """On every store, and in buckets: what is inside of tables does not depend on where they are."""


# Beside what their capabilities lack.
REFUSES = {
    "duckdb": {"huge integers"},
    "ducklake": {"huge integers"},
    "delta": {"larger integers"},
    "iceberg": {"larger integers"},
    "sqlite": {"larger integers", "times of the day"},
}


class TestEngine(EngineConformance):
    @pytest.fixture(autouse=True)
    def declared(self, request: pytest.FixtureRequest) -> None:
        """Say for each store what a third party says as attributes of its class."""
        self.refuses = REFUSES.get(request.node.callspec.params["make_store"], set())
