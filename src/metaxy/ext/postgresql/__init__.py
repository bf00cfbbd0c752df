"""PostgreSQL: versions are computed by the server; rows go in and out by COPY."""

from metaxy.ext.postgresql.store import PostgreSQLMetadataStore, PostgreSQLMetadataStoreConfig

__all__ = ["PostgreSQLMetadataStore", "PostgreSQLMetadataStoreConfig"]
