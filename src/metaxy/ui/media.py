"""Images, audio and video that rows name: files below the folders of `--media-root`, and nothing else."""

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from mimetypes import guess_type
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from metaxy.ui.guard import Refusal

KINDS: Final = ("image", "audio", "video")
NO_FILE: Final = "there is no such file below --media-root"
LOOKED_AT: Final = 20  # values of a column
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"  # an image may be a document with scripts


def media_kind(values: Iterable[Any]) -> str | None:
    """Return what the paths or addresses in a column lead to: all to images, to audio, or to video.

    >>> media_kind(["a/1.png", None, "https://example.org/2.jpg?size=3"]), media_kind(["1.png", "2.wav"])
    ('image', None)
    """
    texts = [text for value in values for text in _texts(value)][:LOOKED_AT]
    kinds = {kind_of(_path(text)) for text in texts}
    return kinds.pop() if len(kinds) == 1 else None


def kind_of(path: str) -> str | None:
    """Return the kind of a file by its name.

    >>> kind_of("a.flac"), kind_of("page.html")
    ('audio', None)
    """
    kind = media_type(path).partition("/")[0]
    return kind if kind in KINDS else None


def media_type(path: str) -> str:
    """Return the type of a file by its name, empty if it is compressed or unknown."""
    found, encoding = guess_type(f"file:{path}")
    return "" if encoding or found is None else found


def media_file(text: str, roots: Sequence[Path]) -> Path:
    """Return the file that a path means: an absolute one, or one in a folder, links followed.

    What is not there, and what is in no folder, is refused alike: nothing is told about other files.

    Raises:
        Refusal: if it is in none of the folders, or is no image, audio or video.
    """
    if not roots:
        raise Refusal(403, "files are not shown here", "start the page with --media-root FOLDER, and without --no-rows")
    path = _local(text)
    if path.startswith(("//", "\\\\")):  # of another machine, which would be asked
        roots = ()
    for root in roots:
        found = _below(root, path)
        if found is not None:
            if kind_of(found.name) is None:
                raise Refusal(415, "this is no image, audio or video")
            return found
    raise Refusal(404, NO_FILE)


def _below(root: Path, path: str) -> Path | None:
    """Return a plain file below a folder, with no link left in its path that could lead out of it."""
    try:
        real = Path(os.path.realpath(root, strict=True))
        found = Path(os.path.realpath(real / path, strict=True))
        is_file = stat.S_ISREG(found.stat().st_mode)
    except (OSError, ValueError):
        return None
    return found if is_file and found.is_relative_to(real) else None


def _local(text: str) -> str:
    """Return the path of a file of this machine; `file:` has one."""
    if text.lower().startswith("file:"):
        with suppress(ValueError):  # a path that no address has
            return unquote(urlsplit(text).path)
    return text


def _path(text: str) -> str:
    """Return the path in an address, which may go on behind it; paths are as they are."""
    if "://" in text[:20]:
        with suppress(ValueError):  # it only begins like an address
            return urlsplit(text).path
    return text


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a value: itself, or those of a list, which comes as JSON."""
    if not isinstance(value, str):
        return
    if not value.startswith("["):
        yield value
        return
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):  # a text that only begins like a list, however deep
        return
    yield from (each for each in found if isinstance(each, str))
