"""Every engine gives the versions and increments of the plain-Python reference, for generated graphs and rows.

`make test` runs 200 cases on engines alone and 40 on each store. `make agree N=20000` runs as many on the engines as
you like, new ones each time; `make agree N=2000 ON=postgresql` on a store of `tests/stores.py`, `ON=stores` on each.
"""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from tests.agreement.case import Case
from tests.agreement.memory import memory_store
from tests.agreement.reference import Ambiguous
from tests.agreement.replay import Replay, graph_of
from tests.agreement.strategies import cases
from tests.stores import STORES

from metaxy.errors import DefinitionError
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.hashing import HashAlgorithm
from metaxy.store.store import MetadataStore

WANTED = int(os.environ.get("METAXY_AGREE", "0"))
SHARD = 250  # cases per test when many are wanted, so that processes share them
MANY = [min(SHARD, WANTED - done) for done in range(0, WANTED, SHARD)]
ENGINES = [*enumerate(MANY or [50] * 4)]
ON_STORES = [*enumerate(MANY or [40])]


def check_cases(examples: int, shard: int, check: Callable[[Case], None]) -> None:
    """Run a check on generated cases: always the same ones in CI, else new ones."""
    in_ci = bool(os.environ.get("CI")) and not WANTED
    configured = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    test = configured(given(cases())(check))
    (seed(shard)(test) if in_ci else test)()


@pytest.mark.parametrize(("shard", "examples"), ENGINES)
def test_engines_agree(shard: int, examples: int) -> None:
    def check(case: Case) -> None:
        algorithm = HashAlgorithm(case.algorithm)
        stores: dict[str, MetadataStore] = {"polars": memory_store(hash_algorithm=algorithm)}
        for name, is_deep in {"duckdb": False, "duckdb for deep histories": True}.items():
            stores[name] = duckdb_in_memory(algorithm, is_deep=is_deep)
        replay(case, stores)

    check_cases(examples, shard, check)


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize(("shard", "examples"), ON_STORES)
def test_stores_agree(name: str, shard: int, examples: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    def check(case: Case) -> None:
        store = STORES[name](tmp_path_factory.mktemp(name), hash_algorithm=HashAlgorithm(case.algorithm))
        replay(case, {name: store})

    check_cases(examples, shard, check)


def duckdb_in_memory(algorithm: HashAlgorithm, *, is_deep: bool) -> MetadataStore:
    """Make a store that always takes the form of the statement that it takes for large tables of this kind."""
    config = {"threads": "1"}  # few rows: threads only cost
    store = DuckDBMetadataStore(":memory:", hash_algorithm=algorithm, auto_create_tables=True, config=config)
    store.connection.is_deep = lambda table, keys: is_deep  # type: ignore[method-assign]  # noqa: ARG005
    return store


def replay(case: Case, stores: dict[str, MetadataStore]) -> None:
    try:
        graph_of(case.specs)
    except DefinitionError:
        reject()  # one in some thousands is a graph that nobody may define
    try:
        Replay(case, stores).run()
    except Ambiguous:
        reject()
