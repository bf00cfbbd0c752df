"""One client of a ClickHouse server, or of the engine embedded in this process."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import clickhouse_connect
import narwhals as nw
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from metaxy.errors import InvalidConfigError, MetadataStoreError, StoreConnectionError
from metaxy.ext.clickhouse.bulk import ClickHouseBulk
from metaxy.ext.clickhouse.compiler import ClickHouseBackend
from metaxy.ext.clickhouse.dialect import CLICKHOUSE
from metaxy.ext.clickhouse.tables import ClickHouseTables
from metaxy.ext.ibis.address import Address
from metaxy.ext.ibis.connection import IbisConnection, Traits
from metaxy.ext.ibis.session import Session
from metaxy.masking import hide_in
from metaxy.storage.port import HUGE, AccessMode, Capabilities

EMBEDDED = "chdb://"
SAID = "DB::Exception: "
EMBEDDED_HINTS = {
    "already initialized with path": "this process has another folder of chdb open; close that store first",
    "Error initializing EmbeddedServer": "another process has this folder open, or it cannot be written; chdb lets one "
    "process at a time use a folder",
}
SECURE_PORTS = (443, 8443)
# What must not depend on the server's configuration.
SETTINGS = {
    "join_use_nulls": 1,  # else what a join does not find is 0 or ''; in the SQL of a subquery it has no effect
    "prefer_column_name_to_alias": 1,  # as in every other database
    "enable_extended_results_for_datetime_functions": 1,  # times are truncated to ones of any year, not of 1970 to 2106
    "output_format_arrow_date_as_uint16": 0,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
    "input_format_null_as_default": 0,  # NULL for a column that cannot hold it is an error, not 0 or ''
    "async_insert": 0,
    "mutations_sync": 1,
    "lightweight_deletes_sync": 2,
    # Filters may list very many values.
    "max_query_size": 1 << 30,
    "max_ast_elements": 1 << 24,
    "max_expanded_ast_elements": 1 << 24,
}
# What newer servers remember of the blocks that a condition left empty is wrong where `LIMIT 1 BY` stands behind it.
MEMORY_OF_CONDITIONS = "use_query_condition_cache"


def connection_to(
    address: Address, statement_timeout: float | None = None, *, structs_as_maps: bool = True
) -> IbisConnection:
    """Return a connection: one statement is one snapshot, one insert is one block, and there are no transactions."""
    capabilities = Capabilities(
        by_field="map", unsupported=(*HUGE, nw.Duration), orders_nan=False, structs_as_maps=structs_as_maps
    )
    tables = ClickHouseTables(ClickHouseSession(address, statement_timeout), CLICKHOUSE)
    return IbisConnection(CLICKHOUSE, ClickHouseBulk(tables), Traits(capabilities, computes=True, deletes_apart=True))


class ClickHouseSession(Session):
    """A client, whose server's configuration must not matter."""

    def __init__(self, address: Address, statement_timeout: float | None) -> None:
        super().__init__(address)
        self.statement_timeout = statement_timeout

    def connect(self, mode: AccessMode) -> Any:  # noqa: ARG002 - what is read may need a table beside it
        """Connect; threads need no session of their own, as nothing is kept in one."""
        settings = dict(SETTINGS)
        if self.statement_timeout is not None:
            settings["max_execution_time"] = max(1, round(self.statement_timeout))
        given = parameters(self.address)
        settings |= given.pop("settings", {})
        try:
            client = clickhouse_connect.get_client(**_client_options(given), settings=settings)
            if MEMORY_OF_CONDITIONS in client.server_settings:
                client.set_client_setting(MEMORY_OF_CONDITIONS, "0")
        except ClickHouseError as error:
            hint = next((hint for sign, hint in EMBEDDED_HINTS.items() if sign in str(error)), None)
            raise StoreConnectionError(f"cannot open {self.display}: {hint or self.reason(error)}") from error
        except ImportError as error:
            raise StoreConnectionError(f"{self.display} needs a package: pip install 'metaxy[chdb]'") from error
        return ClickHouseBackend.from_connection(client)

    def open(self, mode: AccessMode) -> None:
        """Connect, and remember the database, as names of tables mean the same with it in all others."""
        super().open(mode)
        self.schema = self.driver.database or None

    @property
    def place(self) -> Any:
        """The server, as this user sees it."""
        return (self.driver.uri, getattr(self.driver, "username", None)) if self.schema is not None else None

    def reason(self, error: Exception) -> str:
        """Return what the server says, without what the driver says of the server."""
        text = " ".join(str(hide_in(error, self.address.secrets.hide)).split())
        return text[text.rfind(SAID) + len(SAID) if SAID in text else 0 :][:600]

    @contextmanager
    def one_line_errors(self) -> Iterator[None]:
        """Turn errors of the driver into one line of ours."""
        try:
            yield
        except ClickHouseError as error:
            lost = isinstance(error, OperationalError)
            kind = StoreConnectionError if lost else MetadataStoreError
            raise kind(f"{self.display}: {self.reason(error)}") from error

    def execute(self, statement: str) -> None:
        """Run a statement of ours."""
        with self.use() as driver:
            driver.command(statement)


def parameters(address: Address) -> dict[str, Any]:
    """Return what the driver takes; parameters win over the URL.

    Raises:
        InvalidConfigError: if the URL cannot be read; it is not shown, as it may hold a password.
    """
    given: dict[str, Any] = {}
    if address.url is not None and address.url.startswith(EMBEDDED):
        given = {"interface": "chdb", "path": address.url.removeprefix(EMBEDDED)}
    elif address.url is not None:
        try:
            parts = urlsplit(address.url)
            given = {"host": parts.hostname, "port": parts.port, "database": parts.path.strip("/")}
        except ValueError as error:
            raise InvalidConfigError("connection_string is no URL that ClickHouse can read") from error
        given |= {"username": unquote(parts.username or ""), "password": unquote(parts.password or "")}
        given |= dict(parse_qsl(parts.query))
    given |= address.parameters
    if "user" in given:
        given["username"] = given.pop("user")
    return {name: value for name, value in given.items() if value not in (None, "")}


def is_secure(given: Mapping[str, Any]) -> bool:
    """Return whether parameters ask for an encrypted connection."""
    asked = str(given.get("secure", given.get("protocol") == "https")).lower()
    return asked in ("1", "true", "yes") or given.get("port") in SECURE_PORTS


def _client_options(given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("interface") == "chdb":
        return dict(given)
    options = {name: value for name, value in given.items() if name not in ("secure", "protocol")}
    return {
        "connect_timeout": 10,
        "autogenerate_session_id": False,
        **options,
        "secure": is_secure(given),
    }
