"""The routes of the web page: its own files, answers as JSON, and media."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metaxy.printable import json_text
from metaxy.service.failures import Failure
from metaxy.service.project import Project
from metaxy.ui.api import Api
from metaxy.ui.counts import MOMENT, Counting, Subject, shown_counts
from metaxy.ui.files import Asset, read_assets
from metaxy.ui.guard import Application, Guard, Refusal, error, policy
from metaxy.ui.media import NO_FILE, POLICY, media_file, media_type
from metaxy.ui.options import Options
from metaxy.ui.query import without_values
from metaxy.ui.served_file import ServedFile, opened

Question: TypeAlias = tuple[object, ...]
T = TypeVar("T")
STATUSES: Final = {"request": 400, "failure": 422, "unreachable": 503}
NOT_FOUND: Final = ("FEATURES_NOT_FOUND", "UNKNOWN_FEATURE")
PATIENCE: Final = 1.0  # seconds to wait for counts where there are older ones
NAMES: Final = ("metaxy-ui", "metaxy-counts")  # of threads that ask
THREADS: Final = 4  # questions to stores at the same time; a pipeline may be at work on this machine


def guarded(page: "Page", port: int) -> Application:
    """Return the application of a page, with its guard."""
    options = page.questions.options
    routes = [
        Route("/", page.asset, methods=["GET"]),
        Route("/assets/{name:path}", page.asset, methods=["GET"]),
        Route("/api/features/{feature:path}/counts.json", page.counts, methods=["GET"]),
        Route("/api/{path:path}", page.api, methods=["GET"]),
        Route("/media", page.media, methods=["GET"]),
    ]
    return Guard(
        Starlette(routes=routes, exception_handlers={HTTPException: _not_found}),
        token=options.token,
        hosts=(options.host, *options.allow),
        prefix=options.prefix,
        cookie=f"metaxy-{port}",
        policy=policy(options.origins),
    )


@dataclass(frozen=True)
class Page:
    """What is asked over HTTP, and the answers."""

    questions: Api
    counting: Counting
    files: Mapping[str, Asset]
    threads: ThreadPoolExecutor
    asked: "dict[Question, asyncio.Future[bytes]]" = field(default_factory=dict)

    @classmethod
    def of(cls, project: Project, options: Options) -> "Page":
        """Return the page of a project."""
        threads = ThreadPoolExecutor(THREADS, NAMES[0])
        counting = Counting.of(project)
        return cls(Api(project, options, counting.last), counting, read_assets(), threads)

    def close(self) -> None:
        """Ask nothing more."""
        self.counting.stop()
        self.threads.shutdown(wait=False, cancel_futures=True)

    def is_asking(self, patience: float) -> bool:
        """Return whether stores are still being asked, some seconds after the end."""
        until = time.monotonic() + patience
        asking = [thread for thread in threading.enumerate() if thread.name.startswith(NAMES)]
        for thread in asking:
            thread.join(max(until - time.monotonic(), 0))
        return any(thread.is_alive() for thread in asking)

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
        return await self._answered(self._shared(path, query))

    async def counts(self, request: Request) -> Response:
        """Answer the counts of a feature: the last ones, if new ones take long."""
        store = request.query_params.get("store") or self.questions.options.store
        subject = Subject(request.path_params["feature"], store)
        return await self._answered(self._counted(subject))

    async def media(self, request: Request) -> Response:
        """Answer a file that a row names, or a part of it."""
        options = self.questions.options
        path, roots = request.query_params.get("path", ""), options.media if options.rows else ()
        return await self._answered(self._elsewhere(lambda: _file(media_file(path, roots))))

    async def _shared(self, path: str, query: dict[str, str]) -> Response:
        """Ask what nobody has asked just now; who asks the same meanwhile, and for a moment after, is told the same."""
        question = (path, *sorted(query.items()))
        asking = self.asked.get(question)
        if asking is None:
            asking = asyncio.ensure_future(self._elsewhere(lambda: _text(self.questions.answer(path, query))))
            self.asked[question] = asking
            asking.add_done_callback(partial(self._forget, question))
        return _answer(await asyncio.shield(asking))

    def _forget(self, question: Question, asking: "asyncio.Future[bytes]") -> None:
        is_answer = not asking.cancelled() and asking.exception() is None
        asking.get_loop().call_later(MOMENT if is_answer else 0, self.asked.pop, question, None)

    async def _counted(self, subject: Subject) -> Response:
        found = asyncio.wrap_future(self.counting.answer(subject))
        last = self.counting.last(subject)
        done, _ = await asyncio.wait([found], timeout=PATIENCE if last else None)
        answer = shown_counts(last, is_old=True) if last and not done else found.result()
        return _json(without_values(answer, self.questions.options))

    async def _elsewhere(self, ask: Callable[[], T]) -> T:
        """Ask in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, copy_context().run, ask)

    async def _answered(self, asking: Awaitable[Response]) -> Response:
        """Answer what goes wrong as an error."""
        try:
            return await asking
        except Refusal as refusal:
            return _json(error(refusal.message, refusal.hint), refusal.status)
        except Exception as problem:
            failure = Failure.of(problem)
            hint = str(failure.details.get("hint") or "")
            return _json(error(self.questions.told(failure), hint, failure.code), _status(failure))


def _file(path: Path) -> Response:
    headers = {"content-security-policy": POLICY, "cache-control": "private, no-cache"}
    try:
        return ServedFile(opened(path), headers | {"content-type": media_type(path.name)})
    except OSError as problem:  # it has gone, or may not be read
        raise Refusal(404, NO_FILE) from problem


def _status(failure: Failure) -> int:
    if failure.is_unexpected:
        return 500
    return 404 if failure.code in NOT_FOUND else STATUSES[failure.kind]


def _json(value: Any, status: int = 200) -> Response:
    return _answer(_text(value), status)


def _text(value: Any) -> bytes:
    return json_text(value).encode("utf-8", "replace")


def _answer(text: bytes, status: int = 200) -> Response:
    return Response(text, status, {"content-type": "application/json"})


async def _not_found(request: Request, problem: Exception) -> Response:  # noqa: ARG001 - as Starlette calls it
    return _json(error("there is nothing here"), 404)
