"""How a recording sounds, as a fingerprint: that of chromaprint, over its first two minutes.

Chromaprint gives 32 bits for each eighth of a second. What is compared is how often each bit is set in a second, which
hardly changes where a recording is coded anew, or begins some hundredths of a second later.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from metaxy.content.clusters import fingerprint_of_bits, fingerprint_of_vector

if TYPE_CHECKING:
    import numpy as np
    from av.container import InputContainer

    Values = np.ndarray[Any, Any]

LONGEST: Final = 120  # seconds that are compared
SHORTEST: Final = 16  # pieces that chromaprint has to give, about four seconds of sound
RATE: Final = 11025  # that of chromaprint
_PIECES: Final = 8  # of chromaprint, which are put together: about a second


def fingerprint_of_sound(parts: Iterable["Values"], rate: int, exact: str) -> str:
    """Return the fingerprint of a recording; one that is too short is only like itself.

    Args:
        parts: One channel of 16 bits, part by part.
        rate: Its sample rate.
        exact: The digest of its samples.
    """
    import numpy as np

    pieces = _pieces(parts, rate)[: LONGEST * _PIECES]
    if len(pieces) < SHORTEST:
        return fingerprint_of_bits(f"short-{exact}", np.ones(1, bool))
    bits = (pieces[:, None] >> np.arange(32, dtype=np.uint32) & 1).astype(np.int64) * 2 - 1
    whole = np.zeros((LONGEST * _PIECES, 32), np.int64)
    whole[: len(bits)] = bits
    return fingerprint_of_vector("sound", whole.reshape(LONGEST, -1, 32).sum(axis=1).ravel())


def _pieces(parts: Iterable["Values"], rate: int) -> "Values":
    import chromaprint
    import numpy as np

    printer = chromaprint.Fingerprinter()
    printer.start(rate, 1)
    left = rate * (LONGEST + 10)
    for part in parts:
        printer.feed(part[:left].astype("=i2").tobytes())
        left -= len(part)
        if left <= 0:
            break
    words, _ = chromaprint.decode_fingerprint(printer.finish())
    return np.array([word & 0xFFFFFFFF for word in words], np.uint32)


def opened_audio(stream: BinaryIO) -> "InputContainer":
    """Open a file for FFmpeg, which opens no other one: a play list is no audio."""
    import av

    # Tags may be in any encoding, which releases before 19 have to be told.
    more: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "ignore"}
    container: InputContainer = av.open(stream, "r", options={"protocol_whitelist": "none"}, **more)
    return container


def sound_of_file(stream: BinaryIO) -> Iterator["Values"]:
    """Yield the first track of a file as one channel of 16 bits, at `RATE`."""
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with opened_audio(stream) as container:
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                yield part.to_ndarray().ravel()


def sound_of_samples(samples: "Values") -> "Values":
    """Return canonical samples as one channel of 16 bits."""
    import numpy as np

    mixed = samples.astype(np.float64).mean(axis=1) * (32767 if samples.dtype == np.float64 else 2.0**-16)
    whole: Values = np.clip(np.rint(mixed), -32768, 32767).astype(np.int16)
    return whole
