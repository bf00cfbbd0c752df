"""LanceDB: tables for vectors and blobs, as folders of Lance files; versions are computed with Polars."""

from metaxy.ext.lancedb.store import LanceDBMetadataStore, LanceDBMetadataStoreConfig

__all__ = ["LanceDBMetadataStore", "LanceDBMetadataStoreConfig"]
