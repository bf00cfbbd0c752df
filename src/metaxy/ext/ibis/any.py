"""Any database that Ibis can reach, through Ibis alone."""

import importlib
from typing import Any

import ibis
from ibis.common.exceptions import IbisError

from metaxy.errors import InvalidConfigError, PolarsMaterializationWarning, warn_user
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection
from metaxy.storage.port import AccessMode
from metaxy.versioning.dialect import Dialect

# Databases with a connection of their own, by the name of their Ibis backend.
CONNECTIONS = {
    "chdb": "metaxy.ext.clickhouse.connection:ClickHouseConnection",
    "clickhouse": "metaxy.ext.clickhouse.connection:ClickHouseConnection",
    "duckdb": "metaxy.ext.ibis.duckdb:IbisDuckDBConnection",
    "postgres": "metaxy.ext.postgresql.connection:PostgreSQLConnection",
    "sqlite": "metaxy.ext.sqlite.connection:SQLiteConnection",
}


def connection_to(address: Address) -> IbisConnection:
    """Return the connection for an address: that of its database, else one that leaves versions to Polars."""
    module, _, name = CONNECTIONS.get(address.name, f"{__name__}:AnyConnection").partition(":")
    connection: IbisConnection = getattr(importlib.import_module(module), name)(address)
    return connection


class AnyConnection(IbisConnection):
    """A database whose SQL we do not know: Ibis stores and reads the rows, Polars computes the versions."""

    errors: tuple[type[Exception], ...] = (IbisError, OSError, ValueError, TypeError, RuntimeError)

    def __init__(self, address: Address, dialect: Dialect | None = None) -> None:
        super().__init__(dialect or Dialect(address.name, {}), str(address), address.secrets)
        self.address = address

    def connect(self, mode: AccessMode) -> Any:  # noqa: ARG002 - Ibis has no modes
        """Connect with Ibis."""
        if not self.computes:
            warn_user(
                f"{self.display}: Metaxy does not know the SQL of {self.address.name}, so rows come to this process, "
                "and versions are computed with Polars",
                PolarsMaterializationWarning,
            )
        if self.address.url is not None:
            return ibis.connect(self.address.url, **self.address.parameters)
        try:
            backend = getattr(ibis, self.address.name)
        except AttributeError as error:
            raise InvalidConfigError(f"Ibis has no backend {self.address.name!r}, or its package is missing") from error
        return backend.connect(**self.address.parameters)
