"""Cameras send clips; one day their software calls two columns otherwise, and then there is a third camera."""

import warnings
from typing import Literal

import polars as pl

import metaxy as mx
from metaxy.errors import MetadataSchemaError
from metaxy.ext.duckdb import DuckDBMetadataStore


class Clip(mx.BaseFeature, spec=mx.FeatureSpec(key="clip", id_columns=["clip"])):
    clip: str
    camera: Literal["north", "south"]
    seconds: float
    weather: str | None = None


class Invoice(mx.BaseFeature, spec=mx.FeatureSpec(key="invoice", id_columns=["clip"], deps=[Clip])):
    feature_config = mx.FeatureConfig(declared="error")

    clip: str
    cents: int


def record(store: DuckDBMetadataStore, clips: pl.DataFrame) -> None:
    """Store what the cameras sent, and print what does not fit."""
    samples = clips.with_columns(metaxy_provenance_by_field=pl.struct(default="clip"))
    increment = store.resolve_update(Clip, samples=samples)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        store.write(Clip, increment.new)
    for warning in seen:
        print(*str(warning.message).split("; ")[:-1], sep="\n")


with DuckDBMetadataStore("clips.duckdb", auto_create_tables=True).open("w") as store:
    print("Monday: as declared")
    record(store, pl.DataFrame({"clip": ["1", "2"], "camera": ["north", "south"], "seconds": [4.5, 6.0]}))
    print("Tuesday: new software")
    record(store, pl.DataFrame({"clip": ["3", "4"], "cam": ["north", "south"], "length": [4.5, None]}))
    print("Wednesday: a new camera")
    record(store, pl.DataFrame({"clip": ["5", "6"], "camera": ["north", "east"], "seconds": [4.5, 6.0]}))
    print("Invoices are checked strictly")
    invoices = store.resolve_update(Invoice).new.to_polars().with_columns(cents=pl.lit(9.99))
    try:
        store.write(Invoice, invoices)
    except MetadataSchemaError as error:
        print(str(error).split("; ")[0])
    store.write(Invoice, invoices.with_columns(cents=pl.lit(999)))
    print(store.resolve_update(Invoice).new.shape[0], "invoices are missing")
