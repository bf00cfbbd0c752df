"""`mx ui`: the project as a page in a browser."""

import os
import re
import sys
import webbrowser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from metaxy import ui as page
from metaxy.cli.failures import usage_error
from metaxy.cli.output import done, print_text, progress, say, warn
from metaxy.cli.selection import Flag, Store
from metaxy.cli.workspace import workspace
from metaxy.wording import short_path

PATH = re.compile(r"(?!.*(?:^|/)\.{0,2}(?:/|$))[A-Za-z0-9._~/-]+")
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::\d{1,5})?")
TOKEN = re.compile(r"[\w-]{16,}", re.ASCII)


def ui(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int | None, Parameter(validator=Number(gte=0, lte=65535))] = None,
    prefix: str = "",
    allow_host: Annotated[list[str] | None, Parameter(negative=())] = None,
    no_rows: Flag = False,
    media_root: Annotated[list[str] | None, Parameter(negative=())] = None,
    store: Store = None,
    token: str | None = None,
    open: bool | None = None,
    export: Path | None = None,
    force: Flag = False,
) -> None:
    """Look at the project in a browser: its graph with live counts, rows, errors, history and changes.

    The page only reads. It is for who has the link, from this machine.

    Args:
        host: The address to listen on.
        port: The port, 0 for any that is free; 8421, or any that is free, if not given.
        prefix: The path of the page behind a proxy, such as /metaxy.
        allow_host: A name by which browsers may call the page, such as that of a proxy; may be given several times.
        no_rows: Show no values of samples: numbers and definitions only.
        media_root: A folder whose images, audio and video are shown, or an origin of the web, such as
            https://media.example.org; may be given several times.
        token: What the first link must have, so that it stays the same; better given by METAXY_UI_TOKEN, as others see
            the arguments of commands. A new one each time if not given.
        open: Open it in a browser; on a terminal with a display if not said.
        export: Write the page as static files instead: into a folder for any web server, or into one file such as
            page.html that is opened as it is.
        force: Export also over what is no earlier export.
    """
    if force and export is None:
        message = "--force says what --export may do"
        raise usage_error(message, code="MISSING_REQUIRED_FLAG", required_flags=["--export"])
    folders, origins = _media(media_root or ())
    options = page.Options(
        store=store,
        rows=not no_rows,
        media=folders,
        origins=origins,
        host=host,
        port=port,
        prefix=_prefix(prefix),
        allow=_hosts(allow_host or ()),
        announce=lambda link: _announce(link, open),
        **_token(token),
    )
    if export is None:
        page.serve(workspace(), options)
    else:
        _export(options, export, force)


def _export(options: page.Options, place: Path, force: bool) -> None:
    project = workspace()
    _ = project.graph  # its errors come before the bar
    with progress("answers") as bar:
        found = page.write_export(project, options, place, force=force, track=partial(bar.track, description="export"))
    for path, why in found.left_out.items():
        warn(f"{path} is left out: {why}")
    print_text(short_path(found.place))
    done("Open it in a browser." if found.place.is_file() else "Any web server can give it to browsers.")


def _announce(link: str, wanted: bool | None) -> None:
    print_text(link)
    sys.stdout.flush()
    if wanted or (wanted is None and _has_display()):
        webbrowser.open(link)
    if sys.stderr.isatty():
        say("Ctrl-C ends it.")


def _has_display() -> bool:
    """Return whether someone sits here who would see a browser."""
    shown = sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return shown and sys.stdout.isatty() and "SSH_CONNECTION" not in os.environ


def _prefix(text: str) -> str:
    """Return a path as links begin with it: with a slash before it, none after it."""
    path = text.strip("/")
    if path and not PATH.fullmatch(path):
        raise usage_error(f"--prefix {text} is no path, such as /metaxy")
    return f"/{path}" if path else ""


def _hosts(given: Sequence[str]) -> tuple[str, ...]:
    """Refuse what is no name of a host: it would allow nothing."""
    for each in given:
        if not page.host_name(each):
            raise usage_error(f"--allow-host {each} is no name of a host, such as metaxy.example.org")
    return tuple(given)


def _media(given: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Split folders from origins of the web."""
    origins = [each.rstrip("/").lower() for each in given if "://" in each]
    for each in origins:
        if not ORIGIN.fullmatch(each):  # it goes into the policy of the page
            raise usage_error(f"--media-root {each} is no folder and no origin, such as https://media.example.org")
    folders = [Path(each).absolute() for each in given if "://" not in each]
    for folder in folders:
        if not folder.is_dir():
            raise usage_error(f"--media-root {short_path(folder)} is no folder")
    return folders, origins


def _token(given: str | None) -> dict[str, str]:
    if given is None:
        return {}
    if not TOKEN.fullmatch(given):
        raise usage_error("--token has at least 16 letters, digits, - and _", code="INVALID_TOKEN")
    return {"token": given}
