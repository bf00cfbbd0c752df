"""`mx lock`: write down the features of other projects that this one depends on."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from metaxy.cli.failures import FAILURE
from metaxy.cli.output import say
from metaxy.cli.selection import Flag
from metaxy.cli.workspace import workspace
from metaxy.service.history import FeatureChange, FeatureUpdate, LockFileResult
from metaxy.service.history import lock as write_lock
from metaxy.wording import short_path


def lock(
    store: str | None = None,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    check: Flag = False,
) -> int:
    """Write the definitions of the features of other projects that this one depends on to the lock file.

    Args:
        store: Name of the store where the other projects push; the default one if not given.
        output: The file; by default metaxy_lock_path of the configuration, else metaxy.lock next to it.
        check: Write nothing, and fail if the file is out of date.
    """
    start = time.monotonic()
    locked = write_lock(workspace(), store, output=output, check=check)
    _tell(locked.result)
    path, seconds = short_path(locked.path), f"{time.monotonic() - start:.2f}s"
    if check and not locked.is_current:
        say(f"Lock file {path} is out of date; run `mx lock` ({seconds}).")
        return FAILURE
    if locked.result.changed:
        say(f"Updated {path} from {locked.store} in {seconds}.")
    else:
        say(f"Lock file {path} is up to date ({seconds}).")
    return 0


def _tell(result: LockFileResult) -> None:
    """Say what changed, project by project."""
    changes: list[FeatureChange | FeatureUpdate] = [*result.added, *result.updated, *result.removed]
    projects = sorted({change.project for change in changes})
    for project in projects:
        if len(projects) > 1:
            say(f"{project}:")
        for line in _lines(result, project):
            say(line)


def _lines(result: LockFileResult, project: str) -> Iterator[str]:
    yield from (f" + {c.key} ({c.version})" for c in result.added if c.project == project)
    yield from (f" ~ {c.key} ({_difference(c)})" for c in result.updated if c.project == project)
    yield from (f" - {c.key} ({c.version})" for c in result.removed if c.project == project)


def _difference(change: FeatureUpdate) -> str:
    if change.metadata_only:
        return f"{change.old_version}, non-versioning metadata update"
    return f"{change.old_version} -> {change.new_version}"
