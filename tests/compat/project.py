"""A small project that runs under metaxy 0.1.11 and under this package, unchanged.

python project.py write ROOT     writes a root feature, resolves its children, writes them; then changes and deletes
python project.py read ROOT      prints what is there, and what would have to be computed, as JSON
"""

import json
import sys
import warnings
from typing import Any

import narwhals as nw
import polars as pl
from metaxy.ext.polars.handlers.delta import DeltaMetadataStore
from metaxy.models.fields_mapping import FieldsMapping
from metaxy.models.lineage import LineageRelationship

import metaxy as mx

FEATURES = ("video/raw", "crop", "frame", "speaker", "both")


def define() -> None:
    """Define a root, an identity child, an expansion, an aggregation, and a child with an optional parent."""

    class Video(
        mx.BaseFeature,
        spec=mx.FeatureSpec(
            key="video/raw", id_columns=["id"], fields=[mx.FieldSpec(key="audio"), mx.FieldSpec(key="frames")]
        ),
    ):
        id: str
        path: str
        speaker: str

    class Crop(
        mx.BaseFeature,
        spec=mx.FeatureSpec(
            key="crop",
            id_columns=["id"],
            deps=[mx.FeatureDep(feature=Video, rename={"path": "video_path"})],
            fields=[mx.FieldSpec(key="frames", code_version="2")],
        ),
    ):
        id: str

    class Frame(
        mx.BaseFeature,
        spec=mx.FeatureSpec(
            key="frame",
            id_columns=["id", "n"],
            deps=[
                mx.FeatureDep(feature=Video, select=("path",), lineage=LineageRelationship.expansion(on=["id"])),
            ],
        ),
    ):
        id: str
        n: int

    class Speaker(
        mx.BaseFeature,
        spec=mx.FeatureSpec(
            key="speaker",
            id_columns=["speaker"],
            deps=[
                mx.FeatureDep(
                    feature=Video,
                    lineage=LineageRelationship.aggregation(on=["speaker"]),
                    fields_mapping=FieldsMapping.all(),
                )
            ],
        ),
    ):
        speaker: str

    class Both(
        mx.BaseFeature,
        spec=mx.FeatureSpec(
            key="both",
            id_columns=["id"],
            deps=[
                mx.FeatureDep(feature=Video, select=("path",)),
                mx.FeatureDep(feature=Crop, select=("video_path",), optional=True),
            ],
        ),
    ):
        id: str


def rows(*numbers: int, audio: str = "a") -> pl.DataFrame:
    """Return samples of the root feature."""
    return pl.DataFrame(
        {
            "id": [f"v{n}" for n in numbers],
            "path": [f"/{n}.mp4" for n in numbers],
            "speaker": ["odd" if n % 2 else "even" for n in numbers],
            "metaxy_provenance_by_field": [{"audio": f"{audio}{n}", "frames": f"f{n}"} for n in numbers],
        }
    )


def write(store: Any) -> None:
    """Write everything once, then change some of it."""
    store.write("video/raw", rows(1, 2, 3, 4))
    store.write("crop", store.resolve_update("crop").new.to_polars().sort("id").head(3))
    frames = store.resolve_update("frame").new.to_polars()
    store.write("frame", frames.join(pl.DataFrame({"n": [0, 1]}), how="cross"))
    store.write("speaker", store.resolve_update("speaker").new.to_polars().unique("speaker"))
    store.write("both", store.resolve_update("both").new)
    store.write("video/raw", rows(2, audio="new"))
    store.write("video/raw", rows(5))
    store.delete("video/raw", nw.col("id") == "v4", soft=True)


def read(store: Any) -> dict[str, Any]:
    """Describe what the store has."""
    found: dict[str, Any] = {}
    for key in FEATURES:
        stored = store.read(key).collect().to_polars()
        found[key] = comparable(stored)
        if key != "video/raw":
            increment = store.resolve_update(key).to_polars()
            found[f"{key} update"] = [comparable(frame) for frame in increment]
    return found


def comparable(frame: pl.DataFrame) -> list[str]:
    """Turn a frame into sorted rows, without the columns that only one package passes on."""
    wanted = sorted(c for c in frame.columns if not c.startswith("metaxy_deleted_at") and c not in IGNORED)
    dicts = frame.select(wanted).to_dicts()
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in dicts)


# Definition texts differ between the packages, and so do project versions, which nothing at sample level depends on.
IGNORED = {"metaxy_project_version"}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    command, root = sys.argv[1:]
    config = mx.MetaxyConfig(hash_truncation_length=8, project="compat")
    with config.use():
        define()
        with DeltaMetadataStore(root, hash_algorithm=mx.HashAlgorithm.XXHASH32).open("w") as opened:
            if command == "write":
                write(opened)
            else:
                print(json.dumps(read(opened)))
