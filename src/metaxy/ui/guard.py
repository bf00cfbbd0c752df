"""Who may ask the web page what: put around the whole application, so that no route can forget it.

A browser on this machine visits other sites too, so being on loopback proves nothing:

* *Host* must be a name that is allowed: another name that leads here (DNS rebinding) is refused.
* *Data*, which is all but the page itself, need the token: from the first link it goes into a cookie that other sites
  cannot use and scripts cannot read. The page, which is in a public package, needs none, so that links to its views
  work wherever they are clicked.
* *Other sites*, also those on other ports of this machine, which share its cookies, are refused data.
* *Methods* that could change something are refused; there is nothing that they could do.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode

from metaxy.printable import json_text

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

HERE: Final = ("localhost", "127.0.0.1", "::1")
METHODS: Final = ("GET", "HEAD")
OPEN: Final = re.compile(r"/(?:index\.html|favicon\.ico|assets/.*)?")
HOST: Final = re.compile(r"(?:\[(?P<inner>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::\d{1,5})?")


@dataclass(eq=False)
class Refusal(Exception):
    """An answer without data: its status, what is wrong, and what to do."""

    status: int
    message: str
    hint: str = ""


def policy(
    origins: Iterable[str] = (), *, scripts: str = "'self'", styles: str = "'self'", connect: str = "'self'"
) -> str:
    """Return the Content-Security-Policy of the page: nothing but its own files and, for media, some origins.

    >>> policy(["https://media.example.org"]).split("; ")[3]
    "img-src 'self' data: https://media.example.org"
    """
    others = "".join(f" {origin}" for origin in origins)
    rules = {
        "default-src": "'none'",
        "script-src": scripts,
        "style-src": styles,
        "img-src": f"'self' data:{others}",
        "media-src": f"'self'{others}",
        "connect-src": connect,
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {values}" for name, values in rules.items())


def host_name(text: str) -> str | None:
    """Return the name in a Host header or in an origin, None if it is none.

    >>> host_name("LocalHost:8080"), host_name("[::1]:80"), host_name("me@localhost"), host_name("")
    ('localhost', '::1', None, None)
    """
    found = HOST.fullmatch(text.lower())
    return found and (found["inner"] or found["name"].removesuffix("."))


class Guard:
    """An application that refuses what it should, and asks another one for the rest.

    Args:
        inner: The application that answers; it sees paths without the prefix.
        token: What the first link must have.
        hosts: Names that are allowed besides those of this machine.
        prefix: The path of the page; requests without it are answered too, as some proxies take it off.
        cookie: Name of the cookie; cookies of one machine are shared by all its ports.
        policy: The Content-Security-Policy of what has none of its own.
    """

    def __init__(
        self, inner: Application, *, token: str, hosts: Iterable[str], prefix: str, cookie: str, policy: str
    ) -> None:
        self.inner = inner
        self.token = token.encode()
        self.hosts = frozenset(filter(None, map(host_name, (*HERE, "[::1]", *hosts))))
        self.prefix = prefix
        self.cookie = cookie
        self.headers = {
            b"content-security-policy": policy.encode("latin-1"),
            b"x-content-type-options": b"nosniff",
            b"referrer-policy": b"no-referrer",
            b"x-frame-options": b"DENY",
            b"cross-origin-opener-policy": b"same-origin",
            b"cross-origin-resource-policy": b"same-origin",
            b"cache-control": b"no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # no route answers anything else
            return
        send = self._guarded(send)
        path = self._path(scope["path"])
        try:
            self._check(scope, path)
            if not path:  # relative links need the slash
                await respond(send, 307, {"location": _here(scope, "/", keep_token=True)})
            elif (given := _given_token(scope)) is not None:
                await self._welcome(given, scope, send)
            else:
                await self.inner(
                    {**scope, "path": path, "raw_path": quote(path).encode(), "root_path": ""}, receive, send
                )
        except Refusal as refusal:
            await answer(send, refusal)

    # -- what is refused -----------------------------------------------------------------------------------------------

    def _check(self, scope: Scope, path: str) -> None:
        self._check_host(scope)
        if scope["method"] not in METHODS:
            raise Refusal(405, f"{scope['method']} is refused: the page only reads")
        if path and not OPEN.fullmatch(path):
            self._check_site(scope)
            if not self._has_token(scope):
                raise Refusal(401, "the token is missing or wrong", "open the link that `mx ui` printed")

    def _check_host(self, scope: Scope) -> None:
        hosts = list(_values(scope, b"host"))
        name = host_name(hosts[0]) if len(hosts) == 1 else None
        if name is None:
            raise Refusal(400, "the request has no Host header that can be understood")
        if name not in self.hosts:
            raise Refusal(421, f"{name} is no allowed host", f"start the page with --allow-host {name}")

    def _check_site(self, scope: Scope) -> None:
        """Refuse other sites, which browsers name; what is no browser says nothing."""
        for site in _values(scope, b"sec-fetch-site"):
            if site not in ("same-origin", "none"):
                raise Refusal(403, "another site asked for this, and only the page itself may")
        for origin in _values(scope, b"origin"):
            if host_name(origin.partition("://")[2]) not in self.hosts:
                raise Refusal(403, "another site asked for this, and only the page itself may")

    def _has_token(self, scope: Scope) -> bool:
        return any(self._is_token(given) for given in (*self._in_cookies(scope), *_in_authorization(scope)))

    def _in_cookies(self, scope: Scope) -> Iterator[str]:
        """Yield what the cookie says; others come from anything on this machine, and may not even be well-formed."""
        for header in _values(scope, b"cookie"):
            for name, _, value in (each.partition("=") for each in header.split(";")):
                if name.strip() == self.cookie:
                    yield value.strip()

    def _is_token(self, given: str) -> bool:
        """Compare in a time that says nothing."""
        return secrets.compare_digest(given.encode("utf-8", "replace"), self.token)

    # -- what is answered here -----------------------------------------------------------------------------------------

    def _path(self, path: str) -> str:
        """Return a path without the prefix, empty for the prefix itself."""
        return path[len(self.prefix) :] if f"{path}/".startswith(f"{self.prefix}/") else path

    async def _welcome(self, given: str, scope: Scope, send: Send) -> None:
        """Turn the token of the first link into a cookie, and show the same link without it."""
        if not self._is_token(given):
            raise Refusal(401, "the token of this link is wrong", "open the link that `mx ui` printed last")
        secure = "; Secure" if "https" in _values(scope, b"x-forwarded-proto") else ""
        cookie = f"{self.cookie}={self.token.decode()}; Path={self.prefix}/; HttpOnly; SameSite=Strict{secure}"
        await respond(send, 303, {"location": _here(scope), "set-cookie": cookie})

    def _guarded(self, send: Send) -> Send:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: Headers = list(message.get("headers", ()))
                names = {name.lower() for name, _ in headers}
                headers += [(name, value) for name, value in self.headers.items() if name not in names]
                message = {**message, "headers": headers}
            await send(message)

        return guarded


async def answer(send: Send, refusal: Refusal) -> None:
    """Answer a refusal, as JSON."""
    headers = {"content-type": "application/json"}
    if refusal.status == 405:
        headers["allow"] = ", ".join(METHODS)
    await respond(send, refusal.status, headers, json_text(error(refusal.message, refusal.hint)))


async def respond(send: Send, status: int, headers: dict[str, str], text: str = "") -> None:
    """Send an answer."""
    body = text.encode("utf-8", "replace")
    fields = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    fields.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def error(message: str, hint: str = "", code: str = "REFUSED") -> dict[str, Any]:
    """Return an error as the page reads it."""
    return {"error": {"code": code, "message": message, "hint": hint}}


def _values(scope: Scope, name: bytes) -> Iterator[str]:
    return (value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name)


def _in_authorization(scope: Scope) -> Iterator[str]:
    for header in _values(scope, b"authorization"):
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "bearer":
            yield given.strip()


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _given_token(scope: Scope) -> str | None:
    return next((value for name, value in _query(scope) if name == "token"), None)


def _here(scope: Scope, end: str = "", *, keep_token: bool = False) -> str:
    """Return the same place, relative to it, as a proxy may have called it something else."""
    rest = urlencode([(name, value) for name, value in _query(scope) if keep_token or name != "token"])
    last = quote(scope["path"].rpartition("/")[2])
    return f"./{last}{end}" + (f"?{rest}" if rest else "")
