"""The files that a browser loads: those of the page, and those that draw pictures."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from metaxy.service.drawings import picture_files

ASSETS: Final = Path(__file__).with_name("assets")
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".preact": "text/plain; charset=utf-8",  # licences
    ".htm": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class Asset:
    """A file that the browser loads, with its type and a tag that changes with it."""

    content: bytes
    type: str

    @cached_property
    def tag(self) -> str:
        """What browsers ask with whether they have it already."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def read_assets() -> dict[str, Asset]:
    """Return all files that browsers load, by name, with those that draw pictures."""
    own = {path.relative_to(ASSETS).as_posix(): path.read_bytes() for path in ASSETS.rglob("*") if path.is_file()}
    drawing = {name: text.encode() for name, text in picture_files().items()}
    return {name: Asset(content, TYPES[Path(name).suffix]) for name, content in {**own, **drawing}.items()}
