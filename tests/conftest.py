"""One run of tests has one server of each kind, started when a test first asks, see `tests/services/running.py`."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests.services import ray, running
from tests.stores import IN_DEPTH

from metaxy import context


def pytest_configure() -> None:
    settings.register_profile("tests", deadline=None)  # other work on the machine makes no test wrong
    settings.load_profile("tests")
    os.environ.update(ray.SETTINGS)
    running.begin()


def pytest_unconfigure() -> None:
    running.end()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the slow tests what runs in depth on a store; a short run of it stays."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        in_depth = IN_DEPTH.get(item.path.parent.name, frozenset())
        if not item.get_closest_marker("object_store") and in_depth.intersection(map(str, parameters.values())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _no_configuration_stays() -> Iterator[None]:
    """Forget the configuration that a test, or a command in it, made the active one of this process."""
    yield
    context.set_global_settings(None)
