"""The page that adds a table format: what its title says is counted here; tests/conformance runs its store."""

from tests.page_store import source
from tests.stores import CONFORMING, STORES


def test_the_store_of_the_page_has_at_most_60_lines() -> None:
    assert 40 < sum(bool(line.strip()) for line in source().splitlines()) <= 60


def test_the_store_of_the_page_is_one_of_those_that_must_conform() -> None:
    assert set(CONFORMING) - set(STORES) == {"page"}
