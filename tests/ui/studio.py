"""A project to look at: media, features in all states, errors, pushes, and names that would like to be scripts."""

import wave
from array import array
from math import sin
from pathlib import Path

from PIL import Image, ImageDraw

from metaxy.testing import TempMetaxyProject

HOSTILE = "<img src=x onerror=\"document.title='hacked'\">"
FEATURES = '''
import polars as pl

import metaxy as mx

HOSTILE = {hostile!r}
CLIPS = {clips}


def spec(key, deps=(), fields=("default",), version="1"):
    return mx.FeatureSpec(
        key=key,
        id_columns=["clip"],
        deps=list(deps),
        fields=[mx.FieldSpec(key=name, code_version=version) for name in fields],
    )


class Clip(mx.BaseFeature, spec=spec("video/clip", fields=["frames", "sound"])):
    """What the cameras recorded.

    One row per clip. Files are below the folder of the project; a clip that was
    recorded again keeps its name, and only what depends on what changed in it is computed again.

    </script><img src=x onerror="document.title='hacked'">
    """

    clip: str
    picture: str
    sound: str
    seconds: float | None
    note: str | None


class Crop(mx.BaseFeature, spec=spec("video/crop", [Clip], ["frames"], "{crop}")):
    """The frames, cut to what is on them."""

    clip: str
    pixels: int


class Faces(mx.BaseFeature, spec=spec("faces/found", [Crop], ["boxes", "count"])):
    """How many faces the cropped frames show."""

    clip: str
    faces: int


class Transcript(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="audio/transcript",
        id_columns=["clip"],
        deps=[Clip],
        fields=[mx.FieldSpec(key="text", code_version="{text}", deps=[mx.FieldDep(feature=Clip, fields=["sound"])])],
        metadata={{"owner": "speech team", HOSTILE: HOSTILE}},
    ),
):
    """What is heard. <img src=x onerror="document.title='hacked'">"""

    clip: str
    text: str


class Quality(
    mx.BaseFeature,
    spec=spec("video/quality/perceptual_score_of_a_model_with_a_very_long_name_that_goes_on", [Crop]),
):
    """Nobody computes it yet."""

    clip: str
    score: float


class Embedding(mx.BaseFeature, spec=spec("training/embedding", [Faces, Transcript])):
    """A vector for training, from what is seen and what is heard."""

    clip: str
    vector: list[float]


@mx.computes(Clip)
def clips():
    rows = [
        {{
            "clip": f"clip_{{n:03}}" if n else HOSTILE,
            "picture": f"media/{{n % 6}}.png",
            "sound": f"media/{{n % 2}}.wav",
            "seconds": None if n % 7 == 3 else n * 1.25,
            "note": HOSTILE if n == 1 else "a long note that says much about the clip, " * 30 if n == 2 else None,
            "metaxy_provenance_by_field": {{"frames": f"f{{n}}", "sound": f"s{{n}}"}},
            HOSTILE: n * 1_000_003,
        }}
        for n in range(CLIPS)
    ]
    return pl.DataFrame(rows)


@mx.computes(Crop)
def crop(row: dict):
    return {{"pixels": len(row["picture"]) * 1_000}}


@mx.computes(Faces)
def faces(row: dict):
    if row["clip"].endswith("7"):
        raise ValueError(f"no face detector for {{row['clip']}}: {{HOSTILE}}")
    return {{"faces": row["pixels"] % 7}}


@mx.computes(Transcript)
def transcribe(row: dict):
    return {{"text": "la " * 12}}
'''


def built(folder: Path) -> TempMetaxyProject:
    """Make the project: computed and pushed twice, then more clips, and other code that is not pushed yet."""
    _write_media(folder / "media")
    project = TempMetaxyProject(folder, project="studio")
    for run, version in (("first", 1), ("second", 2)):
        project.with_features(_features(crop=version))
        project.run_cli(["push", f"--tags.run={run}"])
        project.run_cli(["run"], check=False)  # some samples fail
    project.with_features(_features(clips=64, crop=2, text=2)).run_cli(["run", "video/clip"])
    return project


def _features(*, clips: int = 40, crop: int = 1, text: int = 1) -> str:
    return FEATURES.format(hostile=HOSTILE, clips=clips, crop=crop, text=text)


def _write_media(folder: Path) -> None:
    folder.mkdir(parents=True)
    for n, color in enumerate(("#0b68b8", "#00785a", "#9a6700", "#8a4a86", "#b3400f", "#323a48")):
        image = Image.new("RGB", (160, 100), color)
        ImageDraw.Draw(image).ellipse((20 + 12 * n, 20, 80 + 12 * n, 80), fill="#f2e6d0")
        image.save(folder / f"{n}.png")
    for n in range(2):
        with wave.open(str(folder / f"{n}.wav"), "wb") as sound:
            sound.setparams((1, 2, 8_000, 0, "NONE", ""))
            sound.writeframes(array("h", (int(9_000 * sin(t / (6 + 4 * n))) for t in range(4_000))).tobytes())
