"""Base class of the kit's tests: a store that was just made, an empty graph, default settings."""

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.store.store import MetadataStore
from metaxy.testing.environment import env_override, no_metaxy_variables

StoreFactory = Callable[..., MetadataStore]


class StoreCase:
    """Tests of one kind of store.

    A subclass, its module or its ``conftest.py`` has the fixture ``make_store``. It returns what makes a closed store
    from a folder and options of `MetadataStore`. The folder exists, and stands for a place: stores that are made with
    the same one have the same tables, another one has none of them. A server may name a schema after it.

    What a store cannot do it says in its `Capabilities` and in the attributes below, and nowhere else. The tests take
    it at its word: what it lacks must be refused, in one line and without a trace; the rest must work.
    """

    refuses: AbstractSet[str] = frozenset()
    """Columns that it refuses, as it cannot keep them exactly, beside types that its `Capabilities` lack.

    They are named as in `sample_columns`, such as ``{"larger integers"}``.
    """

    several_threads: bool = True
    """Whether threads may use an open store at once; tests of that are skipped if not."""

    several_writers: bool = True
    """Whether stores that are open at once may write to one place; tests of that are skipped if not."""

    @pytest.fixture(autouse=True)
    def graph(self) -> Iterator[FeatureGraph]:
        """The active graph of the test; variables of the environment play no part."""
        settings = MetaxyConfig(auto_create_tables=True)
        with env_override(**no_metaxy_variables()), FeatureGraph().use() as graph, settings.use():
            yield graph

    @pytest.fixture
    def make(self, make_store: StoreFactory, tmp_path: Path) -> StoreFactory:
        """Make a closed store with some options; all stores of a test are in one place."""
        folder = tmp_path / "place"
        folder.mkdir()
        return lambda **options: make_store(folder, **options)

    @pytest.fixture
    def store(self, make: StoreFactory) -> Iterator[MetadataStore]:
        """A store without tables that is open for writing."""
        with make().open("w") as store:
            yield store
