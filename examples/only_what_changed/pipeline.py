"""Videos have frames and a sound track; faces are found in frames, so a new sound track finds no faces again."""

import polars as pl

import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore


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


def record(store: DuckDBMetadataStore, videos: dict[str, tuple[str, str]]) -> None:
    """Store videos, with a version of the sound track and of the frames of each."""
    versions = [{"audio": audio, "frames": frames} for audio, frames in videos.values()]
    samples = pl.DataFrame({"video": list(videos), "metaxy_provenance_by_field": versions})
    increment = store.resolve_update(Video, samples=samples)
    for frame in (increment.new, increment.stale):
        store.write(Video, frame)


def compute(store: DuckDBMetadataStore) -> None:
    """Compute both features where something that they read has changed, and say where that was."""
    for feature, column, value in ((Faces, "count", 2), (Transcript, "text", "hello")):
        increment = store.resolve_update(feature)
        for samples in increment.batches(100):
            print(f"{feature.spec().key}: {sorted(samples['video'].to_list())}")
            store.write(feature, samples.to_polars().with_columns(pl.lit(value).alias(column)))


with DuckDBMetadataStore("videos.duckdb", auto_create_tables=True).open("w") as store:
    print("Everything is new")
    record(store, {"a.mp4": ("sound 1", "frames 1"), "b.mp4": ("sound 1", "frames 1")})
    compute(store)
    print("The sound of a.mp4 was replaced")
    record(store, {"a.mp4": ("sound 2", "frames 1"), "b.mp4": ("sound 1", "frames 1")})
    compute(store)
