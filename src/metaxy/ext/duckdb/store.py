"""The store that keeps features in a DuckDB database."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from metaxy._lazy import resolve
from metaxy._old_names import with_old_names
from metaxy.config.problems import first_problem
from metaxy.errors import InvalidConfigError
from metaxy.ext.duckdb.connection import DuckDBConnection
from metaxy.ext.duckdb.extensions import ExtensionSpec, extension
from metaxy.ext.duckdb.storage import DuckDBStorage
from metaxy.ext.ducklake.attachment import DuckLakeAttachmentManager
from metaxy.ext.ducklake.config import DuckLakeConfig, PostgresCatalogConfig, anchored_lake, database_path
from metaxy.masking import mask_address
from metaxy.storage.files import at_home
from metaxy.store.config import FileDatabaseStoreConfig
from metaxy.store.parts import StoreParts, creates_tables
from metaxy.store.store import MetadataStore
from metaxy.versioning.sql_engine import SqlEngine


class DuckDBMetadataStoreConfig(FileDatabaseStoreConfig):
    """Keys of a DuckDB store."""

    database: str | Path = Field(description="path of the database file, `:memory:`, or another DuckDB address")
    config: dict[str, str] | None = Field(default=None, description="DuckDB settings for the connection")
    extensions: list[str | ExtensionSpec] | None = Field(default=None, description="DuckDB extensions to load")
    ducklake: DuckLakeConfig | None = Field(default=None, description="a DuckLake that holds the tables instead")


@with_old_names
class DuckDBMetadataStore(MetadataStore):
    """Features in one DuckDB file, versioned by DuckDB itself.

    Args:
        database: path of the file, ``:memory:``, or another address that DuckDB knows (``md:…``, ``s3://…``).
        config: DuckDB settings for the connection.
        extensions: extensions to load: from an installed wheel, else from DuckDB's folder, else downloaded.
        table_prefix: prefix of all table names.
        lock_timeout: seconds to wait while another process has the file locked, or is in the way of a write.
        ducklake: a DuckLake that holds the tables, as a `DuckLakeConfig` or a dictionary; ``database`` is then
            ``:memory:``, or ``md:`` for MotherDuck.
        options: what all stores take, see `MetadataStore`.

    >>> store = DuckDBMetadataStore(":memory:")
    >>> store
    DuckDBMetadataStore(database=:memory:)
    """

    storage: DuckDBStorage

    _place = "database"

    def __init__(
        self,
        database: str | Path,
        *,
        config: Mapping[str, str] | None = None,
        extensions: Sequence[str | ExtensionSpec] | None = None,
        table_prefix: str | None = None,
        lock_timeout: float = 10.0,
        ducklake: DuckLakeConfig | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.database = database_path(at_home(str(database)))
        self._lake = _lake(ducklake, options.get("name"))
        prefix, create = table_prefix or "", creates_tables(options.get("auto_create_tables"))
        given = (self.database, config or {}, [extension(e) for e in extensions or ()], lock_timeout)
        storage: DuckDBStorage
        if self._lake is None:
            storage = DuckDBStorage(DuckDBConnection(*given), table_prefix=prefix, creates_tables=create)
        else:  # by its name, as that package builds on this one
            lake_storage = resolve("metaxy.ext.ducklake.storage:lake_storage")
            storage = lake_storage(given, self._lake, table_prefix=prefix, creates_tables=create)
        self.connection = storage.connection
        super().__init__(storage=storage, engine=SqlEngine(self.connection), **options)

    @classmethod
    def _anchored(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = super()._anchored(args, kwargs)
        lake = kwargs.get("ducklake")
        return args, {**kwargs, "ducklake": anchored_lake(lake)} if isinstance(
            lake, (Mapping, DuckLakeConfig)
        ) else kwargs

    @cached_property
    def _catalog(self) -> StoreParts | None:
        """The database of a lake's catalog, if it is PostgreSQL, and there is a client for it."""
        catalog = self._lake.config.catalog if self._lake else None
        parameters = catalog.parameters() if isinstance(catalog, PostgresCatalogConfig) else None
        with suppress(ImportError):
            options = {"table_prefix": self.storage.table_prefix, "auto_create_tables": self.auto_create_tables}
            store = resolve("metaxy.ext.postgresql.store:PostgreSQLMetadataStore") if parameters else None
            return store and store(connection_params=parameters, **options)
        return None

    @property
    def claims_store(self) -> StoreParts:
        """The store that keeps the claims to samples of this one; a lake leaves it to a catalog in PostgreSQL."""
        given = super().claims_store
        return self._catalog or self if given is self else given

    @classmethod
    def config_model(cls) -> type[DuckDBMetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return DuckDBMetadataStoreConfig

    def display(self) -> str:
        """Describe the store, without secrets."""
        lake = f", ducklake={self._lake.place}" if self._lake else ""
        return f"DuckDBMetadataStore(database={mask_address(self.database.split('?', 1)[0])}{lake})"

    @property
    def ducklake_attachment(self) -> DuckLakeAttachmentManager:
        """What attaches the DuckLake.

        Raises:
            RuntimeError: if there is none.
        """
        if self._lake is None:
            raise RuntimeError(f"{self.display()} has no DuckLake; give it `ducklake=DuckLakeConfig(…)`")
        return self._lake

    @property
    def ducklake_attachment_config(self) -> DuckLakeConfig:
        """Where the DuckLake has its catalog and files.

        Raises:
            RuntimeError: if there is none.
        """
        return self.ducklake_attachment.config

    def preview_ducklake_sql(self) -> list[str]:
        """Return the statements that attach the DuckLake, with secrets hidden.

        Raises:
            RuntimeError: if there is none.
        """
        return self.ducklake_attachment.preview_sql()

    @property
    def sqlalchemy_url(self) -> str:
        """The address of the database for SQLAlchemy."""
        return f"duckdb:///{self.database}"


def _lake(given: DuckLakeConfig | Mapping[str, Any] | None, name: str | None) -> DuckLakeAttachmentManager | None:
    if given is None:
        return None
    try:
        return DuckLakeAttachmentManager(DuckLakeConfig.model_validate(given), name)
    except ValidationError as error:  # its own text has many lines
        raise InvalidConfigError(first_problem(error, prefix=["ducklake"])) from None
