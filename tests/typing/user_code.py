"""What users write. Type checkers must accept all of it without settings or plugins; nothing here runs."""

from typing import Any

import narwhals as nw
import polars as pl
from typing_extensions import assert_type

import metaxy as mx
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore


class Video(
    mx.BaseFeature,
    spec=mx.FeatureSpec(key="video", id_columns=["video_id"], fields=["audio", "frames"]),
):
    video_id: str
    path: str
    height: int | None = None


class Crop(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key=["video", "crop"],
        id_columns=("video_id",),
        deps=[Video],
        fields=[
            "audio",
            mx.FieldSpec(key="frames", code_version="2", deps=[mx.FieldDep(feature=Video, fields=["frames"])]),
            {"key": "faces", "deps": mx.SpecialFieldDep.ALL},
        ],
        metadata={"owner": "vision"},
        description="Faces, cut out.",
    ),
):
    video_id: str


class Summary(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key=mx.FeatureKey("summary"),
        id_columns=["day"],
        deps=[
            mx.FeatureDep(
                feature=Crop,
                select=("day",),
                rename={"created": "day"},
                filters=["height >= 720"],
                lineage=mx.LineageRelationship.aggregation(on=["day"]),
                fields_mapping=mx.FieldsMapping.default(match_suffix=True),
            ),
            mx.FeatureDep(feature="video", optional=True),
            "audio/track",
            {"feature": "other"},
        ],
    ),
):
    day: str


class Expanded(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="frames",
        id_columns=["video_id", "frame"],
        deps=[mx.FeatureDep(feature=Video, lineage=mx.LineageRelationship.expansion(on=["video_id"]))],
    ),
):
    video_id: str
    frame: int


video = Video(video_id="a", path="a.mp4")
assert_type(video.video_id, str)
assert_type(video.height, int | None)
assert_type(video.metaxy_provenance, str | None)
assert_type(video.metaxy_provenance_by_field, dict[str, str])
assert_type(Video.spec(), mx.FeatureSpec)
assert_type(Video.spec().key, mx.FeatureKey)
assert_type(Crop.feature_version(), str)


def graphs() -> None:
    with mx.FeatureGraph().use() as graph:
        assert_type(graph, mx.FeatureGraph)
        assert_type(graph.get_feature_version(Crop), str)
        assert_type(graph.get_feature_definition("video/crop"), mx.FeatureDefinition)
        assert_type(graph.list_features(only_current_project=False), list[mx.FeatureKey])
    assert_type(mx.current_graph(), mx.FeatureGraph)
    assert_type(mx.coerce_to_feature_key(Video), mx.FeatureKey)


def stores(samples: pl.DataFrame) -> None:
    store = DuckDBMetadataStore(
        database="features.duckdb", auto_create_tables=True, hash_algorithm=mx.HashAlgorithm.SHA256
    )
    other = DeltaMetadataStore("features", layout="flat", fallback_stores=[store])
    assert_type(other.hash_algorithm, mx.HashAlgorithm)
    with store.open("w") as opened:
        assert_type(opened, DuckDBMetadataStore)
        opened.write(Video, samples)
        opened.write("video/crop", samples.lazy(), materialization_id="run-1")
        opened.write_multi({Video: samples, "video/crop": samples})
        opened.delete(Video, nw.col("video_id") == "a", soft=True)
        assert_type(opened.has_feature(Video), bool)
    with other as reading:
        assert_type(reading, DeltaMetadataStore)
        rows = reading.read(Video, columns=["video_id"], filters=[nw.col("height") > 1])
        assert_type(rows, nw.LazyFrame[Any])


def increments(store: mx.MetadataStore, samples: pl.DataFrame) -> None:
    with store:
        increment = store.resolve_update(Video, samples=samples)
        assert_type(increment, mx.Increment)
        new, stale, orphaned = increment
        assert_type(new, nw.DataFrame[Any])
        print(len(stale) + len(orphaned))
        assert_type(increment.to_polars(), mx.PolarsIncrement)
        assert_type(increment.to_polars().stale, pl.DataFrame)

        lazy = store.resolve_update(Crop, lazy=True, filters={Video: [nw.col("height") > 1]})
        assert_type(lazy, mx.LazyIncrement)
        assert_type(lazy.orphaned, nw.LazyFrame[Any])
        assert_type(lazy.collect(), mx.Increment)
        assert_type(lazy.to_polars().collect(), mx.PolarsIncrement)


def configuration() -> None:
    config = mx.init()
    assert_type(config, mx.MetaxyConfig)
    assert_type(config.get_store("dev"), mx.MetadataStore)
    assert_type(config.get_store(expected_type=DuckDBMetadataStore), DuckDBMetadataStore)
    with mx.MetaxyConfig(project="mine", hash_truncation_length=8).use() as inner:
        assert_type(inner, mx.MetaxyConfig)
