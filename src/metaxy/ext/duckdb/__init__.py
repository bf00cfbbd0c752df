"""DuckDB: an embedded database in one file, or a DuckLake; versions are computed by DuckDB itself."""

from metaxy.ext import ducklake
from metaxy.ext.duckdb.extensions import ExtensionSpec
from metaxy.ext.duckdb.store import DuckDBMetadataStore, DuckDBMetadataStoreConfig
from metaxy.ext.ducklake import *  # noqa: F403 - its models are arguments of this store

__all__ = ["DuckDBMetadataStore", "DuckDBMetadataStoreConfig", "ExtensionSpec"]
__all__ += ducklake.__all__
