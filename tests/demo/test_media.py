"""The media files of the demo: real, complete, the same every time."""

import wave
from pathlib import Path

import pytest
from PIL import Image

from metaxy.demo import media


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_about_two_hundred_files_are_written_and_all_differ(tmp_path: Path) -> None:
    files = media.media_files(tmp_path)
    for file in files:
        media.write_file(file)
    written = contents(tmp_path)
    assert len(written) == len(files) == 200
    assert len(set(written.values())) == 200
    assert max(map(len, written.values())) < 20_000


def test_the_same_file_has_the_same_bytes_wherever_it_is_written(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b" / "c"):
        for name in ("frame_1.png", "audio.wav"):
            media.write_file(folder / "video_07" / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b" / "c")
    assert len(contents(tmp_path / "a")) == 2


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    media.write_file(tmp_path / "video_01" / "frame_1.png")
    media.write_file(tmp_path / "video_01" / "audio.wav")
    with Image.open(tmp_path / "video_01" / "frame_1.png") as frame:
        assert (frame.format, frame.size, frame.mode) == ("PNG", (64, 48), "RGB")
    with wave.open(str(tmp_path / "video_01" / "audio.wav")) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (1, 4000, 4000)


def test_a_sound_recorded_again_is_another_one_each_time(tmp_path: Path) -> None:
    sound = tmp_path / "audio.wav"
    takes = []
    for take in range(3):
        media.record_sound(sound, seed=str(take))
        takes.append(sound.read_bytes())
    assert len(set(takes)) == 3


def test_an_interrupted_write_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: wave.Wave_write, data: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wave.Wave_write, "writeframes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        media.record_sound(tmp_path / "audio.wav", seed="x")
    assert not (tmp_path / "audio.wav").exists()
