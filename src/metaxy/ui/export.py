"""The page as static files: a folder for any web server, or one file that is opened as it is.

What is written is what the server would answer now, by the same questions. Rows are the first ones of each feature, and
of samples there are no pages.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from metaxy.errors import MetaxyError, RequestError
from metaxy.printable import json_text
from metaxy.service.counts import counts
from metaxy.service.failures import Failure
from metaxy.service.project import Project
from metaxy.ui import bundle
from metaxy.ui.api import OF_FEATURES, OF_PROJECT, Api
from metaxy.ui.counts import shown_counts
from metaxy.ui.files import read_assets
from metaxy.ui.guard import Refusal
from metaxy.ui.options import Options
from metaxy.ui.query import without_values

Track: TypeAlias = Callable[[Sequence[str]], Iterable[str]]

LISTED: Final = "metaxy-export.json"  # what an export wrote, so that the next one can take it away
ROWS: Final = "100"
PAGE: Final = (".html", ".htm")
UNESCAPED: Final = "!*'()"  # what `encodeURIComponent` of browsers leaves as it is, too


@dataclass(frozen=True)
class Exported:
    """What was written, and what could not be answered, with why."""

    place: Path
    files: int
    left_out: Mapping[str, str]


def export(project: Project, options: Options, place: Path, *, force: bool = False, track: Track = iter) -> Exported:
    """Write the page of a project into a folder, or into one file if it is called like one.

    An earlier export is replaced.

    Args:
        force: Write also where something else is; files of other names stay.
        track: Is put around the questions, to show how far it is.

    Raises:
        RequestError: if something else is there.
        MetaxyError: if the store cannot be reached, or nothing can be written.
    """
    is_page = place.suffix.lower() in PAGE
    _refuse_others(place, is_page=is_page, force=force)
    answers, left_out = _answers(project, options, track)
    files = {name: asset.content.decode() for name, asset in read_assets().items()}
    if is_page:
        written = {place.name: bundle.page(files, {_address(path): answer for path, answer in answers.items()})}
        folder = place.parent
    else:
        assets = {f"assets/{name}": text for name, text in files.items() if name != "index.html"}
        data = {f"api/{path}": json_text(answer) for path, answer in answers.items()}
        written = {"index.html": bundle.shell(files["index.html"]), ".nojekyll": "", **assets, **data}
        folder = place
    try:
        if not is_page:
            _take_away(place)
            written = {LISTED: json_text({"files": sorted(written)}, indent=1), **written}
        for name, text in written.items():
            _write(folder / name, text)
    except OSError as error:
        raise MetaxyError(f"cannot write the page to {place}: {error.strerror}") from error
    return Exported(place, len(written), left_out)


# -- what is written ---------------------------------------------------------------------------------------------------


def _answers(project: Project, options: Options, track: Track) -> tuple[dict[str, Any], dict[str, str]]:
    """Ask all questions in one session of the store; return answers and failures by path."""
    keys = list(map(str, project.keys()))
    hidden = set() if options.rows else {"rows.json", "columns.json"}
    names = ["counts.json", *(name for name in OF_FEATURES if name not in (*hidden, "sample.json"))]
    paths = [*OF_PROJECT, *(f"features/{key}/{name}" for key in keys for name in names)]
    answers: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    with project.store(options.store) as opened:
        api = Api(project.with_store(opened), replace(options, store=None, media=(), origins=()))
        for path in track(paths):
            try:
                answers[path] = _answer(api, path)
            except Refusal as refusal:
                left_out[path] = refusal.message
            except Exception as error:
                failure = Failure.of(error)
                if failure.kind == "unreachable":
                    raise
                left_out[path] = api.told(failure)
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    answers["project.json"] |= {"exported": time, "store": options.store or project.config.store}
    return answers, left_out


def _answer(api: Api, path: str) -> Any:
    if path.endswith("/counts.json"):
        feature = path.removeprefix("features/").removesuffix("/counts.json")
        with api.project.active():
            return without_values(shown_counts(counts(api.project, feature)), api.options)
    return api.answer(path, {"limit": ROWS} if path.endswith("/rows.json") else {})


def _address(path: str) -> str:
    """Return a path as the page asks for it."""
    return "/".join(quote(part, safe=UNESCAPED) for part in path.split("/"))


# -- where it is written -----------------------------------------------------------------------------------------------


def _refuse_others(place: Path, *, is_page: bool, force: bool) -> None:
    """Refuse to write over what is no earlier export."""
    if force or not os.path.lexists(place):  # a link to nothing is something, too
        return
    if is_page:
        is_earlier = place.is_file() and bundle.MARK.encode() in place.read_bytes()[:4096]
    else:
        is_earlier = place.is_dir() and ((place / LISTED).is_file() or not any(place.iterdir()))
    if not is_earlier:
        what = f"{place} is there, and is no earlier export"
        raise RequestError("EXPORT_REFUSED", what, hint="name another place, or give --force", kind="request")


def _take_away(folder: Path) -> None:
    """Remove the files that an earlier export wrote, and no others; folders that they leave empty as well."""
    listed = folder / LISTED
    if not listed.is_file():
        return
    try:
        names = [str(name) for name in json.loads(listed.read_text(encoding="utf-8"))["files"]]
    except (ValueError, KeyError, TypeError):
        names = []
    root = folder.resolve()
    for name in names:
        path = folder / PurePosixPath(name)
        if path.is_file() and not path.is_symlink() and path.parent.resolve().is_relative_to(root):
            path.unlink()
            _remove_empty(path.parent, folder)


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "replace"))
