"""What storages share whose tables are below one folder or bucket, and need no connection."""

from collections.abc import Mapping

from metaxy.config.secrets import mask_values
from metaxy.storage.port import HUGE, AccessMode, Capabilities


class Rooted:
    """The beginning of a storage: a root, the options of its object store, and nothing to connect."""

    capabilities = Capabilities(creates_tables=True, lacks=HUGE)

    def __init__(self, root: str, storage_options: Mapping[str, str]) -> None:
        self.root = root
        self.storage_options = dict(storage_options)

    def open(self, mode: AccessMode) -> None:
        """Nothing to connect: each operation opens the table that it needs."""

    def close(self) -> None:
        """Nothing to disconnect."""

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return "://" not in self.root

    def _hide(self, text: str) -> str:
        return mask_values(text, self.storage_options)
