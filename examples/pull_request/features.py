"""Pictures, captions of pictures, and translations of captions."""

import polars as pl

import metaxy as mx

__metaxy_project__ = "pictures"


class Picture(mx.BaseFeature, spec=mx.FeatureSpec(key="picture", id_columns=["picture"], fields=["pixels"])):
    picture: str


class Caption(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="caption",
        id_columns=["picture"],
        deps=[Picture],
        fields=[mx.FieldSpec(key="text", code_version="1")],
    ),
):
    picture: str
    words: str


class Translation(
    mx.BaseFeature,
    spec=mx.FeatureSpec(key="translation", id_columns=["picture"], deps=[Caption], fields=["text"]),
):
    picture: str
    words: str


class Size(mx.BaseFeature, spec=mx.FeatureSpec(key="size", id_columns=["picture"], deps=[Picture], fields=["pixels"])):
    picture: str
    bytes: int


@mx.computes(Picture)
def find_pictures() -> pl.DataFrame:
    """List a hundred pictures, with a version of the pixels of each."""
    names = [f"{number:03d}.jpg" for number in range(100)]
    return pl.DataFrame({"picture": names, "metaxy_provenance_by_field": [{"pixels": name} for name in names]})


@mx.computes(Caption)
def describe(row: dict[str, str]) -> dict[str, str]:
    """Find words for a picture, as a model would."""
    return {"words": f"what {row['picture']} shows"}


@mx.computes(Translation)
def translate(row: dict[str, str]) -> dict[str, str]:
    """Say the same in capitals."""
    return {"words": row["words"].upper()}


@mx.computes(Size)
def measure(row: dict[str, str]) -> dict[str, int]:
    """Measure a picture."""
    return {"bytes": len(row["picture"])}
