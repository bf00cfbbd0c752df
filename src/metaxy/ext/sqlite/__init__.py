"""SQLite: an embedded database in one file that many processes may share; versions are computed by SQLite."""

from metaxy.ext.sqlite.store import SQLiteMetadataStore, SQLiteMetadataStoreConfig

__all__ = ["SQLiteMetadataStore", "SQLiteMetadataStoreConfig"]
