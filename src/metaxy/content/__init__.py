"""Versions from bytes and values: files anywhere, images, audio, texts, arrays and plain Python values.

Everything gives a version per input, as text that begins with its recipe, such as ``sha256:…``, so that versions of two
recipes are never equal. Nothing here knows a store: results are frames, ready for those that do. Each public name is
loaded when it is first used, and packages such as NumPy or Pillow only where they are needed.
"""

from typing import TYPE_CHECKING, Final

from metaxy import _lazy

if TYPE_CHECKING:
    from metaxy.content.arrays import hash_arrays
    from metaxy.content.audio import hash_audio
    from metaxy.content.combining import versions
    from metaxy.content.files import hash_files
    from metaxy.content.frames import OnError
    from metaxy.content.images import hash_images
    from metaxy.content.scanning import scan
    from metaxy.content.texts import hash_texts
    from metaxy.content.values import hash_values

__all__ = [
    "OnError",
    "hash_arrays",
    "hash_audio",
    "hash_files",
    "hash_images",
    "hash_texts",
    "hash_values",
    "scan",
    "versions",
]

# Public name → its module.
_HOMES: Final = {
    "OnError": "metaxy.content.frames",
    "hash_arrays": "metaxy.content.arrays",
    "hash_audio": "metaxy.content.audio",
    "hash_files": "metaxy.content.files",
    "hash_images": "metaxy.content.images",
    "hash_texts": "metaxy.content.texts",
    "hash_values": "metaxy.content.values",
    "scan": "metaxy.content.scanning",
    "versions": "metaxy.content.combining",
}

if not TYPE_CHECKING:  # type checkers would take any name for a public one
    __getattr__, __dir__ = _lazy.attributes(__name__, _HOMES)
