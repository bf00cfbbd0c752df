"""Write the sound files of a few calls: tones, louder from day to day."""

import math
import struct
import wave
from pathlib import Path

FOLDER = Path(__file__).with_name("recordings")
DAYS = ("2026-11-01", "2026-11-02", "2026-11-03")
SPEAKERS = ("ann", "bob", "cleo")
RATE = 8000


def record(path: Path, amplitude: int, seconds: float = 0.5) -> None:
    """Write a tone."""
    samples = [int(amplitude * math.sin(2 * math.pi * 440 * step / RATE)) for step in range(int(RATE * seconds))]
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def record_all(folder: Path = FOLDER) -> int:
    """Write a call of each speaker on each day, and return how many these are."""
    for number, day in enumerate(DAYS, 1):
        for louder, speaker in enumerate(SPEAKERS, 1):
            record(folder / day / f"{speaker}.wav", 2000 * number + 500 * louder)
    return len(DAYS) * len(SPEAKERS)


if __name__ == "__main__":
    print(f"{record_all()} calls in {FOLDER.name}")
