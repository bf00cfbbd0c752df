"""The web page of a project: a face over `metaxy.service` that only reads, and keeps no state of its own.

`server` runs it, `guard` decides who may ask, `app` has the routes, `api` answers questions from the service, `counts`
asks expensive ones seldom, `media` gives files, and `export` writes the same as static files. What the browser runs is
in `assets`. This module is light, so that help needs no server.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from metaxy._lazy import resolve
from metaxy.errors import MetaxyError
from metaxy.service.project import Project
from metaxy.ui.guard import host_name
from metaxy.ui.options import Options

__all__ = ["Options", "host_name", "serve", "write_export"]

PACKAGES: Final = ("starlette", "uvicorn")


def serve(project: Project, options: Options) -> None:
    """Serve the web page of a project until Ctrl-C.

    Raises:
        MetaxyError: if a package of the extra `ui` is missing, or the address cannot be used.
    """
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise MetaxyError(f'the web page needs {" and ".join(missing)}: pip install "metaxy[ui]"')
    resolve("metaxy.ui.server:run")(project, options)


def write_export(project: Project, options: Options, place: Path, *, force: bool = False, track: Any = iter) -> Any:
    """Write the web page of a project as static files, and return what was written; see `metaxy.ui.export.export`."""
    return resolve("metaxy.ui.export:export")(project, options, place, force=force, track=track)
