"""Versions of audio: its samples, whatever file they are in."""

import io
import struct
import sys
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import metaxy.content as content
from metaxy.errors import ContentError

RATE = 8000
TONE = (np.sin(np.arange(8000) / 9)[:, None] * [9000, -7000]).astype(np.int16)


def coded(form: str, codec: Any, samples: "np.ndarray[Any, Any]" = TONE, kind: str = "s16", rate: int = RATE) -> bytes:
    file = io.BytesIO()
    layout = "stereo" if samples.shape[1] == 2 else "mono"
    with av.open(file, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        fifo = av.AudioFifo()
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format=kind, layout=layout)
        frame.sample_rate = rate
        for each in [*resampler.resample(frame), *resampler.resample(None)]:
            each.pts = None
            fifo.write(each)
        while part := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def moved(data: bytes, form: str, **tags: str) -> bytes:
    """Put audio into another container, without coding it anew."""
    file = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as source, av.open(file, "w", format=form) as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        target.metadata.update(tags)
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return file.getvalue()


def versions(*audio: Any) -> list[str]:
    found = content.hash_audio(audio)
    assert found["error"].to_list() == [None] * len(audio)
    return found["version"].to_list()


def test_samples_do_not_depend_on_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(wav := coded("wav", "pcm_s16le"))
    wide = TONE.astype(np.int32) << 16
    flac = coded("flac", "flac")
    same = [
        *(
            (TONE, RATE),
            (wide, RATE),
            path,
            str(path),
            wav,
            flac,
            moved(flac, "ogg", title="a"),
            moved(flac, "matroska"),
        ),
        *(coded("aiff", "pcm_s16be"), coded("wav", "pcm_s24le", wide, "s32"), coded("wav", "pcm_s32le", wide, "s32")),
        moved(wav, "wav", title="a title", artist="someone"),
        coded("mov", "alac"),
    ]
    assert len(set(versions(*same))) == 1
    floats = (TONE / 32768).astype(np.float32)
    assert (
        len(set(versions((floats, RATE), (floats.astype(np.float64), RATE), coded("wav", "pcm_f32le", floats, "flt"))))
        == 1
    )
    bytes8 = (TONE // 256 + 128).astype(np.uint8)
    assert len(set(versions((bytes8, RATE), coded("wav", "pcm_u8", bytes8, "u8")))) == 1


def test_samples_rate_and_channels_count() -> None:
    other = TONE.copy()
    other[4000, 1] += 1
    mono = TONE[:, 0]
    different = [
        (TONE, RATE),
        (other, RATE),
        (TONE, 16000),
        (mono, RATE),
        (TONE.reshape(-1), RATE),
        (TONE / 32768, RATE),
    ]
    assert len(set(versions(*different, (TONE[:-1], RATE), (TONE[:0], RATE)))) == 8
    assert len(set(versions((mono, RATE), (mono[:, None], RATE), coded("wav", "pcm_s16le", mono[:, None].copy())))) == 1


@pytest.mark.parametrize(
    ("codec", "form", "others"),
    [
        ("libmp3lame", "mp3", ("mp3", "matroska", "mp4")),
        ("libopus", "ogg", ("ogg", "webm")),
        ("aac", "mp4", ("mp4", "adts", "mpegts", "matroska")),
    ],
)
def test_coded_audio_does_not_depend_on_the_container(codec: str, form: str, others: tuple[str, ...]) -> None:
    rate = 48000  # which all of them have
    first = coded(form, codec, rate=rate)
    same = [first, *(moved(first, other, title="title", comment="new") for other in others)]
    assert len(set(versions(*same))) == 1
    assert len(set(versions(first, coded(form, codec, TONE // 2, rate=rate)))) == 2


def test_bad_audio_is_rows(tmp_path: Path) -> None:
    whole = {"wav": coded("wav", "pcm_s16le"), "flac": coded("flac", "flac"), "aiff": coded("aiff", "pcm_s16be")}
    empty = io.BytesIO()
    with wave.open(empty, "wb") as writer:
        writer.setparams((2, 2, RATE, 0, "NONE", ""))
    secret = tmp_path / "secret.wav"
    secret.write_bytes(whole["wav"])
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{secret.as_uri()}\n#EXT-X-ENDLIST\n".encode()
    bad = [
        *(b"", b"no audio", None, "gone.wav", playlist, TONE, (TONE, 0), (TONE, 8000.5), (TONE > 0, RATE)),
        *(data[: len(data) // 2] for data in whole.values()),
        *(data[:20] for data in whole.values()),
        *(coded("matroska", "pcm_s16le")[:500], (np.ma.array(TONE, mask=TONE > 0), RATE)),
    ]
    found = content.hash_audio([*bad, empty.getvalue(), *whole.values()])
    assert found["version"].is_null().to_list() == [True] * len(bad) + [False] * 4
    assert found["version"][len(bad)] == versions((np.zeros((0, 2), np.int16), RATE))[0]
    assert len(set(found["version"][len(bad) + 1 :])) == 1
    assert not found["error"].str.contains("Errno").any()
    with pytest.raises(ContentError, match=r"1 of 2 inputs have no version, the first is input 1: .*empty"):
        content.hash_audio([(TONE, RATE), b""], on_error="raise")


# -- recordings that sound the same ------------------------------------------------------------------------------------


def song(seed: int, seconds: int = 12) -> "np.ndarray[Any, Any]":
    """Return chords that change twice a second, by samples and two channels."""
    random = np.random.default_rng(seed)
    moments = np.arange(RATE // 2) / RATE
    chords = [
        sum(
            np.sin(2 * np.pi * pitch * over * moments) / over
            for pitch in random.uniform(150, 900, 3)
            for over in (1, 2, 3)
        )
        for _ in range(seconds * 2)
    ]
    mono = np.concatenate(chords) + random.normal(size=seconds * RATE) * 0.05
    return (np.stack([mono, mono * 0.8], axis=1) * 3000).astype(np.int16)


def test_recordings_that_sound_the_same_share_a_version(tmp_path: Path) -> None:
    pytest.importorskip("chromaprint", exc_type=ImportError)
    one, other = song(1), song(2)
    path = tmp_path / "song.wav"
    path.write_bytes(coded("wav", "pcm_s16le", one))
    copies = [
        path,
        (one // 3, RATE),
        (one / 32768, RATE),
        coded("mp3", "libmp3lame", one),
        coded("ogg", "libopus", one),
    ]
    found = content.hash_audio([*copies, (other, RATE), (one[:RATE], RATE), (one[:RATE], RATE), b""], "acoustic")
    versions = found["version"].to_list()
    assert [versions.index(version) for version in versions] == [0, 0, 0, 0, 0, 5, 6, 6, 8]
    assert found["exact"][0] == content.hash_audio([path])["version"][0]
    assert found.columns[4:] == ["exact", "fingerprint", "similarity", "version", "error"]
    later = content.hash_audio([(one // 2, RATE)], "acoustic", known=found)
    assert later["version"].to_list() == versions[:1]


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chromaprint", None)
    with pytest.raises(ImportError, match=r"need the library chromaprint \(on Debian: apt install libchromaprint1\)"):
        content.hash_audio([], "acoustic")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r'audio need the package av: pip install "metaxy\[audio\]"'):
        content.hash_audio([])


def test_tags_in_any_encoding_change_nothing() -> None:
    wav = io.BytesIO()
    with wave.open(wav, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(range(200)))
    plain, tag = wav.getvalue(), b"INFOINAM\x04\x00\x00\x00caf\xe9"
    body = plain[8:] + b"LIST" + struct.pack("<I", len(tag)) + tag
    tagged = b"RIFF" + struct.pack("<I", len(body)) + body
    one, other = content.hash_audio([plain, tagged])["version"]
    assert one == other is not None
