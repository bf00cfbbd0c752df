"""ClickHouse, on a server or embedded in the process."""

from metaxy.ext.clickhouse.store import ClickHouseMetadataStore, ClickHouseMetadataStoreConfig

__all__ = ["ClickHouseMetadataStore", "ClickHouseMetadataStoreConfig"]
