"""The routes of the web page: its own files, answers as JSON, and media."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metaxy.printable import json_text
from metaxy.service.drawings import picture_files
from metaxy.service.failures import Failure
from metaxy.service.project import Project
from metaxy.ui.api import Api
from metaxy.ui.guard import Application, Guard, Refusal, error, policy
from metaxy.ui.options import Options

ASSETS: Final = Path(__file__).with_name("assets")
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".preact": "text/plain; charset=utf-8",  # licences
    ".htm": "text/plain; charset=utf-8",
}
STATUSES: Final = {"request": 400, "failure": 500, "unreachable": 503}
NOT_FOUND: Final = ("FEATURES_NOT_FOUND", "UNKNOWN_FEATURE")
THREADS: Final = 4  # questions to stores at the same time; a pipeline may be at work on this machine


def application(project: Project, options: Options, port: int) -> Application:
    """Return the guarded application of a project."""
    page = Page(Api(project, options), assets(), ThreadPoolExecutor(THREADS, "metaxy-ui"))
    routes = [
        Route("/", page.asset, methods=["GET"]),
        Route("/assets/{name:path}", page.asset, methods=["GET"]),
        Route("/api/{path:path}", page.api, methods=["GET"]),
    ]
    inner = Starlette(routes=routes, exception_handlers={HTTPException: _not_found})
    return Guard(
        inner,
        token=options.token,
        hosts=(options.host, *options.allow),
        prefix=options.prefix,
        cookie=f"metaxy-{port}",
        policy=policy(options.origins),
    )


@dataclass(frozen=True)
class Asset:
    """A file that the browser loads, with its type and a tag that changes with it."""

    content: bytes
    type: str

    @property
    def tag(self) -> str:
        """What browsers ask with whether they have it already."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def assets() -> dict[str, Asset]:
    """Return all files that browsers load, by name, with those that draw pictures."""
    own = {path.relative_to(ASSETS).as_posix(): path.read_bytes() for path in ASSETS.rglob("*") if path.is_file()}
    drawing = {name: text.encode() for name, text in picture_files().items()}
    return {name: Asset(content, TYPES[Path(name).suffix]) for name, content in {**own, **drawing}.items()}


@dataclass(frozen=True)
class Page:
    """What is asked over HTTP, and the answers."""

    questions: Api
    files: Mapping[str, Asset]
    threads: ThreadPoolExecutor

    async def asset(self, request: Request) -> Response:
        """Answer a file of the page, which browsers keep as long as its tag is the same."""
        found = self.files.get(request.path_params.get("name", "index.html"))
        if found is None:
            return _json(error("there is no such file"), 404)
        headers = {"etag": found.tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        return Response(found.content, headers=headers | {"content-type": found.type})

    async def api(self, request: Request) -> Response:
        """Answer a question of the page."""
        path, query = request.path_params["path"], dict(request.query_params)
        return await self._elsewhere(lambda: _json(self.questions.answer(path, query)))

    async def _elsewhere(self, ask: Callable[[], Response]) -> Response:
        """Ask in a thread, and answer what goes wrong as an error."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, copy_context().run, ask)
        except Refusal as refusal:
            return _json(error(refusal.message, refusal.hint), refusal.status)
        except Exception as problem:
            failure = Failure.of(problem)
            hint = str(failure.details.get("hint") or "")
            return _json(error(failure.message, hint, failure.code), _status(failure))


def _status(failure: Failure) -> int:
    return 404 if failure.code in NOT_FOUND else STATUSES[failure.kind]


def _json(value: Any, status: int = 200) -> Response:
    text = json_text(value).encode("utf-8", "replace")
    return Response(text, status, {"content-type": "application/json"})


async def _not_found(request: Request, problem: Exception) -> Response:  # noqa: ARG001 - as Starlette calls it
    return _json(error("there is nothing here"), 404)
