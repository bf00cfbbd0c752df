"""DuckLake: tables as Parquet files in a folder or a bucket, and a catalog of them in an SQL database.

These models say where catalog and files are, and `DuckLakeAttachmentManager` attaches them to a DuckDB connection, see
`DuckDBMetadataStore(ducklake=…)`. MotherDuck is a catalog like others.
"""

from metaxy.ext.ducklake.attachment import DuckLakeAttachmentManager
from metaxy.ext.ducklake.config import (
    DuckDBCatalogConfig,
    DuckLakeConfig,
    GCSStorageConfig,
    LocalStorageConfig,
    MotherDuckCatalogConfig,
    PostgresCatalogConfig,
    R2StorageConfig,
    S3StorageConfig,
    SQLiteCatalogConfig,
)
from metaxy.ext.ducklake.sql import build_secret_sql, format_attach_options

__all__ = [
    "DuckDBCatalogConfig",
    "DuckLakeAttachmentManager",
    "DuckLakeConfig",
    "GCSStorageConfig",
    "LocalStorageConfig",
    "MotherDuckCatalogConfig",
    "PostgresCatalogConfig",
    "R2StorageConfig",
    "S3StorageConfig",
    "SQLiteCatalogConfig",
    "build_secret_sql",
    "format_attach_options",
]
