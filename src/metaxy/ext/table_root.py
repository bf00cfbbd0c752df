"""Base of storages whose tables are below one folder or bucket: names that clients misread, nothing to connect."""

import os
import re
from collections.abc import Mapping

from metaxy.errors import InvalidConfigError
from metaxy.masking import Secrets, mask_path
from metaxy.storage.files import absolute
from metaxy.storage.port import HUGE, AccessMode, Capabilities
from metaxy.wording import short_path

ESCAPE = "%[0-9A-Fa-f]{2}"  # stands for another sign in an address
CONTROL = r"[\x00-\x1f\x7f]"
BACKSLASH = r"\\(?!)" if os.sep == "\\" else r"\\"  # which nothing matches where it separates folders


def checked_root(given: str, client: str, *, misread: str = CONTROL, decodes: bool = True) -> str:
    """Return where tables are to lie, once it is clear that a client takes each name in it as it is.

    Args:
        given: a path, or an address.
        client: who must understand it, for the message.
        misread: a pattern of what the client misreads in paths.
        decodes: whether it also takes escapes in addresses of buckets for other signs.

    Raises:
        InvalidConfigError: otherwise; tables would lie elsewhere, or be out of reach once they are written.

    >>> checked_root("s3://bucket/a b/", "Delta Lake")
    's3://bucket/a b/'
    """
    if "://" in given:
        misread += "|[?#]"
        # Escapes in addresses of files may be meant, as those of `Path.as_uri`, or be names.
        misread += f"|{ESCAPE}" if decodes or given.startswith(("file://", "local://")) else ""
    place = given if "://" in given else absolute(given)
    if sign := re.search(misread, place):
        raise InvalidConfigError(
            f"{mask_path(place)!r}: {client} misreads {sign.group()!r}; give the name as it is, without escapes, or "
            "choose another one"
        )
    return given


class TableRoot:
    """The beginning of a storage: a root, the options of its object store, and nothing to connect."""

    capabilities = Capabilities(creates_tables=True, unsupported=HUGE)

    def __init__(self, root: str, storage_options: Mapping[str, str]) -> None:
        self.root = root
        self.storage_options = dict(storage_options)
        self._hide = Secrets.of({"root": short_path(root), "options": self.storage_options}).hide

    def open(self, mode: AccessMode) -> None:
        """Nothing to connect: each operation opens the table that it needs."""

    def close(self) -> None:
        """Nothing to disconnect."""

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return "://" not in self.root
