"""A file as an answer: opened once, so that it is the file that was looked at, and as long as it was then.

Files that others write grow, shrink and vanish while they are read: an answer is never longer than it said, and one
that cannot be as long ends without its end, which browsers notice.
"""

import os
import re
import stat
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

CHUNK: Final = 256 * 1024
RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
# Neither a link nor a pipe that has taken the place of the file since; Windows has neither flag.
SAFELY: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def opened(path: Path) -> BinaryIO:
    """Open a plain file.

    Raises:
        OSError: if it is none, or may not be read.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | SAFELY), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("it is no plain file")
    return file


def asked_range(text: str, size: int) -> range | None:
    """Return the bytes that a Range header asks for, none where there are none, all where it asks for several parts.

    >>> asked_range("bytes=2-5", 10), asked_range("bytes=-3", 10), asked_range("bytes=10-", 10), asked_range("x", 10)
    (range(2, 6), range(7, 10), None, range(0, 10))
    """
    found = RANGE.fullmatch(text)
    first, last = found.groups() if found else ("", "")
    if not first and not last:
        return range(size)
    if not first:
        return range(max(size - int(last), 0), size) if int(last) and size else None
    end = min(int(last) + 1, size) if last else size
    if last and int(last) < int(first):  # is to be ignored
        return range(size)
    return range(int(first), end) if int(first) < size else None


class ServedFile(Response):
    """An open file, of which one part may be asked for."""

    def __init__(self, file: BinaryIO, headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self.file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the part that was asked for."""
        try:
            await self._send(Request(scope, receive), send)
        finally:
            self.file.close()

    async def _send(self, request: Request, send: Send) -> None:
        about = os.fstat(self.file.fileno())
        tag = f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
        given = request.headers.get("range", "")
        if request.headers.get("if-range", tag) != tag:
            given = ""
        part = asked_range(given, about.st_size)
        self.headers.update(
            {"etag": tag, "last-modified": formatdate(about.st_mtime, usegmt=True), "accept-ranges": "bytes"}
        )
        status = 416 if part is None else 206 if len(part) < about.st_size else 200
        if part is None:
            self.headers["content-range"] = f"bytes */{about.st_size}"
        elif status == 206:
            self.headers["content-range"] = f"bytes {part[0]}-{part[-1]}/{about.st_size}"
        part = part or range(0)
        self.headers["content-length"] = str(len(part))
        await send({"type": "http.response.start", "status": status, "headers": self.raw_headers})
        await self._send_bytes(part if request.method == "GET" else range(0), request, send)

    async def _send_bytes(self, part: range, request: Request, send: Send) -> None:
        left = len(part)
        self.file.seek(part.start)
        while left and not await request.is_disconnected():
            content = await run_in_threadpool(self.file.read, min(CHUNK, left))
            if not content:  # it has become shorter
                return
            left -= len(content)
            await send({"type": "http.response.body", "body": content, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
