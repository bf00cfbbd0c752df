"""The store that keeps features in a DuckDB database."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from metaxy.config.secrets import mask_text
from metaxy.errors import InvalidConfigError
from metaxy.ext.duckdb.connection import DuckDBConnection, ExtensionSpec
from metaxy.ext.duckdb.storage import DuckDBStorage
from metaxy.store.config import MetadataStoreConfig
from metaxy.store.handle import creates_tables
from metaxy.store.store import MetadataStore
from metaxy.versioning.engine import SqlEngine


class DuckDBMetadataStoreConfig(MetadataStoreConfig):
    """Keys of a DuckDB store."""

    database: str | Path = Field(description="path of the database file, `:memory:`, or another DuckDB address")
    config: dict[str, str] | None = Field(default=None, description="DuckDB settings for the connection")
    extensions: list[str | ExtensionSpec] | None = Field(default=None, description="DuckDB extensions to load")
    table_prefix: str | None = Field(default=None, description="prefix of all table names")
    auto_create_tables: bool | None = Field(default=None, description="create tables at the first write")
    lock_timeout: float = Field(default=10.0, ge=0, description="seconds to wait for a file that another process locks")


class DuckDBMetadataStore(MetadataStore):
    """Features in one DuckDB file, versioned by DuckDB itself.

    Args:
        database: path of the file, ``:memory:``, or another address that DuckDB knows (``md:…``, ``s3://…``).
        config: DuckDB settings for the connection.
        extensions: extensions to load: from an installed wheel, else from DuckDB's folder, else downloaded.
        table_prefix: prefix of all table names.
        lock_timeout: seconds to wait while another process has the file locked.
        options: what all stores take, see `MetadataStore`.

    >>> store = DuckDBMetadataStore(":memory:")
    >>> store
    DuckDBMetadataStore(database=:memory:)
    """

    def __init__(
        self,
        database: str | Path,
        *,
        config: Mapping[str, str] | None = None,
        extensions: Sequence[str | ExtensionSpec] | None = None,
        table_prefix: str | None = None,
        lock_timeout: float = 10.0,
        **options: Any,
    ) -> None:
        self.database = str(database)
        named = [_extension(extension) for extension in extensions or ()]
        self.connection = DuckDBConnection(self.database, config or {}, named, lock_timeout)
        create = creates_tables(options.get("auto_create_tables"))
        storage = DuckDBStorage(self.connection, table_prefix=table_prefix or "", creates_tables=create)
        super().__init__(storage=storage, engine=SqlEngine(self.connection), **options)

    @classmethod
    def config_model(cls) -> type[DuckDBMetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return DuckDBMetadataStoreConfig

    def display(self) -> str:
        """Describe the store, without secrets."""
        return f"DuckDBMetadataStore(database={mask_text(self.database.split('?', 1)[0])})"

    @property
    def sqlalchemy_url(self) -> str:
        """The address of the database for SQLAlchemy."""
        return f"duckdb:///{self.database}"


def _extension(extension: str | ExtensionSpec) -> ExtensionSpec:
    if isinstance(extension, ExtensionSpec):
        return extension
    if not isinstance(extension, str):
        raise TypeError(f"an extension is a name or an ExtensionSpec, not {type(extension).__name__}")
    if not extension.replace("_", "").isalnum():
        raise InvalidConfigError(f"{extension!r} is no name of a DuckDB extension")
    return ExtensionSpec(extension)
