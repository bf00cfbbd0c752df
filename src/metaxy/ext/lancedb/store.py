"""The LanceDB store and its configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from metaxy.errors import InvalidConfigError
from metaxy.ext.lancedb.storage import LanceStorage
from metaxy.ext.table_root import checked_root
from metaxy.masking import mask_path
from metaxy.storage.files import absolute
from metaxy.store.config import MetadataStoreConfig
from metaxy.store.store import MetadataStore
from metaxy.versioning.polars_engine import PolarsEngine

if TYPE_CHECKING:
    from lancedb import DBConnection


class LanceDBMetadataStoreConfig(MetadataStoreConfig):
    """Keys of a LanceDB store."""

    uri: str | Path = Field(description="folder or bucket that holds the tables")
    storage_options: dict[str, Any] | None = Field(
        default=None, repr=False, description="credentials and options of object stores"
    )
    connect_kwargs: dict[str, Any] | None = Field(
        default=None, repr=False, description="options for lancedb.connect, storage_options among them"
    )


class LanceDBMetadataStore(MetadataStore):
    """Features as LanceDB tables below one folder or bucket; vectors and blobs live beside their versions.

    Args:
        uri: folder or bucket; a local folder is created by the first write.
        storage_options: credentials and options of object stores.
        connect_kwargs: options for ``lancedb.connect``; its ``storage_options`` are used too.
        options: what all stores take, see `MetadataStore`.

    >>> LanceDBMetadataStore("s3://bucket/features").display()
    'LanceDBMetadataStore(path=s3://bucket/features)'
    """

    _place = "uri"

    def __init__(
        self,
        uri: str | Path,
        *,
        storage_options: Mapping[str, Any] | None = None,
        connect_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if str(uri).startswith("db://"):
            raise InvalidConfigError(
                f"{mask_path(str(uri))} is a database of LanceDB Cloud, whose tables cannot be read lazily; give a "
                "folder or a bucket"
            )
        self.uri = absolute(checked_root(str(uri), "Lance"))
        connection = dict(connect_kwargs or {})
        merged = {**(connection.pop("storage_options", None) or {}), **(storage_options or {})}
        self._connection_options = connection
        super().__init__(storage=LanceStorage(self.uri, merged), engine=PolarsEngine(), **options)

    @classmethod
    def config_model(cls) -> type[LanceDBMetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return LanceDBMetadataStoreConfig

    @property
    def conn(self) -> "DBConnection":
        """A new connection of LanceDB to the same tables, for what Metaxy does not do, such as vector search.

        Raises:
            StoreNotOpenError: while the store is closed.
        """
        self.session.require("r")
        import lancedb  # loads much that nothing else here needs

        storage: Any = self.storage
        return lancedb.connect(self.uri, storage_options=storage.storage_options or None, **self._connection_options)

    def display(self) -> str:
        """Describe the store, without secrets."""
        return f"LanceDBMetadataStore(path={mask_path(self.uri)})"
