"""Every engine and every store gives the versions and increments of the plain-Python reference, for generated cases.

A case is generated once, and replayed side by side on all stores of a group. `make test` runs 200 cases on the engines
alone and 40 on stores that are quick, `make test-slow` 40 on the others. `make agree N=20000` runs as many on the
engines as you like, new ones each time; `make agree N=2000 ON=postgresql` on a store of `tests/stores.py`, `ON=stores`
on all of them at once.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from tests.agreement.case import Case
from tests.agreement.memory import memory_store
from tests.agreement.reference import Ambiguous
from tests.agreement.replay import Replay, graph_of
from tests.agreement.strategies import cases
from tests.stores import IN_DEPTH, STORES

from metaxy.errors import DefinitionError
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.hashing import HashAlgorithm
from metaxy.store.store import MetadataStore

WANTED = int(os.environ.get("METAXY_AGREE", "0"))
ON = os.environ.get("METAXY_AGREE_ON", "engines")
SHARD = 250  # cases per test when many are wanted, so that processes share them
SLOW = IN_DEPTH["agreement"]
GROUPS = {
    "quick stores": [name for name in STORES if name not in SLOW | {"duckdb"}],  # which is among the engines
    "other stores": [name for name in STORES if name in SLOW],
    "stores": [*STORES],
}


def runs() -> Iterator[object]:
    """Return the groups of stores, the shards of their cases, and how many each has."""
    if WANTED:
        for shard, done in enumerate(range(0, WANTED, SHARD)):
            yield ON, shard, min(SHARD, WANTED - done)
        return
    for shard in range(4):
        yield "engines", shard, 25
    for shard in range(2):
        yield "quick stores", shard, 20
        yield pytest.param("other stores", shard, 20, marks=pytest.mark.slow)


@pytest.mark.filterwarnings("ignore::metaxy.errors.UntypedColumnWarning", "ignore::metaxy.errors.EmptySamplesWarning")
@pytest.mark.filterwarnings("ignore::metaxy.errors.PolarsMaterializationWarning")
@pytest.mark.filterwarnings("ignore::metaxy.errors.DriftedSamplesWarning")
@pytest.mark.parametrize(("group", "shard", "examples"), [*runs()])
def test_all_agree(group: str, shard: int, examples: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    def check(case: Case) -> None:
        folder, algorithm = tmp_path_factory.mktemp("case"), HashAlgorithm(case.algorithm)
        replay(case, stores(group, algorithm, folder), partial(branch, folder / "branch", algorithm))

    check_cases(examples, shard, check)


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
    with pytest.MonkeyPatch.context() as patch:
        # Hypothesis also draws texts of the source of modules that happen to be loaded: each edit, and each test that
        # ran before in this process, would make other cases.
        patch.setattr(providers.HypothesisProvider, "_local_constants", Constants())
        patch.setattr(providers, "CONSTANTS_CACHE", LRUCache(1024))
        (seed(shard)(test) if in_ci else test)()


def stores(group: str, algorithm: HashAlgorithm, folder: Path) -> dict[str, MetadataStore]:
    """Make the stores of a group, or the one of that name."""
    if group == "engines":
        return {
            "polars": memory_store(hash_algorithm=algorithm),
            "duckdb": duckdb_in_memory(algorithm, is_deep=False),
            "duckdb for deep histories": duckdb_in_memory(algorithm, is_deep=True),
        }
    return {name: STORES[name](folder, hash_algorithm=algorithm) for name in GROUPS.get(group, [group])}


def branch(folder: Path, algorithm: HashAlgorithm, name: str, below: MetadataStore) -> MetadataStore:
    """Make a store of the same kind over another one, in the same database if that is in memory."""
    over: dict[str, Any] = {"fallback_stores": [below], "fallback": "rows"}
    if isinstance(below, DuckDBMetadataStore) and below.database.startswith(":memory:") and name != "ducklake":
        return duckdb_in_memory(algorithm, below.database, is_deep="deep" in name, table_prefix="branch_", **over)
    if name == "polars":
        return memory_store(hash_algorithm=algorithm, **over)
    folder.mkdir(exist_ok=True)
    return STORES[name](folder, hash_algorithm=algorithm, **over)


def duckdb_in_memory(algorithm: HashAlgorithm, database: str = "", *, is_deep: bool, **options: Any) -> MetadataStore:
    """Make a store that always takes the form of the statement that it takes for large tables of this kind."""
    config = {"threads": "1"}  # few rows: threads only cost
    database = database or f":memory:{uuid4().hex}"
    store = DuckDBMetadataStore(database, hash_algorithm=algorithm, auto_create_tables=True, config=config, **options)
    store.connection.is_deep = lambda table, keys: is_deep  # type: ignore[method-assign]  # noqa: ARG005
    return store


def replay(case: Case, stores: dict[str, MetadataStore], branch: Callable[[str, MetadataStore], MetadataStore]) -> None:
    try:
        graph_of(case.specs)
    except DefinitionError:
        reject()  # one in some thousands is a graph that nobody may define
    try:
        Replay(case, stores, branch).run()
    except Ambiguous:
        reject()
