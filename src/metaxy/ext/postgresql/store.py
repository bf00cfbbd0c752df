"""The store that keeps features in a PostgreSQL database."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from metaxy.errors import InvalidConfigError
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection
from metaxy.ext.ibis.store import IbisMetadataStore, ServerStoreConfig
from metaxy.ext.postgresql.connection import connection_to
from metaxy.store.config import MetadataStoreConfig


class PostgreSQLMetadataStoreConfig(ServerStoreConfig):
    """Keys of a PostgreSQL store."""

    auto_cast_struct_for_jsonb: bool = Field(default=True, description="store structs of users as JSONB")


class PostgreSQLMetadataStore(IbisMetadataStore):
    """Features in a PostgreSQL database, versioned by the server itself.

    Args:
        connection_string: URL of the database: ``postgresql://user:password@host:5432/database``.
        connection_params: host, port, user, password, database, schema and other parameters of libpq instead.
        auto_cast_struct_for_jsonb: store new columns of structs as JSONB; otherwise they are refused.
        statement_timeout: seconds after which the server ends a statement.
        options: what all stores take, see `MetadataStore`; and ``table_prefix``.

    >>> PostgreSQLMetadataStore("postgresql://me:secret@host/db")
    PostgreSQLMetadataStore(connection_string=postgresql://me:***@host/db)
    """

    def __init__(
        self,
        connection_string: str | None = None,
        *,
        connection_params: Mapping[str, Any] | None = None,
        auto_cast_struct_for_jsonb: bool = True,
        statement_timeout: float | None = None,
        **options: Any,
    ) -> None:
        if connection_string is None and connection_params is None:
            raise InvalidConfigError("a PostgreSQL store needs connection_string or connection_params")
        self.auto_cast_struct_for_jsonb = auto_cast_struct_for_jsonb
        self.statement_timeout = statement_timeout
        super().__init__(
            connection_string=connection_string, backend="postgres", connection_params=connection_params, **options
        )

    def connection_to(self, address: Address) -> IbisConnection:
        """Return the connection for an address."""
        return connection_to(address, self.statement_timeout, nested_as_json=self.auto_cast_struct_for_jsonb)

    @classmethod
    def config_model(cls) -> type[MetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return PostgreSQLMetadataStoreConfig
