"""A catalog that speaks the REST protocol of Iceberg, on loopback: what PyIceberg asks, answered by its SQL catalog.

Each request must carry the token. Tables are in the folder of the server.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.rest import CreateTableRequest, TableResponse
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.table import CommitTableRequest, Table
from tests.services.running import Address, address, serve

TOKEN = "token-not-to-be-shown"
PREFIX = "/v1/"
LEFT_OUT = {"location": None, "partition-spec": None, "write-order": None}  # of requests, where they are None
STATUS = {
    NoSuchTableError: 404,
    NoSuchNamespaceError: 404,
    TableAlreadyExistsError: 409,
    NamespaceAlreadyExistsError: 409,
    CommitFailedException: 409,
    PermissionError: 401,
}


def properties() -> dict[str, str]:
    """Return what PyIceberg needs to know of the catalog."""
    return {"type": "rest", "uri": address("iceberg_rest")["uri"], "token": TOKEN}


class Rest:
    """The verbs of the protocol, on a catalog; one request is answered at a time."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.staged: dict[tuple[str, ...], Table] = {}
        self.lock = threading.Lock()

    def answer(self, method: str, path: list[str], body: bytes) -> Any:
        """Return what the verb gives, in JSON."""
        match (method, *path):
            case "GET", "config":
                return {"defaults": {}, "overrides": {}}
            case "POST", "namespaces":
                self.catalog.create_namespace(tuple(json.loads(body)["namespace"]))
                return json.loads(body)
            case "GET" | "HEAD", "namespaces", name:
                return {"namespace": [name], "properties": self.catalog.load_namespace_properties(name)}
            case "GET", "namespaces", name, "tables":
                found = self.catalog.list_tables(name)
                return {"identifiers": [{"namespace": [*at[:-1]], "name": at[-1]} for at in found]}
            case "POST", "namespaces", name, "tables":
                return self.create(name, CreateTableRequest.model_validate(LEFT_OUT | json.loads(body)))
            case "GET" | "HEAD", "namespaces", name, "tables", table:
                return self.described(self.catalog.load_table((name, table)))
            case "POST", "namespaces", name, "tables", table:
                return self.commit((name, table), CommitTableRequest.model_validate_json(body))
            case "DELETE", "namespaces", name, "tables", table:
                return self.catalog.purge_table((name, table))
        raise NotImplementedError(f"{method} {path}")

    def described(self, table: Table) -> Any:
        response = TableResponse(metadata_location=table.metadata_location, metadata=table.metadata)
        return json.loads(response.model_dump_json(by_alias=True))

    def create(self, namespace: str, asked: CreateTableRequest) -> Any:
        """Make a table that exists once it is committed."""
        assert asked.stage_create
        spec = asked.partition_spec or UNPARTITIONED_PARTITION_SPEC
        place = (namespace, asked.name)
        new = self.catalog.create_table_transaction(place, asked.table_schema, None, spec, properties=asked.properties)
        self.staged[place] = new._table
        return self.described(new._table)

    def commit(self, place: tuple[str, str], asked: CommitTableRequest) -> Any:
        table = self.catalog.load_table(place) if self.catalog.table_exists(place) else self.staged[place]
        done = self.catalog.commit_table(table, asked.requirements, asked.updates)
        return json.loads(done.model_dump_json(by_alias=True))


def handler(rest: Rest) -> type[BaseHTTPRequestHandler]:
    """Make the class that reads requests and writes answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0].removeprefix(PREFIX).split("/")
            try:
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    raise PermissionError("who are you?")
                with rest.lock:
                    status, answer = 200, rest.answer(self.command, path, body)
            except tuple(STATUS) as error:
                status = STATUS[type(error)]
                answer = {"error": {"message": str(error), "type": type(error).__name__, "code": status}}
            content = b"" if self.command == "HEAD" else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_HEAD = do_DELETE = do

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def server(folder: Path) -> Iterator[Address]:
    """Run the catalog; its database and its tables are in the folder."""
    at = {"uri": f"sqlite:///{folder}/catalog.db", "warehouse": (folder / "warehouse").as_uri()}
    rest = Rest(load_catalog("rest", type="sql", **at))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(rest)) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield {"uri": f"http://127.0.0.1:{http.server_port}"}
        http.shutdown()


if __name__ == "__main__":
    serve(server)
