"""Small real media files: each video is a folder with a few PNG frames and one WAV sound, the same bytes every time."""

import hashlib
import math
import random
import wave
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

VIDEOS: Final = 50
FRAMES: Final = 3
CELL: Final = 16  # pixels; a frame is 4 x 3 cells, and each cell has room for one face
RATE: Final = 4000  # sound samples per second
BEATS: Final = 10  # a sound is a second of ten beats, each a tone or silence


def media_files(folder: Path) -> list[Path]:
    """Return the paths of all files that belong into the folder.

    >>> files = media_files(Path("videos"))
    >>> len(files), files[0].as_posix(), files[-1].as_posix()
    (200, 'videos/video_01/frame_1.png', 'videos/video_50/audio.wav')
    """
    names = [*(f"frame_{number}.png" for number in range(1, FRAMES + 1)), "audio.wav"]
    return [folder / f"video_{number:02}" / name for number in range(1, VIDEOS + 1) for name in names]


def write_file(path: Path) -> None:
    """Write one media file; what it shows or sounds like follows from its name alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write = draw_frame if path.suffix == ".png" else record_sound
    write(path, seed=f"{path.parent.name}/{path.name}")


def draw_frame(path: Path, seed: str) -> None:
    """Draw a few pale faces on a dark background."""
    from PIL import Image, ImageDraw  # only `mx demo` needs Pillow

    chance = random.Random(seed)
    picture = Image.new("RGB", (4 * CELL, 3 * CELL), tuple(chance.randrange(60) for _ in "rgb"))
    pencil = ImageDraw.Draw(picture)
    for cell in chance.sample(range(12), chance.randint(1, 4)):
        x, y = cell % 4 * CELL, cell // 4 * CELL
        pencil.ellipse((x + 2, y + 2, x + CELL - 3, y + CELL - 3), fill=(240, 220, chance.randrange(180, 230)))
    _replace(path, lambda part: picture.save(part, format="PNG"))


def save_again(path: Path) -> None:
    """Save a frame as another program would: other bytes, the same picture."""
    from PIL import Image, PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", hashlib.sha256(path.read_bytes()).hexdigest())
    with Image.open(path) as picture:
        picture.load()
    _replace(path, lambda part: picture.save(part, format="PNG", pnginfo=text))


def record_sound(path: Path, seed: str) -> None:
    """Record a second of tones and silence."""
    chance = random.Random(seed)
    tones = [chance.choice((0, 440, 660, 880)) for _ in range(BEATS - 1)] + [440]  # never complete silence
    volume = chance.randint(2000, 20000)
    samples = array(
        "h",
        (round(volume * math.sin(2 * math.pi * tones[i * BEATS // RATE] * i / RATE)) for i in range(RATE)),
    )

    def write(part: Path) -> None:
        with wave.open(str(part), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(samples.itemsize)
            sound.setframerate(RATE)
            sound.writeframes(samples)

    _replace(path, write)


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Let a file appear complete or not at all, so that an interrupted demo can go on."""
    part = path.with_name(f".{path.name}.part")
    write(part)
    part.replace(path)
