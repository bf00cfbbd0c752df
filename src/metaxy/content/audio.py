"""Versions of audio: by its samples, whatever file they are in.

Where a codec is lossless, samples are decoded: whole numbers as parts of full scale, floats as they are. Where it loses
something, decoders differ in the last bits, so that what was coded is hashed, without container and tags.
"""

import hashlib
import importlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, TypeAlias, get_args

import polars as pl
from typing_extensions import Unpack

from metaxy.content.arrays import little_endian, plain_array
from metaxy.content.clusters import check_threshold
from metaxy.content.frames import OnError, check_on_error, check_option
from metaxy.content.media import Likeness, Medium, ReadingOptions, decoding, hash_media, need
from metaxy.content.places import Opened
from metaxy.content.reading import Recipe
from metaxy.content.sound import RATE, fingerprint_of_sound, opened_audio, sound_of_file, sound_of_samples
from metaxy.errors import ContentError

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.bitstream import BitStreamFilterContext

    Values = np.ndarray[Any, Any]

AudioMethod: TypeAlias = Literal["samples", "acoustic"]
"""``samples`` gives equal samples equal versions, ``acoustic`` also recordings that sound the same."""

AUDIO: Final = "audio"
ACOUSTIC: Final = "acoustic"
_SOUND: Final = "sound"  # an exact digest and a fingerprint: what a cache remembers of a file
_STREAMED: Final = 0xFFFFFFFF  # the size of WAV data that was not known when it was written
_COUNTED: Final = {"flac", "aiff", "w64", "caf"}  # containers that say how many samples they have


def hash_audio(
    audio: Iterable[Any],
    method: AudioMethod = "samples",
    *,
    threshold: float = 0.95,
    known: Any = None,
    on_error: OnError = "record",
    **reading: Unpack[ReadingOptions],
) -> pl.DataFrame:
    """Hash audio: by samples, rate and channels, or so that recordings that sound the same have equal versions.

    Frames: audio → path, size, modified, etag, version, error; one row per input, in their order. With
    ``method="acoustic"``: path, size, modified, etag, exact, fingerprint, similarity, version, error

    Of FLAC, WAV, AIFF and other lossless formats, samples are hashed, so that a recording has one version in all
    of them. Of MP3, AAC, Ogg and the like, what was coded is hashed, since decoders differ. Of
    videos, it is the sound; all sound tracks count.

    A recording that sounds like an earlier one gets its version, and keeps it for ever if what this returns is stored,
    and given back as ``known``. Its first track is compared, up to two minutes.

    Args:
        audio: Paths and URLs; files as bytes; pairs of an array (samples, or samples by channels) and the sample rate.
        method: ``"samples"``, or ``"acoustic"``, which needs the library chromaprint.
        threshold: How similar a recording sounds to the first one of its version, at least; 1 is equal.
        known: What earlier calls returned, as a frame of any kind, such as a feature that was read.
        on_error: ``"raise"`` raises once all is done, if an input has no version.
        **reading: How files are read, as for `hash_files`: ``workers``, ``trust``, ``cache``, ``retries``,
            ``storage_options``, ``progress``.

    Raises:
        ContentError: if an input has no version and ``on_error`` is ``"raise"``, or ``known`` is of another method.
        ImportError: if a package or a library is missing.

    >>> import numpy as np
    >>> import metaxy.content as content
    >>> silence = np.zeros(8000, np.int16)
    >>> content.hash_audio([(silence, 8000), b""])["error"].to_list()
    [None, 'ContentError: the file is empty']
    """
    check_on_error(on_error)
    check_option("method", method, get_args(AudioMethod))
    check_threshold(threshold)
    need("av", "numpy", extra=AUDIO)
    if method == "samples":
        return hash_media(
            audio, Medium(AUDIO, Recipe(AUDIO, _digest_of_file), _digest_of_value), None, on_error, **reading
        )
    _need_chromaprint()
    medium = Medium(AUDIO, Recipe(_SOUND, _sound_of_file), _sound_of_value)
    return hash_media(audio, medium, Likeness(AUDIO, ACOUSTIC, threshold, known), on_error, **reading)


def _need_chromaprint() -> None:
    """Load chromaprint, which is a library of the system.

    Raises:
        ImportError: if it is missing.
    """
    try:
        importlib.import_module("chromaprint")
    except ImportError:
        raise ImportError(
            "acoustic versions need the library chromaprint (on Debian: apt install libchromaprint1) and the package "
            'pyacoustid: pip install "metaxy[audio]"'
        ) from None


# -- values ------------------------------------------------------------------------------------------------------------


@dataclass
class _Track:
    """The hash of one track: what its values are, then all of them."""

    rate: int
    channels: int
    count: int = 0  # of samples
    kind: str = ""
    _hash: Any = field(default_factory=hashlib.sha256)

    def add_samples(self, values: "Values") -> None:
        """Take samples: one row per moment, one column per channel."""
        kind, canonical = _canonical(values)
        if len(canonical):  # of none, no kind is known in a file
            self._begin(kind)
        if canonical.shape[1] != self.channels:
            raise ContentError("the number of channels changes in the middle")
        self._hash.update(little_endian(canonical))
        self.count += len(canonical)

    def add_coded(self, codec: str, data: bytes) -> None:
        """Take what was coded."""
        self._begin(codec)
        self._hash.update(data)

    def _begin(self, kind: str) -> None:
        if not self.kind:
            self.kind = kind
            self._hash.update(f"{kind} {self.rate} {self.channels}\n".encode())

    @property
    def digest(self) -> str:
        """The hash of all so far."""
        self._begin("empty")
        return str(self._hash.hexdigest())


def _canonical(values: "Values") -> "tuple[str, Values]":
    """Return samples as 32-bit numbers, whose full scale does not depend on the depth of the file, or as doubles."""
    import numpy as np

    if values.dtype == np.uint8:
        return "int", (values.astype(np.int32) - 128) << 24
    if values.dtype in (np.int16, np.int32):
        return "int", values.astype(np.int32) << (32 - 8 * values.dtype.itemsize)
    if values.dtype in (np.float32, np.float64):
        return "float", values.astype(np.float64)
    raise ContentError(f"samples are uint8, int16, int32, float32 or float64, not {values.dtype}")


def _digest_of_value(value: Any) -> str:
    samples, rate = _samples(value)
    track = _Track(rate, samples.shape[1])
    track.add_samples(samples)
    return _joined([track])


def _sound_of_value(value: Any) -> str:
    samples, rate = _samples(value)
    exact = _digest_of_value(value)
    return f"{exact} {fingerprint_of_sound([sound_of_samples(_canonical(samples)[1])], rate, exact)}"


def _samples(value: Any) -> "tuple[Values, int]":
    """Return samples by channels, and their rate."""
    if not (isinstance(value, tuple) and len(value) == 2 and hasattr(value[0], "__array__")):
        raise ContentError(f"{type(value).__name__} is no audio: neither a path, bytes nor a pair of samples and rate")
    samples, rate = plain_array(value[0]), value[1]
    if samples.ndim not in (1, 2) or isinstance(rate, bool) or int(rate) != rate or rate <= 0:
        raise ContentError("samples have one axis, or two with the channels last, and a sample rate of whole Hertz")
    return samples[:, None] if samples.ndim == 1 else samples, int(rate)


def _joined(tracks: Iterable[_Track]) -> str:
    return hashlib.sha256(" ".join(track.digest for track in tracks).encode()).hexdigest()


# -- files -------------------------------------------------------------------------------------------------------------


def _digest_of_file(opened: Opened) -> str:
    if opened.stamp.size == 0:
        raise ContentError("the file is empty")
    with decoding():
        _refuse_truncated_wav(opened.stream)
        with opened_audio(opened.stream) as container:
            streams = list(container.streams.audio)
            if not streams:
                raise ContentError("there is no sound in it")
            readers = {stream.index: _Reader.of(stream) for stream in streams}
            for packet in container.demux(streams):
                readers[packet.stream.index].read(packet)
            for stream in streams:
                readers[stream.index].refuse_truncated(container.format.name)
            return _joined(reader.track for reader in readers.values())


def _sound_of_file(opened: Opened) -> str:
    exact = _digest_of_file(opened)
    opened.stream.seek(0)
    with decoding():
        return f"{exact} {fingerprint_of_sound(sound_of_file(opened.stream), RATE, exact)}"


def _refuse_truncated_wav(stream: BinaryIO) -> None:
    """Refuse a WAV file that ends before its data; FFmpeg would read what is there."""
    if stream.read(4) == b"RIFF" and stream.read(8)[4:] == b"WAVE":
        while len(header := stream.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            start = stream.tell()
            if name == b"data" and size != _STREAMED and stream.seek(0, 2) < start + size:
                raise ContentError("the file is truncated")
            stream.seek(start + size + size % 2)
    stream.seek(0)


@dataclass
class _Reader:
    """Takes the packets of a track: decodes them where that is exact."""

    stream: "av.AudioStream"
    track: _Track
    codec: str
    decodes: bool
    to_plain: "BitStreamFilterContext | None" = None

    @classmethod
    def of(cls, stream: "av.AudioStream") -> "_Reader":
        from av.bitstream import BitStreamFilterContext

        context = stream.codec_context
        codec = context.codec
        track = _Track(context.sample_rate, context.channels)
        # AAC that was broadcast has a header in each packet, which containers leave away.
        has_headers = codec.canonical_name == "aac" and not context.extradata
        to_plain = BitStreamFilterContext("aac_adtstoasc", stream) if has_headers else None
        return cls(stream, track, codec.canonical_name, codec.lossless and not codec.lossy, to_plain)

    def read(self, packet: "av.Packet[Any]") -> None:
        if packet.is_corrupt:
            raise ContentError("a part of it is broken")
        if self.decodes:
            for frame in packet.decode():
                self._add(frame)
        elif packet.size:
            for plain in self.to_plain.filter(packet) if self.to_plain else [packet]:
                self.track.add_coded(self.codec, bytes(plain))

    def _add(self, frame: Any) -> None:
        if frame.sample_rate != self.track.rate:
            raise ContentError("the sample rate changes in the middle")
        values = frame.to_ndarray()
        self.track.add_samples(values.T if frame.format.is_planar else values.reshape(-1, len(frame.layout.channels)))

    def refuse_truncated(self, container: str) -> None:
        """Refuse a file that has fewer samples than it says, or none, where it may have had some before it was cut."""
        if not self.track.kind and container not in {"wav", *_COUNTED}:
            raise ContentError("there is no sound in it that could be read")
        duration, base = self.stream.duration, self.stream.time_base
        if container in _COUNTED and duration and base and self.track.count < round(duration * base * self.track.rate):
            raise ContentError("the file is truncated")
