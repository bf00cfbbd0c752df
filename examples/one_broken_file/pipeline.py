"""How loud are these recordings? One call computes it; a broken file stops no other, and is not forgotten."""

import math
import struct
import wave
from pathlib import Path
from typing import Literal

import polars as pl

import metaxy as mx
from metaxy import content
from metaxy.ext.duckdb import DuckDBMetadataStore

FOLDER = Path("recordings")


class Recording(mx.BaseFeature, spec=mx.FeatureSpec(key="recording", id_columns=["name"], fields=["sound"])):
    name: str
    sound: str


class Loudness(mx.BaseFeature, spec=mx.FeatureSpec(key="loudness", id_columns=["name"], deps=[Recording])):
    name: str
    peak: int


def record(name: str, amplitude: int) -> None:
    """Write a second of a tone."""
    samples = [int(amplitude * math.sin(2 * math.pi * 440 * step / 8000)) for step in range(8000)]
    with wave.open(str(FOLDER / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def found() -> pl.DataFrame:
    """List the files, each with the hash of what is in it."""
    return content.scan(FOLDER, {"sound": "{name}"})


def measure(row: dict[str, str]) -> dict[str, int]:
    """Read a file, and return how far it swings."""
    with wave.open(str(FOLDER / row["sound"]), "rb") as file:
        frames = file.readframes(file.getnframes())
    return {"peak": max(abs(sample) for (sample,) in struct.iter_unpack("<h", frames))}


def update(store: DuckDBMetadataStore, errors: Literal["retry", "skip"] = "retry") -> None:
    """Tell the store of the files, and measure what must be measured."""
    with store.open("w"):
        increment = store.resolve_update(Recording, samples=found())
        for rows in (increment.new, increment.stale):
            store.write(Recording, rows)
    report = store.process(Loudness, measure, workers=2, progress=False, errors=errors)
    print(f"{report.done} measured, {report.failed} failed")
    for error in report.errors:
        print(f"  {error}")


def main() -> None:
    """Record, measure, repair."""
    FOLDER.mkdir()
    for number in range(1, 7):
        record(f"{number}.wav", 5000 * number)
    broken = FOLDER / "3.wav"
    broken.write_bytes(b"no sound at all")
    store = DuckDBMetadataStore("features.duckdb", auto_create_tables=True)
    update(store)
    print("once more, without those that failed:")
    update(store, errors="skip")
    print("the file is repaired:")
    record("3.wav", 15000)
    update(store, errors="skip")
    with store:
        peaks = store.read(Loudness, columns=["name", "peak"]).collect().sort("name")
        print(", ".join(f"{name} {peak}" for name, peak in peaks.rows()))
        print(f"{len(store.read_errors(Loudness))} errors are left")


if __name__ == "__main__":
    main()
