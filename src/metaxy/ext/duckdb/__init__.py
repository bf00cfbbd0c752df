"""DuckDB: an embedded database in one file; versions are computed by DuckDB itself."""

from metaxy.ext.duckdb.connection import ExtensionSpec
from metaxy.ext.duckdb.store import DuckDBMetadataStore, DuckDBMetadataStoreConfig

__all__ = ["DuckDBMetadataStore", "DuckDBMetadataStoreConfig", "ExtensionSpec"]
