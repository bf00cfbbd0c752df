"""The store that keeps features in any database behind Ibis."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from metaxy._old_names import with_old_names
from metaxy.definitions.keys import FeatureKey
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection
from metaxy.ext.ibis.generic import connection_to
from metaxy.ext.ibis.storage import IbisStorage
from metaxy.hashing import HashAlgorithm
from metaxy.masking import mask, mask_option
from metaxy.store.config import DatabaseStoreConfig, MetadataStoreConfig, VersioningEngineOptions
from metaxy.store.parts import creates_tables
from metaxy.store.store import MetadataStore
from metaxy.versioning.engine import Engine
from metaxy.versioning.polars_engine import PolarsEngine
from metaxy.versioning.sql_engine import SqlEngine

PLACE = ("host", "database", "schema")  # the parameters that tell stores of one kind apart


class IbisMetadataStoreConfig(DatabaseStoreConfig):
    """Keys of a store behind Ibis."""

    connection_string: str | None = Field(default=None, description="URL of the database")
    backend: str | None = Field(default=None, description="name of the Ibis backend, if there is no URL")
    connection_params: dict[str, Any] | None = Field(default=None, description="parameters for the backend")


class ServerStoreConfig(IbisMetadataStoreConfig):
    """Keys of a store on a server."""

    statement_timeout: float | None = Field(default=None, gt=0, description="seconds after which a statement is ended")


@with_old_names
class IbisMetadataStore(MetadataStore):
    """Features in any database that Ibis can reach.

    Args:
        versioning_engine: where versions are computed, see `MetadataStore`.
        connection_string: URL of the database; it wins over ``backend`` and ``connection_params``.
        backend: name of an Ibis backend.
        connection_params: what its ``connect`` takes.
        table_prefix: prefix of all table names.
        options: what all stores take, see `MetadataStore`.

    >>> IbisMetadataStore(connection_string="postgresql://me:secret@host/db")
    IbisMetadataStore(connection_string=postgresql://me:***@host/db)
    """

    def __init__(
        self,
        versioning_engine: VersioningEngineOptions = "auto",
        connection_string: str | None = None,
        *,
        backend: str | None = None,
        connection_params: Mapping[str, Any] | None = None,
        table_prefix: str | None = None,
        **options: Any,
    ) -> None:
        self.connection_string = connection_string
        self.address = Address(connection_string, backend, dict(connection_params or {}))
        self.connection = self.connection_to(self.address)
        self.connection.hash_functions = self._create_hash_functions
        self.table_prefix = table_prefix or ""
        create = creates_tables(options.get("auto_create_tables"))
        storage = IbisStorage(
            self.connection,
            replace(self.connection.traits.capabilities, creates_tables=create),
            table_prefix=table_prefix or "",
            hooks=self,
        )
        engine: Engine = SqlEngine(self.connection) if self.connection.traits.computes else PolarsEngine()
        options["hash_algorithm"] = options.get("hash_algorithm") or self._get_default_hash_algorithm()
        super().__init__(storage=storage, engine=engine, versioning_engine=versioning_engine, **options)

    def connection_to(self, address: Address) -> IbisConnection:
        """Return the connection for an address."""
        return connection_to(address)

    @classmethod
    def config_model(cls) -> type[MetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return IbisMetadataStoreConfig

    @property
    def conn(self) -> Any:
        """The Ibis connection.

        Raises:
            StoreNotOpenError: while the store is closed.
        """
        return self.connection.ibis

    # -- what subclasses may say otherwise, as in metaxy 0.1 -----------------------------------------------------------

    def get_table_name(self, key: FeatureKey) -> str:
        """Name the table of a feature."""
        return self.table_prefix + key.table_name

    def _create_hash_functions(self) -> Mapping[HashAlgorithm, Callable[[Any], Any]]:
        """Return, for each algorithm, what it makes of an Ibis text expression; nothing for those of the database."""
        return {}

    def _get_default_hash_algorithm(self) -> HashAlgorithm:
        """Return the algorithm that is used if none is given."""
        return self.default_hash_algorithm

    def transform_after_read(self, table: Any, key: FeatureKey) -> Any:  # noqa: ARG002 - for subclasses
        """Return the Ibis table that is seen instead of a stored one."""
        return table

    def transform_before_write(self, df: Any, key: FeatureKey, table_name: str) -> Any:  # noqa: ARG002
        """Return the Narwhals frame that is stored instead of another."""
        return df

    @property
    def sqlalchemy_url(self) -> str:
        """The address of the database for SQLAlchemy.

        Raises:
            ValueError: if the store was not given a URL.
        """
        if self.connection_string is None:
            raise ValueError(f"{self!r} has no connection_string, so there is no URL for SQLAlchemy")
        return self.connection_string

    def display(self) -> str:
        """Describe the store, without secrets."""
        if self.connection_string is None:
            database = f"backend={self.address.name}"
        else:
            database = f"connection_string={mask_option('connection_string', self.connection_string)}"
        where = mask({name: self.address.parameters[name] for name in PLACE if name in self.address.parameters})
        return f"{type(self).__name__}({', '.join([database, *(f'{name}={value}' for name, value in where.items())])})"
