"""Apache Iceberg: tables of Parquet files, and a catalog that says what they are; versions are computed with Polars."""

from metaxy.ext.iceberg.storage import TableIdentifier
from metaxy.ext.iceberg.store import IcebergMetadataStore, IcebergMetadataStoreConfig

__all__ = ["IcebergMetadataStore", "IcebergMetadataStoreConfig", "TableIdentifier"]
