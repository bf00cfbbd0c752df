"""The features of this demo, and the functions that compute them.

Change something here - a code version, a function, a dependency - or a file in videos, and run `mx run`.
"""

import hashlib
import math
import wave
from array import array
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image, ImageDraw

import metaxy as mx
from metaxy import content

__metaxy_project__ = "demo"  # as in metaxy.toml; a package would give its own name

VIDEOS = Path("videos")
CROP_VERSION = "1"  # the version of the code below that crops; `mx demo` raises it


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["video"], fields=["audio", "frames"])):
    """A folder with one sound and a few frames. Nothing is computed: the versions are the hashes of the files."""

    video: str
    audio: str
    frames: list[str]


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
    look: str


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
    """List all videos with the hashes of their files: all that Metaxy needs to see what changed."""
    return content.scan(VIDEOS, {"audio": "{video}/audio.wav", "frames": "{video}/frame_*.png"})


@mx.computes(Crop, data_version="look")  # crops that look as before change nothing for what is made of them
def crop(row: dict[str, Any]) -> dict[str, Any]:
    """Cut the dark border off each frame."""
    pixels, look = 0, hashlib.sha256()
    for name in row["frames"]:
        frame = Image.open(VIDEOS / name)
        cut = frame.crop(frame.convert("L").point(lambda light: light if light > 100 else 0).getbbox())
        file = Path("crops", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        cut.save(file)
        pixels += cut.width * cut.height
        look.update(f"{cut.width} x {cut.height}".encode() + cut.tobytes())
    return {"crops": f"crops/{row['video']}", "pixels": pixels, "look": look.hexdigest()[:16]}


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
    with wave.open(str(VIDEOS / row["audio"])) as sound:
        samples = array("h", sound.readframes(sound.getnframes()))
        beat = sound.getframerate() // 10
    beats = [samples[start : start + beat] for start in range(0, len(samples), beat)]
    power = sum(sample * sample for sample in samples) / len(samples)
    return {
        "text": " ".join("la" if any(sounds) else "-" for sounds in beats),
        "loudness": round(10 * math.log10(max(power, 1) / 32768**2), 1),
    }
