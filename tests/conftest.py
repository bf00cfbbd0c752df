"""One run of tests has one server of each kind, started when a test first asks, see `tests/services/running.py`."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.services import ray, running
from tests.stores import IN_DEPTH

from metaxy import context

# What takes long comes first: if it came last, the other processes would have nothing to do beside it.
FIRST = (
    "tests/ray/test_kills.py",
    "tests/compat/test_released_package.py",
    "tests/agreement/",
    "tests/faults/test_writers.py",
    "tests/faults/test_kills.py",
    "tests/faults/test_claims.py",
    "tests/docs/test_table_format.py",
    "tests/docs/test_installs.py",
    "tests/databases/test_ducklake.py",
    "tests/typing/",
)
IN_MEMORY, ENOUGH = Path("/dev/shm"), 4 * 2**30


def pytest_configure() -> None:
    if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))  # tests wait for no disk
    settings.register_profile("tests", deadline=None)  # other work on the machine makes no test wrong
    settings.load_profile("tests")
    os.environ.update(ray.SETTINGS)
    running.begin()


def pytest_unconfigure() -> None:
    running.end()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the slow tests what runs in depth on a store, of which a short run stays; begin with what takes long."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        in_depth = IN_DEPTH.get(item.path.parent.name, frozenset())
        if not item.get_closest_marker("object_store") and in_depth.intersection(map(str, parameters.values())):
            item.add_marker(pytest.mark.slow)
    items.sort(key=rank)


def rank(item: pytest.Item) -> int:
    return next((n for n, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))


def pytest_collection_finish() -> None:
    """Write no more bytecode: the next run finds ours, but of a module that a test edits it would miss the edit."""
    os.environ["PYTHONDONTWRITEBYTECODE"], sys.dont_write_bytecode = "1", True


@pytest.fixture(autouse=True)
def _no_configuration_stays() -> Iterator[None]:
    """Forget the configuration that a test, or a command in it, made the active one of this process."""
    yield
    context.set_global_settings(None)
