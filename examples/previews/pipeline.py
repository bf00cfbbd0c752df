"""A branch over production computes what its code changes, and its rows are promoted when it is merged."""

import polars as pl

import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore


class Picture(mx.BaseFeature, spec=mx.FeatureSpec(key="picture", id_columns=["picture"], fields=["pixels"])):
    picture: str


def define(version: str) -> None:
    """Define what is computed, with the code version of captions that the branch at hand has."""
    field = mx.FieldSpec(key="text", code_version=version)

    class Caption(
        mx.BaseFeature, spec=mx.FeatureSpec(key="caption", id_columns=["picture"], deps=[Picture], fields=[field])
    ):
        picture: str

    class Translation(
        mx.BaseFeature, spec=mx.FeatureSpec(key="translation", id_columns=["picture"], deps=[Caption], fields=["text"])
    ):
        picture: str


def pictures(*numbers: int) -> pl.DataFrame:
    """Name pictures, with a version of the pixels of each."""
    names = [f"{number:03d}.jpg" for number in numbers]
    return pl.DataFrame({"picture": names, "metaxy_provenance_by_field": [{"pixels": name} for name in names]})


def describe(row: dict[str, str]) -> dict[str, str]:
    """Find words for a picture, as a model would."""
    return {"words": f"what {row['picture']} shows"}


def compute(what: str, store: DuckDBMetadataStore) -> None:
    """Compute what is to do, and say how much that was."""
    reports = [store.process(key, describe, progress=False) for key in ("caption", "translation")]
    print(f"{what}: {', '.join(f'{report.done} {report.feature}s' for report in reports)}")


def count(store: DuckDBMetadataStore) -> int:
    """Count the pictures that a store sees."""
    return len(store.read(Picture).collect())


production = DuckDBMetadataStore("production.duckdb", name="production", auto_create_tables=True)
preview = DuckDBMetadataStore(
    "preview.duckdb", name="preview", fallback_stores=[production], fallback="rows", auto_create_tables=True
)

define("1")
with production.open("w"):
    production.write(Picture, pictures(*range(100)))
    compute("production", production)

with preview.open("w"):
    compute("preview without a change", preview)
    define("2")
    compute("preview of the branch", preview)
    preview.write(Picture, pictures(100))
    compute("preview with one new picture", preview)

with production.open("w"), preview:
    print(f"production has {count(production)} pictures")
    print(f"promoted {preview.promote(production)['rows_copied']} rows")
    compute("production after the merge", production)
    print(f"production has {count(production)} pictures")
