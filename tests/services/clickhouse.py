"""ClickHouse over HTTP: the real engine of chdb, embedded in a process that speaks ClickHouse's HTTP interface.

Each request gets a handle of its own on the one engine, so that settings, the current database and temporary tables
are its own, too, as on a server. What is missing against a server: sessions, compressed answers, progress, clusters.
"""

import base64
import gzip
import importlib
import json
import re
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import lz4.frame
import zstandard
from tests.services.running import Address, address, serve

USER, PASSWORD = "tester", "p@ss/word of the tests"
READER = "reader"  # a user with the same password who may change nothing
TRANSPORT = {  # options that are no settings of the engine
    *("buffer_size", "client_protocol_version", "compress", "database", "decompress", "default_format"),
    *("enable_http_compression", "http_headers_progress_interval_ms", "password", "query", "query_id", "quota_key"),
    *("role", "send_progress_in_http_headers", "session_check", "session_id", "session_timeout", "user"),
    "wait_end_of_query",
}
INSERT = re.compile(rb"\s*INSERT\s+INTO\s.*?\bFORMAT\s+(\w+)[ \t]*(?:\r?\n|$)", re.IGNORECASE | re.DOTALL)
STATUS = {"81": 404, "60": 404, "516": 403, "164": 403}


def new_database() -> Address:
    """Create an empty database."""
    return database(f"test_{uuid.uuid4().hex[:12]}")


def database(name: str) -> Address:
    """Create a database, if there is none of that name.

    Returns: host, port, username, password and database, as clients name them.
    """
    import clickhouse_connect

    server = address("clickhouse")
    client = clickhouse_connect.get_client(**server)
    try:
        client.command(f"CREATE DATABASE IF NOT EXISTS {name}")
    finally:
        client.close()
    return {**server, "database": name}


# -- the server --------------------------------------------------------------------------------------------------------


@dataclass
class Query:
    """What one request asks for."""

    text: bytes
    database: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    tables: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)  # name → structure, format, data

    @classmethod
    def of(cls, options: Mapping[str, str], body: bytes, content_type: str) -> "Query":
        """Read a request: options of its address, and a body that is a query, data for one, or a form with both."""
        given, files = dict(options), dict[str, bytes]()
        if content_type.startswith("multipart/form-data"):
            for name, data, is_file in _parts(body, content_type):
                if is_file:
                    files[name] = data
                else:
                    given[name] = data.decode()
            body = b""
        text = b"\n".join(part for part in (given.get("query", "").encode(), body) if part)
        tables = {name: (_structure(given, name), given.pop(f"{name}_format", "TSV"), files[name]) for name in files}
        parameters = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
        settings = {
            name: value for name, value in given.items() if name not in TRANSPORT and not name.startswith("param_")
        }
        return cls(text, given.get("database", ""), settings, parameters, tables)

    def run(self, handle: Any, default_format: str) -> bytes:
        """Run it on a handle that nobody else uses."""
        if self.database:
            handle.query(f"USE `{self.database}`")
        for name, (structure, form, data) in self.tables.items():
            handle.query(f"CREATE TEMPORARY TABLE `{name}` ({structure}) ENGINE = Memory")
            _insert(handle, f"INSERT INTO `{name}`".encode(), form, data, {})
        if self.settings:
            handle.query("SET " + ", ".join(f"{name} = {_literal(value)}" for name, value in self.settings.items()))
        match = INSERT.match(self.text)
        if match and self.text[match.end() :]:
            head = self.text[: self.text.upper().rindex(b"FORMAT", 0, match.end())]
            _insert(handle, head, match[1].decode(), self.text[match.end() :], self.parameters)
            return b""
        result: bytes = handle.query(self.text.decode(), default_format, params=self.parameters).bytes()
        return result


def _insert(handle: Any, head: bytes, form: str, data: bytes, parameters: dict[str, str]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".data") as file:
        file.write(data)
        file.flush()
        statement = f"{head.decode()} FROM INFILE {_literal(file.name)} COMPRESSION 'none' FORMAT {form}"
        handle.query(statement, params=parameters)


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _structure(given: dict[str, str], name: str) -> str:
    structure, types = given.pop(f"{name}_structure", ""), given.pop(f"{name}_types", "")
    return structure or ", ".join(f"_{number} {kind}" for number, kind in enumerate(types.split(","), start=1))


def _parts(body: bytes, content_type: str) -> Iterator[tuple[str, bytes, bool]]:
    form: Message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    for part in form.get_payload():
        assert isinstance(part, Message)
        name = str(part.get_param("name", header="content-disposition"))
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        yield name, data, part.get_filename() is not None


class Handler(BaseHTTPRequestHandler):
    """Answers requests as a ClickHouse server does."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or answers wait 40 ms for the client's acknowledgement of their head
    wbufsize = -1
    open_handle: Callable[[], Any]

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._answer(200, b"Ok.\n")
        else:
            self._query(b"")

    def do_POST(self) -> None:
        self._query(self._body())

    def _query(self, body: bytes) -> None:
        options = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        user = self._user(options)
        if user is None:
            refused = b"Code: 516. DB::Exception: Authentication failed: password is incorrect, or there is no user"
            self._answer(403, refused + b" with such name. (AUTHENTICATION_FAILED)", code="516")
            return
        form = options.get("default_format", "TabSeparated")
        handle = type(self).open_handle()
        try:
            query = Query.of(options, body, self.headers.get("Content-Type", ""))
            if user == READER:
                query.settings["readonly"] = "2"
            result = query.run(handle, form)
        except RuntimeError as error:
            message = str(error)
            found = re.search(r"Code: (\d+)", message)
            code = found[1] if found else "1002"
            self._answer(STATUS.get(code, 500), message[message.find("Code: ") :].encode(), code=code)
        else:
            self._answer(200, result, form=form)
        finally:
            handle.close()

    def _user(self, options: dict[str, str]) -> str | None:
        name, password = options.pop("user", "default"), options.pop("password", "")
        if self.headers.get("Authorization", "").startswith("Basic "):
            name, _, password = base64.b64decode(self.headers["Authorization"][6:]).decode().partition(":")
        return name if name in (USER, READER) and password == PASSWORD else None

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b"".join(iter(self._chunk, b""))
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        encoding = self.headers.get("Content-Encoding", "")
        if encoding == "gzip":
            return gzip.decompress(data)
        if encoding == "lz4":
            return bytes(lz4.frame.decompress(data))
        if encoding == "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        return data

    def _chunk(self) -> bytes:
        data = self.rfile.read(int(self.rfile.readline().split(b";")[0], 16))
        self.rfile.readline()
        return data

    def _answer(self, status: int, body: bytes, *, code: str = "", form: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-ClickHouse-Timezone", "UTC")
        self.send_header("X-ClickHouse-Summary", json.dumps({}))
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        if form:
            self.send_header("X-ClickHouse-Format", form)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the standard library
        """Be silent."""


class Server(ThreadingHTTPServer):
    """Takes many clients at once."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let clients go that hang up."""


@contextmanager
def server(folder: Path) -> Iterator[Address]:
    """Run a server; one process has one engine."""
    connect: Any = importlib.import_module("chdb").connect
    Handler.open_handle = partial(connect, str(folder / "data"))
    engine = Handler.open_handle()  # keeps the engine alive between requests
    with Server(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield {"host": "127.0.0.1", "port": http.server_port, "username": USER, "password": PASSWORD}
        finally:
            http.shutdown()
            with suppress(RuntimeError):
                engine.close()


if __name__ == "__main__":
    serve(server)
