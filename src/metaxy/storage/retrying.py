"""Trying again when another writer came first.

Tables made of files are changed by optimistic commits: a writer prepares files, and its commit fails if another one
was faster. Nothing is stored then, so it can simply try again. Databases that do not wait by themselves are alike.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

ATTEMPTS = 60  # each one that fails lets another writer through
LONGEST_PAUSE = 1.0
Result = TypeVar("Result")


def retried(attempt: Callable[[], Result], conflicts: Callable[[Exception], bool], attempts: int = ATTEMPTS) -> Result:
    """Return what an attempt returns; try again, after a random pause, while another writer gets in its way.

    Args:
        attempt: reads the state that it builds upon anew each time, and stores nothing if it fails.
        conflicts: whether an error means that another writer came first.
    """
    for number in range(1, attempts):
        try:
            return attempt()
        except Exception as error:
            if not conflicts(error):
                raise
        time.sleep(random.uniform(0, min(0.01 * 2**number, LONGEST_PAUSE)))  # noqa: S311 - no secret
    return attempt()
