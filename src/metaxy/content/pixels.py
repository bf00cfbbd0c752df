"""Images as exact values: what a decoder gives, in one form for all containers.

Images of eight bits per channel become RGBA, images of 16 bits RGBA of 16 bits: palettes, grays and a full alpha
channel make no difference, while everything that a pipeline could read does, such as colours under alpha 0, each frame
and how long it is shown. CMYK, Lab, YCbCr and single channels of 32 bits stay what they are. The orientation of EXIF is
applied; colour profiles are neither applied nor counted.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from metaxy.content.arrays import little_endian, plain_array
from metaxy.errors import ContentError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    Values = np.ndarray[Any, Any]

_EIGHT_BITS: Final = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"}
_AS_THEY_ARE: Final = {"CMYK", "LAB", "YCbCr", "HSV", "I", "F"}
_ORIENTATION: Final = 0x0112  # of EXIF
_TURNS: Final[dict[int, "Callable[[Values], Values]"]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}

# Pillow keeps one byte of each two where a file has several channels of 16 bits. Told the wrong order of bytes, it
# keeps the other one, so that reading twice gives both.
_OTHER_ORDER: Final = {f"{mode};16{a}": f"{mode};16{b}" for mode in ("RGB", "RGBA") for a, b in ("BL", "LB")}


@dataclass(frozen=True)
class Frame:
    """One picture: a kind of values, rows of pixels, and how long it is shown in milliseconds."""

    kind: str
    values: "Values"
    duration: float = 0


class Digest:
    """The hash of the frames of an image."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        height, width = frame.values.shape[:2]
        self._hash.update(f"{frame.kind} {width}x{height} {frame.duration:g}\n".encode())
        self._hash.update(little_endian(frame.values))

    @property
    def text(self) -> str:
        """The hash of all frames so far."""
        return self._hash.hexdigest()


# -- from files --------------------------------------------------------------------------------------------------------


def frames_of_bytes(data: bytes) -> Iterator[Frame]:
    """Yield each frame of an image file."""
    with _opened(data) as image:
        deep = _deep_mode(image)
        if deep:
            yield _turned(image, _frame_of_array(_deep(data, deep, getattr(image, "n_frames", 1))))
        else:
            yield from _frames(image)


def _opened(data: bytes) -> "Image.Image":
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise ContentError("the file is empty")
    try:
        return Image.open(BytesIO(data))
    except UnidentifiedImageError:  # it would name an address in memory
        raise ContentError("no image that Pillow knows") from None


def _frames(image: "Image.Image") -> Iterator[Frame]:
    """Yield what Pillow gives for each frame of an image."""
    count = getattr(image, "n_frames", 1)
    for place in range(count):
        if count > 1:
            image.seek(place)
        image.load()  # which also says how long it is shown
        yield replace(_frame_of_image(image), duration=_duration(image) if count > 1 else 0)


def _duration(image: "Image.Image") -> float:
    return float(image.info.get("duration") or 0)


def _deep_mode(image: "Image.Image") -> str | None:
    """Return how a file holds several channels of 16 bits, None where it does not."""
    if image.mode not in _EIGHT_BITS:
        return None
    return next((mode for mode in map(_raw_mode, getattr(image, "tile", ())) if ";16" in mode), None)


def _raw_mode(tile: Any) -> str:
    arguments = tile[3]
    return str(arguments if isinstance(arguments, str) else arguments[0] if arguments else "")


def _deep(data: bytes, mode: str, count: int) -> "Values":
    """Return the values of a file with several channels of 16 bits."""
    import numpy as np

    if mode not in _OTHER_ORDER or count > 1:
        raise ContentError(
            f"16 bits per channel, stored as {mode!r}, cannot be read exactly; hash the bytes of the file"
        )
    kept, other = (np.asarray(_read_as(data, raw)).astype(np.uint16) for raw in (mode, _OTHER_ORDER[mode]))
    return kept << 8 | other


def _read_as(data: bytes, raw: str) -> "Image.Image":
    """Read an image as if its file held pixels in a way that we say."""
    image: Any = _opened(data)
    if any(tile[0] not in ("zip", "raw") for tile in image.tile):
        raise ContentError(
            f"16 bits per channel, coded by {image.tile[0][0]!r}, cannot be read; hash the bytes of the file"
        )
    image.tile = [(*tile[:3], raw if isinstance(tile[3], str) else (raw, *tile[3][1:])) for tile in image.tile]
    image.load()
    return image  # type: ignore[no-any-return]


# -- from values -------------------------------------------------------------------------------------------------------


def frames_of_value(value: Any) -> Iterator[Frame]:
    """Yield each frame of an image of Pillow, or the one that an array holds.

    Raises:
        ContentError: if it is neither, or its pixels are of a kind that is not known.
    """
    from PIL import Image

    if isinstance(value, Image.Image):
        if _deep_mode(value):
            raise ContentError(
                "Pillow would read 8 of the 16 bits per channel; pass the path, or the bytes of the file"
            )
        yield from _frames(value)
    elif hasattr(value, "__array__"):
        yield _frame_of_array(plain_array(value))
    else:
        raise ContentError(
            f"{type(value).__name__} is no image: neither a path, bytes, an image of Pillow nor an array"
        )


def _frame_of_image(image: "Image.Image") -> Frame:
    """Return what an image of Pillow shows now, turned as its EXIF says."""
    import numpy as np

    if image.mode in _EIGHT_BITS:
        return _turned(image, Frame("rgba8", np.asarray(image.convert("RGBA"))))
    if image.mode.startswith("I;16"):
        return _turned(image, _frame_of_array(plain_array(image)))
    if image.mode in _AS_THEY_ARE:
        return _turned(image, Frame(image.mode.lower(), np.asarray(image)))
    raise ContentError(f"pixels of mode {image.mode!r} are not known; convert the image, or hash the bytes of the file")


def _turned(image: "Image.Image", frame: Frame) -> Frame:
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    return replace(frame, values=turn(frame.values)) if turn else frame


def _frame_of_array(values: "Values") -> Frame:
    """Return an array as an image file with the same pixels would give it."""
    import numpy as np

    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim == 2 and values.size and values.dtype in (np.int32, np.float32):
        return Frame("i" if values.dtype == np.int32 else "f", values)
    is_image = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (2, 3, 4))
    if not is_image or not values.size or values.dtype not in (np.uint8, np.uint16):
        raise ContentError(
            f"an array of {values.dtype} with shape {values.shape} is no image; images are rows of "
            "pixels of 1 to 4 channels of uint8 or uint16, or one of int32 or float32; hash_arrays takes all arrays"
        )
    return Frame(f"rgba{values.dtype.itemsize * 8}", _rgba(values))


def _rgba(values: "Values") -> "Values":
    """Return gray, gray with alpha, RGB or RGBA as RGBA."""
    import numpy as np

    planes = [values] if values.ndim == 2 else [values[:, :, place] for place in range(values.shape[2])]
    colours = planes[:3] if len(planes) > 2 else planes[:1] * 3
    alpha = planes[-1] if len(planes) in (2, 4) else np.full_like(planes[0], np.iinfo(values.dtype).max)
    return np.stack([*colours, alpha], axis=-1)
