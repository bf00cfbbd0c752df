"""Pictures with faces and captions: a new code version of one field does not throw the other away."""

from typing import Any

import polars as pl

import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore


def features(caption_version: str) -> type[mx.BaseFeature]:
    """Define the pictures, and what is found in them by some version of the code that writes captions."""

    class Picture(mx.BaseFeature, spec=mx.FeatureSpec(key="picture", id_columns=["picture"])):
        picture: str

    class Content(
        mx.BaseFeature,
        spec=mx.FeatureSpec(
            key="content",
            id_columns=["picture"],
            deps=[Picture],
            fields=["faces", mx.FieldSpec(key="caption", code_version=caption_version)],
        ),
    ):
        picture: str
        faces: int
        caption: str

    return Content


def count_faces(picture: str) -> int:
    """Take long to count."""
    print(f"{picture}: counting faces")
    return len(picture)


def write_caption(picture: str, version: str) -> str:
    """Take long to write."""
    print(f"{picture}: writing a caption")
    return f"caption of {picture}, v{version}"


def analyse(sample: dict[str, Any], version: str) -> dict[str, Any]:
    """Compute the fields that changed, and take the others from the previous row."""
    picture, changed, previous = sample["picture"], sample["metaxy_changed_fields"], sample["metaxy_previous"]
    return {
        "faces": count_faces(picture) if "faces" in changed else previous["faces"],
        "caption": write_caption(picture, version) if "caption" in changed else previous["caption"],
    }


def run(store: DuckDBMetadataStore, version: str) -> None:
    """Analyse what is new or stale."""
    with mx.FeatureGraph().use():
        content = features(version)
        if version == "1":
            names = ["a.jpg", "b.jpg"]
            versions = [{"default": name} for name in names]
            store.write("picture", pl.DataFrame({"picture": names, "metaxy_provenance_by_field": versions}))
        increment = store.resolve_update(content, previous=True)
        print(increment.changed_fields)
        for batch in increment.batches(100):
            samples = batch.to_polars().sort("picture")
            found = pl.DataFrame([analyse(sample, version) for sample in samples.to_dicts()])
            store.write(content, samples.hstack(found))
        if version != "1":
            rows = store.read(content, columns=["picture", "faces", "caption"]).collect().to_polars()
            print(rows.sort("picture").rows())


with DuckDBMetadataStore("pictures.duckdb", auto_create_tables=True).open("w") as store:
    print("version 1")
    run(store, "1")
    print("version 2 of the captions")
    run(store, "2")
