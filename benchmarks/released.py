"""The environment of the released metaxy 0.1.11."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.services import environments

REQUIREMENTS = (
    "metaxy==0.1.11",
    "polars<2.2",
    "polars-hash",
    "deltalake>=1.6",
    "duckdb==1.5.5",
    "ibis-framework[clickhouse,duckdb,postgres]",
    "packaging",
    "psycopg[binary]",
    "pyarrow",
    "sqlglot<30.18",
)


def interpreter() -> Path:
    """Return the interpreter of that environment."""
    return environments.interpreter("metaxy-released-bench", REQUIREMENTS)
