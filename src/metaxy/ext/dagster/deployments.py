"""Which store a deployment of Dagster uses: branches have one of their own, which sees the rows of production."""

import os
from typing import Final

BRANCH: Final = "DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT"


def store_of_deployment(production: str | None = None, *, branch: str) -> str | None:
    """Return the name of the configured store that this deployment of Dagster uses.

    That of a branch lies over that of production, by ``fallback_stores`` and ``fallback = "rows"``: it sees the rows of
    production and computes only what the code of the branch changes, and nothing is written to production.

    Args:
        production: name of the store of production; the default store by default.
        branch: name of the store of branch deployments, which Dagster marks by ``DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT``.

    >>> store_of_deployment("prod", branch="preview")
    'prod'
    """
    return branch if os.environ.get(BRANCH) == "1" else production
