"""The features of this demo, and the functions that compute them.

Change something here - a code version, a function, a dependency - or a file in videos, and run `mx run`.
"""

import hashlib
import math
import wave
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image, ImageDraw

import metaxy as mx

__metaxy_project__ = "demo"  # as in metaxy.toml; a package would give its own name

CROP_VERSION = "1"  # the version of the code below that crops; `mx demo` raises it


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["video"], fields=["audio", "frames"])):
    """A folder with one sound and a few frames. Nothing is computed: the versions are the hashes of the files."""

    video: str
    folder: str


class Crop(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="crop",
        id_columns=["video"],
        deps=[Video],
        # A field follows the field of the same name: these frames depend on the video's frames, not on its audio.
        fields=[mx.FieldSpec(key="frames", code_version=CROP_VERSION)],
    ),
):
    """The frames, cut to what is on them."""

    video: str
    crops: str
    pixels: int


class Faces(mx.BaseFeature, spec=mx.FeatureSpec(key="faces", id_columns=["video"], deps=[Crop], fields=["count"])):
    """How many faces the cropped frames show."""

    video: str
    faces: int


class Transcript(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="transcript",
        id_columns=["video"],
        deps=[Video],
        # Or say it: this text depends on the video's audio and on nothing else.
        fields=[mx.FieldSpec(key="text", deps=[mx.FieldDep(feature=Video, fields=["audio"])])],
    ),
):
    """What is heard, and how loud it is in dBFS."""

    video: str
    text: str
    loudness: float


@mx.computes(Video)
def find_videos() -> pl.DataFrame:
    """List all videos with one hash for each field: all that Metaxy needs to see what changed."""
    return pl.DataFrame(
        [
            {
                "video": sound.parent.name,
                "folder": sound.parent.as_posix(),
                "metaxy_provenance_by_field": {
                    "audio": hash_files([sound]),
                    "frames": hash_files(sorted(sound.parent.glob("frame_*.png"))),
                },
            }
            for sound in sorted(Path("videos").glob("*/audio.wav"))
        ]
    )


def hash_files(files: Iterable[Path]) -> str:
    """Return one hash for the content of some files."""
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()[:16]


@mx.computes(Crop)
def crop(row: dict[str, Any]) -> dict[str, Any]:
    """Cut the dark border off each frame."""
    crops = Path("crops", row["video"])
    crops.mkdir(parents=True, exist_ok=True)
    pixels = 0
    for file in sorted(Path(row["folder"]).glob("frame_*.png")):
        frame = Image.open(file)
        cut = frame.crop(frame.convert("L").point(lambda light: light if light > 100 else 0).getbbox())
        cut.save(crops / file.name)
        pixels += cut.width * cut.height
    return {"crops": crops.as_posix(), "pixels": pixels}


@mx.computes(Faces)
def count_faces(row: dict[str, Any]) -> dict[str, Any]:
    """Count the pale spots: find one, paint it over, find the next."""
    faces = 0
    for file in Path(row["crops"]).glob("frame_*.png"):
        pale = Image.open(file).convert("L").point(lambda light: 255 if light > 100 else 0)
        while spot := pale.tobytes().find(255) + 1:
            ImageDraw.floodfill(pale, ((spot - 1) % pale.width, (spot - 1) // pale.width), 0)
            faces += 1
    return {"faces": faces}


@mx.computes(Transcript)
def transcribe(row: dict[str, Any]) -> dict[str, Any]:
    """Write down a "la" for every beat that is not silent."""
    with wave.open(f"{row['folder']}/audio.wav") as sound:
        samples = array("h", sound.readframes(sound.getnframes()))
        beat = sound.getframerate() // 10
    beats = [samples[start : start + beat] for start in range(0, len(samples), beat)]
    power = sum(sample * sample for sample in samples) / len(samples)
    return {
        "text": " ".join("la" if any(sounds) else "-" for sounds in beats),
        "loudness": round(10 * math.log10(max(power, 1) / 32768**2), 1),
    }
