"""Delta Lake: tables as folders of Parquet files; versions are computed with Polars."""

from metaxy.ext.delta.store import DeltaMetadataStore, DeltaMetadataStoreConfig

__all__ = ["DeltaMetadataStore", "DeltaMetadataStoreConfig"]
