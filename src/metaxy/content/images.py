"""Versions of images: by their exact pixels, or equal for images that look the same."""

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, TypeAlias, get_args

import polars as pl
from typing_extensions import Unpack

from metaxy.content.clusters import check_threshold
from metaxy.content.frames import OnError, check_on_error, check_option
from metaxy.content.looks import bits_of_frame, fingerprint_of_looks
from metaxy.content.media import Likeness, Medium, ReadingOptions, decoding, hash_media, need
from metaxy.content.pixels import Digest, Frame, frames_of_bytes, frames_of_value
from metaxy.content.places import Opened
from metaxy.content.reading import Recipe

ImageMethod: TypeAlias = Literal["pixels", "perceptual"]
"""``pixels`` gives equal pixels equal versions, ``perceptual`` also images that look the same."""

PIXELS: Final = "pixels"
PERCEPTUAL: Final = "perceptual"
_LOOKS: Final = "looks"  # an exact digest and a fingerprint: what a cache remembers of a file


def hash_images(
    images: Iterable[Any],
    method: ImageMethod = "pixels",
    *,
    threshold: float = 0.92,
    known: Any = None,
    on_error: OnError = "record",
    **reading: Unpack[ReadingOptions],
) -> pl.DataFrame:
    """Hash images: by their pixels, whatever file they are in, or so that those that look the same have equal versions.

    Frames: images → path, size, modified, etag, version, error; one row per image, in their order. With
    ``method="perceptual"``: path, size, modified, etag, exact, fingerprint, similarity, version, error

    An image that looks like an earlier one gets its version, and keeps it for ever if what this returns is stored, and
    given back as ``known``. Without ``known``, versions depend on which images are in the call, not on their order.

    Args:
        images: Paths and URLs; files as bytes; images of Pillow; arrays of rows of pixels.
        method: ``"pixels"`` or ``"perceptual"``.
        threshold: How similar an image looks to the first one of its version, at least; 1 is equal.
        known: What earlier calls returned, as a frame of any kind, such as a feature that was read.
        on_error: ``"raise"`` raises once all is done, if an image has no version.
        **reading: How files are read, as for `hash_files`: ``workers``, ``trust``, ``cache``, ``retries``,
            ``storage_options``, ``progress``.

    Raises:
        ContentError: if an image has no version and ``on_error`` is ``"raise"``, or ``known`` is of another method.
        ImportError: if a package is missing.

    >>> import metaxy.content as content
    >>> content.hash_images([b"no image"])["error"].to_list()
    ['ContentError: no image that Pillow knows']
    """
    check_on_error(on_error)
    check_option("method", method, get_args(ImageMethod))
    check_threshold(threshold)
    is_exact = method == PIXELS
    need("PIL.Image", "numpy", *(() if is_exact else ("imagehash",)), extra="images")
    if is_exact:
        return hash_media(images, _medium(PIXELS, _digest), None, on_error, **reading)
    likeness = Likeness(PIXELS, PERCEPTUAL, threshold, known)
    return hash_media(images, _medium(_LOOKS, _looks), likeness, on_error, **reading)


def _medium(name: str, digest: Callable[[Iterable[Frame]], str]) -> Medium:
    def of_file(opened: Opened) -> str:
        data = opened.stream.read()
        return _decoded(digest, frames_of_bytes(data))

    return Medium("images", Recipe(name, of_file), lambda value: _decoded(digest, frames_of_value(value)))


def _decoded(digest: Callable[[Iterable[Frame]], str], frames: Iterable[Frame]) -> str:
    """Return what is made of frames; what a decoder raises tells of the bytes, not of the place they are at."""
    with decoding():
        return digest(frames)


def _digest(frames: Iterable[Frame]) -> str:
    digest = Digest()
    for frame in frames:
        digest.add(frame)
    return digest.text


def _looks(frames: Iterable[Frame]) -> str:
    """Return the exact digest and the fingerprint of an image, in one text."""
    digest, bits = Digest(), []
    for frame in frames:
        digest.add(frame)
        bits.append(bits_of_frame(frame))
    return f"{digest.text} {fingerprint_of_looks(bits, digest.text)}"
