"""The server of the web page: one process, on this machine unless told otherwise, until Ctrl-C."""

import errno
import logging
import os
import socket
import sys
from contextlib import closing, suppress
from ipaddress import ip_address
from typing import Final

import uvicorn

from metaxy.errors import MetaxyError
from metaxy.service.project import Project
from metaxy.ui.app import Page, guarded
from metaxy.ui.options import Options

PORT: Final = 8421
PATIENCE: Final = 1.0  # seconds that stores have to end what they are asked
POLITE: Final = 10  # pipelines on this machine go before the page


def run(project: Project, options: Options) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        MetaxyError: if the address cannot be used.
    """
    if sys.platform != "win32":
        os.nice(POLITE)
    _ = project.graph, project.store(options.store)  # what is wrong with them is said here, not in the browser
    page = Page.of(project.without_waiting(), options)
    with listen(options) as listening, closing(page):
        port = listening.getsockname()[1]
        server = Announcing(_config(guarded(page, port)), link(options, port), options)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    if page.is_asking(PATIENCE):  # the interpreter would wait for the answers, which no one hears
        sys.stdout.flush()
        os._exit(0)


def link(options: Options, port: int) -> str:
    """Return the link that works first.

    >>> link(Options(token="secret", prefix="/team"), 80), link(Options(token="secret", host="::"), 80)
    ('http://127.0.0.1:80/team/?token=secret', 'http://[::1]:80/?token=secret')
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)  # noqa: S104 - not bound here
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}{options.prefix}/?token={options.token}"


def listen(options: Options) -> socket.socket:
    """Listen at an address, at the usual port or any that is free unless one is named.

    Raises:
        MetaxyError: if it cannot be used.
    """
    ports = [options.port] if options.port is not None else [PORT, 0]
    for port in ports:
        try:
            return socket.create_server((options.host, port), family=_family(options.host))
        except OSError as error:
            problem = error
            if error.errno != errno.EADDRINUSE:
                break
    shown = f"{options.host} port {ports[0]}"
    raise MetaxyError(
        f"the web page cannot listen on {shown}: {os.strerror(problem.errno or 0)}; give another --host or --port"
    )


def _family(host: str) -> socket.AddressFamily:
    with suppress(ValueError):
        if ip_address(host).version == 6:
            return socket.AF_INET6
    return socket.AF_INET


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # pure ASGI
        log_level="warning",
        access_log=False,  # the first link has the token
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        timeout_graceful_shutdown=2,
    )


class Announcing(uvicorn.Server):
    """A server that says where it is as soon as it answers."""

    def __init__(self, config: uvicorn.Config, link: str, options: Options) -> None:
        super().__init__(config)
        self.link = link
        self.announce = options.announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            self.announce(self.link)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, and say nothing of the answers that are cut off by it."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)
