"""The released metaxy 0.1.11, as a black box in an environment of its own."""

from pathlib import Path

import pytest
from tests.services.environments import interpreter

REQUIREMENTS = (
    "deltalake>=1.6",
    "duckdb==1.5.5",
    "ibis-framework[duckdb,postgres]",
    "packaging",
    "psycopg[binary]",
    "pyarrow",
    "sqlglot<30.18",
)


@pytest.fixture(scope="session")
def released_python() -> Path:
    """The released package with the newest libraries that it works with."""
    return interpreter("metaxy-released", ("metaxy==0.1.11", "polars<2.2", *REQUIREMENTS))


@pytest.fixture(scope="session")
def released_python_with_maps() -> Path:
    """The released package with libraries under which it can keep maps: those before maps were built in."""
    old = ("metaxy[map]==0.1.11", "polars==1.40.*", "narwhals==2.20.*")
    return interpreter("metaxy-released-maps", (*old, *REQUIREMENTS))
