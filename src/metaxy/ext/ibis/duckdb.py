"""DuckDB through Ibis, as metaxy 0.1 spoke to it; `metaxy.ext.duckdb` is faster, and should be used instead."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
from ibis.common.exceptions import IbisError

from metaxy.ext.duckdb.dialect import DUCKDB
from metaxy.ext.duckdb.functions import CASE_MACROS, add_functions
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.bulk import Bulk
from metaxy.ext.ibis.connection import IbisConnection, Traits
from metaxy.ext.ibis.generic import GenericSession
from metaxy.ext.ibis.tables import Tables
from metaxy.hashing import HashAlgorithm
from metaxy.storage.files import at_home
from metaxy.storage.port import AccessMode, Capabilities

NATIVE = {HashAlgorithm.MD5, HashAlgorithm.SHA256}
DIALECT = replace(DUCKDB, hashes={name: sql for name, sql in DUCKDB.hashes.items() if name in NATIVE}, row_id=None)


def connection_to(address: Address) -> IbisConnection:
    """Return a connection: structs and maps are native, versions are computed by DuckDB."""
    bulk = Bulk(DuckDBTables(DuckDBSession(_at_home(address)), DIALECT))
    return IbisConnection(DIALECT, bulk, Traits(Capabilities(transactions=True), computes=True))


def _at_home(address: Address) -> Address:
    """Return the address with the home directory for a ``~``, as Ibis makes a folder of that name."""
    if address.url is not None:
        scheme, mark, rest = address.url.partition("://")
        return replace(address, url=f"{scheme}{mark}{at_home(rest)}")
    database = address.parameters.get("database")
    path = at_home(os.fspath(database)) if isinstance(database, (str, Path)) else database
    return replace(address, parameters={**address.parameters, "database": path}) if path else address


class DuckDBSession(GenericSession):
    """A DuckDB database of Ibis."""

    errors = (IbisError, duckdb.Error)

    def connect(self, mode: AccessMode) -> Any:
        """Connect with Ibis, and add functions of ours."""
        backend = super().connect(mode)
        add_functions(backend.con)
        for macro in CASE_MACROS:
            backend.con.execute(macro)
        return backend

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run statements together or not at all."""
        with self.lock:
            self.execute("BEGIN TRANSACTION")
            try:
                yield
            except BaseException:
                self.execute("ROLLBACK")
                raise
            self.execute("COMMIT")


class DuckDBTables(Tables):
    """Tables whose structs are native."""

    def retype(self, table: str, column: str, dtype: nw.dtypes.DType, kind: str) -> None:  # noqa: ARG002
        """Change the type of the column; members that rows lack are NULL."""
        name = self.dialect.quote(column)
        self.session.execute(f"ALTER TABLE {self.qualified(table)} ALTER COLUMN {name} TYPE {self.sql_type(dtype)}")

    def fitted(self, value: str, kind: str, dtype: nw.dtypes.DType) -> str:  # noqa: ARG002
        """Write a value of a query as it goes into a column of a table: structs are cast by the names of members."""
        return f"CAST({value} AS {kind})" if kind.startswith("STRUCT") else value
