"""Tables that get slower with every write: small files are merged if the user wants it so, else that is advised."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetaxyError
from metaxy.storage.port import Append, Fragmented, Storage

KEEP: Final = timedelta(days=7)  # how long files stay that were replaced by `optimize`
MANY: Final = 100
logger = logging.getLogger(__name__)


class Tidiness:
    """What a store does about small files, and the tables about which it said something, and does no more.

    Args:
        wanted: whether small files are merged after a write, or how many there must be.
    """

    def __init__(self, store: str, wanted: bool | int) -> None:
        self.automatic = bool(wanted)
        self.limit = MANY if isinstance(wanted, bool) or not wanted else wanted
        self._store = store
        self._left: set[FeatureKey] = set()

    def look_after(self, storage: Storage, writes: Sequence[Append]) -> None:
        """Tidy the tables that rows were added to; the rows are stored whatever comes of it."""
        if not isinstance(storage, Fragmented):
            return
        for write in writes:
            if write.base is not None and write.key not in self._left and (problem := self._problem(storage, write)):
                self._left.add(write.key)
                logger.warning("%s: the table of feature %s %s", self._store, write.key, problem)

    def _problem(self, storage: Fragmented, write: Append) -> str | None:
        assert write.base is not None  # noqa: S101
        try:
            pieces = storage.pieces(write.key, write.base)
            if pieces < self.limit:
                return None
            if not self.automatic:
                return f"is slow with its {pieces} small files: call `store.optimize`, or set auto_optimize = true"
            storage.optimize(write.key, KEEP, write.ids)
        except Exception as error:
            said = error if isinstance(error, MetaxyError) else type(error).__name__
            return f"has the new rows, but cannot be optimized: {said}"
        return None
