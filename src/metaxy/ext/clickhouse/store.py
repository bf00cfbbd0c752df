"""The store that keeps features in ClickHouse."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import Field

from metaxy.errors import InvalidConfigError
from metaxy.ext.clickhouse.connection import connection_to, is_secure, parameters
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection
from metaxy.ext.ibis.store import IbisMetadataStore, ServerStoreConfig
from metaxy.store.config import MetadataStoreConfig

NATIVE_PORTS = {8123: 9000, 8443: 9440}  # of the protocol that SQLAlchemy's driver speaks, by those of HTTP


class ClickHouseMetadataStoreConfig(ServerStoreConfig):
    """Keys of a ClickHouse store."""

    auto_cast_struct_for_map: bool = Field(default=True, description="write structs of users to columns that are maps")


class ClickHouseMetadataStore(IbisMetadataStore):
    """Features in ClickHouse, versioned by ClickHouse itself: on a server, or embedded in this process.

    Args:
        connection_string: ``clickhouse://user:password@host:8123/database``, or ``chdb://path`` for a folder of this
            machine, which needs no server (package ``chdb``; one folder per process at a time).
        connection_params: host, port, user, password, database, secure and other parameters of clickhouse-connect.
        auto_cast_struct_for_map: write structs of users to columns that are maps; otherwise they are refused.
        statement_timeout: seconds after which the server ends a statement.
        options: what all stores take, see `MetadataStore`; and ``table_prefix``.

    >>> ClickHouseMetadataStore("clickhouse://me:secret@host/db")
    ClickHouseMetadataStore(connection_string=clickhouse://me:***@host/db)
    """

    def __init__(
        self,
        connection_string: str | None = None,
        *,
        connection_params: Mapping[str, Any] | None = None,
        auto_cast_struct_for_map: bool = True,
        statement_timeout: float | None = None,
        **options: Any,
    ) -> None:
        if connection_string is None and connection_params is None:
            raise InvalidConfigError("a ClickHouse store needs connection_string or connection_params")
        self.auto_cast_struct_for_map = auto_cast_struct_for_map
        self.statement_timeout = statement_timeout
        super().__init__(
            connection_string=connection_string, backend="clickhouse", connection_params=connection_params, **options
        )

    def connection_to(self, address: Address) -> IbisConnection:
        """Return the connection for an address."""
        return connection_to(address, self.statement_timeout, structs_as_maps=self.auto_cast_struct_for_map)

    @classmethod
    def config_model(cls) -> type[MetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return ClickHouseMetadataStoreConfig

    @property
    def sqlalchemy_url(self) -> str:
        """The address of the server for SQLAlchemy, which speaks ClickHouse's native protocol; it has the password."""
        given = parameters(self.address)
        secure, user = is_secure(given), quote(str(given.get("username", "default")), safe="")
        port = NATIVE_PORTS.get(int(given.get("port", 8443 if secure else 8123)), 9440 if secure else 9000)
        word = f":{quote(str(given['password']), safe='')}" if "password" in given else ""
        query = f"?{urlencode({'secure': True})}" if secure else ""
        place = f"{given.get('host', 'localhost')}:{port}/{given.get('database', 'default')}"
        return f"clickhouse+native://{user}{word}@{place}{query}"
