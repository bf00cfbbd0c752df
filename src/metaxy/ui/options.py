"""What the web page may show, and who may ask for it."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class Options:
    """Options of `mx ui`.

    Args:
        store: The store that is shown first; the default one if not given.
        rows: Whether values of samples are shown.
        media: Folders whose images, audio and video are shown.
        origins: Origins of the web from which the page may load them, such as `https://media.example.org`.
        host: The address to listen on.
        port: The port; 0 for any that is free, None for the usual one or any that is free.
        prefix: The path of the page behind a proxy; empty, or with a slash before it and none after it.
        allow: Names by which browsers may call the server, besides those of this machine.
        token: What the first link must have.
        announce: Is told the link as soon as it works.
    """

    store: str | None = None
    rows: bool = True
    media: Sequence[Path] = ()
    origins: Sequence[str] = ()
    host: str = LOOPBACK
    port: int | None = None
    prefix: str = ""
    allow: Sequence[str] = ()
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    announce: Callable[[str], None] = field(default=lambda _: None, repr=False)
