"""Any database that Ibis can reach, through Ibis alone."""

from typing import Any

import ibis
from ibis.common.exceptions import IbisError

from metaxy._lazy import resolve
from metaxy.errors import InvalidConfigError, PolarsMaterializationWarning, warn_user
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.bulk import Bulk
from metaxy.ext.ibis.connection import IbisConnection, Traits
from metaxy.ext.ibis.session import Session
from metaxy.ext.ibis.tables import Tables
from metaxy.storage.port import AccessMode
from metaxy.versioning.dialect import Dialect

# How to connect to databases that Metaxy knows, by the names of their Ibis backends.
CONNECTIONS = {
    "chdb": "metaxy.ext.clickhouse.connection:connection_to",
    "clickhouse": "metaxy.ext.clickhouse.connection:connection_to",
    "duckdb": "metaxy.ext.ibis.duckdb:connection_to",
    "postgres": "metaxy.ext.postgresql.connection:connection_to",
    "sqlite": "metaxy.ext.sqlite.connection:connection_to",
}


def connection_to(address: Address) -> IbisConnection:
    """Return the connection for an address: that of its database, else one that leaves versions to Polars."""
    connect = resolve(CONNECTIONS[address.name]) if address.name in CONNECTIONS else generic
    connection: IbisConnection = connect(address)
    return connection


def generic(address: Address) -> IbisConnection:
    """Return a connection to a database whose SQL we do not know: Ibis stores and reads rows, Polars computes."""
    dialect = Dialect(address.name, {})
    return IbisConnection(dialect, Bulk(Tables(UnknownSession(address), dialect)), Traits())


class GenericSession(Session):
    """A session that Ibis opens."""

    errors: tuple[type[Exception], ...] = (IbisError, OSError, ValueError, TypeError, RuntimeError)

    def connect(self, mode: AccessMode) -> Any:  # noqa: ARG002 - Ibis has no modes
        """Connect with Ibis."""
        if self.address.url is not None:
            return ibis.connect(self.address.url, **self.address.parameters)
        try:
            backend = getattr(ibis, self.address.name)
        except AttributeError as error:
            raise InvalidConfigError(f"Ibis has no backend {self.address.name!r}, or its package is missing") from error
        return backend.connect(**self.address.parameters)


class UnknownSession(GenericSession):
    """A session of a database that Metaxy does not know."""

    def connect(self, mode: AccessMode) -> Any:
        """Connect with Ibis, and say what is slower than it could be."""
        warn_user(
            f"{self.display}: Metaxy does not know the SQL of {self.address.name}, so rows come to this process, "
            "and versions are computed with Polars",
            PolarsMaterializationWarning,
        )
        return super().connect(mode)
