"""How an image looks, as a fingerprint: 256 bits of its shapes, by imagehash, and 256 of its colours.

The shapes are those of a gray picture, so that an image whose colours alone changed would look the same without them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from metaxy.content.clusters import fingerprint_of_bits
from metaxy.content.pixels import Frame

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    Values = np.ndarray[Any, Any]

MOST_FRAMES: Final = 16  # of an animation, evenly spread, are compared
_SIDE: Final = 16  # of the matrix of frequencies
_LEVELS: Final = range(72, 190, 16)  # of the two colour channels, where 128 is gray
_FLAT: Final = 2.0  # gray values; a picture that differs less from one colour has no shapes to compare


def bits_of_frame(frame: Frame) -> "Values":
    """Return how one picture looks; none if it has no shapes."""
    import imagehash
    import numpy as np

    image = _visible(frame)
    if np.asarray(image.convert("L").resize((32, 32))).std() < _FLAT:
        return np.zeros(0, bool)
    shapes = imagehash.phash(image, hash_size=_SIDE).hash.ravel()
    colours = np.asarray(image.resize((4, 4), resample=4).convert("YCbCr"))[:, :, 1:].reshape(-1, 1)  # 4: BOX
    return np.concatenate([shapes, (colours > np.array(_LEVELS)).ravel()])


def fingerprint_of_looks(frames: Sequence["Values"], exact: str) -> str:
    """Return the fingerprint of an image from how its frames look.

    Images are compared with those of as many frames. Where a frame has no shapes, there is nothing that could be
    compared, so that only the same pixels give the same version.
    """
    import numpy as np

    count = len(frames)
    chosen = [
        frames[place * (count - 1) // max(1, min(count, MOST_FRAMES) - 1)] for place in range(min(count, MOST_FRAMES))
    ]
    if any(not len(bits) for bits in chosen):
        return fingerprint_of_bits(f"flat-{exact}", np.ones(1, bool))
    return fingerprint_of_bits(f"frames-{count}", np.concatenate(chosen))


def _visible(frame: Frame) -> "Image.Image":
    """Return what is seen of a frame on white."""
    import numpy as np
    from PIL import Image

    values = frame.values
    if frame.kind in ("i", "f"):  # what is black and what is white, they do not say
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        values = np.nan_to_num((values - low) / ((high - low) or 1) * 255).astype(np.uint8)
        return Image.fromarray(values).convert("RGB")
    if not frame.kind.startswith("rgba"):
        return Image.frombytes(_MODES[frame.kind], values.shape[1::-1], values.tobytes()).convert("RGB")
    image = Image.fromarray((values >> 8).astype(np.uint8) if frame.kind == "rgba16" else values)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


_MODES: Final = {"cmyk": "CMYK", "ycbcr": "YCbCr", "hsv": "HSV", "lab": "LAB"}
