"""Ray is imported by the tests that need it, and all of them share one cluster."""

import logging
import warnings
from collections.abc import Iterator

import pytest
from tests.services.ray import variables


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """Connect this process to the cluster of the run."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables().items():
            patch.setenv(name, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from ray.data import DataContext

            import ray

            ray.init(log_to_driver=False, logging_level=logging.WARNING)
            DataContext.get_current().enable_progress_bars = False
        yield
        ray.shutdown()
