"""DuckDB: an embedded database in one file, or a DuckLake; versions are computed by DuckDB itself."""

from metaxy.ext.duckdb.extensions import ExtensionSpec
from metaxy.ext.duckdb.store import DuckDBMetadataStore, DuckDBMetadataStoreConfig
from metaxy.ext.ducklake import (
    DuckDBCatalogConfig,
    DuckLakeAttachmentManager,
    DuckLakeConfig,
    GCSStorageConfig,
    LocalStorageConfig,
    MotherDuckCatalogConfig,
    PostgresCatalogConfig,
    R2StorageConfig,
    S3StorageConfig,
    SQLiteCatalogConfig,
    build_secret_sql,
    format_attach_options,
)

__all__ = [
    "DuckDBCatalogConfig",
    "DuckDBMetadataStore",
    "DuckDBMetadataStoreConfig",
    "DuckLakeAttachmentManager",
    "DuckLakeConfig",
    "ExtensionSpec",
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
