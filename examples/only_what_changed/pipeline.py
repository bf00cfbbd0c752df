"""Videos have frames and a sound track; faces are found in frames, so a new sound track finds no faces again."""

import polars as pl

import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.process import run


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["video"], fields=["audio", "frames"])):
    video: str


class Faces(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="faces",
        id_columns=["video"],
        deps=[Video],
        fields=[mx.FieldSpec(key="faces", deps=[mx.FieldDep(feature=Video, fields=["frames"])])],
    ),
):
    video: str
    count: int


class Transcript(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="transcript",
        id_columns=["video"],
        deps=[Video],
        fields=[mx.FieldSpec(key="text", deps=[mx.FieldDep(feature=Video, fields=["audio"])])],
    ),
):
    video: str
    text: str


videos = {"a.mp4": ("sound 1", "frames 1"), "b.mp4": ("sound 1", "frames 1")}


@mx.computes(Video)
def find_videos() -> pl.DataFrame:
    """List the videos, with a version of the sound track and of the frames of each."""
    versions = [{"audio": audio, "frames": frames} for audio, frames in videos.values()]
    return pl.DataFrame({"video": list(videos), "metaxy_provenance_by_field": versions})


@mx.computes(Faces)
def count_faces(row: dict[str, str]) -> dict[str, int]:
    """Say that it is called; a model would look at the frames here."""
    print(f"  counting faces in {row['video']}")
    return {"count": 2}


@mx.computes(Transcript)
def transcribe(row: dict[str, str]) -> dict[str, str]:
    """Say that it is called; a model would listen here."""
    print(f"  transcribing {row['video']}")
    return {"text": "hello"}


store = DuckDBMetadataStore("videos.duckdb", auto_create_tables=True)
print("Everything is new")
run(store, order_by="video", progress=False)
print("The sound of a.mp4 was replaced")
videos["a.mp4"] = ("sound 2", "frames 1")
run(store, order_by="video", progress=False)
