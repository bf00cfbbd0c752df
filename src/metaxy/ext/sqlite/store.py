"""The store that keeps features in a SQLite file."""

from pathlib import Path
from typing import Any

from pydantic import Field

from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection
from metaxy.ext.ibis.store import IbisMetadataStore
from metaxy.ext.sqlite.connection import connection_to
from metaxy.masking import mask_address
from metaxy.storage.files import at_home
from metaxy.store.config import FileDatabaseStoreConfig, MetadataStoreConfig


class SQLiteMetadataStoreConfig(FileDatabaseStoreConfig):
    """Keys of a SQLite store."""

    database: str | Path = Field(description="path of the database file, or `:memory:`")


class SQLiteMetadataStore(IbisMetadataStore):
    """Features in one SQLite file, versioned by SQLite itself; many processes may share it.

    Args:
        database: path of the file, or ``:memory:``.
        lock_timeout: seconds to wait while another process writes.
        options: what all stores take, see `MetadataStore`; and ``table_prefix``.

    >>> SQLiteMetadataStore("features.sqlite")
    SQLiteMetadataStore(database=features.sqlite)
    """

    _place = "database"

    def __init__(self, database: str | Path, *, lock_timeout: float = 10.0, **options: Any) -> None:
        self.database = at_home(str(database))
        self.lock_timeout = lock_timeout
        super().__init__(backend="sqlite", connection_params={"database": self.database}, **options)

    def connection_to(self, address: Address) -> IbisConnection:
        """Return the connection for an address."""
        return connection_to(address, self.lock_timeout)

    @classmethod
    def config_model(cls) -> type[MetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return SQLiteMetadataStoreConfig

    def display(self) -> str:
        """Describe the store, without secrets."""
        return f"SQLiteMetadataStore(database={mask_address(self.database)})"

    @property
    def sqlalchemy_url(self) -> str:
        """The address of the database for SQLAlchemy."""
        return f"sqlite:///{self.database}"
