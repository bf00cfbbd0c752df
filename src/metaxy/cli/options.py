"""Global options of the running command. Light: no configuration is read and no user code imported."""

from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(eq=False)
class GlobalOptions:
    """The global options of one call of `metaxy`; ``format`` is that of the command, for errors that come later."""

    config_file: Path | None = None
    project: str | None = None
    all_projects: bool = False
    sync: bool = False
    locked: bool = False
    wait: float | None = None
    format: str = "plain"


_current: Final = ContextVar("metaxy_cli_options", default=GlobalOptions())  # noqa: B039 - replaced by each call


def set_options(options: GlobalOptions) -> None:
    """Make these the options of the running command."""
    _current.set(options)


def current_options() -> GlobalOptions:
    """Return the options of the running command."""
    return _current.get()
