"""The project that a command works on, as the global options say."""

from contextvars import ContextVar
from typing import Final

from metaxy.cli.options import GlobalOptions, current_options
from metaxy.service.project import Project

_made: Final[ContextVar[tuple[GlobalOptions, Project] | None]] = ContextVar("metaxy_workspace", default=None)


def workspace() -> Project:
    """Return what the running command works on; commands of one call, as in `mx shell`, share it."""
    options, made = current_options(), _made.get()
    if made is None or made[0] is not options:
        named = (options.config_file, options.project, options.all_projects, options.sync, options.locked)
        made = (options, Project(*named, wait=options.wait))
        _made.set(made)
    return made[1]
