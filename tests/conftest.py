"""One run of tests has one server of each kind, started when a test first asks, see `tests/services/running.py`."""

from tests.services import running


def pytest_configure() -> None:
    running.begin()


def pytest_unconfigure() -> None:
    running.end()
