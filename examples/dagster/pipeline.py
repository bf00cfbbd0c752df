"""The functions that compute the features."""

import struct
import wave
from pathlib import Path
from typing import Any

import polars as pl
from features import Loudness, Recording, Speaker

import metaxy as mx
from metaxy import content

FOLDER = Path(__file__).with_name("recordings")


@mx.computes(Recording)
def find_recordings() -> pl.DataFrame:
    """List the files, each with the hash of what is in it."""
    found = content.scan(FOLDER, {"sound": "{day}/{speaker}.wav"})
    return found.with_columns(pl.format("{} {}", "day", "speaker").alias("call"), pl.col("day").str.to_date())


@mx.computes(Loudness, workers=2)
def measure(row: dict[str, Any]) -> dict[str, Any]:
    """Read a file, and say how far it swings."""
    with wave.open(str(FOLDER / row["sound"]), "rb") as file:
        frames, rate = file.readframes(file.getnframes()), file.getframerate()
    samples = [abs(sample) for (sample,) in struct.iter_unpack("<h", frames)]
    return {"day": row["day"], "speaker": row["speaker"], "seconds": len(samples) / rate, "peak": max(samples)}


@mx.computes(Speaker)
def summarize(calls: pl.DataFrame) -> pl.DataFrame:
    """Put together what was measured of all calls of each speaker."""
    columns = pl.len().alias("calls"), pl.sum("seconds"), pl.max("peak").alias("loudest")
    return calls.group_by("speaker").agg(*columns)
