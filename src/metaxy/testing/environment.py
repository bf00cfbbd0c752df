"""Change the environment of the process for a while."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PREFIX: Final = "METAXY_"


@contextmanager
def env_override(**variables: str | None) -> Iterator[None]:
    """Set environment variables until the block ends; None removes one.

    What the block itself changes in the environment is undone as well.

    >>> with env_override(METAXY_STORE="branch"):
    ...     os.environ["METAXY_STORE"]
    'branch'
    """
    before = dict(os.environ)
    try:
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def no_metaxy_variables() -> dict[str, str | None]:
    """Return what makes `env_override` remove all variables that configure Metaxy."""
    return {name: None for name in os.environ if name.upper().startswith(PREFIX)}
