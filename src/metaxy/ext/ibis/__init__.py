"""Any database behind Ibis; those that have a module of their own compute versions themselves."""

from metaxy.ext.ibis.store import IbisMetadataStore, IbisMetadataStoreConfig

__all__ = ["IbisMetadataStore", "IbisMetadataStoreConfig"]
